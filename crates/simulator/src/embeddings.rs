//! Embeddings of OpenAI's shape, with the ways of Mistral: made of the words of a text, so that texts with
//! the same words are near each other.

use crate::mind::tokens;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// # Errors
/// What the provider would say, and with which status: 404 for a model of another sort.
pub(crate) fn answer(provider: &str, request: &Value) -> Result<Value, (u16, String)> {
    let model = request["model"].as_str().unwrap_or_default();
    if !model.contains("embed") {
        return Err((404, format!("The model `{model}` does not exist or is no embedding model.")));
    }
    let mistral = provider == "mistral";
    let known: &[&str] = if mistral {
        &["model", "input", "output_dimension", "output_dtype", "encoding_format", "metadata"]
    } else {
        &["model", "input", "dimensions", "encoding_format", "user"]
    };
    if let Some(name) = request.as_object().into_iter().flat_map(|o| o.keys()).find(|n| !known.contains(&n.as_str())) {
        return Err((400, format!("Unrecognized request argument supplied: {name}")));
    }
    let texts = texts(&request["input"], mistral).ok_or_else(|| (400, "'$.input' is invalid".to_owned()))?;
    let size = request[if mistral { "output_dimension" } else { "dimensions" }].as_u64();
    let size = usize::try_from(size.unwrap_or(if mistral { 1_024 } else { 1_536 })).unwrap_or(0).clamp(1, 4_096);
    let base64 = request["encoding_format"] == "base64";
    let data: Vec<Value> = (0_u64..)
        .zip(&texts)
        .map(|(index, text)| {
            let vector = vector(text, size);
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let count: usize = texts.iter().map(|text| tokens(text).len()).sum();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    let mut body = json!({"object": "list", "data": data, "model": model, "usage": usage});
    if mistral {
        body["id"] = format!("embd-{:016x}", crate::wire::seed(request)).into();
    }
    Ok(body)
}

/// The texts, or the tokens as words; none if the input is not one of the shapes.
fn texts(input: &Value, only_texts: bool) -> Option<Vec<String>> {
    let words = |tokens: &[Value]| -> Option<String> {
        let words: Option<Vec<String>> = tokens.iter().map(|token| Some(token.as_u64()?.to_string())).collect();
        words.filter(|words| !words.is_empty() && !only_texts).map(|words| words.join(" "))
    };
    match input {
        Value::String(text) => Some(vec![text.clone()]).filter(|_| !text.is_empty()),
        Value::Array(values) if values.first().is_some_and(Value::is_u64) => Some(vec![words(values)?]),
        Value::Array(values) if !values.is_empty() => values
            .iter()
            .map(|value| match value {
                Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
                Value::Array(tokens) => words(tokens),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// The sum of a direction for each word, of length 1.
#[allow(clippy::cast_precision_loss)]
fn vector(text: &str, size: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; size];
    for word in tokens(text) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let mut state =
            word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
                | 1;
        for number in &mut sum {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *number += (state >> 40) as f32 / 8_388_608.0 - 1.0;
        }
    }
    let length = sum.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.iter().map(|number| number / length).collect()
}
