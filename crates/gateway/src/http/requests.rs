//! `/v1/requests`: what every request of the workspace did and cost. No prompt and no answer is here, unless the
//! workspace captures them.

use super::csv;
use super::extract::Path;
use super::request_filter::Report;
use crate::app::App;
use crate::auth::{Admin, Caller};
use crate::error::{ApiError, ApiResult};
use crate::report::{captured_request_json, request_json, whole_request_json};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::LedgerEntry;

const MOST: u32 = 1_000;
const COLUMNS: [&str; 22] = [
    "id",
    "created_at",
    "key_id",
    "response_id",
    "outcome",
    "http_status",
    "error_code",
    "provider",
    "model",
    "requested_model",
    "mode",
    "task",
    "stream",
    "latency_ms",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "usage_estimated",
    "cost_nano_usd",
    "cost_usd",
];

fn whole(entry: &LedgerEntry) -> ApiResult<Json<Value>> {
    whole_request_json(entry).map(Json).map_err(|e| ApiError::internal(&e))
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// Newest first.
pub(super) async fn list_requests(
    State(app): State<Arc<App>>,
    Report { caller, query, filter, as_table }: Report<ListQuery>,
) -> ApiResult<Response> {
    let limit = match query.limit.as_deref().map(str::parse::<u32>) {
        None => 20,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => {
            let message = format!("`limit` must be a whole number from 1 to {MOST}");
            return Err(ApiError::parameter("limit", message));
        }
    };
    let after = query.after.as_deref();
    let records_wait = app.store.records_wait();
    let found = app.store.find_requests(caller.workspace_id, filter, limit + 1, after).await?;
    let mut entries = found
        .ok_or_else(|| ApiError::parameter("after", format!("there is no request `{}`", after.unwrap_or_default())))?;
    let has_more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let data: Vec<Value> = entries.iter().map(request_json).collect();
    if as_table {
        return Ok(csv::report(&COLUMNS, &data, records_wait));
    }
    let id_of = |entry: Option<&LedgerEntry>| entry.map(|entry| entry.request_id.clone());
    let list = json!({
        "object": "list",
        "first_id": id_of(entries.first()),
        "last_id": id_of(entries.last()),
        "has_more": has_more,
        "records_waiting": records_wait,
        "data": data,
    });
    Ok(Json(list).into_response())
}

pub(super) async fn get_request(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let entry = app.store.get_request(caller.workspace_id, &id).await?;
    let entry = entry.ok_or_else(|| ApiError::not_found("such request"))?;
    let capture = app.store.get_capture(caller.workspace_id, &id).await?;
    captured_request_json(&entry, capture.as_ref()).map(Json).map_err(|e| ApiError::internal(&e))
}

/// How the response came about: the request that made it. A key that manages nothing is told of its own
/// requests alone.
pub(super) async fn get_response_route(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let entry = app.store.get_request_of_response(caller.workspace_id, &id).await?;
    let entry = entry.filter(|entry| caller.may_look_at(entry.key_id));
    whole(&entry.ok_or_else(|| ApiError::not_found("such response, or it is still being made"))?)
}
