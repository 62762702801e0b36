//! `/v1/requests`: what every request of the workspace did and cost. No prompt and no answer is here.

use super::csv;
use super::request_filter::FilterQuery;
use crate::app::App;
use crate::auth::Caller;
use crate::clock::iso8601;
use crate::error::{ApiError, ApiResult};
use crate::pipeline::usd;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::LedgerEntry;

const MOST: u32 = 1_000;
const COLUMNS: [&str; 21] = [
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
    "cost_nano_usd",
    "cost_usd",
];

fn out(entry: &LedgerEntry) -> Value {
    json!({
        "id": entry.request_id,
        "object": "request",
        "created_at": iso8601(entry.created_at_ms),
        "key_id": entry.key_id,
        "response_id": entry.response_id,
        "outcome": entry.outcome,
        "http_status": entry.http_status,
        "error_code": entry.error_code,
        "provider": entry.provider,
        "model": entry.model,
        "requested_model": entry.requested_model,
        "mode": entry.mode,
        "task": entry.task,
        "stream": entry.stream,
        "latency_ms": entry.latency_ms,
        "input_tokens": entry.input_tokens,
        "cached_input_tokens": entry.cached_input_tokens,
        "cache_write_tokens": entry.cache_write_tokens,
        "output_tokens": entry.output_tokens,
        "reasoning_tokens": entry.reasoning_tokens,
        "cost_nano_usd": entry.cost_nano_usd,
        "cost_usd": entry.cost_nano_usd.and_then(|cost| u64::try_from(cost).ok()).map(usd),
    })
}

/// With the decision: attempts, warnings, rules, firewall hits, and the price.
fn whole(entry: &LedgerEntry) -> ApiResult<Json<Value>> {
    let mut request = out(entry);
    request["decision"] = serde_json::from_str(&entry.decision_json).map_err(|e| ApiError::internal(&e))?;
    Ok(Json(request))
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
    format: Option<String>,
}

/// Newest first.
pub(super) async fn list_requests(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    Query(filter): Query<FilterQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let as_table = csv::is_wanted(query.format.as_deref(), &headers)?;
    let limit = match query.limit.as_deref().map(str::parse::<u32>) {
        None => 20,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => {
            let message = format!("`limit` must be a whole number from 1 to {MOST}");
            return Err(ApiError::parameter("limit", message));
        }
    };
    let after = query.after.as_deref();
    let found = app.store.find_requests(caller.workspace_id, filter.filter()?, limit + 1, after).await?;
    let mut entries = found
        .ok_or_else(|| ApiError::parameter("after", format!("there is no request `{}`", after.unwrap_or_default())))?;
    let has_more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let data: Vec<Value> = entries.iter().map(out).collect();
    if as_table {
        return Ok(csv::table(&COLUMNS, &data));
    }
    let id_of = |entry: Option<&LedgerEntry>| entry.map(|entry| entry.request_id.clone());
    let list = json!({
        "object": "list",
        "first_id": id_of(entries.first()),
        "last_id": id_of(entries.last()),
        "has_more": has_more,
        "data": data,
    });
    Ok(Json(list).into_response())
}

pub(super) async fn get_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let entry = app.store.get_request(caller.workspace_id, &id).await?;
    whole(&entry.ok_or_else(|| ApiError::not_found("such request"))?)
}

/// How the response came about: the request that made it.
pub(super) async fn get_response_route(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let entry = app.store.get_request_of_response(caller.workspace_id, &id).await?;
    whole(&entry.ok_or_else(|| ApiError::not_found("such response, or it is still being made"))?)
}
