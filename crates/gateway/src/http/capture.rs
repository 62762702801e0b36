//! `/v1/capture`: whether prompts and answers of the workspace are kept beside the request log, and for how long.

use super::body::read_json;
use super::rule_fields::RuleFields;
use crate::app::App;
use crate::auth::Admin;
use crate::clock::now_ms;
use crate::error::ApiResult;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;

fn shown(days: Option<u32>) -> Json<Value> {
    Json(json!({ "data": { "is_enabled": days.is_some(), "days": days } }))
}

pub(super) async fn get_capture(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    Ok(shown(app.store.capture_days(caller.workspace_id).await?))
}

/// From now on; `days` is how long each prompt and answer is kept.
pub(super) async fn update_capture(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let given = fields.take("days");
    let days = given.as_ref().and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let days = days.filter(|days| (1..=365).contains(days));
    if given.is_some() && days.is_none() {
        fields.error("days", "`days` must be a whole number from 1 to 365");
    }
    let days = fields.require("days", days);
    fields.finish_of("capture", &["is_enabled"])?;
    app.store.set_capture_days(caller.workspace_id, days).await?;
    // Fewer days than before: what is older goes now.
    app.store.expire_captures(now_ms()).await?;
    app.refresh().await;
    Ok(shown(days))
}

/// Nothing more is captured, and what was is deleted.
pub(super) async fn delete_capture(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    app.store.set_capture_days(caller.workspace_id, None).await?;
    app.refresh().await;
    Ok(Json(json!({ "success": true })))
}
