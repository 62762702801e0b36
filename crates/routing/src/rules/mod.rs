//! Routing rules (contract §4): reading them, and what they say of a request.

mod needles;
mod read;

pub use read::{Action, FieldError, Matcher, validate_action, validate_match};

use crate::Mode;
use needles::{Found, Needles};
use serde_json::{Map, Value};

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

struct Rule {
    id: i64,
    matcher: Matcher,
    /// Into the needles: any of `any` if there are some, and all of `all`.
    any: Vec<usize>,
    all: Vec<usize>,
    action: Action,
}

/// The enabled rules of a workspace, in the order in which they are tried.
pub struct RoutingRules {
    rules: Vec<Rule>,
    needles: Needles,
}

/// What rules look at.
pub struct Facts<'a> {
    /// The texts of the user's input; a needle is found within one of them.
    pub input_text: &'a [&'a str],
    pub metadata: &'a Map<String, Value>,
    /// The requested mode.
    pub mode: Mode,
    /// The task that the router recognises; asked only if a rule needs it and the metadata has none.
    pub task: &'a dyn Fn() -> &'static str,
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
    pub warnings: Vec<RuleWarning>,
    /// Every rule that matched, in the order tried.
    pub matched: Vec<i64>,
}

impl RoutingRules {
    /// # Errors
    /// The first rule that is not valid, and what is wrong with it.
    pub fn compile(specs: &[RuleSpec]) -> Result<Self, (i64, Vec<FieldError>)> {
        let mut enabled: Vec<&RuleSpec> = specs.iter().filter(|spec| spec.is_enabled).collect();
        enabled.sort_by_key(|spec| (std::cmp::Reverse(spec.priority), spec.id));
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
        let mut task: Option<String> = None;
        for rule in &self.rules {
            if !rule.matches(facts, &found, &mut task) {
                continue;
            }
            plan.matched.push(rule.id);
            let action = &rule.action;
            set(&mut plan.provider, action.provider.as_ref(), rule.id);
            set(&mut plan.model, action.model.as_ref(), rule.id);
            set(&mut plan.mode, action.mode.as_ref(), rule.id);
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
    fn matches(&self, facts: &Facts<'_>, found: &Found, task: &mut Option<String>) -> bool {
        if self.matcher.mode.is_some_and(|mode| mode != facts.mode) {
            return false;
        }
        if !self.any.is_empty() && !self.any.iter().any(|needle| found.has(*needle)) {
            return false;
        }
        if !self.all.iter().all(|needle| found.has(*needle)) {
            return false;
        }
        let equal = |(key, value): &(String, Value)| facts.metadata.get(key).is_some_and(|has| same(has, value));
        if !self.matcher.metadata_equals.iter().all(equal) {
            return false;
        }
        if self.matcher.tasks.is_empty() {
            return true;
        }
        let task = task.get_or_insert_with(|| match facts.metadata.get("task").and_then(Value::as_str) {
            Some(given) => given.to_lowercase(),
            None => (facts.task)().to_owned(),
        });
        self.matcher.tasks.iter().any(|wanted| wanted == task)
    }
}

/// Equal, or equal as text: metadata are strings in OpenAI's API, so a rule's `1` and `true` mean
/// the caller's `"1"` and `"true"` too.
fn same(a: &Value, b: &Value) -> bool {
    fn text(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        }
    }
    a == b || text(a).is_some_and(|a| text(b) == Some(a))
}
