//! Taking typed fields out of a JSON object, with errors that name the field by its path.

use crate::Object;
use serde_json::Value;

/// Longer than any model's or provider's name, in bytes.
const LONGEST_NAME: usize = 256;

/// A field that does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FieldError {
    /// As `input[2].content[0].text`.
    pub param: String,
    pub message: String,
}

impl FieldError {
    pub fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: param.into(), message: message.into() }
    }
}

/// What kind of value this is, in words for a message.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// An object from which fields are taken one by one; what is left is what was not understood.
/// A field that is `null` counts as absent.
pub struct Fields {
    map: Object,
    path: String,
}

impl Fields {
    /// `path` is the place of the object, empty for the body itself.
    #[must_use]
    pub fn new(map: Object, path: impl Into<String>) -> Self {
        Self { map, path: path.into() }
    }

    /// # Errors
    /// When `value` is not an object.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Self, FieldError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(FieldError::new(path.clone(), format!("`{path}` must be an object, not {}", kind_of(&other)))),
        }
    }

    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name).filter(|v| !v.is_null())
    }

    fn wrong(&self, name: &str, wanted: &str, got: &Value) -> FieldError {
        let param = self.path_of(name);
        FieldError::new(param.clone(), format!("`{param}` must be {wanted}, not {}", kind_of(got)))
    }

    /// # Errors
    /// When the field is there and not a string. The other takers likewise.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// The name of a model or a provider: it is kept in the log of requests, whatever it is.
    ///
    /// # Errors
    /// When the field is not a string or longer than any such name.
    pub fn short_name(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        let value = self.string(name)?;
        if value.as_ref().is_some_and(|value| value.len() > LONGEST_NAME) {
            let path = self.path_of(name);
            let message = format!("`{path}` must be at most {LONGEST_NAME} bytes long");
            return Err(FieldError::new(path, message));
        }
        Ok(value)
    }

    /// # Errors
    /// When the field is missing or not a string.
    pub fn required_string(&mut self, name: &str) -> Result<String, FieldError> {
        self.string(name)?.ok_or_else(|| self.missing(name))
    }

    #[must_use]
    pub fn missing(&self, name: &str) -> FieldError {
        let param = self.path_of(name);
        FieldError::new(param.clone(), format!("`{param}` is required"))
    }

    /// # Errors
    /// When the field is there and not a boolean.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(other) => Err(self.wrong(name, "a boolean", &other)),
        }
    }

    /// # Errors
    /// When the field is there and not a whole number of at least `least`.
    pub fn count(&mut self, name: &str, least: u64) -> Result<Option<u64>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().or_else(|| whole(&value)) {
                Some(n) if n >= least => Ok(Some(n)),
                _ => {
                    let param = self.path_of(name);
                    Err(FieldError::new(param.clone(), format!("`{param}` must be a whole number, at least {least}")))
                }
            },
        }
    }

    /// # Errors
    /// When the field is there and not a whole number within `range`.
    pub fn count_within(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, FieldError> {
        let count = self.count(name, *range.start())?;
        if count.is_some_and(|n| n > *range.end()) {
            let param = self.path_of(name);
            let message = format!("`{param}` must be between {} and {}", range.start(), range.end());
            return Err(FieldError::new(param, message));
        }
        Ok(count)
    }

    /// # Errors
    /// When the field is there and not a number within `range`.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(n) if range.contains(&n) => Ok(Some(n)),
                Some(_) => {
                    let param = self.path_of(name);
                    let message = format!("`{param}` must be between {} and {}", range.start(), range.end());
                    Err(FieldError::new(param, message))
                }
                None => Err(self.wrong(name, "a number", &value)),
            },
        }
    }

    /// # Errors
    /// When the field is there and not an array.
    pub fn array(&mut self, name: &str) -> Result<Option<Vec<Value>>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(a)) => Ok(Some(a)),
            Some(other) => Err(self.wrong(name, "an array", &other)),
        }
    }

    /// # Errors
    /// When the field is there and not an object.
    pub fn object(&mut self, name: &str) -> Result<Option<Object>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(o)) => Ok(Some(o)),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// What nobody took.
    #[must_use]
    pub fn rest(self) -> Object {
        self.map
    }
}

/// `1e3` and `16.0` are whole numbers too.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: &Value) -> Option<u64> {
    let n = value.as_f64()?;
    (n.fract() == 0.0 && (0.0..9.0e15).contains(&n)).then_some(n as u64)
}
