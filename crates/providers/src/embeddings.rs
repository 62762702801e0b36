//! Embeddings: OpenAI's format, which Mistral and the compatible hosts read with few differences.

use crate::decode::tokens;
use crate::encode::{EncodeError, Loss, Losses, to_json};
use crate::{DecodeError, Kind};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokenrouter_protocol::{EmbeddingsInput, EmbeddingsRequest, Usage};

/// What to send to the path `/embeddings`.
#[derive(Clone, Debug)]
pub struct EncodedEmbeddings {
    /// JSON.
    pub body: Vec<u8>,
    pub warnings: Vec<Loss>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// As the provider names it; empty if it does not.
    pub model: String,
    /// In the order of the input.
    pub vectors: Vec<Vec<f64>>,
    /// None if the provider does not tell.
    pub usage: Option<Usage>,
}

impl Kind {
    /// Whether the provider's API has embeddings at all.
    #[must_use]
    pub fn has_embeddings(self) -> bool {
        matches!(self, Self::OpenAi | Self::Mistral | Self::OpenAiCompatible)
    }
}

/// Asks for floats, whatever the caller reads: every host knows them.
///
/// # Errors
/// When the request holds what this provider cannot be given; names the field.
pub fn encode_embeddings(
    kind: Kind,
    model: &str,
    request: &EmbeddingsRequest,
) -> Result<EncodedEmbeddings, EncodeError> {
    let mut losses = Losses::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    let input = match &request.input {
        EmbeddingsInput::Texts(texts) => json!(texts),
        EmbeddingsInput::Tokens(_) if kind == Kind::Mistral => {
            return Err(EncodeError::new("input", "Mistral takes texts only, no tokens"));
        }
        EmbeddingsInput::Tokens(lists) => json!(lists),
    };
    body.insert("input".to_owned(), input);
    if let Some(dimensions) = request.dimensions {
        let name = if kind == Kind::Mistral { "output_dimension" } else { "dimensions" };
        body.insert(name.to_owned(), dimensions.into());
    }
    match &request.user {
        Some(_) if kind == Kind::Mistral => losses.add("user", "Mistral has no such field"),
        Some(user) => {
            body.insert("user".to_owned(), user.as_str().into());
        }
        None => {}
    }
    for (name, value) in request.extra.iter().filter(|(name, _)| !name.starts_with("router_")) {
        if kind == Kind::OpenAi {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        } else {
            losses.add(name, "the field is not known; it was left out");
        }
    }
    Ok(EncodedEmbeddings { body: to_json(&body, 1_024)?, warnings: losses.into_list() })
}

#[derive(Deserialize)]
struct AnswerIn {
    #[serde(default)]
    model: Option<String>,
    data: Vec<VectorIn>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct VectorIn {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f64>,
}

/// # Errors
/// When the body is not what the API promises: one vector for each of the `count` inputs.
pub fn decode_embeddings(body: &[u8], count: usize) -> Result<Embeddings, DecodeError> {
    const WHAT: &str = "not a list of embeddings";
    let answer: AnswerIn = serde_json::from_slice(body).map_err(|e| DecodeError::of(&e, WHAT))?;
    let mut vectors: Vec<Option<Vec<f64>>> = vec![None; count];
    for (i, vector) in answer.data.into_iter().enumerate() {
        match vectors.get_mut(vector.index.unwrap_or(i)) {
            Some(slot @ None) => *slot = Some(vector.embedding),
            _ => return Err(DecodeError::Shape(WHAT)),
        }
    }
    let vectors = vectors.into_iter().collect::<Option<Vec<_>>>().ok_or(DecodeError::Shape(WHAT))?;
    let told = tokens(&answer.usage["prompt_tokens"]).or_else(|| tokens(&answer.usage["total_tokens"]));
    let usage = told.map(|tokens| Usage { uncached_input: tokens, ..Usage::default() });
    Ok(Embeddings { model: answer.model.unwrap_or_default(), vectors, usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_input() {
        let body = br#"{"model":"m","data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1.5,-1]}],
                        "usage":{"prompt_tokens":3,"total_tokens":3}}"#;
        let read = decode_embeddings(body, 2).unwrap();
        assert_eq!(read.vectors, [vec![1.5, -1.0], vec![2.0]]);
        assert_eq!(read.usage.map(|usage| usage.total()), Some(3));
    }

    #[test]
    fn an_answer_with_too_few_too_many_or_doubled_vectors_is_none() {
        let one = r#"{"data":[{"index":0,"embedding":[1]}]}"#;
        let doubled = r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#;
        assert!(decode_embeddings(one.as_bytes(), 1).is_ok());
        for (body, count) in [(one, 0), (one, 2), (doubled, 2), (doubled, 1), ("{}", 0), ("<html>", 1)] {
            assert!(decode_embeddings(body.as_bytes(), count).is_err(), "{body} {count}");
        }
    }
}
