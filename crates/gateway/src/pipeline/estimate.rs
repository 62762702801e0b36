//! How long a prompt is, about: `POST /v1/responses/input_tokens`.
//!
//! An estimate, and said to be one: each provider cuts text into tokens in a way of its own, and which of
//! them would answer is not decided here. It counts all that would be sent, history included.

use super::history;
use super::plan::{BYTES_PER_TOKEN, IMAGE_TOKENS};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use serde_json::Value;
use tokenrouter_protocol::{Item, Object, OutputValue, Part, Request, TextFormat};

/// What stands around a message on its way to a model.
const TOKENS_PER_ITEM: usize = 4;

/// # Errors
/// As for the request itself, where its history is concerned.
pub(crate) async fn estimate_input_tokens(app: &App, caller: &Caller, mut request: Request) -> ApiResult<usize> {
    history::prepend_turns(app, caller, &mut request, None).await?;
    prompt_tokens(&request)
}

/// Of a request whose history is in front of it.
pub(crate) fn prompt_tokens(request: &Request) -> ApiResult<usize> {
    let mut bytes = request.instructions.as_deref().map_or(0, str::len);
    for tool in &request.tools {
        bytes += json_len(tool)?;
    }
    if let TextFormat::JsonSchema { schema, .. } = &request.text.format {
        bytes += json_len(schema)?;
    }
    for item in &request.input {
        bytes += item_bytes(item)?;
    }
    Ok(bytes.div_ceil(BYTES_PER_TOKEN) + TOKENS_PER_ITEM * request.input.len())
}

/// How long it is as JSON, which is not kept.
fn json_len(value: &impl serde::Serialize) -> ApiResult<usize> {
    struct Length(usize);
    impl std::io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|e| ApiError::internal(&e))?;
    Ok(length.0)
}

fn item_bytes(item: &Item) -> ApiResult<usize> {
    Ok(match item {
        Item::Message(message) => parts_bytes(&message.content)?,
        Item::FunctionCall(call) => call.name.len() + call.arguments.len(),
        Item::FunctionCallOutput(output) => match &output.output {
            OutputValue::Text(text) => text.len(),
            OutputValue::Parts(parts) => parts_bytes(parts)?,
        },
        Item::Reasoning(reasoning) => reasoning.summary.iter().chain(&reasoning.content).map(String::len).sum(),
        Item::Reference(_) => 0,
        Item::Other(object) => object_bytes(object),
    })
}

fn parts_bytes(parts: &[Part]) -> ApiResult<usize> {
    let mut bytes = 0;
    for part in parts {
        bytes += match part {
            Part::Text { text, .. } | Part::Refusal { text } => text.len(),
            Part::Image { .. } => BYTES_PER_TOKEN * IMAGE_TOKENS,
            // Base64, of which a good part is not text.
            Part::File { file_data, .. } => file_data.as_deref().map_or(0, str::len) / 2,
            Part::Other(object) => object_bytes(object),
        };
    }
    Ok(bytes)
}

/// Of a kind of item or part that only the provider may know: its text, and pictures as any other.
fn object_bytes(object: &Object) -> usize {
    object.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) if text.starts_with("data:image/") => BYTES_PER_TOKEN * IMAGE_TOKENS,
        Value::String(text) if text.starts_with("data:") => text.len() / 2,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        Value::Object(object) => object_bytes(object),
        Value::Null | Value::Bool(_) | Value::Number(_) => BYTES_PER_TOKEN,
    }
}
