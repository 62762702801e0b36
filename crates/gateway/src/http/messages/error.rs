//! What went wrong, in the shape and with the words of Anthropic's API; our own fields stand beside.

use crate::error::ApiError;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokenrouter_protocol::ErrorBody;

/// Whether errors of this request are told in Anthropic's shape: on its own paths, and on those of the models to its
/// clients.
pub(crate) fn is_here(path: &str, headers: &HeaderMap) -> bool {
    let within = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    within("/v1/messages") || within("/v1/models") && is_of_anthropics_client(headers)
}

/// Anthropic's API asks every caller for this header; OpenAI's clients do not send it.
pub(crate) fn is_of_anthropics_client(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// Anthropic's word for a status. Those it does not have are told by the nearest that clients act on
/// alike.
fn word(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The body, which is also the data of an `error` event.
pub(super) fn body(error: &ErrorBody) -> Value {
    let mut inner = json!(error);
    inner["type"] = word(error.http_status).into();
    json!({ "type": "error", "error": inner, "request_id": error.request_id })
}

pub(crate) fn response(error: &ApiError, request_id: &str) -> Response {
    let error = error.clone().with_request_id(request_id);
    let body = axum::Json(body(&error.body()));
    let mut response = error.into_response();
    let status: StatusCode = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut answer = (status, body).into_response();
    for name in ["x-request-id", "retry-after", "www-authenticate"] {
        if let Some(value) = headers.get(name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    name_request(&mut answer, request_id);
    answer
}

/// Anthropic's clients read the request's id from a header of this name.
pub(crate) fn name_request(response: &mut Response, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("request-id", value);
    }
}
