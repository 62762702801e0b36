//! What a prompt looks like, whatever its words: its length, code, digits, questions, lists, scripts.

use super::TaskInput;
use super::text::{Text, Zone, has_fences};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::sync::LazyLock;

pub(super) const SHAPES: usize = 192;

/// Calls `add` with the number of each shape that the request has, below `SHAPES`.
pub(super) fn see(input: &TaskInput<'_>, text: &Text, add: &mut impl FnMut(usize)) {
    let folded = text.folded.as_str();
    let mut slots = Slots { add, base: 0 };
    slots.level(bits(input.last_user.len()), 16);
    let lines = folded.bytes().filter(|byte| *byte == b'\n').count() + 1;
    slots.level(bits(lines), 8);
    let counts = Counts::of(folded);
    let per_mille = |count: usize| 1_000 * count / folded.len().max(1);
    slots.level(bits(per_mille(counts.digits)), 10);
    slots.level(bits(per_mille(counts.code)), 10);
    slots.level(bits(counts.code), 8);
    slots.level(bits(counts.operators), 6);
    slots.level(bits(counts.questions), 4);
    slots.level(bits(counts.quotes), 5);
    slots.level(bits(counts.emoji), 3);
    for signs in signs(folded) {
        slots.level(bits(signs), 6);
    }
    let fences = if has_fences(folded) { folded.matches("```").count() } else { 0 };
    slots.level(bits(fences), 3);
    let layout = Layout::of(folded);
    slots.level(bits(layout.listed), 5);
    slots.level(bits(layout.options), 4);
    slots.level(bits(layout.speakers), 5);
    slots.level(bits(layout.tabular), 5);
    let wishes = |zone: Zone| text.pieces.iter().filter(move |piece| piece.0 == zone);
    for zone in [Zone::Lead, Zone::Close] {
        let length: usize = wishes(zone).map(|piece| piece.1.len()).sum();
        slots.level(bits(length), 10);
        let ends = |mark: &str| wishes(zone).any(|piece| folded[piece.1.clone()].trim_end().ends_with(mark));
        slots.flags(&[ends("?"), ends(":"), ends("!"), ends(".")]);
    }
    slots.flags(&[folded.ends_with('?'), folded.ends_with(':'), folded.ends_with('"'), folded.ends_with("```")]);
    slots.flags(&counts.scripts.map(|letters| letters > 0));
    let mixed = counts.scripts.iter().filter(|letters| **letters > 8).count();
    slots.flags(&[mixed > 1, !input.instructions.is_empty()]);
    slots.level(bits(input.instructions.len()), 12);
    debug_assert!(slots.base <= SHAPES);
}

/// Gives each question its own numbers, one after the other.
struct Slots<'a, F: FnMut(usize)> {
    add: &'a mut F,
    base: usize,
}

impl<F: FnMut(usize)> Slots<'_, F> {
    /// One of `levels` numbers.
    fn level(&mut self, level: usize, levels: usize) {
        (self.add)(self.base + level.min(levels - 1));
        self.base += levels;
    }

    fn flags(&mut self, flags: &[bool]) {
        for (i, _) in flags.iter().enumerate().filter(|(_, flag)| **flag) {
            (self.add)(self.base + i);
        }
        self.base += flags.len();
    }
}

/// 0, 1, 2–3, 4–7, …: the length of the number in bits.
fn bits(count: usize) -> usize {
    (usize::BITS - count.leading_zeros()) as usize
}

/// Signs of code, of mathematics, of something that failed, and of addresses.
const SIGNS: [&[&str]; 4] = [
    &[
        "def ",
        "fn ",
        "class ",
        "import ",
        "#include",
        "public ",
        "const ",
        "=>",
        "();",
        "return ",
        "select ",
        "</",
        "){",
        ") {",
        "let ",
        "var ",
        "function ",
        "print(",
        "->",
        "==",
        "&&",
        "};",
        "from ",
        "echo ",
    ],
    &["\\frac", "\\int", "\\sum", "\\sqrt", "$$", "^2", "√", "∫", "π", "²", "≤"],
    &["error:", "exception", "traceback", "error[", "warning:", "at line", "failed", "errno"],
    &["@", "http", "www.", ".com", "tel"],
];

