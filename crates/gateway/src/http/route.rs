//! `POST /v1/route`: the decision without the call.

use super::body::read_json;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::pipeline;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use std::sync::Arc;
use tokenrouter_protocol::{Object, Request};

pub(super) async fn route_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Object>> {
    let request = Request::parse(read_json(&app, &headers, body).await?)?;
    pipeline::explain(&app, &caller, request).await.map(Json)
}
