//! `POST /v1/chat/completions`: Chat Completions at the two ends of the one pipeline.
//!
//! `request` reads a chat as our request (`messages` and `tools` its two large fields), `response`
//! writes a plain answer, `stream` the chunks of a streamed one. What a chat can say and our form
//! cannot is refused by its name, or carried to the providers that know it; what comes back beside
//! OpenAI's fields is `metadata` and `tokenrouter`, as on `/v1/responses`. `choices` has several of them for one request.

mod choices;
mod messages;
mod request;
mod response;
mod stream;
mod tools;

use super::body::read_json_of;
use super::in_flight::Place;
use super::request_id::RequestId;
use super::responses::{deliver, json_bytes};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::pipeline::{self, EventCodec};
use crate::surfaces::Written;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use tokenrouter_protocol::{FieldError, Request, ResponseEvent};

/// How the caller wants to be answered.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// It asked with `functions`, from before there were tools, and reads `function_call`.
    functions: bool,
    /// It wants a last chunk with the usage.
    include_usage: bool,
    /// How many answers it wants.
    choices: u32,
}

pub(super) async fn create_chat_completion(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    Extension(place): Extension<Place>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let (body, length) = read_json_of(&app, &headers, body).await?;
    let (request, shape) = request::parse(body)?;
    if shape.choices > 1 {
        choices::check(&app, &caller, shape, length)?;
        return choices::answer(&app, &caller, (request_id.0, place), request, shape).await;
    }
    let codec = Box::new(stream::ChunkCodec::new(shape, 0, None));
    let delivery = pipeline::run(&app, &caller, &request_id.0, request, codec).await?;
    Ok(deliver(delivery, |response, _| completion(&[response], shape)))
}

/// # Errors
/// As for a request.
pub(crate) fn read(body: Value) -> Result<Request, FieldError> {
    request::parse(body).map(|(request, _)| request)
}

/// One choice, with what was used.
pub(crate) fn write(response: &tokenrouter_protocol::Response, events: &[ResponseEvent]) -> Written {
    let shape = Shape { functions: false, include_usage: true, choices: 1 };
    let mut codec = stream::ChunkCodec::new(shape, 0, None);
    let mut stream = Vec::new();
    events.iter().for_each(|event| codec.event(event, &mut stream));
    codec.end(&mut stream);
    Written { plain: response::completion(std::slice::from_ref(response), shape), stream }
}

fn completion(responses: &[tokenrouter_protocol::Response], shape: Shape) -> Response {
    match serde_json::to_vec(&response::completion(responses, shape)) {
        Ok(bytes) => json_bytes(bytes.into()),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}
