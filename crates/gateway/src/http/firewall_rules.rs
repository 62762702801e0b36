//! `/v1/firewall-rules`.

use super::body::read_json;
use super::rule_fields::{RuleFields, rule_id};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_firewall::{PatternKind, check_pattern};
use tokenrouter_store::{FirewallRulePatch, FirewallRuleRow, NewFirewallRule};

type Rejected = Result<Path<i64>, PathRejection>;

fn out(row: &FirewallRuleRow) -> Value {
    json!({
        "id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "priority": row.priority,
        "is_enabled": row.is_enabled,
        "scope": row.scope,
        "type": row.kind,
        "pattern": row.pattern,
        "action": row.action,
        "replacement": row.replacement,
        "created_at": iso8601(row.created_at_ms),
        "updated_at": iso8601(row.updated_at_ms),
    })
}

pub(super) async fn list_firewall_rules(State(app): State<Arc<App>>, caller: Caller) -> ApiResult<Json<Value>> {
    let rules = app.store.list_firewall_rules(caller.workspace_id).await?;
    Ok(Json(json!({ "data": rules.iter().map(out).collect::<Vec<_>>() })))
}

pub(super) async fn create_firewall_rule(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Value>)> {
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let patch = patch(&mut fields);
    check(&mut fields, patch.kind.as_deref(), patch.pattern.as_deref());
    let name = fields.require("name", patch.name);
    let scope = fields.require("scope", patch.scope);
    let kind = fields.require("type", patch.kind);
    let pattern = fields.require("pattern", patch.pattern);
    let action = fields.require("action", patch.action);
    fields.finish()?;
    let (Some(name), Some(scope), Some(kind), Some(pattern), Some(action)) = (name, scope, kind, pattern, action)
    else {
        return Err(ApiError::internal(&"checked"));
    };
    let new = NewFirewallRule {
        name,
        priority: patch.priority.unwrap_or(0),
        is_enabled: patch.is_enabled.unwrap_or(true),
        scope,
        kind,
        pattern,
        action,
        replacement: patch.replacement.flatten(),
    };
    let row = app.store.create_firewall_rule(caller.workspace_id, caller.user_id, new, now_ms()).await?;
    app.refresh().await?;
    Ok((StatusCode::CREATED, Json(json!({ "data": out(&row) }))))
}

pub(super) async fn get_firewall_rule(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    let row = app.store.get_firewall_rule(caller.workspace_id, rule_id(id)?).await?;
    row.map(|row| Json(json!({ "data": out(&row) }))).ok_or_else(|| ApiError::not_found("such rule"))
}

pub(super) async fn update_firewall_rule(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Rejected,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let id = rule_id(id)?;
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let before = app.store.get_firewall_rule(caller.workspace_id, id).await?;
    let before = before.ok_or_else(|| ApiError::not_found("such rule"))?;
    let patch = patch(&mut fields);
    // The pattern is checked as the kind that the rule will have.
    let kind = patch.kind.as_deref().unwrap_or(&before.kind);
    let pattern = patch.pattern.as_deref().unwrap_or(&before.pattern);
    check(&mut fields, Some(kind), Some(pattern));
    fields.finish()?;
    let row = app.store.update_firewall_rule(caller.workspace_id, id, patch, now_ms()).await?;
    let row = row.ok_or_else(|| ApiError::not_found("such rule"))?;
    app.refresh().await?;
    Ok(Json(json!({ "data": out(&row) })))
}

pub(super) async fn delete_firewall_rule(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    if !app.store.delete_firewall_rule(caller.workspace_id, rule_id(id)?).await? {
        return Err(ApiError::not_found("such rule"));
    }
    app.refresh().await?;
    Ok(Json(json!({ "success": true })))
}

fn patch(fields: &mut RuleFields) -> FirewallRulePatch {
    FirewallRulePatch {
        name: fields.name(),
        priority: fields.priority(),
        is_enabled: fields.is_enabled(),
        scope: fields.word("scope", &["prompt", "response"]),
        kind: fields.word("type", &["substring", "regex"]),
        pattern: fields.string("pattern"),
        action: fields.word("action", &["block", "mask", "warn"]),
        replacement: replacement(fields),
    }
}

const MAX_REPLACEMENT_CHARS: usize = 1_024;

fn replacement(fields: &mut RuleFields) -> Option<Option<String>> {
    match fields.take("replacement")? {
        Value::Null => Some(None),
        Value::String(text) if text.chars().count() <= MAX_REPLACEMENT_CHARS => Some(Some(text)),
        _ => {
            fields.error(
                "replacement",
                format!("`replacement` must be a string of at most {MAX_REPLACEMENT_CHARS} characters"),
            );
            None
        }
    }
}

fn check(fields: &mut RuleFields, kind: Option<&str>, pattern: Option<&str>) {
    let (Some(kind), Some(pattern)) = (kind.and_then(PatternKind::parse), pattern) else { return };
    if let Err(error) = check_pattern(kind, pattern) {
        fields.error("pattern", error.to_string());
    }
}
