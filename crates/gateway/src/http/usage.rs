//! `GET /v1/usage`: what the workspace's requests come to, by day, model, provider or key.

use super::csv;
use super::request_filter::Report;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::report::usage_json;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::{UsageGroup, UsageRow};

const COLUMNS: [&str; 11] = [
    "group",
    "requests",
    "answered_requests",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "cost_usd",
    "unpriced_requests",
];

#[derive(Deserialize)]
pub(super) struct UsageQuery {
    group_by: Option<String>,
}

pub(super) async fn get_usage(
    State(app): State<Arc<App>>,
    Report { caller, query, filter, as_table }: Report<UsageQuery>,
) -> ApiResult<Response> {
    let group_by = query.group_by.as_deref().unwrap_or("day");
    let group = match group_by {
        "day" => UsageGroup::Day,
        "model" => UsageGroup::Model,
        "provider" => UsageGroup::Provider,
        "key" => UsageGroup::Key,
        _ => return Err(ApiError::parameter("group_by", "`group_by` must be one of day, model, provider, key")),
    };
    let records_wait = app.store.records_wait();
    let rows = app.store.usage(caller.workspace_id, filter, group).await?;
    let data: Vec<Value> = rows.iter().map(usage_json).collect();
    if as_table {
        return Ok(csv::report(&COLUMNS, &data, records_wait));
    }
    let total = usage_json(&rows.iter().fold(UsageRow::default(), add));
    let usage = json!({
        "object": "usage",
        "group_by": group_by,
        "records_waiting": records_wait,
        "data": data,
        "total": total,
    });
    Ok(Json(usage).into_response())
}

fn add(sum: UsageRow, row: &UsageRow) -> UsageRow {
    UsageRow {
        group: None,
        requests: sum.requests.saturating_add(row.requests),
        answered_requests: sum.answered_requests.saturating_add(row.answered_requests),
        input_tokens: sum.input_tokens.saturating_add(row.input_tokens),
        cached_input_tokens: sum.cached_input_tokens.saturating_add(row.cached_input_tokens),
        cache_write_tokens: sum.cache_write_tokens.saturating_add(row.cache_write_tokens),
        output_tokens: sum.output_tokens.saturating_add(row.output_tokens),
        reasoning_tokens: sum.reasoning_tokens.saturating_add(row.reasoning_tokens),
        cost_nano_usd: sum.cost_nano_usd.saturating_add(row.cost_nano_usd),
        unpriced_requests: sum.unpriced_requests.saturating_add(row.unpriced_requests),
    }
}
