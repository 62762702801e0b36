//! Vectors of words (`data/task_vectors.bin`): what a word says of the task, learned from how near words are to each other in
//! a language model of a hundred languages. A word that no training prompt had is known by those that mean alike.
//!
//! The file: `TRV1`; two tables of the halves that vectors are made of, a byte a number; where each bucket of words begins,
//! of two bytes; a second hash of each word, of one byte; each word's halves, of two bytes. All little-endian.

use super::features::{SPOTS, Spot};

static BYTES: &[u8] = include_bytes!("../../data/task_vectors.bin");

/// Numbers in a vector.
pub(super) const DIMENSIONS: usize = 16;
const HALF: usize = DIMENSIONS / 2;
const HALVES: usize = 256;
const BUCKET_BITS: u32 = 13;
const TABLES: usize = 4;
const STARTS: usize = TABLES + 2 * HALVES * HALF;
const HASHES: usize = STARTS + 2 * ((1 << BUCKET_BITS) + 1);
const WORDS: usize = (BYTES.len() - HASHES) / 3;
const CODES: usize = HASHES + WORDS;
/// From so many words on each counts less, so that their sum grows with the root of their number.
const FEW: u16 = 8;

// A file of another layout does not compile.
const _: () = assert!(BYTES.len() == CODES + 2 * WORDS && start(1 << BUCKET_BITS) == WORDS);
const _: () = assert!(matches!(BYTES, [b'T', b'R', b'V', b'1', ..]));

/// Number of the first word of a bucket.
const fn start(bucket: usize) -> usize {
    let at = STARTS + 2 * bucket;
    u16::from_le_bytes([BYTES[at], BYTES[at + 1]]) as usize
}

/// Where both halves of the vector of the word of that hash begin. Of words that are not there, one in some forty is taken
/// for another; none is that prompts are known to have.
fn find(hash: u32) -> Option<[usize; 2]> {
    let mixed = hash.wrapping_mul(0x9e37_79b1);
    let bucket = (mixed >> (32 - BUCKET_BITS)) as usize;
    let second = mixed.to_le_bytes()[0];
    let first = start(bucket);
    let place = BYTES[HASHES + first..HASHES + start(bucket + 1)].iter().position(|hash| *hash == second)?;
    let at = CODES + 2 * (first + place);
    Some([0, 1].map(|half| TABLES + HALF * (HALVES * half + usize::from(BYTES[at + half]))))
}

/// The sums of vectors by the spot where their words stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    sums: [[i32; DIMENSIONS]; SPOTS],
    counts: [u16; SPOTS],
}

impl Sums {
    pub fn add(&mut self, spot: Spot, hash: u32) {
        let Some(halves) = find(hash) else { return };
        let spot = spot as usize;
        self.counts[spot] += 1;
        for (sums, at) in self.sums[spot].chunks_exact_mut(HALF).zip(halves) {
            for (sum, byte) in sums.iter_mut().zip(&BYTES[at..at + HALF]) {
                *sum += i32::from(byte.cast_signed());
            }
        }
    }

    /// The numbers of each spot's sum.
    #[allow(clippy::cast_precision_loss)]
    pub fn of_spots(&self) -> [[f32; DIMENSIONS]; SPOTS] {
        std::array::from_fn(|spot| {
            let factor = 1.0 / f32::from(self.counts[spot].max(FEW)).sqrt();
            self.sums[spot].map(|sum| sum as f32 * factor)
        })
    }
}
