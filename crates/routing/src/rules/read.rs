//! Reading `match_json` and `action_json`, with every mistake named.

use crate::Mode;
use serde_json::{Map, Value};

/// A mistake in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// As `match_json.contains`.
    pub field: String,
    pub message: String,
}

/// The conditions of a rule; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Any one of them, if there are some.
    pub contains: Vec<String>,
    pub contains_all: Vec<String>,
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
}

/// An object, or a string that holds one.
fn object(value: &Value, errors: &mut Errors) -> Option<Map<String, Value>> {
    let root = errors.root;
    let parsed;
    let value = match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                parsed = value;
                &parsed
            }
            Err(_) => {
                errors.add("", format!("`{root}` is a string that does not hold JSON"));
                return None;
            }
        },
        value => value,
    };
    let Value::Object(object) = value else {
        errors.add("", format!("`{root}` must be an object, or a string that holds one"));
        return None;
    };
    Some(object.clone())
}

/// # Errors
/// Every unknown condition and every condition of the wrong type.
pub fn validate_match(value: &Value) -> Result<Matcher, Vec<FieldError>> {
    let mut errors = Errors { root: "match_json", list: Vec::new() };
    let mut matcher = Matcher::default();
    for (key, value) in object(value, &mut errors).unwrap_or_default() {
        match key.as_str() {
            "contains" => matcher.contains = texts(&key, &value, &mut errors),
            "contains_all" => matcher.contains_all = texts(&key, &value, &mut errors),
            "task" => {
                matcher.tasks = texts(&key, &value, &mut errors).into_iter().map(|task| task.to_lowercase()).collect();
            }
            "mode" => matcher.mode = mode(&key, &value, &mut errors),
            "metadata_equals" => match value {
                Value::Object(pairs) => {
                    for (name, value) in pairs {
                        match value {
                            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                                matcher.metadata_equals.push((name, value));
                            }
                            _ => {
                                errors.add(&format!("metadata_equals.{name}"), "it must be a string, number or boolean")
                            }
                        }
                    }
                }
                _ => errors.add(&key, "`metadata_equals` must be an object"),
            },
            _ => errors.add(
                &key,
                format!("there is no condition `{key}`; there are contains, contains_all, metadata_equals, mode, task"),
            ),
        }
    }
    if errors.list.is_empty() { Ok(matcher) } else { Err(errors.list) }
}

/// # Errors
/// Every unknown action and every action of the wrong type; that there is none.
pub fn validate_action(value: &Value) -> Result<Action, Vec<FieldError>> {
    let mut errors = Errors { root: "action_json", list: Vec::new() };
    let mut action = Action::default();
    let object = object(value, &mut errors);
    if object.as_ref().is_some_and(Map::is_empty) {
        errors.add("", "`action_json` must have at least one of set_provider, set_model, set_mode, add_warning");
    }
    for (key, value) in object.unwrap_or_default() {
        match key.as_str() {
            "set_provider" => action.provider = text(&key, &value, &mut errors),
            "set_model" => action.model = text(&key, &value, &mut errors),
            "set_mode" => action.mode = mode(&key, &value, &mut errors),
            "add_warning" => {
                action.warning = match &value {
                    Value::Object(fields) if fields.keys().all(|name| name == "message") => {
                        text(&key, fields.get("message").unwrap_or(&Value::Null), &mut errors)
                    }
                    Value::Object(_) => {
                        errors.add(&key, "`add_warning` has only a `message`");
                        None
                    }
                    value => text(&key, value, &mut errors),
                }
            }
            _ => errors.add(
                &key,
                format!("there is no action `{key}`; there are set_provider, set_model, set_mode, add_warning"),
            ),
        }
    }
    if errors.list.is_empty() { Ok(action) } else { Err(errors.list) }
}

fn text(key: &str, value: &Value, errors: &mut Errors) -> Option<String> {
    match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Some(text.to_owned()),
        _ => {
            errors.add(key, format!("`{key}` must be a string that is not empty"));
            None
        }
    }
}

fn texts(key: &str, value: &Value, errors: &mut Errors) -> Vec<String> {
    let list = match value {
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(list) => list.as_slice(),
        _ => &[],
    };
    let texts: Option<Vec<String>> =
        list.iter().map(|v| v.as_str().filter(|text| !text.is_empty()).map(str::to_owned)).collect();
    match texts {
        Some(texts) if !texts.is_empty() => texts,
        _ => {
            errors.add(key, format!("`{key}` must be a string, or a list of strings, none of them empty"));
            Vec::new()
        }
    }
}

fn mode(key: &str, value: &Value, errors: &mut Errors) -> Option<Mode> {
    let mode = value.as_str().and_then(Mode::parse);
    if mode.is_none() {
        errors.add(key, format!("`{key}` must be one of {}", Mode::NAMES));
    }
    mode
}
