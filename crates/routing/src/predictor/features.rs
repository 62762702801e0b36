//! What a predictor sees of a prompt: its words and pairs of words in buckets, and a few counts.

/// Buckets that words and pairs of words are hashed into.
const BUCKETS: usize = 1 << 14;
const COUNTS: usize = 9;
pub(super) const ROWS: usize = BUCKETS + COUNTS;
/// Buckets share rows of the table of groups.
pub(super) const NEAR_ROWS: usize = 1 << 12;
/// Bytes that are read of a prompt: of a longer one the beginning and the end, where most wishes stand.
const HEAD: usize = 1_024;
const TAIL: usize = 512;

/// The rows of a prompt's features: buckets that are hit, each once, and what the counts come to.
#[derive(Clone, Debug)]
pub struct PromptFeatures {
    buckets: Vec<u16>,
    counts: [f32; COUNTS],
    /// What one bucket weighs, so that all of a prompt together are about of length 1.
    scale: f32,
}

impl PromptFeatures {
    /// Bounded in time, whatever the length of the prompt.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn of(prompt: &str) -> Self {
        let mut found = Found { buckets: Vec::with_capacity(512), hit: [0; BUCKETS / 64], counted: Counted::default() };
        let (head, tail) = ends(prompt);
        found.read(head);
        found.read(tail);
        let Found { buckets, counted, .. } = found;
        Self { scale: 1.0 / (buckets.len() as f32 + 1.0).sqrt(), counts: counted.counts(), buckets }
    }

    /// The rows and what each weighs.
    pub fn rows(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let buckets = self.buckets.iter().map(|bucket| (usize::from(*bucket), self.scale));
        buckets.chain(self.counts.iter().enumerate().map(|(at, count)| (BUCKETS + at, *count)))
    }

    pub(super) fn weights(&self) -> (&[u16], f32, impl Iterator<Item = (usize, f32)> + '_) {
        let counts = self.counts.iter().enumerate().map(|(at, count)| (BUCKETS + at, *count));
        (&self.buckets, self.scale, counts)
    }

    /// The rows of the words and pairs of words.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.buckets.iter().map(|bucket| usize::from(*bucket))
    }
}

/// Rows that features may have.
#[must_use]
pub const fn feature_rows() -> usize {
    ROWS
}

/// The row of the table of groups that a bucket has, below [`near_rows`].
#[must_use]
pub const fn near_row(bucket: usize) -> usize {
    bucket % NEAR_ROWS
}

#[must_use]
pub const fn near_rows() -> usize {
    NEAR_ROWS
}

fn ends(text: &str) -> (&str, &str) {
    if text.len() <= HEAD + TAIL {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(HEAD)], &text[text.ceil_char_boundary(text.len() - TAIL)..])
}

