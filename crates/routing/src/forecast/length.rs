//! How long the answer will be: what is usual for the task, unless the prompt says.

use super::signs::Signs;
use crate::Task;

/// No answer is expected to be longer.
const MOST: f32 = 16_000.0;

/// What a unit of length comes to in tokens of English.
const UNITS: [(&str, f32); 12] = [
    ("word", 1.4),
    ("sentence", 28.0),
    ("paragraph", 120.0),
    ("page", 700.0),
    ("line", 14.0),
    ("bullet", 28.0),
    ("point", 28.0),
    ("example", 80.0),
    ("wörter", 1.8),
    ("mots", 1.6),
    ("palabras", 1.6),
    ("字", 1.2),
];

/// Written out, as lengths often are.
const NUMBERS: [(&str, f32); 10] = [
    ("one", 1.0),
    ("single", 1.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("ten", 10.0),
    ("hundred", 100.0),
    ("thousand", 1_000.0),
];

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn expected(task: Task, difficulty: f32, signs: &Signs<'_>) -> u64 {
    let given = signs.bytes as f32 / 4.0;
    let tokens = wish(signs.text).unwrap_or_else(|| {
        // What is harder takes more words to answer: at 0.4, what is usual.
        let by_difficulty = 0.5 + 1.25 * difficulty;
        let usual = match task {
            Task::Classification => 20.0,
            Task::Chat => 80.0 + 200.0 * difficulty,
            Task::Extraction => (given * 0.2).clamp(60.0, 1_500.0),
            Task::Summarization => (given * 0.2).clamp(120.0, 700.0),
            Task::Translation => (given * 1.1).max(20.0),
            Task::Qa => 300.0 * by_difficulty,
            Task::Math | Task::Reasoning => 700.0 * by_difficulty,
            Task::Coding => 900.0 * by_difficulty,
            Task::Writing => 800.0 * by_difficulty,
        };
        usual * signs.said.longer.clamp(0.05, 3.0)
    });
    tokens.clamp(8.0, MOST) as u64
}

/// Where a wish stands: at the beginning or the end, not within what is pasted.
const NEAR_AN_END: usize = 400;

fn wish((beginning, end): (&str, &str)) -> Option<f32> {
    let end = if end.is_empty() { beginning } else { end };
    let first = &beginning[..beginning.floor_char_boundary(NEAR_AN_END)];
    let last = &end[end.ceil_char_boundary(end.len().saturating_sub(NEAR_AN_END))..];
    said(first).or_else(|| said(last))
}

/// What a prompt says of its answer's length, as `in 200 words`, `three paragraphs` or `500字`, if it does.
fn said(text: &str) -> Option<f32> {
    let mut before: Option<f32> = None;
    for word in text.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty()) {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(word.len());
        let (number, rest) = word.split_at(digits);
        let number = if number.is_empty() { None } else { number.replace(',', "").parse::<f32>().ok() };
        let number = number.filter(|_| digits <= 7);
        let count = if rest.is_empty() { None } else { number.or(before) };
        let unit = |rest: &str| UNITS.iter().find(|(unit, _)| is_unit(rest, unit)).map(|(_, tokens)| *tokens);
        if let Some(count) = count.filter(|count| *count > 0.0)
            && let Some(tokens) = unit(rest)
        {
            return Some(count * tokens);
        }
        let written = NUMBERS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
        // Something between, as in `two short sentences`.
        before = number.filter(|_| rest.is_empty()).or(written).or(before.filter(|_| is_between(word)));
    }
    None
}

/// One of the unit or several, and nothing longer that begins so; Chinese goes on without a space.
fn is_unit(word: &str, unit: &str) -> bool {
    let Some((head, tail)) = word.split_at_checked(unit.len()) else { return false };
    let tail = tail.strip_prefix(['s', 'S']).unwrap_or(tail);
    head.eq_ignore_ascii_case(unit) && !tail.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_between(word: &str) -> bool {
    ["short", "brief", "long", "simple", "concise", "full", "or", "to", "different"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_found_as_people_write_it() {
        for (text, tokens) in [
            ("in 200 words", Some(280.0)),
            ("a 1,500-word essay", Some(2_100.0)),
            ("in three short sentences, please", Some(84.0)),
            ("two paragraphs.", Some(240.0)),
            ("写一篇500字的文章", None),
            ("500字的文章", Some(600.0)),
            ("what does the word mean?", None),
            ("there were 3 dogs and words", None),
            ("0 words", None),
            ("solve two linear equations", None),
            ("ten wordpress plugins", None),
            ("in 3 PARAGRAPHS", Some(360.0)),
        ] {
            assert_eq!(said(text), tokens, "{text}");
        }
    }
}
