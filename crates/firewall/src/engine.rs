//! One pattern, compiled for the engine that gives PCRE2's answer at the least cost.
//!
//! *Linear*: a deterministic automaton, one step a byte, whatever the pattern. *Bounded*: PCRE2 itself, its
//! steps and its time counted, for what an automaton cannot do (look-around, back-references, `$`, …) and for
//! automata that would be too large.

use crate::detector::{self, Check};
use crate::pattern::{self, PatternError, Refusal, Written};
use crate::{PatternKind, substring};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Hir, HirKind, Look};
use tokenrouter_pcre2::Pattern;

/// Bytes that one pattern's automaton may take, and twice that while it is made.
const MAX_AUTOMATON_BYTES: usize = 2 << 20;
/// Bytes of what it is made out of: `(?:a{1000}){1000}` is short to write.
const MAX_NFA_BYTES: usize = 10 << 20;
/// The same of what a bounded pattern needs: with more it is not looked for beforehand.
const MAX_LOOSE_BYTES: usize = 256 << 10;
const MAX_NESTING: u32 = 100;

/// Which engine runs a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    Linear,
    Bounded,
}

/// What is to be known of a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternInfo {
    pub engine: EngineKind,
    /// What the linear engine could not run, if it does not.
    pub reason: Option<String>,
}

impl EngineKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Bounded => "bounded",
        }
    }
}

pub(crate) enum Engine {
    Linear(Box<Linear>),
    Bounded(Box<Bounded>),
}

pub(crate) struct Bounded {
    pub pattern: Pattern,
    /// PCRE2's partial matching does not say that `^` in multi-line mode looks at the end: after a line break
    /// that is the subject's last it is no match, though a character that came next would make it one. For
    /// such a pattern line breaks at an open end wait.
    pub line_breaks_wait: bool,
}

pub(crate) struct Compiled {
    pub engine: Engine,
    /// A pattern, in the syntax of the `regex` crates, that finds something wherever this one does. None:
    /// nothing is known of where it may.
    pub loose: Option<String>,
    /// What the linear engine could not run.
    pub beyond: Option<String>,
}

impl Engine {
    pub fn compile(kind: PatternKind, text: &str) -> Result<Compiled, PatternError> {
        let written = match kind {
            PatternKind::Substring => {
                let translated = substring::translate(text)?;
                let linear = Linear::new(&translated).ok_or_else(|| PatternError {
                    message: "the text is too long for an automaton".to_owned(),
                    position: None,
                })?;
                let engine = Self::Linear(Box::new(linear));
                return Ok(Compiled { engine, loose: Some(translated), beyond: None });
            }
            PatternKind::Detector => {
                let found = detector::find(text)
                    .and_then(|detector| Linear::new(detector.pattern).map(|linear| (detector, linear)));
                let Some((detector, mut linear)) = found else {
                    let message = format!("there is no detector `{text}`; there are {}", detector::names());
                    return Err(PatternError { message, position: None });
                };
                linear.check = detector.check;
                let engine = Self::Linear(Box::new(linear));
                return Ok(Compiled { engine, loose: Some(detector.pattern.to_owned()), beyond: None });
            }
            PatternKind::Regex => pattern::written(text)?,
        };
        match pattern::translate(&written) {
            Ok(translated) => match (read_otherwise(&translated), Linear::new(&translated)) {
                (Some(what), _) => bounded(&written, None, what.to_owned()),
                (None, Some(linear)) => {
                    let engine = Self::Linear(Box::new(linear));
                    Ok(Compiled { engine, loose: Some(translated), beyond: None })
                }
                (None, None) => bounded(&written, None, "the automaton would be too large".to_owned()),
            },
            Err(Refusal::Beyond(what)) => bounded(&written, None, what.to_string()),
            // PCRE2 has the last word on what is a pattern; our place for the mistake is the clearer one.
            Err(Refusal::Malformed(error)) => bounded(&written, Some(error), String::new()),
        }
    }

    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Linear(_) => EngineKind::Linear,
            Self::Bounded(_) => EngineKind::Bounded,
        }
    }
}

impl Compiled {
    pub fn info(&self) -> PatternInfo {
        PatternInfo { engine: self.engine.kind(), reason: self.beyond.clone() }
    }
}

