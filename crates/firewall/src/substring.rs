//! A substring rule as a pattern: the text, whatever its case, by Unicode case folding.
//!
//! One letter may fold into several (`ß` into `ss`): such a letter is found in the place of what it
//! folds into, whole letters only.

use crate::pattern::{MAX_PATTERN_CHARS, PatternError, push_literal};
use caseless::default_case_fold_str;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What folds into several letters, by what it folds into.
static EXPANDING: LazyLock<BTreeMap<Vec<char>, Vec<char>>> = LazyLock::new(|| {
    let mut map: BTreeMap<Vec<char>, Vec<char>> = BTreeMap::new();
    for c in ('\u{80}'..'\u{2_0000}').filter(|c| c.is_alphabetic()) {
        let folded: Vec<char> = default_case_fold_str(c.encode_utf8(&mut [0; 4])).chars().collect();
        if folded.len() > 1 {
            map.entry(folded).or_default().push(c);
        }
    }
    map
});

pub(crate) fn translate(text: &str) -> Result<String, PatternError> {
    let error = |message: &str| PatternError { message: message.to_owned(), position: None };
    if text.is_empty() {
        return Err(error("the pattern must not be empty"));
    }
    if text.chars().count() > MAX_PATTERN_CHARS {
        return Err(error("the pattern is longer than 4096 characters"));
    }
    let folded: Vec<char> = default_case_fold_str(text).chars().collect();
    let mut out = String::from("(?i:");
    let mut rest = folded.as_slice();
    while let Some(first) = rest.first() {
        let expanding = (2..=3).rev().find_map(|n| Some((n, EXPANDING.get(rest.get(..n)?)?)));
        match expanding {
            Some((n, letters)) => {
                out.push_str("(?:");
                rest[..n].iter().for_each(|c| push_literal(&mut out, *c));
                for letter in letters {
                    out.push('|');
                    push_literal(&mut out, *letter);
                }
                out.push(')');
                rest = &rest[n..];
            }
            None => {
                push_literal(&mut out, *first);
                rest = &rest[1..];
            }
        }
    }
    out.push(')');
    Ok(out)
}
