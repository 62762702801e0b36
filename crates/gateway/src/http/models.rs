//! `/v1/models`: what a request can name.

use super::extract::Path;
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_routing::Candidate;

pub(super) async fn list_models(State(app): State<Arc<App>>, caller: Caller) -> Json<Value> {
    let mut data: Vec<Value> =
        ["auto", "auto:balance", "auto:cost", "auto:quality", "auto:latency"].into_iter().map(auto).collect();
    data.extend(
        app.pool.candidates().iter().filter(|c| c.ready && caller.models.allows(&c.provider, &c.model)).map(describe),
    );
    Json(json!({ "object": "list", "data": data }))
}

/// By `auto…`, `provider/model`, or the model's own name.
pub(super) async fn get_model(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    if matches!(id.as_str(), "auto" | "auto:balance" | "auto:cost" | "auto:quality" | "auto:latency") {
        return Ok(Json(auto(&id)));
    }
    let mut ready = app.pool.candidates().iter().filter(|c| c.ready && caller.models.allows(&c.provider, &c.model));
    ready
        .find(|c| full_name(c) == id || c.model.id == id || c.model.aliases.contains(&id))
        .map(|c| Json(describe(c)))
        .ok_or_else(|| ApiError::new(Code::ModelNotFound, format!("there is no model `{id}`")))
}

fn auto(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "tokenrouter" })
}

fn full_name(candidate: &Candidate) -> String {
    format!("{}/{}", candidate.provider, candidate.model.id)
}

fn describe(candidate: &Candidate) -> Value {
    let model = &candidate.model;
    let can = &model.capabilities;
    json!({
        "id": full_name(candidate),
        "object": "model",
        "created": 0,
        "owned_by": candidate.provider.to_string(),
        "name": model.id,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "capabilities": {
            "tools": can.tools, "images": can.images, "files": can.files,
            "json_schema": can.json_schema, "reasoning": can.reasoning,
        },
        "pricing": model.price.as_ref().map(|price| json!({
            "input_usd_per_million": price.input_usd_per_million(),
            "output_usd_per_million": price.output_usd_per_million(),
        })),
        "deprecated_on": model.deprecated_on,
    })
}