struct Found {
    buckets: Vec<u16>,
    hit: [u64; BUCKETS / 64],
    counted: Counted,
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits, byte by byte.
const START: u64 = 0xcbf2_9ce4_8422_2325;

fn hashed(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

fn hash_char(hash: u64, c: char) -> u64 {
    if c.is_ascii() {
        return hashed(hash, c as u8);
    }
    c.encode_utf8(&mut [0; 4]).bytes().fold(hash, hashed)
}

impl Found {
    fn hit(&mut self, hash: u64) {
        #[allow(clippy::cast_possible_truncation)]
        let bucket = ((hash ^ (hash >> 32)) % BUCKETS as u64) as u16;
        let (word, bit) = (usize::from(bucket) / 64, 1 << (bucket % 64));
        if self.hit[word] & bit == 0 {
            self.hit[word] |= bit;
            self.buckets.push(bucket);
        }
    }

    /// Letters that belong together are a word; a digit, a sign and a letter of a script without spaces are a word each.
    fn read(&mut self, text: &str) {
        let mut before: Option<u64> = None;
        let mut word: Option<u64> = None;
        for c in text.chars() {
            let kind = Kind::of(c);
            self.counted.count(c, kind);
            match kind {
                Kind::Letter if c.is_ascii() => {
                    word = Some(hashed(word.unwrap_or(START), c.to_ascii_lowercase() as u8))
                }
                Kind::Letter => {
                    // Other scripts know no capitals, but for a few that nobody writes prompts in.
                    let cased = matches!(u32::from(c), ..0x590 | 0x10a0..=0x10ff | 0x13a0..=0x13ff | 0x1c90..=0x1fff);
                    let hash = word.unwrap_or(START);
                    word = Some(if cased { c.to_lowercase().fold(hash, hash_char) } else { hash_char(hash, c) });
                }
                Kind::Space => {
                    if let Some(word) = word.take() {
                        self.word(word, &mut before);
                    }
                }
                Kind::Sign => {
                    if let Some(word) = word.take() {
                        self.word(word, &mut before);
                    }
                    self.word(hash_char(START, c), &mut before);
                }
            }
        }
        if let Some(word) = word {
            self.word(word, &mut before);
        }
    }

    fn word(&mut self, word: u64, before: &mut Option<u64>) {
        self.hit(word);
        if let Some(before) = before.replace(word) {
            self.hit((before.rotate_left(21) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a word of several.
    Letter,
    /// A word of its own: a sign, a digit, a letter of a script that puts no spaces between words.
    Sign,
    Space,
}

impl Kind {
    /// By blocks, which the tables of Unicode take long to tell.
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '\t'..='\r'
            | ' '
            | '\u{85}'
            | '\u{a0}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{3000}' => Self::Space,
            '\0'..='\u{a9}' | '\u{ab}'..='\u{b4}' | '\u{b6}'..='\u{b9}' | '\u{bb}'..='\u{bf}' | '×' | '÷' => {
                Self::Sign
            }
            '\u{964}' | '\u{965}' | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{6d4}' => Self::Sign,
            '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Self::Sign,
            '\u{2010}'..='\u{2bff}' | '\u{2e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => Self::Sign,
            '\u{fe10}'..='\u{fe6f}' | '\u{ff00}'..='\u{ffef}' | '\u{1f000}'.. => Self::Sign,
            _ => Self::Letter,
        }
    }
}

#[derive(Default)]
struct Counted {
    length: u32,
    digits: u32,
    signs: u32,
    questions: u32,
    lines: u32,
    capitals: u32,
    words: u32,
    numbers: u32,
    in_word: bool,
    in_number: bool,
}

impl Counted {
    fn count(&mut self, c: char, kind: Kind) {
        let digit = c.is_ascii_digit();
        let space = kind == Kind::Space;
        self.length += 1;
        self.digits += u32::from(digit);
        self.numbers += u32::from(digit && !self.in_number);
        self.words += u32::from(!space && !self.in_word);
        self.signs += u32::from(matches!(c, '\\' | '$' | '^' | '{' | '}' | '=' | '+' | '*' | '<' | '>'));
        self.questions += u32::from(c == '?');
        self.lines += u32::from(c == '\n');
        self.capitals += u32::from(c.is_ascii_uppercase());
        (self.in_number, self.in_word) = (digit, !space);
    }

    #[allow(clippy::cast_precision_loss)]
    fn counts(&self) -> [f32; COUNTS] {
        let length = self.length as f32 + 1.0;
        let share = |count: u32| (5.0 * count as f32 / length).min(1.0);
        let of = |count: u32, most: f32| (count as f32 / most).min(1.0);
        [
            1.0,
            (length + 8.0).log2() / 10.0 - 0.8,
            share(self.digits),
            share(self.signs),
            of(self.questions, 3.0),
            of(self.lines, 20.0),
            of(self.numbers, 20.0),
            share(self.capitals),
            (length / (self.words as f32 + 1.0) / 10.0).min(1.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(text: &str) -> Vec<u16> {
        let mut buckets = PromptFeatures::of(text).buckets;
        buckets.sort_unstable();
        buckets
    }

    #[test]
    fn words_are_the_same_whatever_their_case_and_what_stands_between_them() {
        assert_eq!(buckets("Prove ÜBER it"), buckets("prove  über\nit"));
        assert_ne!(buckets("prove it"), buckets("it prove"));
        // Two words and a pair; three letters that are words and two pairs; a letter and two digits.
        assert_eq!([buckets("ab cd").len(), buckets("日本語").len(), buckets("a12").len()], [3, 5, 5]);
    }

    #[test]
    fn of_a_long_prompt_the_beginning_and_the_end_are_seen() {
        let long = |end: &str| format!("Summarize this: {} {end}", "é日x ".repeat(5_000));
        assert_ne!(buckets(&long("briefly")), buckets(&long("in detail")));
        assert!(buckets(&long("briefly")).len() < 60);
    }

    proptest! {
        #[test]
        fn any_text_has_features_in_bounds(text in any::<String>()) {
            let features = PromptFeatures::of(&text);
            prop_assert!(features.rows().all(|(row, x)| row < ROWS && (-1.0..=2.0).contains(&x)));
            let mut buckets: Vec<usize> = features.buckets().collect();
            buckets.sort_unstable();
            prop_assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
