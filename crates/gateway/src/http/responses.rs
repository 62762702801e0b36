//! `/v1/responses`.

use super::body::read_json;
use super::extract::{Path, Query};
use super::idempotency::{self, Asking};
use super::in_flight::Place;
use super::page::{Page, PageQuery};
use super::replay;
use super::request_id::RequestId;
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::http::sse;
use crate::pipeline::{self, Delivery, DeliveryBody, EventCodec};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_protocol::{Request, ResponseEvent};
use tokenrouter_store::{ItemOrder, StoredResponse};

pub(super) async fn create_response(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    Extension(place): Extension<Place>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let key = idempotency::key(&headers)?;
    let body = read_json(&app, &headers, body).await?;
    let once = match key {
        Some(key) => Some((key, idempotency::fingerprint(&body)?)),
        None => None,
    };
    let request = Request::parse(body)?;
    if let Some((key, body)) = once {
        let asking = Asking { caller: &caller, request_id: &request_id.0, place };
        return idempotency::once(&app, asking, key, body, request).await;
    }
    let delivery = pipeline::run(&app, &caller, &request_id.0, request, Box::new(ResponsesCodec)).await?;
    Ok(deliver(delivery, |_, bytes| json_bytes(bytes)))
}

/// Events as they are.
pub(super) struct ResponsesCodec;

impl EventCodec for ResponsesCodec {
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        sse::write(bytes, event.kind(), event);
    }

    fn end(&mut self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// The HTTP answer: a stream as its codec wrote it, a plain response as `plain` makes it, and the headers
/// that every surface has.
pub(super) fn deliver(
    delivery: Delivery,
    plain: impl FnOnce(tokenrouter_protocol::Response, Bytes) -> Response,
) -> Response {
    let response = match delivery.body {
        DeliveryBody::Plain(response, bytes) => plain(*response, bytes),
        DeliveryBody::Stream(stream) => event_stream(Body::from_stream(*stream)),
    };
    tell_limits(tell_target(response, &delivery.provider, &delivery.model), &delivery.limits)
}

/// The headers that say what is left of the key's limits.
pub(super) fn tell_limits(mut response: Response, limits: &[(&'static str, String)]) -> Response {
    for (name, value) in limits {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

/// The headers that say who answered.
pub(super) fn tell_target(mut response: Response, provider: &str, model: &str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [("x-tokenrouter-provider", provider), ("x-tokenrouter-model", model)] {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    response
}

pub(super) fn json_bytes(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

pub(super) fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}

pub(super) async fn find(app: &App, caller: &Caller, id: &str) -> ApiResult<StoredResponse> {
    app.store
        .get_response(caller.workspace_id, id)
        .await?
        .ok_or_else(|| ApiError::not_found("such response, or it was not stored"))
}

#[derive(Deserialize)]
pub(super) struct RetrieveQuery {
    stream: Option<String>,
    starting_after: Option<String>,
}

pub(super) async fn get_response(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<RetrieveQuery>,
) -> ApiResult<Response> {
    let stored = find(&app, &caller, &id).await?;
    if query.stream.as_deref() != Some("true") {
        return Ok(json_bytes(stored.body));
    }
    let after = match query.starting_after.as_deref().map(str::parse::<usize>) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => {
            return Err(ApiError::parameter("starting_after", "`starting_after` must be the number of an event"));
        }
    };
    if let Some(job) = app.background.find(caller.workspace_id, &id) {
        let events = job.stream(after.map_or(0, |number| number.saturating_add(1)));
        let events = events.kept_alive(app.heartbeat, ResponsesCodec.keep_alive());
        return Ok(event_stream(Body::from_stream(events)));
    }
    if after.is_some() {
        let message = "the events of this response are not kept any more: take it whole, without `starting_after`";
        return Err(ApiError::parameter("starting_after", message));
    }
    replayed(&stored)
}

/// Gives a stored response again, plain or as events; no provider is called.
pub(super) async fn replay_response(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let stream = match read_json(&app, &headers, body).await {
        Ok(Value::Object(object)) => match object.get("stream") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(stream)) => *stream,
            Some(_) => return Err(ApiError::parameter("stream", "`stream` must be a boolean")),
        },
        Ok(_) => return Err(ApiError::parameter("", "the body must be a JSON object")),
        // No body at all asks for the plain response.
        Err(error) if error.message.starts_with("the body is empty") => false,
        Err(error) => return Err(error),
    };
    let stored = find(&app, &caller, &id).await?;
    if stream { replayed(&stored) } else { Ok(json_bytes(stored.body)) }
}

pub(super) fn replayed(stored: &StoredResponse) -> ApiResult<Response> {
    let response: Value = serde_json::from_slice(&stored.body).map_err(|e| ApiError::internal(&e))?;
    Ok(event_stream(Body::from(replay::events(response))))
}

pub(super) async fn delete_response(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    // What is still being made must not come back after it was deleted.
    app.background.cancel(caller.workspace_id, &id).await;
    if !app.store.delete_response(caller.workspace_id, &id).await? {
        return Err(ApiError::not_found("such response, or it was not stored"));
    }
    Ok(Json(json!({ "id": id, "object": "response", "deleted": true })))
}

/// Stops a response that runs in the background. Of one that has ended it gives the end, so that it can
/// be asked again.
pub(super) async fn cancel_response(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let stored = find(&app, &caller, &id).await?;
    let body: Value = serde_json::from_slice(&stored.body).map_err(|e| ApiError::internal(&e))?;
    if body["background"] != true {
        return Err(ApiError::parameter("id", "only a response that runs in the background can be cancelled"));
    }
    app.background.cancel(caller.workspace_id, &id).await;
    Ok(json_bytes(find(&app, &caller, &id).await?.body))
}

/// The input items of a response, newest first unless `order=asc`, as in the OpenAI API.
pub(super) async fn list_input_items(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Value>> {
    let page = Page::of(query)?;
    let stored = find(&app, &caller, &id).await?;
    let mut items: Vec<Value> = serde_json::from_slice(&stored.input).map_err(|e| ApiError::internal(&e))?;
    if page.order == ItemOrder::NewestFirst {
        items.reverse();
    }
    if let Some(after) = &page.after {
        let at = items.iter().position(|item| item["id"] == after.as_str()).ok_or_else(|| page.no_such_item())?;
        items.drain(..=at);
    }
    Ok(Json(page.list(items)))
}
