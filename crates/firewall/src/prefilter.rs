//! Which rules have something to find in a text at all: all their patterns in one pass.
//!
//! **It only ever saves work.** When the pass would take long, which a lazy automaton notices by the states that it
//! has to make, it is given up, and every rule looks for itself within its own budget.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::{Input, MatchKind, PatternSet};
use std::sync::Arc;

const MAX_NFA_BYTES: usize = 64 << 20;
/// Of each thread that screens, for the states that texts have led to.
const CACHE_BYTES: usize = 8 << 20;
/// The pass is given up when the cache has been full once and since then each new state has served for fewer bytes
/// than this.
const MIN_BYTES_A_STATE: usize = 10;

type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>;

#[derive(Default)]
pub(crate) struct Prefilter {
    automaton: Option<(Arc<DFA>, Caches)>,
    /// The rule of each pattern.
    rules: Vec<usize>,
    /// Rules of which nothing is known.
    unknown: Vec<usize>,
    /// How many rules there are.
    count: usize,
}

impl Prefilter {
    /// Of each rule a pattern that finds something wherever the rule does, if there is one.
    pub fn new(loose: Vec<Option<String>>) -> Self {
        let count = loose.len();
        let unknown: Vec<usize> = (0..).zip(&loose).filter(|(_, p)| p.is_none()).map(|(i, _)| i).collect();
        let (rules, patterns): (Vec<usize>, Vec<String>) =
            (0..).zip(loose).filter_map(|(i, pattern)| Some((i, pattern?))).unzip();
        let automaton = if patterns.is_empty() { None } else { automaton(&patterns) };
        Self { automaton, rules, unknown, count }
    }

    /// The rules from `first` on that may find something in the text, in their order.
    pub fn candidates(&self, text: &str, first: usize) -> Vec<usize> {
        let Some(set) = self.matched(text) else { return (first..self.count).collect() };
        let matched = set.iter().filter_map(|pattern| self.rules.get(pattern.as_usize()));
        let mut found: Vec<usize> = matched.chain(&self.unknown).copied().filter(|rule| *rule >= first).collect();
        found.sort_unstable();
        found
    }

    /// None: nothing is known.
    fn matched(&self, text: &str) -> Option<PatternSet> {
        let (dfa, caches) = self.automaton.as_ref()?;
        let (mut set, mut cache) = (PatternSet::new(dfa.pattern_len()), caches.get());
        if dfa.try_which_overlapping_matches(&mut cache, &Input::new(text), &mut set).is_err() {
            // Full as it is, it would have the passes over all texts to come given up, too.
            cache.reset(dfa);
            return None;
        }
        Some(set)
    }
}

/// None if it would be too large: each rule looks for itself then.
fn automaton(patterns: &[String]) -> Option<(Arc<DFA>, Caches)> {
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE_BYTES)
        .minimum_cache_clear_count(Some(1))
        .minimum_bytes_per_state(Some(MIN_BYTES_A_STATE));
    let nfa = thompson::Config::new().nfa_size_limit(Some(MAX_NFA_BYTES)).which_captures(WhichCaptures::None);
    let dfa = Arc::new(DFA::builder().configure(config).thompson(nfa).build_many(patterns).ok()?);
    let shared = Arc::clone(&dfa);
    Some((dfa, Pool::new(Box::new(move || shared.create_cache()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefilter(loose: &[Option<&str>]) -> Prefilter {
        Prefilter::new(loose.iter().map(|pattern| pattern.map(str::to_owned)).collect())
    }

    #[test]
    fn rules_that_find_nothing_are_left_out_and_those_of_which_nothing_is_known_are_not() {
        let prefilter = prefilter(&[Some("cat"), None, Some("dog"), Some("[0-9]{3}")]);
        assert_eq!(prefilter.candidates("a dog of 12", 0), [1, 2]);
        assert_eq!(prefilter.candidates("a cat of 123", 1), [1, 3]);
    }

    #[test]
    fn a_pass_that_makes_ever_new_states_is_given_up_and_every_rule_looks() {
        let prefilter = prefilter(&[Some("[ab]*a[ab]{600}c"), Some("zebra")]);
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let text: String = (0..1 << 16)
            .map(|_| {
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                if bits & 1 == 0 { 'a' } else { 'b' }
            })
            .collect();
        assert!(prefilter.matched("a short text").is_some());
        assert!(prefilter.matched(&text).is_none());
        assert_eq!(prefilter.candidates(&text, 0), [0, 1]);
        assert!(prefilter.matched("another short text").is_some(), "one text has switched it off for all");
    }
}
