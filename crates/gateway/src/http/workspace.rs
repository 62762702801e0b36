//! `/v1/workspace`: the workspace of the key that asks, what all of its keys may do together, what they have used of
//! it, and how sure of a task its rules want to be.

use super::body::read_json;
use super::limit_fields;
use super::rule_fields::RuleFields;
use crate::app::App;
use crate::auth::Admin;
use crate::clock::iso8601;
use crate::error::{ApiError, ApiResult};
use crate::limits::Holder;
use crate::pipeline::usd;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::{WorkspaceRow, WorkspaceSettings};

/// A workspace as the API and the command line show it.
#[must_use]
pub fn workspace_json(row: &WorkspaceRow) -> Value {
    let mut shown = json!({ "id": row.id, "name": row.name, "created_at": iso8601(row.created_at_ms) });
    limit_fields::show(&row.settings.limits, &mut shown);
    shown["task_confidence_percent"] = row.settings.task_confidence_percent.into();
    shown
}

/// What a workspace sets for itself: what it was before, changed by the fields of a body.
///
/// # Errors
/// 422 with every mistake.
pub fn read_workspace_settings(body: Value, before: WorkspaceSettings) -> ApiResult<WorkspaceSettings> {
    const CARRIED: [&str; 4] = ["id", "name", "created_at", "this_month"];
    let mut fields = RuleFields::of(body)?;
    let limits = limit_fields::read(&mut fields, before.limits);
    let task_confidence_percent = percent(&mut fields, "task_confidence_percent", before.task_confidence_percent);
    fields.finish_of("a workspace's settings", &CARRIED)?;
    Ok(WorkspaceSettings { limits, task_confidence_percent })
}

fn percent(fields: &mut RuleFields, field: &str, before: Option<u8>) -> Option<u8> {
    let Some(value) = fields.take(field) else { return before };
    if value.is_null() {
        return None;
    }
    let percent = value.as_u64().and_then(|percent| u8::try_from(percent).ok()).filter(|percent| *percent <= 100);
    if percent.is_none() {
        fields.error(field, format!("`{field}` must be a whole number, 0 to 100"));
    }
    percent
}

pub(super) async fn get_workspace(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    let row = find(&app, caller.workspace_id).await?;
    Ok(Json(shown(&app, &row)))
}

pub(super) async fn update_workspace(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let body = read_json(&app, &headers, body).await?;
    let change = |before| read_workspace_settings(body, before);
    let row = app.store.change_workspace(caller.workspace_id, change).await?;
    let row = row.ok_or_else(|| ApiError::not_found("such workspace"))??;
    app.refresh().await;
    Ok(Json(shown(&app, &row)))
}

async fn find(app: &App, workspace_id: i64) -> ApiResult<WorkspaceRow> {
    app.store.get_workspace(workspace_id).await?.ok_or_else(|| ApiError::not_found("such workspace"))
}

fn shown(app: &App, row: &WorkspaceRow) -> Value {
    let (used, reserved) = app.limits.used(Holder::Workspace(row.id));
    let mut workspace = workspace_json(row);
    workspace["this_month"] = json!({
        "used_tokens": used.tokens,
        "used_usd": usd(used.cost_nano_usd),
        "reserved_tokens": reserved.tokens,
        "reserved_usd": usd(reserved.cost_nano_usd),
    });
    json!({ "data": workspace })
}
