//! A request for embeddings: what texts, or texts already made into tokens, are to become vectors.

use crate::Object;
use crate::fields::{FieldError, Fields};
use crate::request::RouterFields;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum EmbeddingsInput {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u64>>),
}

impl EmbeddingsInput {
    /// How many vectors are asked for.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tokens(lists) => lists.len(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodingFormat {
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

#[derive(Clone, Debug)]
pub struct EmbeddingsRequest {
    pub model: Option<String>,
    pub input: EmbeddingsInput,
    pub dimensions: Option<u64>,
    pub encoding_format: EncodingFormat,
    pub user: Option<String>,
    pub router: RouterFields,
    pub extra: Object,
}

impl EmbeddingsRequest {
    /// Reads a body. Unknown fields are kept in `extra`.
    ///
    /// # Errors
    /// Names the first field that is missing or wrong.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let Value::Object(map) = body else { return Err(FieldError::new("", "the body must be a JSON object")) };
        let mut f = Fields::new(map, "");
        Ok(Self {
            model: f.short_name("model")?,
            input: input(f.take("input").ok_or_else(|| f.missing("input"))?)?,
            dimensions: f.count("dimensions", 1)?,
            encoding_format: match f.string("encoding_format")?.as_deref() {
                None | Some("float") => EncodingFormat::Float,
                Some("base64") => EncodingFormat::Base64,
                Some(other) => {
                    let message = format!("`encoding_format` must be float or base64, not `{other}`");
                    return Err(FieldError::new("encoding_format", message));
                }
            },
            user: f.string("user")?,
            router: RouterFields::take(&mut f)?,
            extra: f.rest(),
        })
    }
}

/// A text, texts, tokens, or lists of tokens.
fn input(value: Value) -> Result<EmbeddingsInput, FieldError> {
    const WANTED: &str = "`input` must be a string, an array of strings, an array of tokens or an array of those";
    let values = match value {
        Value::String(text) => return Ok(EmbeddingsInput::Texts(vec![text])),
        Value::Array(values) if !values.is_empty() => values,
        Value::Array(_) => return Err(FieldError::new("input", "`input` must hold at least one text")),
        _ => return Err(FieldError::new("input", WANTED)),
    };
    let wrong = |i: usize| FieldError::new(format!("input[{i}]"), WANTED);
    let numbered = || values.iter().enumerate();
    match values.first() {
        Some(Value::String(_)) => numbered()
            .map(|(i, value)| value.as_str().map(str::to_owned).ok_or_else(|| wrong(i)))
            .collect::<Result<_, _>>()
            .map(EmbeddingsInput::Texts),
        Some(Value::Array(_)) => numbered()
            .map(|(i, value)| {
                let tokens = value.as_array().filter(|tokens| !tokens.is_empty()).ok_or_else(|| wrong(i))?;
                tokens.iter().map(|token| token.as_u64().ok_or_else(|| wrong(i))).collect()
            })
            .collect::<Result<_, _>>()
            .map(EmbeddingsInput::Tokens),
        _ => numbered()
            .map(|(i, value)| value.as_u64().ok_or_else(|| wrong(i)))
            .collect::<Result<_, _>>()
            .map(|tokens| EmbeddingsInput::Tokens(vec![tokens])),
    }
}
