//! The trained weights (`data/tasks.bin`) and what they make of features.
//!
//! The file: `TRT3`, a scale for each region of the table (hashes, meanings, shapes), a bias for each task, for each spot
//! where words stand and each number of their vectors a weight for each task, all `f32` in little-endian; then for
//! each row of hashes two tasks' weights in a byte, the first in the low four bits, each with 8 added to it, and for each other
//! row a byte a task.

use super::features::{GROUPS, Group, HASHED, MEANING_ROWS, ROWS, SPOTS, Sink, Spot};
use super::trained::{self, Trained};
use super::vectors::{self, DIMENSIONS};

static BYTES: &[u8] = include_bytes!("../../data/tasks.bin");

pub(super) const TASKS: usize = 10;
const REGIONS: usize = 3;
const OF_VECTORS: usize = REGIONS + TASKS;
const TABLE: usize = 4 + 4 * (OF_VECTORS + SPOTS * DIMENSIONS * TASKS);
/// Bytes of a row of hashes.
const PACKED: usize = TASKS / 2;
const OTHERS: usize = TABLE + HASHED * PACKED;

// A file of another layout does not compile.
const _: () = assert!(BYTES.len() == OTHERS + (ROWS - HASHED) * TASKS);
const _: () = assert!(matches!(BYTES, [b'T', b'R', b'T', b'3', ..]));

/// All numbers of the file.
static NUMBERS: [f32; OF_VECTORS + SPOTS * DIMENSIONS * TASKS] = {
    let mut numbers = [0.0; OF_VECTORS + SPOTS * DIMENSIONS * TASKS];
    let mut i = 0;
    while i < numbers.len() {
        let at = 4 + 4 * i;
        numbers[i] = f32::from_le_bytes([BYTES[at], BYTES[at + 1], BYTES[at + 2], BYTES[at + 3]]);
        i += 1;
    }
    numbers
};

/// Adds up the weights of features by their group, in whole numbers, since a group's features count alike. Each group
/// keeps to one region of the table.
pub(super) struct Sums {
    sums: [[i32; TASKS]; GROUPS],
    /// The last few rows of hashes: a byte for every other task, beginning with the first and with the second.
    lately: [[u64; 2]; GROUPS],
    counts: [usize; GROUPS],
    regions: [usize; GROUPS],
    vectors: vectors::Sums,
    trained: trained::Sums,
}

/// So many sums of four bits fit in a byte.
const LATELY: usize = 16;
/// What is added to each weight of four bits.
const MIDDLE: i32 = 8;

impl Default for Sums {
    fn default() -> Self {
        Self {
            sums: [[0; TASKS]; GROUPS],
            lately: [[0; 2]; GROUPS],
            counts: [0; GROUPS],
            regions: [0; GROUPS],
            vectors: vectors::Sums::default(),
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
        if row < HASHED {
            const BYTE: u64 = 0x0f_0f0f_0f0f;
            let at = TABLE + row * PACKED;
            // Three bytes of what follows are read too, and masked.
            let packed = u64::from_le_bytes(std::array::from_fn(|i| BYTES[at + i]));
            self.lately[group][0] += packed & BYTE;
            self.lately[group][1] += packed >> 4 & BYTE;
            if self.counts[group].is_multiple_of(LATELY) {
                self.settle(group);
            }
        } else {
            let at = OTHERS + (row - HASHED) * TASKS;
            for (sum, weight) in self.sums[group].iter_mut().zip(&BYTES[at..at + TASKS]) {
                *sum += i32::from(weight.cast_signed());
            }
        }
    }

    fn word(&mut self, spot: Spot, hash: u32) {
        self.vectors.add(spot, hash);
    }
}

impl Sums {
    fn settle(&mut self, group: usize) {
        let [first, second] = std::mem::take(&mut self.lately[group]).map(u64::to_le_bytes);
        for ((pair, first), second) in self.sums[group].chunks_exact_mut(2).zip(first).zip(second) {
            pair[0] += i32::from(first);
            pair[1] += i32::from(second);
        }
    }

    /// How much speaks for each task, in the order of `Task::ALL`: the logarithm of its chance, up to a constant; and what
    /// was learned of such a prompt.
    #[allow(clippy::cast_precision_loss)]
    pub fn logits(mut self) -> ([f32; TASKS], Trained) {
        let mut factors = [(0.0, 0); GROUPS];
        let mut logits: [f32; TASKS] = std::array::from_fn(|task| NUMBERS[REGIONS + task]);
        for (group, of_group) in factors.iter_mut().enumerate() {
            let (count, region) = (self.counts[group], self.regions[group]);
            if count == 0 {
                continue;
            }
            self.settle(group);
            *of_group = (Group::weight(group, count), region);
            let factor = of_group.0 * NUMBERS[region];
            let added = if region == 0 { MIDDLE * i32::try_from(count).unwrap_or(i32::MAX / MIDDLE) } else { 0 };
            for (logit, sum) in logits.iter_mut().zip(self.sums[group]) {
                *logit += factor * (sum - added) as f32;
            }
        }
        let numbers = self.vectors.of_spots().into_iter().flatten();
        for (value, weights) in numbers.zip(NUMBERS[OF_VECTORS..].as_chunks::<TASKS>().0) {
            for (logit, weight) in logits.iter_mut().zip(weights) {
                *logit += value * weight;
            }
        }
        (logits, self.trained.of(&factors))
    }
}
