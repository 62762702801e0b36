//! What requests of all kinds look like, to tell from them the prompts that are learned from.
//!
//! `data/background.bin`: in how many prompts of `data/tasks` each bucket of words is hit, two bytes each, little-endian. `cargo run -p tokenrouter-evaluation --example background` writes it.

use tokenrouter_routing::{PromptFeatures, feature_rows};

static BYTES: &[u8] = include_bytes!("../data/background.bin");

pub(crate) struct Background {
    hits: Vec<f32>,
}

impl Background {
    pub fn builtin() -> Self {
        Self { hits: BYTES.as_chunks::<2>().0.iter().map(|pair| f32::from(u16::from_le_bytes(*pair))).collect() }
    }

    /// Of all hits the share that each bucket has.
    pub fn shares(&self) -> impl Iterator<Item = f32> + '_ {
        let all = self.hits.iter().sum::<f32>() + 0.5 * self.hits.len() as f32;
        self.hits.iter().map(move |hits| (hits + 0.5) / all)
    }
}

/// What stands in `data/background.bin`, made anew of these prompts.
#[must_use]
pub fn background_of<'a>(prompts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut hits = vec![0_u16; feature_rows()];
    let mut used = 0;
    for prompt in prompts {
        for bucket in PromptFeatures::of(prompt).buckets() {
            hits[bucket] = hits[bucket].saturating_add(1);
            used = used.max(bucket + 1);
        }
    }
    hits.into_iter().take(used).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_made_of_the_prompts_that_are() {
        let tasks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/tasks");
        let mut prompts = Vec::new();
        for name in ["prompts", "short"] {
            let text = std::fs::read_to_string(tasks.join(format!("{name}.jsonl"))).unwrap();
            let prompt = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["prompt"].to_string();
            prompts.extend(text.lines().map(prompt).map(|text| serde_json::from_str::<String>(&text).unwrap()));
        }
        let made = background_of(prompts.iter().map(String::as_str));
        assert!(made == BYTES, "run `cargo run --profile ci -p tokenrouter-evaluation --example background`");
    }
}
