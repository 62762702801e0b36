//! What went wrong, in the shape and with the words of Anthropic's API; our own fields stand beside.

use crate::error::ApiError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokenrouter_protocol::ErrorBody;

/// Whether errors on this path are told in Anthropic's shape.
pub(crate) fn is_here(path: &str) -> bool {
    path == "/v1/messages" || path.starts_with("/v1/messages/")
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