static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(SIGNS.iter().copied().flatten()).ok()
});

/// How often the signs of each kind are met, each sign at most three times.
fn signs(text: &str) -> [usize; 4] {
    let mut seen = [0_u8; 64];
    if let Some(automaton) = AUTOMATON.as_ref() {
        for found in automaton.find_iter(text) {
            let times = &mut seen[found.pattern().as_usize() % 64];
            *times = (*times + 1).min(3);
        }
    }
    let mut seen = seen.iter().map(|times| usize::from(*times));
    SIGNS.map(|signs| seen.by_ref().take(signs.len()).sum())
}

#[derive(Default)]
struct Counts {
    digits: usize,
    code: usize,
    operators: usize,
    questions: usize,
    quotes: usize,
    emoji: usize,
    /// Letters: Latin, Cyrillic, Greek, Han, kana, Hangul, Arabic, Hebrew, of India, Thai, other.
    scripts: [usize; 11],
}

impl Counts {
    fn of(text: &str) -> Self {
        let mut counts = Self::default();
        for c in text.chars() {
            match c {
                'a'..='z' => counts.scripts[0] += 1,
                '0'..='9' => counts.digits += 1,
                '?' => counts.questions += 1,
                '"' => counts.quotes += 1,
                '{' | '}' | '[' | ']' | ';' | '_' | '<' | '>' | '`' | '|' | '\\' | '&' => counts.code += 1,
                '(' | ')' => {}
                '+' | '*' | '/' | '=' | '^' | '%' | '×' | '÷' | '−' => counts.operators += 1,
                '\0'..='\u{7f}' => {}
                _ => counts.other(c),
            }
        }
        counts
    }

    fn other(&mut self, c: char) {
        let script = match u32::from(c) {
            0x80..=0x24f | 0x1e00..=0x1eff => 0,
            0x400..=0x52f => 1,
            0x370..=0x3ff | 0x1f00..=0x1fff => 2,
            0x3400..=0x9fff => 3,
            0x3040..=0x30ff => 4,
            0xac00..=0xd7ff | 0x1100..=0x11ff => 5,
            0x600..=0x6ff | 0x750..=0x77f => 6,
            0x590..=0x5ff => 7,
            0x900..=0xdff => 8,
            0xe00..=0xe7f => 9,
            0x2600..=0x27bf | 0x1f300..=0x1faff => {
                self.emoji += 1;
                return;
            }
            _ => 10,
        };
        self.scripts[script] += usize::from(script != 0 || c.is_alphabetic());
    }
}

#[derive(Default)]
struct Layout {
    /// Lines that begin with a bullet or a number.
    listed: usize,
    /// `A)`, `(b)`: what there is to choose from.
    options: usize,
    /// `Anna: …`
    speakers: usize,
    /// Lines with several commas, tabs, bars.
    tabular: usize,
}

impl Layout {
    fn of(text: &str) -> Self {
        let mut layout = Self::default();
        for line in text.lines() {
            let line = line.trim_start();
            let bytes = line.as_bytes();
            let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
            let numbered = rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "));
            layout.listed +=
                usize::from(numbered || line.starts_with("- ") || line.starts_with("* ") || line.starts_with('•'));
            let option = matches!(bytes, [b'a'..=b'f', b')' | b'.', b' ', ..] | [b'(', b'a'..=b'f', b')', ..]);
            layout.options += usize::from(option);
            // Longer is no name, and need not be looked for.
            let head = line[..line.floor_char_boundary(26)].split_once(": ").map_or("", |split| split.0);
            layout.speakers += usize::from(!head.is_empty() && head.len() <= 24 && !head.contains(['.', ',']));
            let marks = bytes.iter().filter(|byte| matches!(byte, b',' | b'\t' | b'|' | b';')).count();
            layout.tabular += usize::from(marks >= 3 && !line.contains(". "));
        }
        layout
    }
}
