//! One compiled rule, and its part in screening one text.

use crate::bounded::BoundedTransducer;
use crate::engine::Engine;
use crate::normalize::Written;
use crate::rule_set::Blocked;
use crate::tally::{Hit, Tally};
use crate::transducer::{Deed, Stop, Transducer};
use crate::{Action, Scope};
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct Rule {
    pub id: i64,
    /// Its place in its chain.
    pub rank: usize,
    pub name: Arc<str>,
    pub scope: Scope,
    pub action: Action,
    pub replacement: String,
    /// Matches on the text as it is meant.
    pub normalize: bool,
    pub engine: Engine,
}

impl Rule {
    /// How many bytes before a match can have a say in it.
    pub fn look_behind_bytes(&self) -> usize {
        match &self.engine {
            Engine::Linear(_) => 4,
            Engine::Bounded(bounded) => 4 * bounded.pattern.look_behind_chars(),
        }
    }
}

enum Reader {
    Linear(Transducer),
    Bounded(Box<BoundedTransducer>),
}

/// A rule over one text.
pub(crate) struct Link {
    reader: Reader,
    exhausted: bool,
    recorded: u64,
    recorded_exhausted: bool,
    /// Of a rule that normalises.
    written: Option<Written>,
}

impl Link {
    pub fn new(rule: &Rule) -> Self {
        let reader = match &rule.engine {
            Engine::Linear(_) => Reader::Linear(Transducer::default()),
            Engine::Bounded(_) => Reader::Bounded(Box::default()),
        };
        let written = rule.normalize.then(Written::default);
        let mut link = Self { reader, exhausted: false, recorded: 0, recorded_exhausted: false, written };
        if rule.normalize {
            link.note_places();
        }
        link
    }

    fn released(&self) -> usize {
        match &self.reader {
            Reader::Linear(transducer) => transducer.released(),
            Reader::Bounded(transducer) => transducer.released(),
        }
    }

    /// Reads on in the same text, of which `before` came last and no match is under way. What was counted
    /// and what was spent stays.
    pub fn resume(&mut self, before: &str) {
        match &mut self.reader {
            Reader::Linear(transducer) => transducer.resume(before),
            Reader::Bounded(transducer) => transducer.resume(before),
        }
    }

    pub fn matches(&self) -> u64 {
        match &self.reader {
            Reader::Linear(transducer) => transducer.matches,
            Reader::Bounded(transducer) => transducer.matches,
        }
    }

    /// How much of the text is looked at still.
    pub fn pending(&self) -> usize {
        match &self.reader {
            Reader::Linear(transducer) => transducer.held(),
            Reader::Bounded(transducer) => transducer.held(),
        }
    }

    /// Notes from now on where matches are.
    pub fn note_places(&mut self) {
        match &mut self.reader {
            Reader::Linear(transducer) => transducer.found = Some(Vec::new()),
            Reader::Bounded(transducer) => transducer.found = Some(Vec::new()),
        }
    }

    /// In bytes of the text as it was written.
    pub fn places(&self) -> &[Range<usize>] {
        self.written.as_ref().map_or_else(|| self.places_read(), |written| &written.places)
    }

    /// In bytes of the text as it was read.
    fn places_read(&self) -> &[Range<usize>] {
        let found = match &self.reader {
            Reader::Linear(transducer) => &transducer.found,
            Reader::Bounded(transducer) => &transducer.found,
        };
        found.as_deref().unwrap_or_default()
    }

    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Takes a piece and appends to `out` what can be let go.
    pub fn push(&mut self, rule: &Rule, text: &str, out: &mut String) -> Result<(), Blocked> {
        self.run(rule, Some(text), out)
    }

    /// The text is over: lets go of the rest.
    pub fn finish(&mut self, rule: &Rule, out: &mut String) -> Result<(), Blocked> {
        self.run(rule, None, out)
    }

    fn run(&mut self, rule: &Rule, text: Option<&str>, out: &mut String) -> Result<(), Blocked> {
        let deed = match rule.action {
            Action::Block => Deed::Stop,
            Action::Mask => Deed::Replace(&rule.replacement),
            Action::Warn | Action::Shadow => Deed::Count,
        };
        if rule.action.leaves_text() {
            // A warning holds nothing back.
            out.push_str(text.unwrap_or_default());
            if self.exhausted {
                return Ok(());
            }
        }
        let normalized = self.written.as_mut().zip(text).map(|(written, text)| written.read(text));
        let text = normalized.as_deref().or(text);
        let mut ignored = String::new();
        let sink = if self.written.is_some() { &mut ignored } else { &mut *out };
        let result = match (&mut self.reader, &rule.engine, text) {
            (Reader::Linear(reader), Engine::Linear(engine), Some(text)) => reader.push(engine, deed, text, sink),
            (Reader::Linear(reader), Engine::Linear(engine), None) => reader.finish(engine, deed, sink),
            (Reader::Bounded(reader), Engine::Bounded(engine), Some(text)) => reader.push(engine, deed, text, sink),
            (Reader::Bounded(reader), Engine::Bounded(engine), None) => reader.finish(engine, deed, sink),
            // A link is never given another rule than its own; if it were, nothing must pass.
            _ => Err(Stop::Exhausted),
        };
        self.write_out(rule, text.is_none() && result.is_ok(), out);
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Exhausted) if rule.action.leaves_text() => {
                self.exhausted = true;
                Ok(())
            }
            Err(stop) => {
                self.exhausted = stop == Stop::Exhausted;
                Err(Blocked { rule_id: rule.id, rule_name: rule.name.to_string(), exhausted: stop == Stop::Exhausted })
            }
        }
    }

    /// What a rule that normalises has let go, as it was written.
    fn write_out(&mut self, rule: &Rule, over: bool, out: &mut String) {
        let Some(mut written) = self.written.take() else { return };
        if rule.action.leaves_text() {
            // It has gone out already.
            let released = if over { usize::MAX } else { self.released() };
            written.write(released, self.places_read(), "", &mut String::new());
        } else {
            let released = if over { usize::MAX } else { self.released() };
            written.write(released, self.places_read(), &rule.replacement, out);
        }
        self.written = Some(written);
    }

    pub fn record(&mut self, rule: &Rule, tally: &mut Tally) {
        let matches = self.matches() - self.recorded;
        if matches == 0 && self.exhausted == self.recorded_exhausted {
            return;
        }
        self.recorded = self.matches();
        self.recorded_exhausted = self.exhausted;
        tally.record(Hit {
            rule_id: rule.id,
            rank: rule.rank,
            name: Arc::clone(&rule.name),
            action: rule.action,
            scope: rule.scope,
            matches,
            exhausted: self.exhausted,
        });
    }
}
