//! The rules of a workspace, in order, over whole texts and over streams.

use crate::engine::Engine;
use crate::pattern::PatternError;
use crate::tally::{Hit, Tally};
use crate::transducer::{Deed, Stop, Transducer};
use crate::{Action, PatternKind, Scope};
use regex_automata::{Input, MatchKind, PatternSet, meta};
use std::borrow::Cow;
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

struct Rule {
    id: i64,
    /// Its place in its chain.
    rank: usize,
    name: Arc<str>,
    scope: Scope,
    action: Action,
    replacement: String,
    engine: Engine,
}

#[derive(Default)]
struct Chain {
    rules: Vec<Rule>,
    /// All patterns at once: which of them occur in a text at all. None if they are too many for it.
    prefilter: Option<meta::Regex>,
}

/// Compiled rules, never changed: a new set is made when a rule changes.
#[derive(Default)]
pub struct RuleSet {
    prompt: Chain,
    response: Chain,
    /// A rule that does not compile any more: everything is blocked in its name.
    broken: Option<i64>,
}

/// # Errors
/// When the pattern is malformed, or this version cannot run it exactly and safely.
pub fn check_pattern(kind: PatternKind, pattern: &str) -> Result<(), PatternError> {
    Engine::compile(kind, pattern).map(|_| ())
}

impl RuleSet {
    /// # Errors
    /// The first rule whose pattern cannot be used.
    pub fn compile(specs: &[RuleSpec]) -> Result<Self, (i64, PatternError)> {
        let mut enabled: Vec<&RuleSpec> = specs.iter().filter(|spec| spec.is_enabled).collect();
        enabled.sort_by_key(|spec| (std::cmp::Reverse(spec.priority), spec.id));
        let mut set = Self::default();
        let (mut prompt, mut response) = (Vec::new(), Vec::new());
        for spec in enabled {
            let (engine, translated) = Engine::compile(spec.kind, &spec.pattern).map_err(|error| (spec.id, error))?;
            let (chain, patterns) = match spec.scope {
                Scope::Prompt => (&mut set.prompt, &mut prompt),
                Scope::Response => (&mut set.response, &mut response),
            };
            let rule = Rule {
                id: spec.id,
                rank: chain.rules.len(),
                name: spec.name.as_str().into(),
                scope: spec.scope,
                action: spec.action,
                replacement: spec.replacement.clone().unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
                engine,
            };
            chain.rules.push(rule);
            patterns.push(translated);
        }
        set.prompt.prefilter = prefilter(&prompt);
        set.response.prefilter = prefilter(&response);
        Ok(set)
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

    fn chain(&self, scope: Scope) -> &Chain {
        match scope {
            Scope::Prompt => &self.prompt,
            Scope::Response => &self.response,
        }
    }

    fn check_broken(&self) -> Result<(), Blocked> {
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
        if chain.rules.is_empty() || text.is_empty() {
            return Ok(Cow::Borrowed(text));
        }
        let occurring = chain.prefilter.as_ref().map(|prefilter| {
            let mut set = PatternSet::new(prefilter.pattern_len());
            prefilter.which_overlapping_matches(&Input::new(text), &mut set);
            set
        });
        if occurring.as_ref().is_some_and(PatternSet::is_empty) {
            return Ok(Cow::Borrowed(text));
        }
        let mut current = Cow::Borrowed(text);
        for (i, rule) in chain.rules.iter().enumerate() {
            // What the prefilter said is of the text as it came.
            let untouched = matches!(current, Cow::Borrowed(_));
            let absent = occurring
                .as_ref()
                .is_some_and(|set| regex_automata::PatternID::new(i).is_ok_and(|pattern| !set.contains(pattern)));
            if untouched && absent {
                continue;
            }
            let mut link = Link::default();
            let mut out = String::with_capacity(current.len());
            link.push(rule, &current, &mut out)?;
            link.finish(rule, &mut out)?;
            link.record(rule, tally);
            if rule.action == Action::Mask && link.transducer.matches > 0 {
                current = Cow::Owned(out);
            }
        }
        Ok(current)
    }

    /// A guard for one streamed field.
    #[must_use]
    pub fn guard(self: &Arc<Self>, scope: Scope) -> Guard {
        let links = self.chain(scope).rules.iter().map(|_| Link::default()).collect();
        Guard { rules: Arc::clone(self), scope, links, from: String::new(), to: String::new() }
    }
}

fn prefilter(patterns: &[String]) -> Option<meta::Regex> {
    let config =
        meta::Config::new().match_kind(MatchKind::All).nfa_size_limit(Some(64 << 20)).hybrid_cache_capacity(8 << 20);
    (!patterns.is_empty()).then(|| meta::Builder::new().configure(config).build_many(patterns).ok()).flatten()
}

/// One rule's part in a guard.
#[derive(Default)]
struct Link {
    transducer: Transducer,
    exhausted: bool,
    recorded: u64,
    recorded_exhausted: bool,
}

impl Link {
    fn push(&mut self, rule: &Rule, text: &str, out: &mut String) -> Result<(), Blocked> {
        self.run(rule, Some(text), out)
    }

