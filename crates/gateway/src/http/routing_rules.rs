//! `/v1/routing-rules`.

use super::body::read_json;
use super::rule_fields::{RuleFields, rule_id};
use crate::app::App;
use crate::auth::Admin;
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_routing::{FieldError, validate_action, validate_match};
use tokenrouter_store::{NewRoutingRule, RoutingRulePatch, RoutingRuleRow};

type Rejected = Result<Path<i64>, PathRejection>;

/// A rule as the API shows it.
#[must_use]
pub fn routing_rule_json(row: &RoutingRuleRow) -> Value {
    json!({
        "id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "priority": row.priority,
        "is_enabled": row.is_enabled,
        "match_json": row.match_json,
        "action_json": row.action_json,
        "created_at": iso8601(row.created_at_ms),
        "updated_at": iso8601(row.updated_at_ms),
    })
}

pub(super) async fn list_routing_rules(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    let rules = app.store.list_routing_rules(caller.workspace_id).await?;
    Ok(Json(json!({ "data": rules.iter().map(routing_rule_json).collect::<Vec<_>>() })))
}

pub(super) async fn create_routing_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Value>)> {
    let new = read_routing_rule(read_json(&app, &headers, body).await?)?;
    let row = app.store.create_routing_rule(caller.workspace_id, caller.user_id, new, now_ms()).await?;
    app.refresh().await;
    Ok((StatusCode::CREATED, Json(json!({ "data": routing_rule_json(&row) }))))
}

/// A rule to be made, out of its fields.
///
/// # Errors
/// 422 with every mistake.
pub fn read_routing_rule(body: Value) -> ApiResult<NewRoutingRule> {
    let mut fields = RuleFields::of(body)?;
    let patch = patch(&mut fields);
    let name = fields.require("name", patch.name);
    let match_json = patch.match_json.unwrap_or_else(|| json!({}));
    let action_json = fields.require("action_json", patch.action_json);
    fields.finish()?;
    let (Some(name), Some(action_json)) = (name, action_json) else { return Err(ApiError::internal(&"checked")) };
    Ok(NewRoutingRule {
        name,
        priority: patch.priority.unwrap_or(0),
        is_enabled: patch.is_enabled.unwrap_or(true),
        match_json,
        action_json,
    })
}

pub(super) async fn get_routing_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    let row = app.store.get_routing_rule(caller.workspace_id, rule_id(id)?).await?;
    row.map(|row| Json(json!({ "data": routing_rule_json(&row) }))).ok_or_else(|| ApiError::not_found("such rule"))
}

pub(super) async fn update_routing_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let id = rule_id(id)?;
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    if app.store.get_routing_rule(caller.workspace_id, id).await?.is_none() {
        return Err(ApiError::not_found("such rule"));
    }
    let patch = patch(&mut fields);
    fields.finish()?;
    let row = app.store.update_routing_rule(caller.workspace_id, id, patch, now_ms()).await?;
    let row = row.ok_or_else(|| ApiError::not_found("such rule"))?;
    app.refresh().await;
    Ok(Json(json!({ "data": routing_rule_json(&row) })))
}

pub(super) async fn delete_routing_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    if !app.store.delete_routing_rule(caller.workspace_id, rule_id(id)?).await? {
        return Err(ApiError::not_found("such rule"));
    }
    app.refresh().await;
    Ok(Json(json!({ "success": true })))
}

fn patch(fields: &mut RuleFields) -> RoutingRulePatch {
    RoutingRulePatch {
        name: fields.name(),
        priority: fields.priority(),
        is_enabled: fields.is_enabled(),
        match_json: checked(fields, "match_json", |value| validate_match(value).err()),
        action_json: checked(fields, "action_json", |value| validate_action(value).err()),
    }
}

/// An object, or a string that holds one; kept as an object.
fn checked(fields: &mut RuleFields, field: &str, errors: impl Fn(&Value) -> Option<Vec<FieldError>>) -> Option<Value> {
    let value = fields.take(field)?;
    if let Some(found) = errors(&value) {
        fields.errors.extend(found.into_iter().map(|error| (error.field, error.message)));
        return None;
    }
    match value {
        Value::String(text) => serde_json::from_str(&text).ok(),
        value => Some(value),
    }
}
