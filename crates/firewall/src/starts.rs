//! Where a match of any of many rules may begin: one automaton over what their matches begin with.
//!
//! A rule whose every match begins with one of a few literals need not read a text in which none of them
//! stands. The literals of a run of rules are one Aho-Corasick automaton: a step a byte for all of them. Its
//! depth is how much at the text's end may yet become one of them, which is just what a stream must hold.
//! (Own code, some sixty lines, since the library's automaton does not tell its depth.)

use regex_syntax::hir::literal::{ExtractKind, Extractor};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a literal that are looked at, literals of a rule, and states of an automaton.
const LONGEST: usize = 8;
const MOST_LITERALS: usize = 64;
const MOST_STATES: usize = 40_000;

/// What every match of the pattern begins with, ASCII letters in lower case. None: too many to tell, or
/// anything.
pub(crate) fn literals(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = regex_syntax::ParserBuilder::new().nest_limit(250).build().parse(pattern).ok()?;
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_literal_len(LONGEST).limit_class(16).limit_repeat(4).limit_total(1_024);
    let sequence = extractor.extract(&hir);
    let mut literals: Vec<Vec<u8>> =
        sequence.literals()?.iter().map(|literal| literal.as_bytes().to_ascii_lowercase()).collect();
    literals.sort_unstable();
    literals.dedup();
    // Of two of which one begins the other, the shorter says it all.
    literals.dedup_by(|longer, shorter| longer.starts_with(shorter));
    let usable = !literals.is_empty() && literals.len() <= MOST_LITERALS && literals.iter().all(|l| l.len() >= 2);
    usable.then_some(literals)
}

pub(crate) struct Starts {
    /// The column of each byte; upper case has that of lower case.
    columns: Box<[u8; 256]>,
    width: usize,
    next: Vec<u32>,
    depth: Vec<u8>,
    /// Whether a literal ends in the state.
    found: Vec<bool>,
}

/// The state before any text.
pub(crate) const ROOT: u32 = 0;

impl Starts {
    /// None if it would be too large.
    pub fn new(literals: &[Vec<u8>]) -> Option<Self> {
        let mut columns = Box::new([0_u8; 256]);
        let mut width = 1_usize;
        for byte in literals.iter().flatten() {
            let column = &mut columns[usize::from(*byte)];
            if *column == 0 {
                *column = u8::try_from(width).ok()?;
                width += 1;
            }
        }
        for upper in b'A'..=b'Z' {
            columns[usize::from(upper)] = columns[usize::from(upper.to_ascii_lowercase())];
        }
        let (mut children, mut depth, mut found): (Vec<BTreeMap<u8, u32>>, Vec<u8>, Vec<bool>) =
            (vec![BTreeMap::new()], vec![0], vec![false]);
        for literal in literals {
            let mut state = 0_usize;
            for byte in literal {
                let column = columns[usize::from(*byte)];
                let known = children[state].get(&column).copied();
                state = match known {
                    Some(next) => next as usize,
                    None => {
                        if children.len() >= MOST_STATES {
                            return None;
                        }
                        let next = u32::try_from(children.len()).ok()?;
                        children[state].insert(column, next);
                        children.push(BTreeMap::new());
                        depth.push(depth[state].saturating_add(1));
                        found.push(false);
                        next as usize
                    }
                };
            }
            found[state] = true;
        }
        let mut starts = Self { columns, width, next: vec![ROOT; children.len() * width], depth, found };
        starts.link(&children);
        Some(starts)
    }

    /// Fills the table, nearest states first, by each state's longest suffix that is a state.
    fn link(&mut self, children: &[BTreeMap<u8, u32>]) {
        let mut suffix = vec![ROOT; children.len()];
        let mut waiting = VecDeque::from([ROOT]);
        while let Some(state) = waiting.pop_front() {
            let at = state as usize;
            let fallback = suffix[at] as usize;
            self.found[at] |= self.found[fallback];
            for column in 0..self.width {
                let by_suffix = if at == 0 { ROOT } else { self.next[fallback * self.width + column] };
                let child = u8::try_from(column).ok().and_then(|column| children[at].get(&column));
                self.next[at * self.width + column] = match child {
                    Some(child) => {
                        suffix[*child as usize] = by_suffix;
                        waiting.push_back(*child);
                        *child
                    }
                    None => by_suffix,
                };
            }
        }
    }

    pub fn step(&self, state: u32, byte: u8) -> u32 {
        self.next[state as usize * self.width + usize::from(self.columns[usize::from(byte)])]
    }

    /// How many bytes, up to here, may yet become a literal.
    pub fn depth(&self, state: u32) -> usize {
        usize::from(self.depth[state as usize])
    }

    /// Whether a literal ends here.
    pub fn found(&self, state: u32) -> bool {
        self.found[state as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pattern: &str) -> Option<Vec<String>> {
        Some(literals(pattern)?.into_iter().map(|l| String::from_utf8_lossy(&l).into_owned()).collect())
    }

    #[test]
    fn a_pattern_tells_what_its_matches_begin_with() {
        assert_eq!(words("(?i)secret"), Some(vec!["secret".into(), "\u{17f}ecret".into()]));
        assert_eq!(words("(?-i)foo|bar"), Some(vec!["bar".into(), "foo".into()]));
        assert_eq!(words(r"(?-i)\bACC12-\d"), Some(vec!["acc12-".into()]));
        assert_eq!(words(".*x"), None);
        assert_eq!(words("a?"), None);
        assert_eq!(words("[a-z]+"), None);
    }

    #[test]
    fn the_depth_is_what_may_yet_become_a_literal() {
        let starts = Starts::new(&[b"abab".to_vec(), b"bac".to_vec(), b"xy".to_vec()]).unwrap();
        let walk = |text: &str| text.bytes().fold(ROOT, |state, byte| starts.step(state, byte));
        for (text, depth, found) in [
            ("", 0, false),
            ("zzA", 1, false),
            ("aba", 3, false),
            ("abaB", 4, true),
            ("abac", 3, true),
            ("xz", 0, false),
            ("XY", 2, true),
        ] {
            assert_eq!((starts.depth(walk(text)), starts.found(walk(text))), (depth, found), "{text}");
        }
    }
}
