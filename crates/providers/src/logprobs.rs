//! How probable an answer's tokens were, as OpenAI writes it.

use serde_json::{Value, json};

/// A list of tokens with every field that a response's have: OpenAI's own streams leave out the bytes, and some hosts
/// what they were not asked for.
pub(crate) fn of(list: &Value) -> Vec<Value> {
    let tokens = list.as_array().into_iter().flatten().filter_map(|value| {
        let mut token = token(value)?;
        token["top_logprobs"] =
            value["top_logprobs"].as_array().into_iter().flatten().filter_map(self::token).collect();
        Some(token)
    });
    tokens.collect()
}

fn token(value: &Value) -> Option<Value> {
    let (token, logprob) = (value["token"].as_str()?, value["logprob"].as_f64()?);
    let bytes = if value["bytes"].is_array() { value["bytes"].clone() } else { token.as_bytes().into() };
    Some(json!({"token": token, "logprob": logprob, "bytes": bytes}))
}
