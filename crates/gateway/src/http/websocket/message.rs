//! The messages of both sides: what belongs to the WebSocket and not to the request, and events as text.

use crate::error::{ApiError, ApiResult};
use crate::pipeline::EventCodec;
use serde_json::{Value, json};
use tokenrouter_protocol::{Object, ResponseEvent};

/// Of the name of a lane, which each event bears and a connection keeps, in bytes.
const LONGEST_LANE: usize = 256;

/// Takes out what belongs to the WebSocket and not to the request: the name that the events are to bear, which is put
/// into `lane`, and whether an answer is wanted.
pub(super) fn envelope(map: &mut Object, lane: &mut Option<String>) -> ApiResult<bool> {
    match map.shift_remove("type") {
        Some(Value::String(kind)) if kind == "response.create" => {}
        Some(Value::String(kind)) => {
            let message = format!("a message's `type` must be response.create, not `{kind}`");
            return Err(ApiError::parameter("type", message));
        }
        Some(_) | None => return Err(ApiError::parameter("type", "a message must have the `type` response.create")),
    }
    *lane = match map.shift_remove("stream_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(lane)) if lane.len() > LONGEST_LANE => {
            let message = format!("`stream_id` must not be longer than {LONGEST_LANE} bytes");
            return Err(ApiError::parameter("stream_id", message));
        }
        Some(Value::String(lane)) => Some(lane),
        Some(_) => return Err(ApiError::parameter("stream_id", "`stream_id` must be a string")),
    };
    for name in ["stream", "stream_options", "background"] {
        if map.shift_remove(name).is_some_and(|value| !value.is_null()) {
            let message = format!("`{name}` is of HTTP and cannot be sent over a WebSocket, which always streams");
            return Err(ApiError::parameter(name, message));
        }
    }
    match map.shift_remove("generate") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(generate)) => Ok(generate),
        Some(_) => Err(ApiError::parameter("generate", "`generate` must be true or false")),
    }
}

pub(super) fn error_event(error: &ApiError, lane: Option<&str>) -> String {
    let mut event = json!({ "type": "error", "status": error.status(), "error": error.body() });
    if let Some(lane) = lane {
        event["stream_id"] = lane.into();
    }
    event.to_string()
}

/// A line an event: JSON has no raw line breaks.
pub(super) struct MessageCodec {
    pub lane: Option<String>,
}

impl EventCodec for MessageCodec {
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        let written = match &self.lane {
            None => serde_json::to_writer(&mut *bytes, event),
            Some(lane) => serde_json::to_value(event).and_then(|mut value| {
                value["stream_id"] = lane.as_str().into();
                serde_json::to_writer(&mut *bytes, &value)
            }),
        };
        if let Err(error) = written {
            tracing::error!(%error, "an event could not be written");
        }
        bytes.push(b'\n');
    }

    fn end(&mut self, _bytes: &mut Vec<u8>) {}

    /// A WebSocket has pings of its own.
    fn keep_alive(&self) -> &'static [u8] {
        b""
    }
}
