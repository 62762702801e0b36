//! What the dialects share.

use crate::{Dialect, gemini};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine.
fn fold(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

pub(crate) fn hash(text: &str) -> u64 {
    fold(FNV_START, text)
}

/// A number out of what the request asks for; the same whether the answer is to be streamed or not.
pub(crate) fn seed(request: &Value) -> u64 {
    let fields = request.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with("stream"));
    fields.fold(FNV_START, |h, (name, value)| fold(fold(h, name), &value.to_string()))
}

pub(crate) fn event(name: &str, data: Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// An error in the shape of the dialect's own API.
pub(crate) fn error(dialect: Option<Dialect>, status: StatusCode, kind: &str, message: &str) -> Response {
    let body = match dialect {
        Some(Dialect::Messages) => json!({"type": "error", "error": {"type": kind, "message": message}}),
        Some(Dialect::Gemini) => {
            json!({"error": {"code": status.as_u16(), "message": message, "status": gemini::word(status)}})
        }
        _ => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
    };
    (status, axum::Json(body)).into_response()
}

pub(crate) fn models(provider: &str) -> Value {
    let id = format!("{provider}-simulated");
    if provider == "anthropic" {
        return json!({"data": [{"type": "model", "id": id, "display_name": "Simulated", "created_at": "2026-01-01T00:00:00Z"}],
                      "has_more": false, "first_id": id, "last_id": id});
    }
    if provider == "gemini" {
        return json!({"models": [{"name": format!("models/{id}"), "displayName": "Simulated", "version": "1",
                                  "supportedGenerationMethods": ["generateContent"]}]});
    }
    json!({"object": "list", "data": [{"id": id, "object": "model", "created": 1_700_000_000, "owned_by": provider}]})
}

/// The text of a content that is a string or a list of parts, and how many images and files it has.
pub(crate) fn content(value: &Value) -> (String, usize, usize) {
    if let Some(text) = value.as_str() {
        return (text.to_owned(), 0, 0);
    }
    let (mut text, mut images, mut files) = (String::new(), 0, 0);
    for part in value.as_array().into_iter().flatten() {
        match part["type"].as_str().unwrap_or_default() {
            "input_image" | "image_url" | "image" => images += 1,
            "input_file" | "file" | "document" => files += 1,
            _ => text.push_str(part["text"].as_str().or_else(|| part["refusal"].as_str()).unwrap_or_default()),
        }
    }
    (text, images, files)
}
