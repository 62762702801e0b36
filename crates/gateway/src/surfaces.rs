//! The surfaces beside Responses as what they are, codecs, and nothing of the pipeline between their ends, and the reading
//! of a caller's key: for the fuzz targets.

use crate::auth;
use crate::http::{chat_completions, messages};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use tokenrouter_protocol::{FieldError, Request, Response, ResponseEvent};

/// The API key that these headers hold, if they are headers and hold one.
#[must_use]
pub fn presented_key(authorization: &[u8], x_api_key: &[u8]) -> Option<String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(authorization).ok()?);
    headers.insert("x-api-key", HeaderValue::from_bytes(x_api_key).ok()?);
    auth::presented_key(&headers).ok().map(str::to_owned)
}

/// What is sent to the caller: as a plain answer, and as a stream.
#[derive(Debug)]
pub struct Written {
    pub plain: Value,
    pub stream: Vec<u8>,
}

/// A surface's two ends.
#[derive(Clone, Copy, Debug)]
pub enum Surface {
    ChatCompletions,
    Messages,
}

impl Surface {
    pub const ALL: [Self; 2] = [Self::ChatCompletions, Self::Messages];

    /// # Errors
    /// Names the first field that is missing, wrong or not supported.
    pub fn read(self, body: Value) -> Result<Request, FieldError> {
        match self {
            Self::ChatCompletions => chat_completions::read(body),
            Self::Messages => messages::read(body),
        }
    }

    /// A response and the events that it came to, in this surface's words.
    #[must_use]
    pub fn write(self, response: &Response, events: &[ResponseEvent]) -> Written {
        match self {
            Self::ChatCompletions => chat_completions::write(response, events),
            Self::Messages => messages::write(response, events),
        }
    }
}