fn bounded(written: &Written, ours: Option<PatternError>, beyond: String) -> Result<Compiled, PatternError> {
    if written.body.contains("\\G") {
        // Looked for again: the linear engine's parser may have stopped before it.
        let message = "`\\G` means where the search began, which a stream has no word for".to_owned();
        return Err(ours.unwrap_or(PatternError { message, position: None }));
    }
    match Pattern::new(written.body, written.flags) {
        Ok(pattern) => {
            let loose = pattern::relax(written).filter(|loose| is_small(loose));
            let line_breaks_wait = written.body.contains('^');
            let engine = Engine::Bounded(Box::new(Bounded { pattern, line_breaks_wait }));
            Ok(Compiled { engine, loose, beyond: Some(beyond) })
        }
        Err(error) => Err(ours.unwrap_or_else(|| {
            let before = written.body.get(..error.offset).unwrap_or(written.body);
            PatternError { message: error.message, position: Some(before.chars().count() + written.skipped) }
        })),
    }
}

/// What automata read otherwise than PCRE2 does though both can read it.
fn read_otherwise(translated: &str) -> Option<&'static str> {
    // What does not parse here does not become an automaton either.
    let hir = regex_syntax::ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(translated).ok()?;
    if repeats_what_may_be_empty(&hir) {
        return Some("a repetition of what may be empty");
    }
    line_begins_before_nothing(&hir).then_some("`^` in multi-line mode with nothing behind it")
}

fn parts(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Repetition(repetition) => std::slice::from_ref(&*repetition.sub),
        HirKind::Capture(capture) => std::slice::from_ref(&*capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts,
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => &[],
    }
}

/// PCRE2 leaves a repetition after an empty round, automata do not: `(?:\b|[^a])*` finds different things.
fn repeats_what_may_be_empty(hir: &Hir) -> bool {
    let here = match hir.kind() {
        HirKind::Repetition(repetition) => {
            repetition.max.is_none_or(|most| most > 1) && repetition.sub.properties().minimum_len() == Some(0)
        }
        _ => false,
    };
    here || parts(hir).iter().any(repeats_what_may_be_empty)
}

/// In PCRE2 no line begins after a line break that is the text's last character.
fn line_begins_before_nothing(hir: &Hir) -> bool {
    let is_line_start = |part: &Hir| matches!(part.kind(), HirKind::Look(Look::StartLF));
    match hir.kind() {
        HirKind::Look(Look::StartLF) => true,
        HirKind::Concat(parts) => parts.iter().enumerate().any(|(i, part)| {
            let rest = parts[i + 1..].iter().any(|next| next.properties().minimum_len() != Some(0));
            if is_line_start(part) { !rest } else { line_begins_before_nothing(part) }
        }),
        _ => parts(hir).iter().any(line_begins_before_nothing),
    }
}

/// Whether it parses, and costs little beside the patterns of other rules.
fn is_small(loose: &str) -> bool {
    let syntax = syntax::Config::new().nest_limit(MAX_NESTING * 2);
    let config =
        thompson::Config::new().nfa_size_limit(Some(MAX_LOOSE_BYTES)).which_captures(thompson::WhichCaptures::None);
    thompson::Compiler::new().syntax(syntax).configure(config).build(loose).is_ok()
}

/// The automaton, and the bytes with which a match can begin.
pub(crate) struct Linear {
    dfa: dense::DFA<Vec<u32>>,
    states: usize,
    first: Box<[bool; 256]>,
    /// What a candidate must pass besides.
    pub check: Option<Check>,
}

impl Linear {
    /// None if it would be too large.
    fn new(translated: &str) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::LeftmostFirst)
            .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
            .determinize_size_limit(Some(2 * MAX_AUTOMATON_BYTES));
        let syntax = syntax::Config::new().nest_limit(MAX_NESTING);
        let nfa = thompson::Config::new().nfa_size_limit(Some(MAX_NFA_BYTES));
        let dfa = dense::Builder::new().configure(config).syntax(syntax).thompson(nfa).build(translated).ok()?;
        let states = (dfa.memory_usage() / size_of::<u32>()).div_ceil(1 << dfa.stride2());
        let mut linear = Self { dfa, states, first: Box::new([false; 256]), check: None };
        for previous in [None, Some(b'\n'), Some(b'\r'), Some(b'a'), Some(b' ')] {
            let start = linear.start(previous);
            for byte in 0..=255 {
                let next = linear.dfa.next_state(start, byte);
                if !linear.dfa.is_dead_state(next) {
                    linear.first[usize::from(byte)] = true;
                }
            }
        }
        Some(linear)
    }

    /// The state before a match that would begin after `previous`.
    pub fn start(&self, previous: Option<u8>) -> StateID {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(previous);
        // Only an unsupported anchor or a quit byte could fail, and there are neither.
        self.dfa.start_state(&config).unwrap_or_default()
    }

    /// How many states there are, and the number of one of them.
    pub fn states(&self) -> usize {
        self.states
    }

    pub fn index(&self, state: StateID) -> usize {
        state.as_usize() >> self.dfa.stride2()
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
