//! `/v1/api-keys`. The key itself is in one answer only: that of the request which made it.

use super::body::read_json;
use super::limit_fields;
use super::rule_fields::RuleFields;
use crate::app::App;
use crate::auth::Admin;
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult, Code};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_protocol::random_hex;
use tokenrouter_store::{ApiKeyRow, KeyRestrictions, NewApiKey, UsageLimits};

const DAY_MS: i64 = 86_400_000;
const MOST_DAYS: i64 = 3_650;
const MOST_PATTERNS: usize = 100;

/// A key as the API shows it.
#[must_use]
pub fn api_key_json(row: &ApiKeyRow) -> Value {
    let KeyRestrictions { scope, models, limits } = &row.restrictions;
    let mut shown = json!({
        "id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "prefix": row.prefix,
        "last4": row.last4,
        "scope": scope,
        "models": models,
        "created_at": iso8601(row.created_at_ms),
        "expires_at": row.expires_at_ms.map(iso8601),
        "revoked_at": row.revoked_at_ms.map(iso8601),
    });
    limit_fields::show(limits, &mut shown);
    shown
}

/// Oldest first, the revoked ones too.
pub(super) async fn list_api_keys(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    let keys = app.store.list_keys(caller.workspace_id).await?;
    Ok(Json(json!({ "data": keys.iter().map(api_key_json).collect::<Vec<_>>() })))
}

pub(super) async fn create_api_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Value>)> {
    let new = read_api_key(read_json(&app, &headers, body).await?, now_ms())?;
    let key = format!("tr_{}", random_hex(24));
    let row = app.store.create_api_key(caller.workspace_id, new, &key, now_ms()).await?;
    app.refresh().await;
    let mut shown = api_key_json(&row);
    shown["key"] = key.into();
    Ok((StatusCode::CREATED, Json(json!({ "data": shown }))))
}

/// Revokes a key for good. Not the one that asks: a workspace would lock itself out by one mistake.
pub(super) async fn delete_api_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Result<Path<i64>, PathRejection>,
) -> ApiResult<Json<Value>> {
    let Path(id) = id.map_err(|_| ApiError::not_found("such key"))?;
    if id == caller.key_id {
        let message = "a key cannot revoke itself: use another one, or `tokenrouter keys revoke`";
        return Err(ApiError::new(Code::Conflict, message));
    }
    if !app.store.revoke_key(caller.workspace_id, id, now_ms()).await? {
        return Err(ApiError::not_found("such key in force"));
    }
    app.refresh().await;
    Ok(Json(json!({ "success": true })))
}

/// A key to be made, out of its fields.
///
/// # Errors
/// 422 with every mistake.
pub fn read_api_key(body: Value, now_ms: i64) -> ApiResult<NewApiKey> {
    let mut fields = RuleFields::of(body)?;
    let name = fields.name();
    let name = fields.require("name", name);
    let expires_at_ms = expiry(&mut fields, now_ms);
    let models = models(&mut fields);
    let limits = limit_fields::read(&mut fields, UsageLimits::default());
    let scope = fields.word("scope", &["full", "inference"]);
    let restricted = !models.is_empty() || limits != UsageLimits::default();
    if restricted && scope.as_deref() == Some("full") {
        fields.error(
            "scope",
            "a restricted key must be of scope inference: one that manages keys could make itself free",
        );
    }
    let usual = if restricted { "inference" } else { "full" };
    let scope = scope.unwrap_or_else(|| usual.to_owned());
    fields.finish_of("an API key", &[])?;
    let name = name.ok_or_else(|| ApiError::internal(&"checked"))?;
    Ok(NewApiKey { name, expires_at_ms, restrictions: KeyRestrictions { scope, models, limits } })
}

fn expiry(fields: &mut RuleFields, now_ms: i64) -> Option<i64> {
    let at = fields.take("expires_at").filter(|value| !value.is_null());
    let days = fields.take("expires_in_days").filter(|value| !value.is_null());
    if at.is_some() && days.is_some() {
        fields.error("expires_in_days", "give `expires_at` or `expires_in_days`, not both");
        return None;
    }
    if let Some(days) = days {
        let days = days.as_i64().filter(|days| (1..=MOST_DAYS).contains(days));
        if days.is_none() {
            fields.error("expires_in_days", format!("`expires_in_days` must be a whole number from 1 to {MOST_DAYS}"));
        }
        return days.map(|days| now_ms.saturating_add(days * DAY_MS));
    }
    let at = at?;
    let moment = at.as_str().and_then(|text| crate::report::read_moment(text).ok()).filter(|at| *at > now_ms);
    if moment.is_none() {
        fields.error("expires_at", "`expires_at` must be a day or a moment in ISO 8601 that is still to come");
    }
    moment
}

fn models(fields: &mut RuleFields) -> Vec<String> {
    let given = match fields.take("models") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => vec![Value::Null],
    };
    let patterns: Option<Vec<String>> = given
        .into_iter()
        .map(|pattern| match pattern {
            Value::String(text) if (1..=256).contains(&text.len()) => Some(text),
            _ => None,
        })
        .collect();
    // An empty list would be read as no model by one and as every model by another.
    let patterns = patterns.filter(|patterns| (1..=MOST_PATTERNS).contains(&patterns.len()));
    patterns.unwrap_or_else(|| {
        let message = format!("`models` must be a list of 1 to {MOST_PATTERNS} patterns, such as openai/gpt-4o*");
        fields.error("models", message);
        Vec::new()
    })
}
