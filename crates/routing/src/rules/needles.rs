//! All texts that the rules look for, found in one pass over the input.
//!
//! Upper and lower case are the same by Unicode's full case folding, so that `straße` is found in
//! `STRASSE`. Text that is all ASCII is not copied for that: the automaton itself ignores the case.

use aho_corasick::AhoCorasick;
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Builder {
    index: HashMap<String, usize>,
    needles: Vec<String>,
}

impl Builder {
    /// The number of the needle; the same for needles that differ only in case.
    pub fn add(&mut self, needle: &str) -> usize {
        let needle = fold(needle);
        if let Some(number) = self.index.get(&needle) {
            return *number;
        }
        let number = self.needles.len();
        self.needles.push(needle.clone());
        self.index.insert(needle, number);
        number
    }

    pub fn build(self) -> Needles {
        // An automaton too large to be built leaves the slower way, which needs none.
        let automaton = (!self.needles.is_empty())
            .then(|| AhoCorasick::builder().ascii_case_insensitive(true).build(&self.needles))
            .and_then(Result::ok);
        Needles { automaton, needles: self.needles }
    }
}

#[derive(Debug)]
pub(super) struct Needles {
    automaton: Option<AhoCorasick>,
    /// Folded.
    needles: Vec<String>,
}

/// Which needles occur.
pub(super) struct Found {
    has: Vec<bool>,
    missing: usize,
}

impl Found {
    pub fn has(&self, needle: usize) -> bool {
        self.has.get(needle).copied().unwrap_or(false)
    }

    fn add(&mut self, needle: usize) {
        if let Some(has) = self.has.get_mut(needle)
            && !*has
        {
            *has = true;
            self.missing -= 1;
        }
    }
}

impl Needles {
    pub fn find(&self, texts: &[&str]) -> Found {
        let mut found = Found { has: vec![false; self.needles.len()], missing: self.needles.len() };
        for text in texts {
            if found.missing == 0 {
                break;
            }
            if text.is_ascii() {
                self.find_in(text, &mut found);
            } else {
                self.find_in(&fold(text), &mut found);
            }
        }
        found
    }

    /// `text` is folded, or ASCII.
    fn find_in(&self, text: &str, found: &mut Found) {
        // Needles that lie within one another (`a`, `aa`, `aaa`, …) can be found more often than the
        // text has letters. Past so many finds, what is still missing is looked for one by one.
        let mut finds_left = 4 * text.len() + 1_000;
        if let Some(automaton) = &self.automaton {
            for hit in automaton.find_overlapping_iter(text) {
                found.add(hit.pattern().as_usize());
                finds_left -= 1;
                if found.missing == 0 || finds_left == 0 {
                    break;
                }
            }
            if finds_left > 0 {
                return;
            }
        }
        let text = text.to_ascii_lowercase();
        for (number, needle) in self.needles.iter().enumerate() {
            if !found.has(number) && text.contains(needle.as_str()) {
                found.add(number);
            }
        }
    }
}

/// Unicode's full case folding.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { caseless::default_case_fold_str(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(needles: &[&str], texts: &[&str]) -> Vec<bool> {
        let mut builder = Builder::default();
        let numbers: Vec<usize> = needles.iter().map(|needle| builder.add(needle)).collect();
        let found = builder.build().find(texts);
        numbers.into_iter().map(|number| found.has(number)).collect()
    }

    #[test]
    fn needles_are_found_whatever_their_case_and_place() {
        assert_eq!(found(&["sea", "SEAL", "eal", "x"], &["the SeaLion"]), [true, true, true, false]);
        assert_eq!(found(&["straße"], &["STRASSE"]), [true]);
        assert_eq!(found(&["ss"], &["Straße"]), [true]);
        assert_eq!(found(&["ÉTÉ"], &["un été"]), [true]);
        assert_eq!(found(&["ΣΊΣΥΦΟΣ"], &["Σίσυφος"]), [true], "the final sigma is a sigma");
        assert_eq!(found(&["kelvin"], &["\u{212a}elvin"]), [true]);
        assert_eq!(found(&["ab"], &["a", "b"]), [false], "a needle lies within one text");
    }

    #[test]
    fn needles_within_needles_cost_no_more_than_the_text_is_long() {
        let needles: Vec<String> = (1..400).map(|n| "a".repeat(n)).chain(["b".to_owned(), "ab".to_owned()]).collect();
        let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
        let text = "A".repeat(200_000);
        let found = found(&needles, &[&text]);
        assert!(found[..399].iter().all(|has| *has) && !found[399] && !found[400]);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_is_there(
            needles in prop::collection::vec("[abAB]{1,4}|[äÄßſsS]{1,3}", 0..12), texts in prop::collection::vec("[abABäÄßſsS ]{0,20}", 0..4),
        ) {
            let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let there: Vec<bool> =
                needles.iter().map(|needle| texts.iter().any(|text| fold(text).contains(&fold(needle)))).collect();
            prop_assert_eq!(found(&needles, &texts), there);
        }
    }
}
