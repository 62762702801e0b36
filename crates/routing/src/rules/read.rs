//! Reading `match_json` and `action_json`, with every mistake named.

use crate::Mode;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A mistake in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// As `match_json.contains`; `match_json` if it is no object at all.
    pub field: String,
    pub message: String,
}

/// The conditions of a rule; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Any one of them, if there are some.
    pub contains: Vec<String>,
    pub contains_all: Vec<String>,
    /// Strings, numbers and booleans.
    pub metadata_equals: Vec<(String, Value)>,
    pub mode: Option<Mode>,
    /// In lower case; any one of them, if there are some.
    pub tasks: Vec<String>,
}

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    pub provider: Option<String>,
    pub model: Option<String>,
    pub mode: Option<Mode>,
    pub warning: Option<String>,
    /// Model strings, first to be tried first.
    pub fallbacks: Vec<String>,
}

const CONDITIONS: &str = "contains, contains_all, metadata_equals, mode, task";
const ACTIONS: &str = "set_provider, set_model, set_mode, fallbacks, add_warning";
/// More could not be tried anyway.
const MOST_FALLBACKS: usize = 8;

/// # Errors
/// Every condition that is unknown or of the wrong type.
pub fn validate_match(value: &Value) -> Result<Matcher, Vec<FieldError>> {
    let mut errors = Errors { root: "match_json", list: Vec::new() };
    let mut matcher = Matcher::default();
    for (key, value) in object(value, &mut errors).iter().flat_map(|object| object.iter()) {
        match key.as_str() {
            "contains" => matcher.contains = texts(key, value, &mut errors),
            "contains_all" => matcher.contains_all = texts(key, value, &mut errors),
            "metadata_equals" => matcher.metadata_equals = pairs(key, value, &mut errors),
            "mode" => matcher.mode = mode(key, value, &mut errors),
            "task" => {
                let tasks = texts(key, value, &mut errors);
                matcher.tasks = tasks.iter().map(|task| task.trim().to_lowercase()).collect();
            }
            _ => errors.add(key, format!("there is no condition `{key}`; there are {CONDITIONS}")),
        }
    }
    errors.or(matcher)
}

/// # Errors
/// Every action that is unknown or of the wrong type; that there is none at all.
pub fn validate_action(value: &Value) -> Result<Action, Vec<FieldError>> {
    let mut errors = Errors { root: "action_json", list: Vec::new() };
    let mut action = Action::default();
    let object = object(value, &mut errors);
    if object.as_ref().is_some_and(|object| object.is_empty()) {
        errors.add("", format!("`action_json` must have at least one of {ACTIONS}"));
    }
    for (key, value) in object.iter().flat_map(|object| object.iter()) {
        match key.as_str() {
            "set_provider" => action.provider = text(key, value, &mut errors),
            "set_model" => action.model = text(key, value, &mut errors),
            "set_mode" => action.mode = mode(key, value, &mut errors),
            "fallbacks" => action.fallbacks = fallbacks(key, value, &mut errors),
            "add_warning" => action.warning = warning(key, value, &mut errors),
            _ => errors.add(key, format!("there is no action `{key}`; there are {ACTIONS}")),
        }
    }
    errors.or(action)
}

struct Errors {
    root: &'static str,
    list: Vec<FieldError>,
}

impl Errors {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        let field = if key.is_empty() { self.root.to_owned() } else { format!("{}.{key}", self.root) };
        self.list.push(FieldError { field, message: message.into() });
    }

    fn or<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.list.is_empty() { Ok(value) } else { Err(self.list) }
    }
}

/// An object, or a string that holds one.
fn object<'a>(value: &'a Value, errors: &mut Errors) -> Option<Cow<'a, Map<String, Value>>> {
    let root = errors.root;
    match value {
        Value::Object(object) => return Some(Cow::Borrowed(object)),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(object)) => return Some(Cow::Owned(object)),
            Ok(_) => errors.add("", format!("`{root}` is a string that holds no JSON object")),
            Err(error) => errors.add("", format!("`{root}` is a string that is not JSON: {error}")),
        },
        _ => errors.add("", format!("`{root}` must be an object, or a string that holds one")),
    }
    None
}

fn text(key: &str, value: &Value, errors: &mut Errors) -> Option<String> {
    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
    if text.is_none() {
        errors.add(key, format!("`{key}` must be a string that is not empty"));
    }
    text.map(str::to_owned)
}

/// One string, or a list of them.
fn texts(key: &str, value: &Value, errors: &mut Errors) -> Vec<String> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        value => std::slice::from_ref(value),
    };
    let texts: Option<Vec<String>> =
        list.iter().map(|value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)).collect();
    texts.filter(|texts| !texts.is_empty()).unwrap_or_else(|| {
        errors.add(key, format!("`{key}` must be a string or a list of strings, none of them empty"));
        Vec::new()
    })
}

fn fallbacks(key: &str, value: &Value, errors: &mut Errors) -> Vec<String> {
    let before = errors.list.len();
    let list: Vec<String> = texts(key, value, errors).iter().map(|text| text.trim().to_owned()).collect();
    if list.len() > MOST_FALLBACKS {
        errors.add(key, format!("`{key}` must name at most {MOST_FALLBACKS} models"));
    } else if errors.list.len() == before && list.iter().any(String::is_empty) {
        errors.add(key, format!("`{key}` must be a string or a list of strings, none of them empty"));
    }
    list
}

fn pairs(key: &str, value: &Value, errors: &mut Errors) -> Vec<(String, Value)> {
    let Value::Object(object) = value else {
        errors.add(key, format!("`{key}` must be an object"));
        return Vec::new();
    };
    for (name, value) in object {
        if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            errors.add(&format!("{key}.{name}"), "a value must be a string, a number or a boolean");
        }
    }
    object.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn mode(key: &str, value: &Value, errors: &mut Errors) -> Option<Mode> {
    let mode = value.as_str().and_then(Mode::parse);
    if mode.is_none() {
        errors.add(key, format!("`{key}` must be one of {}", Mode::NAMES));
    }
    mode
}

/// `{message}`, or the message itself.
fn warning(key: &str, value: &Value, errors: &mut Errors) -> Option<String> {
    let Value::Object(object) = value else { return text(key, value, errors) };
    for name in object.keys().filter(|name| *name != "message") {
        errors.add(&format!("{key}.{name}"), format!("`{key}` has no `{name}`; it has only a `message`"));
    }
    text(&format!("{key}.message"), object.get("message").unwrap_or(&Value::Null), errors)
}