    fn finish(&mut self, rule: &Rule, out: &mut String) -> Result<(), Blocked> {
        self.run(rule, None, out)
    }

    fn run(&mut self, rule: &Rule, text: Option<&str>, out: &mut String) -> Result<(), Blocked> {
        let deed = match rule.action {
            Action::Block => Deed::Stop,
            Action::Mask => Deed::Replace(&rule.replacement),
            Action::Warn => Deed::Count,
        };
        if rule.action == Action::Warn {
            // A warning holds nothing back.
            out.push_str(text.unwrap_or_default());
            if self.exhausted {
                return Ok(());
            }
        }
        let result = match text {
            Some(text) => self.transducer.push(&rule.engine, deed, text, out),
            None => self.transducer.finish(&rule.engine, deed, out),
        };
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Exhausted) if rule.action == Action::Warn => {
                self.exhausted = true;
                Ok(())
            }
            Err(stop) => {
                Err(Blocked { rule_id: rule.id, rule_name: rule.name.to_string(), exhausted: stop == Stop::Exhausted })
            }
        }
    }

    fn record(&mut self, rule: &Rule, tally: &mut Tally) {
        let matches = self.transducer.matches - self.recorded;
        if matches == 0 && self.exhausted == self.recorded_exhausted {
            return;
        }
        self.recorded = self.transducer.matches;
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

/// Screens one field as it streams: what it gives out, joined, is what [`RuleSet::screen`] gives for
/// the whole text, and comes as early as can be.
pub struct Guard {
    rules: Arc<RuleSet>,
    scope: Scope,
    links: Vec<Link>,
    from: String,
    to: String,
}

impl Guard {
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
        let rules = self.rules.chain(self.scope).rules.iter();
        let holding = self.links.iter().zip(rules).filter(|(_, rule)| rule.action != Action::Warn);
        holding.map(|(link, _)| link.transducer.held()).sum()
    }

    fn run(&mut self, piece: Option<&str>, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        self.rules.check_broken()?;
        self.from.clear();
        self.from.push_str(piece.unwrap_or_default());
        for (link, rule) in self.links.iter_mut().zip(&self.rules.chain(self.scope).rules) {
            self.to.clear();
            if piece.is_some() {
                if self.from.is_empty() {
                    return Ok(());
                }
                link.push(rule, &self.from, &mut self.to)?;
            } else {
                link.push(rule, &self.from, &mut self.to)?;
                link.finish(rule, &mut self.to)?;
            }
            link.record(rule, tally);
            std::mem::swap(&mut self.from, &mut self.to);
        }
        out.push_str(&self.from);
        Ok(())
    }
}
