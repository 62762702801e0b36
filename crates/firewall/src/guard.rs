//! A chain of rules over one field as it streams.
//!
//! Rules run in order, each over what those before it let go. Consecutive rules that begin with literals
//! ([`Starts`]) sleep together: one automaton reads for all of them, and wakes them when a literal stands in
//! the text; while they sleep, only what may yet become a literal is held. Awake, they read on until nothing
//! is under way in any of them.

use crate::Scope;
use crate::rule::{Link, Rule};
use crate::rule_set::{Blocked, RuleSet};
use crate::starts::{ROOT, Starts};
use crate::tally::Tally;
use std::ops::Range;
use std::sync::Arc;

/// Consecutive rules of a chain.
pub(crate) struct Stage {
    pub rules: Range<usize>,
    /// None: these rules always read.
    pub starts: Option<Starts>,
    /// How often what one of them puts in a match's place may make a match of another one that begins before it.
    pub joins: usize,
    /// How many bytes before a match can have a say in it.
    pub context: usize,
}

/// One stage over one text.
struct Run {
    /// Made when they are first woken.
    links: Vec<Link>,
    awake: bool,
    state: u32,
    /// Asleep: text that may yet become a literal.
    held: String,
    /// The last that was let go.
    before: String,
}

impl Run {
    fn new(stage: &Stage) -> Self {
        let awake = stage.starts.is_none();
        Self { links: Vec::new(), awake, state: ROOT, held: String::new(), before: String::new() }
    }

    /// Takes a piece, or (`None`) the end of the text.
    fn run(
        &mut self,
        stage: &Stage,
        rules: &[Rule],
        piece: Option<&str>,
        out: &mut String,
        tally: &mut Tally,
    ) -> Result<(), Blocked> {
        let Some(starts) = stage.starts.as_ref().filter(|_| !self.awake) else {
            return self.read(stage, rules, piece, out, tally);
        };
        let Some(piece) = piece else {
            // No literal stood in the text.
            out.push_str(&std::mem::take(&mut self.held));
            return Ok(());
        };
        let mut woken = false;
        let mut at = piece.len();
        for (index, byte) in piece.bytes().enumerate() {
            self.state = starts.step(self.state, byte);
            if starts.found(self.state) {
                woken = true;
                at = index + 1;
                break;
            }
        }
        let known = self.held.len() + at;
        self.held.push_str(piece);
        // A beginning that is looked for may end within a character.
        let undecided = undecided_from(stage, starts, self.state, &self.held.as_bytes()[..known]);
        let until = self.held.floor_char_boundary(undecided);
        out.push_str(&self.held[..until]);
        remember(&mut self.before, &self.held[..until], stage.context);
        self.held.drain(..until);
        if !woken {
            return Ok(());
        }
        self.awake = true;
        if self.links.is_empty() {
            self.links = rules.iter().map(Link::new).collect();
        }
        for link in &mut self.links {
            link.resume(&self.before);
        }
        let text = std::mem::take(&mut self.held);
        self.read(stage, rules, Some(&text), out, tally)
    }

    fn read(
        &mut self,
        stage: &Stage,
        rules: &[Rule],
        piece: Option<&str>,
        out: &mut String,
        tally: &mut Tally,
    ) -> Result<(), Blocked> {
        if self.links.is_empty() {
            self.links = rules.iter().map(Link::new).collect();
        }
        let mut from = piece.unwrap_or_default().to_owned();
        let mut to = String::with_capacity(from.len());
        let mut quiet = true;
        for (link, rule) in self.links.iter_mut().zip(rules) {
            to.clear();
            if piece.is_some() && from.is_empty() {
                return Ok(());
            }
            let before = link.matches();
            let mut passed = link.push(rule, &from, &mut to);
            if piece.is_none() && passed.is_ok() {
                passed = link.finish(rule, &mut to);
            }
            link.record(rule, tally);
            passed?;
            quiet &= link.pending() == 0 && link.matches() == before && !link.is_exhausted();
            std::mem::swap(&mut from, &mut to);
        }
        out.push_str(&from);
        // Asleep they know but one text before: it must have gone through all of them as it is.
        if quiet && stage.starts.is_some() && piece.is_some_and(|piece| piece.len() >= stage.context) {
            self.awake = false;
            self.state = ROOT;
            self.before.clear();
            remember(&mut self.before, &from, stage.context);
        }
        Ok(())
    }

