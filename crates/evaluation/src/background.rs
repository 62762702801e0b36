//! What requests of all kinds look like, to tell from them the prompts that are learned from.
//!
//! `data/background.bin`: in how many prompts of `data/tasks` each bucket of words is hit, two bytes each, little-endian.
//! `cargo run -p tokenrouter-evaluation --example background` writes it.

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

/// What stands in `data/background.bin`, made anew of the `prompt`s of these lines of JSON.
///
/// # Errors
/// The first line that has none.
pub fn background_of(lines: &str) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Row {
        prompt: String,
    }
    let mut hits = vec![0_u16; feature_rows()];
    let mut used = 0;
    for line in lines.lines() {
        let row: Row = serde_json::from_str(line)?;
        for bucket in PromptFeatures::of(&row.prompt).buckets() {
            hits[bucket] = hits[bucket].saturating_add(1);
            used = used.max(bucket + 1);
        }
    }
    Ok(hits.into_iter().take(used).flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_made_of_the_prompts_that_are() {
        let tasks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/tasks");
        let lines =
            ["prompts", "short"].map(|name| std::fs::read_to_string(tasks.join(format!("{name}.jsonl"))).unwrap());
        let made = background_of(&lines.concat()).unwrap();
        assert!(made == BYTES, "run `cargo run --profile ci -p tokenrouter-evaluation --example background`");
    }
}
