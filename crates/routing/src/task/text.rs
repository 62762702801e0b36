//! A prompt's text as the features see it: case and accents folded, punctuation of all scripts made one, cut to
//! bounds, and parted into the places where a wish stands (its first and its last sentence) and the rest.

use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

/// Bytes of a text that are read: of its beginning, and of its end. What lies between says little of the wish.
const HEAD: usize = 1_024;
const TAIL: usize = 512;
/// A first sentence this short (`hi there!`) is no wish yet, and the next is taken along. In bytes.
const SHORT: usize = 48;
/// Of a longer sentence the rest counts as surroundings.
const LONG: usize = 320;
/// How far from the beginning and the end surroundings reach, in bytes.
const NEAR: usize = 480;

/// Where a piece of the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// The first sentences.
    Lead,
    /// The last ones, where there are more than the first.
    Close,
    /// What is near to either.
    Near,
    /// All else, and what stands in code fences.
    Body,
}

#[derive(Debug, Default)]
pub(super) struct Text {
    pub folded: String,
    /// In the text's order, without gaps that hold words.
    pub pieces: Vec<(Zone, Range<usize>)>,
}

impl Text {
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let mut folded = String::with_capacity(text.len().min(HEAD + TAIL) + 64);
        if text.len() <= HEAD + TAIL {
            fold(text, &mut folded);
        } else {
            fold(&text[..text.floor_char_boundary(HEAD)], &mut folded);
            folded.push('\n');
            fold(&text[text.ceil_char_boundary(text.len() - TAIL)..], &mut folded);
        }
        let pieces = pieces(&folded);
        Self { folded, pieces }
    }
}

/// Lower case, no accents, no combining marks, one form of each punctuation mark.
pub(super) fn fold(text: &str, out: &mut String) {
    let mut rest = text;
    // Most text is long runs of ASCII, which are copied whole.
    while !rest.is_empty() {
        let run =
            rest.bytes().position(|byte| !byte.is_ascii() || byte == b'\t' || byte == b'\r').unwrap_or(rest.len());
        let (plain, others) = rest.split_at(run);
        out.push_str(plain);
        let mut chars = others.chars();
        rest = others;
        while let Some(c) = chars.next() {
            match c {
                '\r' => {}
                '\t' | '\u{a0}' | '\u{3000}' => out.push(' '),
                '\0'..='\u{7f}' => break,
                _ => fold_other(c, out),
            }
            rest = chars.as_str();
        }
    }
    out.make_ascii_lowercase();
}

fn fold_other(c: char, out: &mut String) {
    match c {
        // Marks that only colour a letter: combining accents, Hebrew and Arabic points, the stretcher.
        '\u{300}'..='\u{36f}'
        | '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{640}'
        | '\u{64b}'..='\u{65f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => {}
        '«' | '»' | '“' | '”' | '„' | '‟' | '「' | '」' | '『' | '』' | '《' | '》' => out.push('"'),
        '‘' | '’' | 'ʼ' | '´' => out.push('\''),
        '。' | '।' | '۔' | '｡' => out.push_str(". "),
        '、' | '،' => out.push(','),
        '؟' | '？' => out.push_str("? "),
        '！' => out.push_str("! "),
        '：' => out.push_str(": "),
        '–' | '—' => out.push('-'),
        '…' => out.push_str("..."),
        '¿' | '¡' => {}
        'ё' | 'Ё' => out.push('е'),
        'ı' | 'İ' => out.push('i'),
        'ø' | 'Ø' => out.push('o'),
        'ł' | 'Ł' => out.push('l'),
        'đ' | 'Đ' => out.push('d'),
        'أ' | 'إ' | 'آ' => out.push('ا'),
        '\u{ff01}'..='\u{ff5e}' => {
            let narrow = char::from_u32(u32::from(c) - 0xfee0).unwrap_or(' ');
            out.push(narrow.to_ascii_lowercase());
        }
        // Latin and Greek letters with their accents: the letter.
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}' => {
            let letter = std::iter::once(c).nfd().next().unwrap_or(c);
            out.extend(letter.to_lowercase());
        }
        _ if has_no_case(c) => out.push(c),
        _ => out.extend(c.to_lowercase()),
    }
}

/// Of blocks whose letters have no case, or are small already: the tables of Unicode are slow to tell.
fn has_no_case(c: char) -> bool {
    matches!(u32::from(c), 0x430..=0x45f | 0x590..=0x109f | 0x1100..=0x139f | 0x2e80..=0xa63f | 0xac00..=0xd7ff | 0xf900..=0xfaff)
}

