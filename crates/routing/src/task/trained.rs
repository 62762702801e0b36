//! What was learned of how hard prompts are (`data/difficulty.bin`, by `scripts/train_difficulty.py`): two numbers a
//! feature, added up in the pass in which the task is recognised.
//!
//! The file: `TRD1`; for the regions of the table the scales of the first weight and then of the second; what the second
//! begins with; the slope and the offset of [`Trained::harder`], all `f32` in little-endian; then two
//! bytes for each row: how much harder a prompt with that feature is, and how much it is like what was learned from. Of the
//! rows of hashes two share one.

use super::features::{GROUPS, Group, HASHED, ROWS};

static BYTES: &[u8] = include_bytes!("../../data/difficulty.bin");

const REGIONS: usize = 3;
const COLUMNS: usize = 2;
const LIKE: usize = REGIONS * COLUMNS;
const SLOPE: usize = LIKE + 1;
const OFFSET: usize = LIKE + 2;
const TABLE: usize = 4 + 4 * (OFFSET + 1);

/// Rows of hashes here.
const SHARED: usize = HASHED / 2;

// A file of another layout does not compile.
const _: () = assert!(BYTES.len() == TABLE + (ROWS - HASHED + SHARED) * COLUMNS);
const _: () = assert!(matches!(BYTES, [b'T', b'R', b'D', b'1', ..]));

/// However sure it seems, no more than this is moved, of the scale of a model's ability.
const MOST: f32 = 0.4;

fn number(place: usize) -> f32 {
    let at = 4 + 4 * place;
    f32::from_le_bytes([BYTES[at], BYTES[at + 1], BYTES[at + 2], BYTES[at + 3]])
}

/// What was learned of prompts like this one. Nothing is learned of an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trained {
    /// Of what the features say of its difficulty.
    features: f32,
    /// 0 to 1: how much it is like what was learned from. What is like none of it is as hard as the signs say.
    pub weight: f32,
}

impl Trained {
    /// How much harder it is than its signs say, from -0.4 to 0.4, already multiplied by the weight. `signs` are what they
    /// come to but for the words that are looked for: most of those stand in none of the prompts that were learned from,
    /// which so cannot tell that they mean nothing.
    #[must_use]
    pub fn harder(&self, signs: f32) -> f32 {
        let harder = self.features + number(SLOPE) * signs + number(OFFSET);
        self.weight * harder.clamp(-MOST, MOST)
    }
}

/// Adds up both weights of features by their group, as `weights::Sums` does those of the tasks.
pub(super) struct Sums([[i32; COLUMNS]; GROUPS]);

impl Default for Sums {
    fn default() -> Self {
        Self([[0; COLUMNS]; GROUPS])
    }
}

impl Sums {
    pub fn add(&mut self, group: Group, row: usize) {
        if !group.is_of_the_prompt() {
            return;
        }
        let row = if row < HASHED { row / 2 } else { row - HASHED + SHARED };
        let at = TABLE + row * COLUMNS;
        for (sum, weight) in self.0[group as usize].iter_mut().zip(&BYTES[at..at + COLUMNS]) {
            *sum += i32::from(weight.cast_signed());
        }
    }

    /// `factors`: what each feature of a group counts, and the group's region of the table.
    #[allow(clippy::cast_precision_loss)]
    pub fn of(&self, factors: &[(f32, usize); GROUPS]) -> Trained {
        let mut logits = [0.0, number(LIKE)];
        for (sums, (factor, region)) in self.0.iter().zip(factors) {
            for (column, (logit, sum)) in logits.iter_mut().zip(sums).enumerate() {
                *logit += factor * number(column * REGIONS + region) * *sum as f32;
            }
        }
        Trained { features: logits[0], weight: 1.0 / (1.0 + (-logits[1]).exp()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{TaskInput, recognise};
    use serde_json::Value;

    const GOLDEN: &str = include_str!("../../data/difficulty_golden.json");

    #[test]
    fn the_sums_are_those_of_the_trainer() {
        let rows: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
        assert!(rows.len() > 40);
        for row in rows {
            let text = row["prompt"].as_str().unwrap();
            if crate::task::is_silent(text) {
                continue;
            }
            let trained = recognise(&TaskInput { last_user: text, ..TaskInput::default() }).trained;
            #[allow(clippy::cast_possible_truncation)]
            let harder = trained.harder(row["signs"].as_f64().unwrap() as f32);
            for (name, got) in [("harder", harder), ("weight", trained.weight)] {
                let wanted = row[name].as_f64().unwrap();
                assert!((f64::from(got) - wanted).abs() < 2e-3, "{text}: {name} {got}, not {wanted}");
            }
        }
    }

    #[test]
    fn what_stands_beside_the_prompt_does_not_make_it_harder() {
        let prompt = "Which of these is a noble gas? A) iron B) neon C) sulphur D) zinc";
        let alone = TaskInput { last_user: prompt, ..TaskInput::default() };
        let beside = TaskInput { instructions: "You are a patient tutor. Answer briefly.", has_schema: true, ..alone };
        assert_eq!(recognise(&alone).trained, recognise(&beside).trained);
    }
}
