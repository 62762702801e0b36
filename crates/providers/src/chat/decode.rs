//! A plain chat completion as our events: one chunk that holds everything.

use super::stream::Stream;
use crate::{DecodeError, Translation};
use serde_json::{Value, json};
use tokenrouter_protocol::ModelEvent;

pub(crate) fn decode(body: &str, translation: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
    const WHAT: &str = "not a chat completion";
    let mut completion: Value = serde_json::from_str(body).map_err(|e| DecodeError::of(&e, WHAT))?;
    if !completion.is_object()
        || completion["choices"].as_array().is_none_or(Vec::is_empty) && !completion["error"].is_object()
    {
        return Err(DecodeError::Shape(WHAT));
    }
    if let Some(choices) = completion["choices"].as_array_mut() {
        for choice in choices {
            let mut message = choice["message"].take();
            // In a message the calls have no index.
            for (i, call) in message["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
                call["index"] = json!(i);
            }
            choice["delta"] = message;
            if choice["finish_reason"].is_null() {
                choice["finish_reason"] = "stop".into();
            }
        }
    }
    let mut stream = Stream::default();
    stream.chunk(&completion, translation, out);
    stream.end(translation, out)
}