/// As `char::is_alphanumeric`, which is slow to tell of most scripts.
pub(super) fn is_alphanumeric(c: char) -> bool {
    match u32::from(c) {
        0..=0x7f => c.is_ascii_alphanumeric(),
        0x410..=0x44f
        | 0x5d0..=0x5ea
        | 0x620..=0x64a
        | 0x905..=0x939
        | 0xe01..=0xe30
        | 0x3041..=0x3096
        | 0x30a1..=0x30fa
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7a3 => true,
        0x2000..=0x206f | 0x3001..=0x3004 => false,
        _ => c.is_alphanumeric(),
    }
}

/// Cuts at the ends of lines and sentences, and after a colon; tells the place of each piece.
fn pieces(text: &str) -> Vec<(Zone, Range<usize>)> {
    let sentences = sentences(text);
    let words = |range: &Range<usize>| range.len();
    let open: Vec<usize> = (0..sentences.len()).filter(|i| !sentences[*i].1).collect();
    let (mut lead, mut taken) = (0, 0);
    for i in &open {
        if taken >= SHORT || (taken > 0 && taken + words(&sentences[*i].0) > LONG) {
            break;
        }
        taken += words(&sentences[*i].0);
        lead = i + 1;
    }
    let (mut close, mut taken) = (sentences.len(), 0);
    for i in open.iter().rev() {
        if *i < lead || taken >= SHORT || (taken > 0 && taken + words(&sentences[*i].0) > LONG) {
            break;
        }
        taken += words(&sentences[*i].0);
        close = *i;
    }
    let mut pieces = Vec::with_capacity(sentences.len() + 2);
    for (i, (range, code)) in sentences.iter().enumerate() {
        let near = range.start < NEAR || text.len() - range.end < NEAR;
        let rest = if near && !code { Zone::Near } else { Zone::Body };
        if *code || (i >= lead && i < close) {
            pieces.push((rest, range.clone()));
        } else if i < lead {
            let cut = text.floor_char_boundary(range.end.min(range.start + LONG));
            pieces.push((Zone::Lead, range.start..cut));
            if cut < range.end {
                pieces.push((rest, cut..range.end));
            }
        } else {
            let cut = text.ceil_char_boundary(range.start.max(range.end.saturating_sub(LONG)));
            if range.start < cut {
                pieces.push((rest, range.start..cut));
            }
            pieces.push((Zone::Close, cut..range.end));
        }
    }
    pieces
}

/// Whether there is a code fence: few texts have the sign that it is made of at all, which is soon seen.
pub(super) fn has_fences(text: &str) -> bool {
    text.as_bytes().contains(&b'`') && text.contains("```")
}

/// Sentences and lines that hold anything, and whether they stand in a code fence.
fn sentences(text: &str) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let (mut at, mut fenced) = (0, false);
    let has_fences = has_fences(text);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let fences = if has_fences { line.matches("```").count() } else { 0 };
        if fenced || fences > 0 {
            // The words before a fence that opens in mid-line are no code.
            let opens = line.find("```").filter(|_| !fenced).unwrap_or(0);
            push(&mut found, text, start..start + opens, false);
            push(&mut found, text, start + opens..at, true);
            fenced ^= fences % 2 == 1;
            continue;
        }
        let bytes = line.as_bytes();
        let mut from = start;
        for (i, byte) in bytes.iter().enumerate() {
            let ends = matches!(byte, b'.' | b'!' | b'?' | b':' | b';');
            if ends && bytes.get(i + 1).is_none_or(u8::is_ascii_whitespace) {
                push(&mut found, text, from..start + i + 1, false);
                from = start + i + 1;
            }
        }
        push(&mut found, text, from..at, false);
    }
    found
}

fn push(found: &mut Vec<(Range<usize>, bool)>, text: &str, range: Range<usize>, code: bool) {
    if text[range.clone()].bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) {
        found.push((range, code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Character by character, as it is meant.
    fn folded_by_characters(text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\r' => {}
                '\t' | '\u{a0}' | '\u{3000}' => out.push(' '),
                '\0'..='\u{7f}' => out.push(c.to_ascii_lowercase()),
                _ => fold_other(c, &mut out),
            }
        }
        out
    }

    #[test]
    fn what_is_told_by_blocks_is_what_unicode_tells() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_alphanumeric(c), c.is_alphanumeric(), "{:x}", u32::from(c));
            assert!(!has_no_case(c) || c.to_lowercase().eq([c]), "{:x}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn runs_are_folded_as_their_characters_are(text in "([ -~]|\\PC|[\r\n\tÄøİ日\u{301}\u{3000}]){0,60}") {
            let mut out = String::new();
            fold(&text, &mut out);
            prop_assert_eq!(out, folded_by_characters(&text));
        }
    }
}
