//! The trained weights (`data/tasks.bin`) and what they make of features.
//!
//! The file: `TRT1`, a scale for each region of the table (hashes, meanings, shapes), a bias for each task, all `f32`
//! in little-endian; then a byte for each row and task.

use super::features::{GROUPS, Group, HASHED, MEANING_ROWS, ROWS, Sink};
use super::trained::{self, Trained};

static BYTES: &[u8] = include_bytes!("../../data/tasks.bin");

pub(super) const TASKS: usize = 10;
const REGIONS: usize = 3;
const TABLE: usize = 4 + 4 * (REGIONS + TASKS);

// A file of another layout does not compile.
const _: () = assert!(BYTES.len() == TABLE + ROWS * TASKS);
const _: () = assert!(matches!(BYTES, [b'T', b'R', b'T', b'1', ..]));

fn number(place: usize) -> f32 {
    let at = 4 + 4 * place;
    f32::from_le_bytes([BYTES[at], BYTES[at + 1], BYTES[at + 2], BYTES[at + 3]])
}

/// Adds up the weights of features by their group, in whole numbers, since a group's features count alike. Each group
/// keeps to one region of the table.
pub(super) struct Sums {
    sums: [[i32; TASKS]; GROUPS],
    counts: [usize; GROUPS],
    regions: [usize; GROUPS],
    trained: trained::Sums,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            sums: [[0; TASKS]; GROUPS],
            counts: [0; GROUPS],
            regions: [0; GROUPS],
            trained: trained::Sums::default(),
        }
    }
}

impl Sink for Sums {
    fn add(&mut self, group: Group, row: usize) {
        self.trained.add(group, row);
        let group = group as usize;
        self.counts[group] += 1;
        self.regions[group] = usize::from(row >= HASHED) + usize::from(row >= HASHED + MEANING_ROWS);
        let at = TABLE + row * TASKS;
        for (sum, weight) in self.sums[group].iter_mut().zip(&BYTES[at..at + TASKS]) {
            *sum += i32::from(weight.cast_signed());
        }
    }
}

impl Sums {
    /// How much speaks for each task, in the order of `Task::ALL`: the logarithm of its chance, up to a constant; and what
    /// was learned of such a prompt.
    #[allow(clippy::cast_precision_loss)]
    pub fn logits(&self) -> ([f32; TASKS], Trained) {
        let mut factors = [(0.0, 0); GROUPS];
        let mut logits: [f32; TASKS] = std::array::from_fn(|task| number(REGIONS + task));
        for (group, sums) in self.sums.iter().enumerate().filter(|(group, _)| self.counts[*group] > 0) {
            factors[group] = (Group::weight(group, self.counts[group]), self.regions[group]);
            let factor = factors[group].0 * number(self.regions[group]);
            for (logit, sum) in logits.iter_mut().zip(sums) {
                *logit += factor * *sum as f32;
            }
        }
        (logits, self.trained.of(&factors))
    }
}
