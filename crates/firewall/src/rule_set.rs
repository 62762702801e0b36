//! The rules of a workspace, in order, over whole texts and over streams.

use crate::engine::{Engine, EngineKind, PatternInfo};
use crate::guard::{Guard, Stage};
use crate::json_guard::JsonGuard;
use crate::pattern::PatternError;
use crate::prefilter::Prefilter;
use crate::rule::{Link, Rule};
use crate::starts::{Starts, literals};
use crate::tally::Tally;
use crate::{Action, PatternKind, Scope};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A rule as it is stored.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    pub id: i64,
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    pub scope: Scope,
    pub kind: PatternKind,
    pub pattern: String,
    pub action: Action,
    pub replacement: Option<String>,
    /// Matches on the text as it is meant: compatibility forms, marks of no width and letters that look like
    /// others undone.
    pub normalize: bool,
}

/// A rule let nothing pass. It carries no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub rule_id: i64,
    pub rule_name: String,
    /// The rule did not match but ran out of its budget, which counts as a match.
    pub exhausted: bool,
}

const DEFAULT_REPLACEMENT: &str = "[redacted]";

/// The rules of a scope, in the order in which they run.
#[derive(Default)]
pub(crate) struct Chain {
    pub rules: Vec<Rule>,
    pub stages: Vec<Stage>,
    prefilter: Prefilter,
}

/// Compiled rules, never changed: a new set is made when a rule changes.
#[derive(Default)]
pub struct RuleSet {
    prompt: Chain,
    response: Chain,
    /// A rule that does not compile any more: everything is blocked in its name.
    broken: Option<i64>,
    engines: HashMap<i64, EngineKind>,
}

/// Which engine would run the pattern, and why.
///
/// # Errors
/// When the pattern is malformed, or cannot be run exactly and safely.
pub fn check_pattern(kind: PatternKind, pattern: &str) -> Result<PatternInfo, PatternError> {
    Engine::compile(kind, pattern).map(|compiled| compiled.info())
}

/// What a rule would do to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    pub info: PatternInfo,
    /// In bytes of the text. Of a rule that blocks all matches are told, though the first one blocks.
    pub places: Vec<Range<usize>>,
    /// The text as it would go on; `None`: it would not.
    pub text: Option<String>,
    /// The rule ran out of its budget.
    pub exhausted: bool,
}

/// Tries a rule that need not be one of the workspace's.
///
/// # Errors
/// When its pattern cannot be used.
pub fn try_rule(spec: &RuleSpec, text: &str) -> Result<Trial, PatternError> {
    let compiled = Engine::compile(spec.kind, &spec.pattern)?;
    let info = compiled.info();
    let rule = Rule {
        id: spec.id,
        rank: 0,
        name: spec.name.as_str().into(),
        scope: spec.scope,
        // A masked text passes what a block would stop at, so that every match is found.
        action: if spec.action.leaves_text() { Action::Warn } else { Action::Mask },
        replacement: spec.replacement.clone().unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
        normalize: spec.normalize,
        engine: compiled.engine,
    };
    let mut link = Link::new(&rule);
    link.note_places();
    let mut out = String::with_capacity(text.len());
    let stopped = link.push(&rule, text, &mut out).and_then(|()| link.finish(&rule, &mut out)).is_err();
    let places = link.places().to_vec();
    let exhausted = stopped || link.is_exhausted();
    let blocked = stopped || spec.action == Action::Block && !places.is_empty();
    Ok(Trial { info, places, text: (!blocked).then_some(out), exhausted })
}

impl RuleSet {
    /// # Errors
    /// The first rule whose pattern cannot be used.
    pub fn compile(specs: &[RuleSpec]) -> Result<Self, (i64, PatternError)> {
        let mut enabled: Vec<&RuleSpec> = specs.iter().filter(|spec| spec.is_enabled).collect();
        enabled.sort_by_key(|spec| (std::cmp::Reverse(spec.priority), spec.id));
        let chain = |scope| Chain::compile(enabled.iter().copied().filter(move |spec| spec.scope == scope));
        let (prompt, response) = (chain(Scope::Prompt)?, chain(Scope::Response)?);
        let rules = prompt.rules.iter().chain(&response.rules);
        let engines = rules.map(|rule| (rule.id, rule.engine.kind())).collect();
        Ok(Self { prompt, response, broken: None, engines })
    }

    /// Which engine runs an enabled rule.
    #[must_use]
    pub fn engine(&self, rule_id: i64) -> Option<EngineKind> {
        self.engines.get(&rule_id).copied()
    }

    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Blocks every text, in the name of the rule that cannot be compiled: what it guards must not pass.
    #[must_use]
    pub fn block_everything(rule_id: i64) -> Self {
        Self { broken: Some(rule_id), ..Self::default() }
    }

