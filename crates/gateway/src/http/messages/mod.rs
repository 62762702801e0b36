//! `/v1/messages`: Anthropic's Messages, whichever provider answers.
//!
//! A codec at the two ends of the pipeline: [`request`] and [`content`] read, [`response`] and
//! [`stream`] write, [`error`] says what went wrong in Anthropic's words.

mod content;
pub(crate) mod error;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use super::body::read_json;
use super::request_id::RequestId;
use super::responses::deliver;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::pipeline::{self, EventCodec};
use crate::surfaces::Written;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use tokenrouter_protocol::{FieldError, Request, ResponseEvent};

pub(super) async fn create_message(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = answer(&app, &caller, &request_id, &headers, body).await;
    answered.unwrap_or_else(|error| error::response(&error, &request_id.0))
}

async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    request_id: &RequestId,
    headers: &HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let body = read_json(app, headers, body).await?;
    let (request, places) = request::parse(body, request::betas(headers))?;
    let codec = Box::new(stream::MessagesCodec::new(places.clone()));
    let delivery =
        pipeline::run(app, caller, &request_id.0, request, codec).await.map_err(|error| places.in_error(error))?;
    Ok(deliver(delivery, |response, _| Json(response::message(&response, &places)).into_response()))
}

/// # Errors
/// As for a request.
pub(crate) fn read(body: Value) -> Result<Request, FieldError> {
    request::parse(body, Vec::new()).map(|(request, _)| request)
}

/// Of a request whose items have no places to name.
pub(crate) fn write(response: &tokenrouter_protocol::Response, events: &[ResponseEvent]) -> Written {
    let places = content::Places::default();
    let mut codec = stream::MessagesCodec::new(places.clone());
    let mut stream = Vec::new();
    events.iter().for_each(|event| codec.event(event, &mut stream));
    codec.end(&mut stream);
    Written { plain: serde_json::json!(response::message(response, &places)), stream }
}

/// An estimate: only the provider that will answer could count, and it is not chosen yet.
pub(super) async fn count_message_tokens(
    State(app): State<Arc<App>>,
    _: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let body = read_json(&app, &headers, body).await?;
    let request = request::parse_prompt(body)?;
    Ok(Json(serde_json::json!({ "input_tokens": pipeline::prompt_tokens(&request)?, "estimated": true })))
}
