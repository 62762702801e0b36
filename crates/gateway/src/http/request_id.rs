//! Gives every request an id, and every answer, errors included, the id of its request.

use super::messages;
use crate::clock::now_ms;
use crate::error::ApiError;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use tokenrouter_protocol::new_ordered_id;

#[derive(Clone)]
pub(crate) struct RequestId(pub String);

pub(crate) async fn assign(mut request: Request, next: Next) -> Response {
    let id = new_ordered_id("req", now_ms());
    request.extensions_mut().insert(RequestId(id.clone()));
    let anthropic = messages::error::is_here(request.uri().path(), request.headers());
    let mut response = next.run(request).await;
    if anthropic {
        messages::error::name_request(&mut response, &id);
    }
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        if anthropic {
            return messages::error::response(&error, &id);
        }
        return error.with_request_id(&id).into_response();
    }
    // An error of one of several answers has that one's.
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().entry("x-request-id").or_insert(value);
    }
    response
}
