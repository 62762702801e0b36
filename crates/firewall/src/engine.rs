//! One pattern, compiled: a deterministic automaton, so that each byte costs one step, whatever the
//! pattern. A pattern whose automaton would be too large is refused when the rule is made.

use crate::pattern::{self, PatternError};
use crate::{PatternKind, substring};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

/// Bytes that one pattern's automaton may take, and twice that while it is made.
const MAX_AUTOMATON_BYTES: usize = 2 << 20;

pub(crate) struct Engine {
    dfa: dense::DFA<Vec<u32>>,
    /// Whether a match can begin with this byte.
    first: Box<[bool; 256]>,
}

impl Engine {
    /// The engine, and the pattern in the syntax of the `regex` crates.
    pub fn compile(kind: PatternKind, text: &str) -> Result<(Self, String), PatternError> {
        let translated = match kind {
            PatternKind::Regex => pattern::translate(text)?,
            PatternKind::Substring => substring::translate(text)?,
        };
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::LeftmostFirst)
            .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
            .determinize_size_limit(Some(2 * MAX_AUTOMATON_BYTES));
        let syntax = syntax::Config::new().nest_limit(100);
        let dfa = dense::Builder::new().configure(config).syntax(syntax).build(&translated).map_err(|_| {
            let message = "the pattern is malformed or too large for this version to run safely";
            PatternError { message: message.to_owned(), position: None }
        })?;
        let mut engine = Self { dfa, first: Box::new([false; 256]) };
        for previous in [None, Some(b'\n'), Some(b'\r'), Some(b'a'), Some(b' ')] {
            let start = engine.start(previous);
            for byte in 0..=255 {
                let next = engine.dfa.next_state(start, byte);
                if !engine.dfa.is_dead_state(next) {
                    engine.first[usize::from(byte)] = true;
                }
            }
        }
        Ok((engine, translated))
    }

    /// The state before a match that would begin after `previous`.
    pub fn start(&self, previous: Option<u8>) -> StateID {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(previous);
        // Only an unsupported anchor or a quit byte could fail, and there are neither.
        self.dfa.start_state(&config).unwrap_or_default()
    }

    pub fn may_begin_with(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }

    pub fn next(&self, state: StateID, byte: u8) -> StateID {
        self.dfa.next_state(state, byte)
    }

    pub fn end(&self, state: StateID) -> StateID {
        self.dfa.next_eoi_state(state)
    }

    /// Whether there is nothing more to come.
    pub fn is_dead(&self, state: StateID) -> bool {
        self.dfa.is_special_state(state) && (self.dfa.is_dead_state(state) || self.dfa.is_quit_state(state))
    }

    /// Whether a match ended just before the byte that led to this state.
    pub fn is_match(&self, state: StateID) -> bool {
        self.dfa.is_special_state(state) && self.dfa.is_match_state(state)
    }
}
