//! A prompt as numbers: its words and pairs of words in buckets, and a few counts.

/// Buckets that words and pairs of words are hashed into.
pub(crate) const BUCKETS: usize = 1 << 14;
pub(crate) const COUNTS: usize = 9;
/// Words that are read.
const WORDS: usize = 600;

#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// Those that are hit, each once, in order.
    pub buckets: Vec<u32>,
    pub counts: [f32; COUNTS],
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn bucket(hash: u64) -> u32 {
    ((hash ^ (hash >> 32)) % BUCKETS as u64) as u32
}

/// Letters that belong together are a word; a digit and a sign are a word each.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c.is_alphabetic() {
            start = start.or(Some(at));
            continue;
        }
        if let Some(start) = start.take() {
            found.push(&text[start..at]);
        }
        if !c.is_whitespace() {
            found.push(&text[at..at + c.len_utf8()]);
        }
        if found.len() >= WORDS {
            return found;
        }
    }
    found.extend(start.map(|start| &text[start..]));
    found
}

impl Features {
    pub fn of(prompt: &str) -> Self {
        let lower = prompt.to_lowercase();
        let words = words(&lower);
        let one = words.iter().map(|word| bucket(hash(word.bytes())));
        let pairs = words.windows(2).map(|pair| bucket(hash(pair[0].bytes().chain([b' ']).chain(pair[1].bytes()))));
        let mut buckets: Vec<u32> = one.chain(pairs).collect();
        buckets.sort_unstable();
        buckets.dedup();
        Self { buckets, counts: counts(prompt) }
    }
}

fn counts(prompt: &str) -> [f32; COUNTS] {
    let length = prompt.chars().count() as f32 + 1.0;
    let count = |is: fn(char) -> bool| prompt.chars().filter(|c| is(*c)).count() as f32;
    let words = prompt.split_whitespace().count() as f32 + 1.0;
    let numbers = prompt.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).count() as f32;
    [
        1.0,
        (length + 8.0).log2() / 10.0 - 0.8,
        (5.0 * count(|c| c.is_ascii_digit()) / length).min(1.0),
        (5.0 * count(|c| "\\$^{}=+*<>".contains(c)) / length).min(1.0),
        (count(|c| c == '?') / 3.0).min(1.0),
        (count(|c| c == '\n') / 20.0).min(1.0),
        (numbers / 20.0).min(1.0),
        (5.0 * count(char::is_uppercase) / length).min(1.0),
        (length / words / 10.0).min(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_digits_and_signs_are_told_apart() {
        assert_eq!(words("ab c12, d-日本"), ["ab", "c", "1", "2", ",", "d", "-", "日本"]);
    }

    #[test]
    fn any_text_has_features_in_bounds() {
        for text in ["", " ", "\u{0}", &"x ".repeat(10_000), "ÄÖÜ 日本 ?!"] {
            let features = Features::of(text);
            assert!(features.buckets.iter().all(|bucket| (*bucket as usize) < BUCKETS));
            assert!(features.buckets.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(features.counts.iter().all(|count| (-1.0..=2.0).contains(count)), "{features:?}");
        }
    }
}
