//! Routing rules (contract §4): what the enabled rules of a workspace say of a request.
//!
//! Highest priority first, lower id first among equals; each action is taken from the first matching
//! rule that gives it, and the warnings of all matching rules are kept. All texts that any rule looks
//! for are found in one pass over the input, so that a hundred rules cost about as much as one.

mod needles;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Action, FieldError, Matcher, validate_action, validate_match};

use crate::Mode;
use needles::{Found, Needles};
use serde_json::{Map, Value};
use std::cell::OnceCell;
use std::cmp::Reverse;

/// A rule as it is stored.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    pub id: i64,
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    pub match_json: Value,
    pub action_json: Value,
}

#[derive(Debug)]
struct Rule {
    id: i64,
    matcher: Matcher,
    /// Numbers of needles: any of `any` if there are some, and all of `all`.
    any: Vec<usize>,
    all: Vec<usize>,
    action: Action,
}

/// The enabled rules of a workspace, in the order in which they are tried.
#[derive(Debug)]
pub struct RoutingRules {
    rules: Vec<Rule>,
    needles: Needles,
}

/// What rules look at.
pub struct Facts<'a> {
    /// The texts of the user's input; what a rule looks for must lie within one of them.
    pub input_text: &'a [&'a str],
    pub metadata: &'a Map<String, Value>,
    /// The requested mode, before any rule.
    pub mode: Mode,
    /// The task that the router recognises; called at most once, only if a rule needs it and the
    /// metadata has none.
    /// None where it is not sure enough: no task is met then.
    pub task: &'a dyn Fn() -> Option<&'static str>,
}

/// What a rule set, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T> {
    pub value: T,
    pub rule_id: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleWarning {
    pub rule_id: i64,
    pub message: String,
}

/// What the rules say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub provider: Option<Set<String>>,
    pub model: Option<Set<String>>,
    pub mode: Option<Set<Mode>>,
    /// What is tried, in this order, when the chosen model fails.
    pub fallbacks: Option<Set<Vec<String>>>,
    pub warnings: Vec<RuleWarning>,
    /// Every rule that matched, in the order tried.
    pub matched: Vec<i64>,
}

impl RoutingRules {
    /// Leaves out what is not enabled, unread.
    ///
    /// # Errors
    /// The first rule that is not valid, in the order tried, and what is wrong with it.
    pub fn compile(specs: &[RuleSpec]) -> Result<Self, (i64, Vec<FieldError>)> {
        let mut enabled: Vec<&RuleSpec> = specs.iter().filter(|spec| spec.is_enabled).collect();
        enabled.sort_by_key(|spec| (Reverse(spec.priority), spec.id));
        let mut needles = needles::Builder::default();
        let mut rules = Vec::with_capacity(enabled.len());
        for spec in enabled {
            let matcher = validate_match(&spec.match_json).map_err(|errors| (spec.id, errors))?;
            let action = validate_action(&spec.action_json).map_err(|errors| (spec.id, errors))?;
            let any = matcher.contains.iter().map(|needle| needles.add(needle)).collect();
            let all = matcher.contains_all.iter().map(|needle| needles.add(needle)).collect();
            rules.push(Rule { id: spec.id, matcher, any, all, action });
        }
        Ok(Self { rules, needles: needles.build() })
    }

    #[must_use]
    pub fn empty() -> Self {
        Self { rules: Vec::new(), needles: needles::Builder::default().build() }
    }

    /// How many rules are tried.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    #[must_use]
    pub fn plan(&self, facts: &Facts<'_>) -> Plan {
        let mut plan = Plan::default();
        if self.rules.is_empty() {
            return plan;
        }
        let found = self.needles.find(facts.input_text);
        let task = OnceCell::new();
        for rule in self.rules.iter().filter(|rule| rule.matches(facts, &found, &task)) {
            plan.matched.push(rule.id);
            let action = &rule.action;
            set(&mut plan.provider, action.provider.as_ref(), rule.id);
            set(&mut plan.model, action.model.as_ref(), rule.id);
            set(&mut plan.mode, action.mode.as_ref(), rule.id);
            set(&mut plan.fallbacks, Some(&action.fallbacks).filter(|list| !list.is_empty()), rule.id);
            if let Some(message) = &action.warning {
                plan.warnings.push(RuleWarning { rule_id: rule.id, message: message.clone() });
            }
        }
        plan
    }
}

fn set<T: Clone>(slot: &mut Option<Set<T>>, value: Option<&T>, rule_id: i64) {
    if let (None, Some(value)) = (&slot, value) {
        *slot = Some(Set { value: value.clone(), rule_id });
    }
}

impl Rule {
    /// The cheap conditions first.
    fn matches(&self, facts: &Facts<'_>, found: &Found, task: &OnceCell<Option<String>>) -> bool {
        let matcher = &self.matcher;
        let equal = |(key, value): &(String, Value)| facts.metadata.get(key).is_some_and(|has| same(has, value));
        matcher.mode.is_none_or(|mode| mode == facts.mode)
            && (self.any.is_empty() || self.any.iter().any(|needle| found.has(*needle)))
            && self.all.iter().all(|needle| found.has(*needle))
            && matcher.metadata_equals.iter().all(equal)
            && (matcher.tasks.is_empty()
                || task.get_or_init(|| task_of(facts)).as_ref().is_some_and(|task| matcher.tasks.contains(task)))
    }
}

/// `metadata.task` if the request has it, else what is recognised, if that is sure enough; in lower case.
fn task_of(facts: &Facts<'_>) -> Option<String> {
    match facts.metadata.get("task").and_then(as_text) {
        Some(given) => Some(given.trim().to_lowercase()),
        None => (facts.task)().map(str::to_lowercase),
    }
}

/// Equal, or equal as text: metadata are strings in OpenAI's API, so a rule's `1` and `true` mean the
/// caller's `"1"` and `"true"` too, and the other way round. The case counts.
fn same(a: &Value, b: &Value) -> bool {
    a == b || as_text(a).is_some_and(|a| as_text(b) == Some(a))
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
