//! `/v1/responses/{id}/feedback`: what people say of an answer. It moves the workspace's own choice, within bounds.

use super::body::read_json;
use super::extract::Path;
use crate::app::App;
use crate::auth::Caller;
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::forecast_of;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::{FeedbackRow, LedgerEntry};

const LONGEST_COMMENT: usize = 4_096;
/// The quality that is taken to have been forecast where that was not written down.
const UNKNOWN_FORECAST: f64 = 0.5;

fn shown(row: &FeedbackRow) -> Value {
    json!({
        "object": "response.feedback",
        "response_id": row.response_id,
        "provider": row.provider,
        "model": row.model,
        "task": row.task,
        "score": row.score,
        "comment": row.comment,
        "created_at": iso8601(row.created_at_ms),
    })
}

/// `score` from 0 to 1, or `thumbs` as `up` or `down`; and a `comment`, if there is one.
fn read(body: &Value) -> ApiResult<(f64, Option<String>)> {
    let Value::Object(fields) = body else {
        return Err(ApiError::new(Code::InvalidParameter, "the body must be a JSON object"));
    };
    for (name, _) in fields {
        if !["score", "thumbs", "comment"].contains(&name.as_str()) {
            return Err(ApiError::parameter(name, format!("there is no field `{name}` in feedback")));
        }
    }
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let score = match (given("score"), given("thumbs")) {
        (Some(score), None) => {
            let score = score.as_f64().filter(|score| (0.0..=1.0).contains(score));
            score.ok_or_else(|| ApiError::parameter("score", "`score` must be a number from 0 to 1"))?
        }
        (None, Some(thumbs)) => match thumbs.as_str() {
            Some("up") => 1.0,
            Some("down") => 0.0,
            _ => return Err(ApiError::parameter("thumbs", "`thumbs` must be up or down")),
        },
        (None, None) => return Err(ApiError::parameter("score", "feedback needs a `score`, or `thumbs`")),
        (Some(_), Some(_)) => {
            return Err(ApiError::parameter("thumbs", "feedback has a `score` or `thumbs`, not both"));
        }
    };
    let comment = match given("comment") {
        None => None,
        Some(Value::String(comment)) if comment.len() <= LONGEST_COMMENT => Some(comment.clone()),
        Some(_) => {
            let message = format!("`comment` must be text of at most {LONGEST_COMMENT} bytes");
            return Err(ApiError::parameter("comment", message));
        }
    };
    Ok((score, comment))
}

async fn find(app: &App, caller: &Caller, id: &str) -> ApiResult<LedgerEntry> {
    let entry = app.store.get_request_of_response(caller.workspace_id, id).await?;
    let entry = entry.filter(|entry| caller.may_look_at(entry.key_id));
    entry.ok_or_else(|| ApiError::not_found("such response, or it is still being made"))
}

pub(super) async fn create_feedback(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let (score, comment) = read(&read_json(&app, &headers, body).await?)?;
    let entry = find(&app, &caller, &id).await?;
    let (Some(provider), Some(name)) = (entry.provider, entry.model) else {
        return Err(ApiError::parameter("id", "no model answered this request: there is nothing to say of an answer"));
    };
    let decision: Value = serde_json::from_str(&entry.decision_json).map_err(|e| ApiError::internal(&e))?;
    let forecast = forecast_of(&decision["route"], &provider, &name);
    let (forecast, task) = forecast.unwrap_or_else(|| (UNKNOWN_FORECAST, entry.task.unwrap_or_default()));
    let row = FeedbackRow {
        response_id: id,
        model: caller.accounts.pool.id_of(&provider, &name).unwrap_or(name),
        provider,
        task,
        score,
        forecast,
        comment,
        created_at_ms: now_ms(),
    };
    app.learned.hear(&app.store, caller.workspace_id, row.clone()).await?;
    Ok(Json(shown(&row)))
}

pub(super) async fn get_feedback(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    find(&app, &caller, &id).await?;
    let row = app.store.get_feedback(caller.workspace_id, &id).await?;
    row.map(|row| Json(shown(&row))).ok_or_else(|| ApiError::not_found("feedback on this response"))
}
