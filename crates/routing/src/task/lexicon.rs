//! Words of many languages by their meaning (`data/task_words.txt`), so that what is learned of a wish in one
//! language holds in the others.

use super::text::{fold, is_alphanumeric};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::sync::LazyLock;

const WORDS: &str = include_str!("../../data/task_words.txt");

/// Meanings there may be at most.
pub(super) const MEANINGS: usize = 64;
/// Meanings that one word can have.
const SENSES: usize = 4;

/// A known word in a text.
pub(super) struct Hit {
    start: usize,
    end: usize,
    /// Its number.
    pub word: u32,
}

struct Word {
    stem: bool,
    joined: bool,
    /// By their places in the file, from 0.
    meanings: Vec<u16>,
}

pub(super) struct Lexicon {
    automaton: Option<AhoCorasick>,
    words: Vec<Word>,
}

pub(super) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::read(WORDS));

impl Lexicon {
    fn read(text: &str) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut words: Vec<Word> = Vec::new();
        let lists = text.lines().filter(|line| !line.starts_with(['#', '[']));
        for (line, meaning) in lists.filter_map(|line| line.split_once(": ")).zip(0_u16..) {
            let (_, list) = line;
            for word in list.split(", ") {
                let stem = word.ends_with('*');
                let mut folded = String::new();
                fold(word.trim_end_matches('*'), &mut folded);
                let folded = folded.trim().to_owned();
                let joined = folded.chars().any(is_joined);
                let place = *places.entry((folded.clone(), stem)).or_insert_with(|| {
                    patterns.push(folded);
                    words.push(Word { stem, joined, meanings: Vec::new() });
                    words.len() - 1
                });
                let meanings = &mut words[place].meanings;
                if meanings.len() < SENSES && usize::from(meaning) < MEANINGS && !meanings.contains(&meaning) {
                    meanings.push(meaning);
                }
            }
        }
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns).ok();
        Self { automaton, words }
    }

    pub fn meanings(&self, hit: &Hit) -> &[u16] {
        &self.words[hit.word as usize].meanings
    }

    /// The words in `piece`, from left to right, of those that overlap the one that begins first, or else the
    /// longest.
    pub fn find(&self, piece: &str, hits: &mut Vec<Hit>) {
        hits.clear();
        let Some(automaton) = &self.automaton else { return };
        for found in automaton.find_overlapping_iter(piece) {
            let number = found.pattern().as_u32();
            let word = &self.words[number as usize];
            let (start, end) = (found.start(), found.end());
            let alone = word.joined
                || (!goes_on(piece[..start].chars().next_back())
                    && (word.stem || !goes_on(piece[end..].chars().next())));
            if alone {
                hits.push(Hit { start, end, word: number });
            }
        }
        hits.sort_unstable_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
        let mut free = 0;
        hits.retain(|hit| {
            let keep = hit.start >= free;
            if keep {
                free = hit.end;
            }
            keep
        });
    }
}

fn goes_on(c: Option<char>) -> bool {
    c.is_some_and(is_alphanumeric)
}

/// Scripts that are written without spaces, or join words to others: a word of theirs may stand inside another.
pub(super) fn is_joined(c: char) -> bool {
    matches!(u32::from(c),
        0x590..=0x8ff        // Hebrew, Arabic
        | 0x900..=0x109f     // of India, Thai, Lao, Tibetan, Burmese
        | 0x1100..=0x11ff | 0x1780..=0x17ff
        | 0x2e80..=0x9fff | 0xa960..=0xa97f | 0xac00..=0xd7ff // Han, kana, Hangul
        | 0xf900..=0xfaff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff
        | 0x20000..=0x3ffff)
}
