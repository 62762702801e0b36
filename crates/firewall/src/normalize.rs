//! Text as it is meant: what hides a word from a pattern, and not from a reader, undone.
//!
//! Character by character, so that it streams: compatibility forms become plain ones (NFKC of each: full-width
//! digits, ligatures, letters of mathematics), marks of no width and of direction are left out, and letters
//! that look like Latin ones become those. A rule that normalises matches on that; what it masks is cut out of
//! the text as it was written, and what it does not keeps its characters.

use std::collections::VecDeque;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

/// No width, direction, joining, variation, tags.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0x00AD | 0x034F | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xE0000..=0xE01EF)
}

/// Letters of Cyrillic, Greek and Armenian that look like Latin ones (from Unicode's confusables, UTS #39),
/// pairwise.
const LOOKALIKES: &str = "аaвbсcеeһhіiјjкkмmнhоoрpԛqѕsтtуyхxԝwАAВBСCЕEНHІIЈJКKМMОOРPԚQЅSТTХXУYԜWҮYΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXαaοoνvρpυuιiκkωwօoսuցgհhոnզqѵv";

fn plain(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let mut letters = LOOKALIKES.chars();
    while let (Some(like), Some(latin)) = (letters.next(), letters.next()) {
        if like == c {
            return latin;
        }
    }
    c
}

fn push_normalized(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c);
    } else if !is_invisible(c) {
        out.extend(std::iter::once(c).nfkc().map(plain));
    }
}

/// What was read of a text and not let go, character by character, as it was written.
#[derive(Default)]
pub(crate) struct Written {
    /// Where each character's normalised form ends, in bytes of the normalised text.
    characters: VecDeque<(usize, char)>,
    /// Bytes of normalised text read, and written out.
    read: usize,
    written: usize,
    /// How many of the matches have been acted upon, and whether the next one's replacement is out.
    acted: usize,
    replaced: bool,
    /// Bytes of the text as it was written, and the matches' places in it.
    gone: usize,
    pub places: Vec<Range<usize>>,
}

impl Written {
    /// The piece, normalised.
    pub fn read(&mut self, piece: &str) -> String {
        let mut normalized = String::with_capacity(piece.len());
        for c in piece.chars() {
            push_normalized(c, &mut normalized);
            self.characters.push_back((self.read + normalized.len(), c));
        }
        self.read += normalized.len();
        normalized
    }

    /// Writes out what was let go: up to `released` bytes of the normalised text, with `replacement` in the
    /// place of each match.
    pub fn write(&mut self, released: usize, matches: &[Range<usize>], replacement: &str, out: &mut String) {
        while let Some((end, c)) = self.characters.front().copied().filter(|(end, _)| *end <= released) {
            self.characters.pop_front();
            let start = std::mem::replace(&mut self.written, end);
            let here = self.gone..self.gone + c.len_utf8();
            self.gone = here.end;
            let mut masked = false;
            while let Some(place) = matches.get(self.acted) {
                let within = if start == end {
                    place.start < start && start < place.end
                } else {
                    place.start < end && start < place.end
                };
                if within {
                    masked = true;
                    if !std::mem::replace(&mut self.replaced, true) {
                        out.push_str(replacement);
                        self.places.push(here.clone());
                    } else if let Some(last) = self.places.last_mut() {
                        last.end = here.end;
                    }
                }
                if place.end > end {
                    break;
                }
                self.acted += 1;
                self.replaced = false;
            }
            if !masked {
                out.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        let normal = |text: &str| Written::default().read(text);
        assert_eq!(normal("４５３２ ﬁ 𝐬𝐞𝐜𝐫𝐞𝐭 ①"), "4532 fi secret 1");
        assert_eq!(normal("s\u{200b}e\u{202e}c\u{ad}r\u{feff}et"), "secret");
        assert_eq!(normal("ѕесrеt раssԝоrd"), "secret password");
        assert_eq!(normal("naïve 日本 straße"), "naïve 日本 straße");
    }

    #[test]
    fn lookalikes_stand_in_pairs() {
        let letters: Vec<char> = LOOKALIKES.chars().collect();
        assert!(letters.len().is_multiple_of(2));
        assert!(letters.chunks(2).all(|pair| !pair[0].is_ascii() && pair[1].is_ascii_alphabetic()));
    }
}
