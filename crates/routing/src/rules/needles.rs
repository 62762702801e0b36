//! All texts that the rules look for, found in one pass over the input.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Builder {
    index: HashMap<String, usize>,
    needles: Vec<String>,
}

impl Builder {
    /// The number of the needle.
    pub fn add(&mut self, needle: &str) -> usize {
        let needle = needle.to_lowercase();
        *self.index.entry(needle.clone()).or_insert_with(|| {
            self.needles.push(needle);
            self.needles.len() - 1
        })
    }

    pub fn build(self) -> Needles {
        let ascii = self.needles.iter().all(|needle| needle.is_ascii());
        // An automaton too large to be built leaves the slower way, which needs none.
        let automaton = (!self.needles.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .kind(Some(AhoCorasickKind::DFA))
                    .build(&self.needles)
            })
            .and_then(Result::ok);
        Needles { automaton, needles: self.needles, ascii }
    }
}

pub(super) struct Needles {
    automaton: Option<AhoCorasick>,
    needles: Vec<String>,
    /// No needle has a letter beyond ASCII: then nor need the input be turned to lower case.
    ascii: bool,
}

/// Which needles occur.
pub(super) struct Found(Vec<bool>);

impl Found {
    pub fn has(&self, needle: usize) -> bool {
        self.0.get(needle).copied().unwrap_or(false)
    }
}

impl Needles {
    pub fn find(&self, texts: &[&str]) -> Found {
        let mut found = Found(vec![false; self.needles.len()]);
        if self.needles.is_empty() {
            return found;
        }
        for text in texts {
            if self.ascii {
                self.find_in(text, &mut found);
                // The Kelvin sign and the like are letters whose lower case is ASCII.
                if !text.is_ascii() {
                    self.find_in(&text.to_lowercase(), &mut found);
                }
            } else {
                self.find_in(&text.to_lowercase(), &mut found);
            }
        }
        found
    }

    fn find_in(&self, text: &str, found: &mut Found) {
        match &self.automaton {
            Some(automaton) => {
                for hit in automaton.find_overlapping_iter(text) {
                    if let Some(slot) = found.0.get_mut(hit.pattern().as_usize()) {
                        *slot = true;
                    }
                }
            }
            None => {
                let text = text.to_lowercase();
                for (slot, needle) in found.0.iter_mut().zip(&self.needles) {
                    *slot = *slot || text.contains(needle.as_str());
                }
            }
        }
    }
}
