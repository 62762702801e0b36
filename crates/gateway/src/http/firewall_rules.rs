//! `/v1/firewall-rules`.

use super::body::read_json;
use super::rule_fields::{RuleFields, rule_id};
use crate::app::App;
use crate::auth::{Admin, Caller};
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokenrouter_firewall::{Action, EngineKind, PatternKind, RuleSpec, Scope, check_pattern, try_rule};
use tokenrouter_store::{FirewallRulePatch, FirewallRuleRow, NewFirewallRule};

type Rejected = Result<Path<i64>, PathRejection>;

/// A rule as the API shows it.
#[must_use]
pub fn firewall_rule_json(row: &FirewallRuleRow, engine: Option<EngineKind>) -> Value {
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
        "normalize": row.normalize,
        "engine": engine.map(EngineKind::as_str),
        "hits": row.hits,
        "last_hit_at": row.last_hit_at_ms.map(iso8601),
        "created_at": iso8601(row.created_at_ms),
        "updated_at": iso8601(row.updated_at_ms),
    })
}

pub(super) async fn list_firewall_rules(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    let rules = app.store.list_firewall_rules(caller.workspace_id).await?;
    let data: Vec<Value> = rules.iter().map(|row| firewall_rule_json(row, engine_of(&caller, row))).collect();
    Ok(Json(json!({ "data": data })))
}

/// The engine that runs the rule, or would if it were enabled.
fn engine_of(caller: &Caller, row: &FirewallRuleRow) -> Option<EngineKind> {
    caller.rules.firewall.engine(row.id).or_else(|| {
        let kind = PatternKind::parse(&row.kind)?;
        check_pattern(kind, &row.pattern).ok().map(|info| info.engine)
    })
}

/// What a draft rule would do to a text. Nothing is kept of either.
pub(super) async fn test_firewall_rule(
    State(app): State<Arc<App>>,
    _: Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let text = fields.string("text");
    let text = fields.require("text", text);
    let patch = patch(&mut fields);
    check(&mut fields, patch.kind.as_deref(), patch.pattern.as_deref());
    let kind = fields.require("type", patch.kind);
    let pattern = fields.require("pattern", patch.pattern);
    fields.finish()?;
    let kind = kind.as_deref().and_then(PatternKind::parse);
    let (Some(text), Some(kind), Some(pattern)) = (text, kind, pattern) else {
        return Err(ApiError::internal(&"checked"));
    };
    let spec = RuleSpec {
        id: 0,
        name: patch.name.unwrap_or_default(),
        priority: 0,
        is_enabled: true,
        scope: patch.scope.as_deref().and_then(Scope::parse).unwrap_or(Scope::Prompt),
        kind,
        pattern,
        action: patch.action.as_deref().and_then(Action::parse).unwrap_or(Action::Warn),
        replacement: patch.replacement.flatten(),
        normalize: patch.normalize.unwrap_or(false),
    };
    let began = Instant::now();
    let trial = try_rule(&spec, &text).map_err(|e| ApiError::validation(vec![("pattern".into(), e.to_string())]))?;
    let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    // Places in characters, as people and most languages count.
    let chars = |at: usize| text.get(..at).map_or(0, |before| before.chars().count());
    let places = trial.places.iter().map(|p| json!({ "start": chars(p.start), "end": chars(p.end) }));
    Ok(Json(json!({ "data": {
        "matches": places.collect::<Vec<_>>(),
        "blocked": trial.text.is_none(),
        "text": trial.text,
        "exhausted": trial.exhausted,
        "engine": trial.info.engine.as_str(),
        "engine_reason": trial.info.reason,
        "duration_us": duration_us,
    } })))
}

pub(super) async fn create_firewall_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Value>)> {
    let new = read_firewall_rule(read_json(&app, &headers, body).await?)?;
    let row = app.store.create_firewall_rule(caller.workspace_id, caller.user_id, new, now_ms()).await?;
    app.refresh().await;
    let engine = engine_of(&caller, &row);
    Ok((StatusCode::CREATED, Json(json!({ "data": firewall_rule_json(&row, engine) }))))
}

/// A rule to be made, out of its fields.
///
/// # Errors
/// 422 with every mistake.
pub fn read_firewall_rule(body: Value) -> ApiResult<NewFirewallRule> {
    let mut fields = RuleFields::of(body)?;
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
    Ok(NewFirewallRule {
        name,
        priority: patch.priority.unwrap_or(0),
        is_enabled: patch.is_enabled.unwrap_or(true),
        scope,
        kind,
        pattern,
        action,
        replacement: patch.replacement.flatten(),
        normalize: patch.normalize.unwrap_or(false),
    })
}

pub(super) async fn get_firewall_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    let row = app.store.get_firewall_rule(caller.workspace_id, rule_id(id)?).await?;
    row.map(|row| Json(json!({ "data": firewall_rule_json(&row, engine_of(&caller, &row)) })))
        .ok_or_else(|| ApiError::not_found("such rule"))
}

pub(super) async fn update_firewall_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let id = rule_id(id)?;
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let before = app.store.get_firewall_rule(caller.workspace_id, id).await?;
    let before = before.ok_or_else(|| ApiError::not_found("such rule"))?;
    let mut patch = patch(&mut fields);
    // The pattern is checked as the kind that the rule will have, and both are written: of two changes at
    // once, one of the kind and one of the pattern, neither makes a rule that nobody has checked.
    let kind = patch.kind.clone().unwrap_or(before.kind);
    let pattern = patch.pattern.clone().unwrap_or(before.pattern);
    let engine = check(&mut fields, Some(&kind), Some(&pattern));
    if patch.kind.is_some() || patch.pattern.is_some() {
        (patch.kind, patch.pattern) = (Some(kind), Some(pattern));
    }
    fields.finish()?;
    let row = app.store.update_firewall_rule(caller.workspace_id, id, patch, now_ms()).await?;
    let row = row.ok_or_else(|| ApiError::not_found("such rule"))?;
    app.refresh().await;
    Ok(Json(json!({ "data": firewall_rule_json(&row, engine) })))
}

pub(super) async fn delete_firewall_rule(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    id: Rejected,
) -> ApiResult<Json<Value>> {
    if !app.store.delete_firewall_rule(caller.workspace_id, rule_id(id)?).await? {
        return Err(ApiError::not_found("such rule"));
    }
    app.refresh().await;
    Ok(Json(json!({ "success": true })))
}

fn patch(fields: &mut RuleFields) -> FirewallRulePatch {
    FirewallRulePatch {
        name: fields.name(),
        priority: fields.priority(),
        is_enabled: fields.is_enabled(),
        scope: fields.word("scope", &["prompt", "response"]),
        kind: fields.word("type", &["substring", "regex", "detector"]),
        pattern: fields.string("pattern"),
        action: fields.word("action", &["block", "mask", "warn", "shadow"]),
        replacement: replacement(fields),
        normalize: fields.boolean("normalize"),
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

fn check(fields: &mut RuleFields, kind: Option<&str>, pattern: Option<&str>) -> Option<EngineKind> {
    match check_pattern(kind.and_then(PatternKind::parse)?, pattern?) {
        Ok(info) => Some(info.engine),
        Err(error) => {
            fields.error("pattern", error.to_string());
            None
        }
    }
}
