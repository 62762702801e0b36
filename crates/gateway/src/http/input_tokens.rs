//! `POST /v1/responses/input_tokens`.

use super::body::read_json;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::pipeline;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_protocol::Request;

pub(super) async fn count_input_tokens(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut body = read_json(&app, &headers, body).await?;
    // Unlike a response, a count needs no input where there is something else to count.
    if let Value::Object(map) = &mut body
        && map.get("input").is_none_or(Value::is_null)
        && ["instructions", "tools", "previous_response_id", "conversation"].iter().any(|name| map.contains_key(*name))
    {
        map.insert("input".to_owned(), json!(""));
    }
    let tokens = pipeline::estimate_input_tokens(&app, &caller, Request::parse(body)?).await?;
    Ok(Json(json!({ "object": "response.input_tokens", "input_tokens": tokens })))
}
