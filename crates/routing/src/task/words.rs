//! A piece of text as hashes of its words, and of three and four letters in a row.

use super::text::is_alphanumeric;

/// Hashes of a piece's words, and of what they are made of.
#[derive(Default)]
pub(super) struct Words {
    pub found: Vec<u32>,
    pub grams: Vec<u32>,
    /// What may have a vector: the words, and two to four letters in a row of the scripts without spaces.
    pub spelled: Vec<u32>,
}

/// FNV-1a's, of 32 bits.
const SEED: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

fn step(hash: u32, c: char) -> u32 {
    (hash ^ u32::from(c)).wrapping_mul(PRIME)
}

pub(super) fn pair(first: u32, second: u32) -> u32 {
    (first.rotate_left(7) ^ second).wrapping_mul(PRIME)
}

impl Words {
    /// A letter of a script without spaces is a word of its own, runs of digits count by their length, and marks
    /// that may tell something are words.
    pub fn read(&mut self, piece: &str, grams: bool) {
        self.found.clear();
        self.grams.clear();
        self.spelled.clear();
        let (mut hash, mut length, mut digits) = (SEED, 0_usize, 0_u32);
        // The letters before: of a word, or of a run of letters that stand alone.
        let mut last = ['\0'; 3];
        for c in piece.chars().chain(std::iter::once(' ')) {
            let digit = c.is_ascii_digit();
            if !digit && digits > 0 {
                self.found.push(step(SEED, '0').wrapping_add(digits.min(5)));
                digits = 0;
            }
            if !digit && is_letter(c) {
                if !c.is_ascii() && stands_alone(c) {
                    self.found.push(step(SEED, c));
                    self.gram(grams, last, c);
                    self.spell(last, c);
                } else {
                    hash = step(hash, c);
                    length += 1;
                    if length >= 3 {
                        self.gram(grams, last, c);
                    }
                }
                last = [last[1], last[2], c];
                continue;
            }
            if length > 0 {
                self.found.push(hash);
                self.spelled.push(hash);
                if length >= 3 {
                    self.gram(grams, last, '$');
                }
                (hash, length) = (SEED, 0);
            }
            last = ['\0'; 3];
            if digit {
                digits += 1;
            } else if !c.is_whitespace() && !matches!(c, '.' | ',' | '\'' | '-') {
                self.found.push(step(SEED, c));
            }
        }
    }

    /// As the words that these letters are, when they are: their sums are those of words with the same letters.
    fn spell(&mut self, before: [char; 3], last: char) {
        for from in 0..before.len() {
            if before[from..].iter().all(|c| stands_alone(*c)) {
                let hash = before[from..].iter().fold(SEED, |hash, c| step(hash, *c));
                self.spelled.push(step(hash, last));
            }
        }
    }

    fn gram(&mut self, wanted: bool, [first, second, third]: [char; 3], last: char) {
        if !wanted {
            return;
        }
        let three = step(step(step(SEED, second), third), last);
        if third != '\0' {
            self.grams.push(three);
        }
        if first != '\0' {
            self.grams.push(step(three, first).rotate_left(3));
        }
    }
}

/// Marks that belong to the letters before them, as in the scripts of India and in Thai, are letters too.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || (!c.is_ascii() && (is_alphanumeric(c) || is_mark(c)))
}

fn is_mark(c: char) -> bool {
    matches!(
        u32::from(c),
        0x93c | 0x94d | 0x9bc | 0x9cd | 0xa3c | 0xa4d | 0xacd | 0xbcd | 0xc4d | 0xccd | 0xd4d | 0xe47..=0xe4e
    )
}

/// Letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x2e80..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}