    #[must_use]
    pub fn is_empty(&self, scope: Scope) -> bool {
        self.broken.is_none() && self.chain(scope).rules.is_empty()
    }

    /// Whether a rule may change a text or stop it.
    #[must_use]
    pub fn guards(&self, scope: Scope) -> bool {
        self.broken.is_some() || self.chain(scope).rules.iter().any(|rule| !rule.action.leaves_text())
    }

    pub(crate) fn chain(&self, scope: Scope) -> &Chain {
        match scope {
            Scope::Prompt => &self.prompt,
            Scope::Response => &self.response,
        }
    }

    pub(crate) fn check_broken(&self) -> Result<(), Blocked> {
        match self.broken {
            Some(rule_id) => Err(Blocked { rule_id, rule_name: "a rule that is not valid".into(), exhausted: false }),
            None => Ok(()),
        }
    }

    /// Screens the whole text of one field.
    ///
    /// # Errors
    /// When a rule blocks it.
    pub fn screen<'t>(&self, scope: Scope, text: &'t str, tally: &mut Tally) -> Result<Cow<'t, str>, Blocked> {
        self.check_broken()?;
        let chain = self.chain(scope);
        let mut current = Cow::Borrowed(text);
        let mut next = 0;
        // What the prefilter says is of one text: when a rule has changed it, the rules behind are asked anew.
        while next < chain.rules.len() && !current.is_empty() {
            let candidates = chain.prefilter.candidates(&current, next);
            next = chain.rules.len();
            for index in candidates {
                let Some(rule) = chain.rules.get(index) else { continue };
                let mut link = Link::new(rule);
                let mut out = String::with_capacity(current.len());
                let passed = link.push(rule, &current, &mut out).and_then(|()| link.finish(rule, &mut out));
                link.record(rule, tally);
                passed?;
                if rule.action == Action::Mask && link.matches() > 0 {
                    current = Cow::Owned(out);
                    next = index + 1;
                    break;
                }
            }
        }
        Ok(current)
    }

    /// Screens the whole of a JSON text, string by string.
    ///
    /// # Errors
    /// When a rule blocks it.
    pub fn screen_json(self: &Arc<Self>, scope: Scope, text: &str, tally: &mut Tally) -> Result<String, Blocked> {
        let (mut guard, mut out) = (JsonGuard::new(Arc::clone(self), scope), String::with_capacity(text.len()));
        guard.push(text, &mut out, tally)?;
        guard.finish(&mut out, tally)?;
        Ok(out)
    }

    /// A guard for one streamed field.
    #[must_use]
    pub fn guard(self: &Arc<Self>, scope: Scope) -> Guard {
        Guard::new(Arc::clone(self), scope)
    }
}

impl Chain {
    fn compile<'s>(specs: impl Iterator<Item = &'s RuleSpec>) -> Result<Self, (i64, PatternError)> {
        let mut chain = Self::default();
        let mut loose = Vec::new();
        for spec in specs {
            let compiled = Engine::compile(spec.kind, &spec.pattern).map_err(|error| (spec.id, error))?;
            chain.rules.push(Rule {
                id: spec.id,
                rank: chain.rules.len(),
                name: spec.name.as_str().into(),
                scope: spec.scope,
                action: spec.action,
                replacement: spec.replacement.clone().unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
                normalize: spec.normalize,
                engine: compiled.engine,
            });
            // Of a text as it is meant the text as it is written tells nothing.
            loose.push(compiled.loose.filter(|_| !spec.normalize));
        }
        let beginnings: Vec<_> = loose.iter().map(|pattern| literals(pattern.as_deref()?)).collect();
        let mut from = 0;
        for run in beginnings.chunk_by(|a, b| a.is_some() == b.is_some()) {
            let rules = from..from + run.len();
            from = rules.end;
            let all: Option<Vec<Vec<u8>>> = run.iter().cloned().collect::<Option<Vec<_>>>().map(|l| l.concat());
            let starts = all.and_then(|all| Starts::new(&all));
            let context = chain.rules[rules.clone()].iter().map(Rule::look_behind_bytes).max().unwrap_or(4);
            let masks = chain.rules[rules.clone()].iter().filter(|rule| rule.action == Action::Mask).count();
            let joins = masks.min(run.len() - 1);
            chain.stages.push(Stage { rules, starts, joins, context });
        }
        chain.prefilter = Prefilter::new(loose);
        Ok(chain)
    }
}
