//! Taking a rule's fields out of a body, with every mistake told at once.

use crate::error::{ApiError, ApiResult};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde_json::Value;
use tokenrouter_protocol::Object;

/// A rule's id in a path. What is not a number names no rule.
pub(super) fn rule_id(path: Result<Path<i64>, PathRejection>) -> ApiResult<i64> {
    path.map(|Path(id)| id).map_err(|_| ApiError::not_found("such rule"))
}

/// The fields of a rule, and the mistakes found in them.
pub(super) struct RuleFields {
    map: Object,
    pub errors: Vec<(String, String)>,
}

impl RuleFields {
    pub fn of(body: Value) -> ApiResult<Self> {
        match body {
            Value::Object(map) => Ok(Self { map, errors: Vec::new() }),
            _ => Err(ApiError::parameter("", "the body must be a JSON object")),
        }
    }

    pub fn error(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push((field.to_owned(), message.into()));
    }

    /// The field as it came, `null` included.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        self.map.shift_remove(field)
    }

    pub fn string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            _ => {
                self.error(field, format!("`{field}` must be a string"));
                None
            }
        }
    }

    pub fn name(&mut self) -> Option<String> {
        let name = self.string("name")?;
        if (1..=128).contains(&name.chars().count()) {
            return Some(name);
        }
        self.error("name", "`name` must have 1 to 128 characters");
        None
    }

    pub fn priority(&mut self) -> Option<i32> {
        let value = self.take("priority")?;
        let priority = value.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| (-1000..=1000).contains(n));
        if priority.is_none() {
            self.error("priority", "`priority` must be a whole number from -1000 to 1000");
        }
        priority
    }

    pub fn is_enabled(&mut self) -> Option<bool> {
        self.boolean("is_enabled")
    }

    pub fn boolean(&mut self, field: &str) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(value) => Some(value),
            _ => {
                self.error(field, format!("`{field}` must be a boolean"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn word(&mut self, field: &str, known: &[&str]) -> Option<String> {
        let word = self.string(field)?;
        if known.contains(&word.as_str()) {
            return Some(word);
        }
        self.error(field, format!("`{field}` must be one of {}", known.join(", ")));
        None
    }

    /// A field that must be there: notes it if it is not and nothing else is wrong with it.
    pub fn require<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.errors.iter().any(|(name, _)| name.split('.').next() == Some(field)) {
            self.error(field, format!("`{field}` is required"));
        }
        value
    }

    /// What is left is not a field of a rule; fields that the answers carry are let pass, so that a
    /// rule can be sent back as it came.
    pub fn finish(self) -> ApiResult<()> {
        const CARRIED: [&str; 7] = ["id", "user_id", "engine", "hits", "last_hit_at", "created_at", "updated_at"];
        self.finish_of("a rule", &CARRIED)
    }

    /// The same for another thing, with the fields that are let pass.
    pub fn finish_of(mut self, thing: &str, carried: &[&str]) -> ApiResult<()> {
        for field in carried {
            self.map.shift_remove(*field);
        }
        for (field, _) in std::mem::take(&mut self.map) {
            self.error(&field, format!("`{field}` is not a field of {thing}"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::validation(self.errors)) }
    }
}