    fn held_bytes(&self, rules: &[Rule]) -> usize {
        if !self.awake {
            return self.held.len();
        }
        let holding = self.links.iter().zip(rules).filter(|(_, rule)| !rule.action.leaves_text());
        holding.map(|(link, _)| link.pending()).sum()
    }
}

/// Where the text begins of which something may yet become a literal; `state` is that at its end.
///
/// Where a rule masks, what comes in its match's place may go on what stood before: so what might have become
/// a literal where this one began is undecided as long as this one is, and so on backwards.
fn undecided_from(stage: &Stage, starts: &Starts, state: u32, text: &[u8]) -> usize {
    let mut from = text.len() - starts.depth(state).min(text.len());
    if from == text.len() || stage.joins == 0 {
        return from;
    }
    let mut depths = Vec::with_capacity(from);
    let mut state = ROOT;
    for byte in text.iter().take(from) {
        state = starts.step(state, *byte);
        depths.push(starts.depth(state));
    }
    for _ in 0..stage.joins {
        let Some(depth) = from.checked_sub(1).and_then(|last| depths.get(last)).filter(|depth| **depth > 0) else {
            break;
        };
        from -= (*depth).min(from);
    }
    from
}

/// Keeps the end of what was let go.
fn remember(before: &mut String, released: &str, most: usize) {
    if released.len() >= most {
        before.clear();
        before.push_str(&released[released.floor_char_boundary(released.len() - most)..]);
        return;
    }
    before.push_str(released);
    let surplus = before.floor_char_boundary(before.len().saturating_sub(most));
    before.drain(..surplus);
}

/// Screens one field as it streams: what it gives out, joined, is what [`RuleSet::screen`] gives for
/// the whole text, and comes as early as can be.
pub struct Guard {
    rules: Arc<RuleSet>,
    scope: Scope,
    runs: Vec<Run>,
    from: String,
    to: String,
}

impl Guard {
    pub(crate) fn new(rules: Arc<RuleSet>, scope: Scope) -> Self {
        let runs = rules.chain(scope).stages.iter().map(Run::new).collect();
        Self { rules, scope, runs, from: String::new(), to: String::new() }
    }

    /// Takes a piece and appends to `out` what can be let go.
    ///
    /// # Errors
    /// When a rule blocks; then nothing of this piece is let go, and the guard is not to be used again.
    pub fn push(&mut self, piece: &str, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        self.run(Some(piece), out, tally)
    }

    /// Lets go of what is held, the text being over.
    ///
    /// # Errors
    /// When a rule blocks.
    pub fn finish(&mut self, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        self.run(None, out, tally)
    }

    /// How much text is held back.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let chain = self.rules.chain(self.scope);
        let runs = self.runs.iter().zip(&chain.stages);
        runs.map(|(run, stage)| run.held_bytes(&chain.rules[stage.rules.clone()])).sum()
    }

    fn run(&mut self, piece: Option<&str>, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        self.rules.check_broken()?;
        let chain = self.rules.chain(self.scope);
        self.from.clear();
        self.from.push_str(piece.unwrap_or_default());
        for (run, stage) in self.runs.iter_mut().zip(&chain.stages) {
            let rules = &chain.rules[stage.rules.clone()];
            self.to.clear();
            if !self.from.is_empty() {
                run.run(stage, rules, Some(&self.from), &mut self.to, tally)?;
            } else if piece.is_some() {
                return Ok(());
            }
            if piece.is_none() {
                run.run(stage, rules, None, &mut self.to, tally)?;
            }
            std::mem::swap(&mut self.from, &mut self.to);
        }
        out.push_str(&self.from);
        Ok(())
    }
}
