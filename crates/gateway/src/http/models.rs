//! `/v1/models`: what a request can name, in OpenAI's shape, and in Anthropic's for its clients.

use super::extract::Path;
use super::messages::error::is_of_anthropics_client;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::report::abilities_json;
use axum::Json;
use http::HeaderMap;
use serde_json::{Value, json};
use tokenrouter_providers::Kind;
use tokenrouter_routing::{Candidate, ModelInfo};

const MODES: [&str; 5] = ["auto", "auto:balance", "auto:cost", "auto:quality", "auto:latency"];

/// All of them on one page.
pub(super) async fn list_models(headers: HeaderMap, caller: Caller) -> Json<Value> {
    let ready = candidates(&caller);
    if !is_of_anthropics_client(&headers) {
        let data: Vec<Value> = MODES.into_iter().map(auto).chain(ready.map(describe)).collect();
        return Json(json!({ "object": "list", "data": data }));
    }
    let data: Vec<Value> =
        MODES.into_iter().map(|mode| model_info(mode, None)).chain(ready.map(|c| of_candidate(&caller, c))).collect();
    Json(json!({
        "first_id": data.first().map(|model| &model["id"]),
        "last_id": data.last().map(|model| &model["id"]),
        "has_more": false,
        "data": data,
    }))
}

/// By `auto…`, `provider/model`, or the model's own name.
pub(super) async fn get_model(headers: HeaderMap, caller: Caller, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let for_anthropic = is_of_anthropics_client(&headers);
    if MODES.contains(&id.as_str()) {
        return Ok(Json(if for_anthropic { model_info(&id, None) } else { auto(&id) }));
    }
    candidates(&caller)
        .find(|c| full_name(c) == id || c.model.id == id || c.model.aliases.contains(&id))
        .map(|c| Json(if for_anthropic { of_candidate(&caller, c) } else { describe(c) }))
        .ok_or_else(|| ApiError::new(Code::ModelNotFound, format!("there is no model `{id}`")))
}

/// What the caller can have.
fn candidates(caller: &Caller) -> impl Iterator<Item = &Candidate> {
    caller.accounts.pool.candidates().iter().filter(|c| c.ready && caller.models.allows(&c.provider, &c.model))
}

fn of_candidate(caller: &Caller, candidate: &Candidate) -> Value {
    let mut info = model_info(&full_name(candidate), Some(&candidate.model));
    let speaks_messages = caller.accounts.kind(&candidate.provider) == Some(Kind::Anthropic);
    info["capabilities"] = capabilities(&candidate.model, speaks_messages);
    info
}

/// What a client of Messages can ask of the model through the gateway. What only Anthropic's API has is passed on to
/// providers that speak it, and to no other.
fn capabilities(model: &ModelInfo, speaks_messages: bool) -> Value {
    let support = |supported: bool| json!({ "supported": supported });
    let (can, own) = (&model.capabilities, support(speaks_messages));
    let reasons = support(can.reasoning);
    json!({
        "batch": support(false),
        "citations": own,
        "code_execution": own,
        "context_management": own,
        "effort": {
            "supported": can.reasoning, "low": reasons, "medium": reasons, "high": reasons,
            // Where a model has neither, the nearest is sent, with a warning.
            "max": support(false), "xhigh": support(false),
        },
        "image_input": support(can.images),
        "pdf_input": support(can.files),
        "server_tools": {"supported": speaks_messages, "code_execution": own, "web_search": own},
        "structured_outputs": support(can.json_schema),
        "thinking": {
            "supported": can.reasoning,
            "types": {"adaptive": reasons, "enabled": reasons, "disabled": support(true), "between_tools": support(false)},
        },
    })
}

/// Anthropic's `ModelInfo`. What the catalog does not know is null; an unknown date of release is, as there, the epoch.
fn model_info(id: &str, model: Option<&ModelInfo>) -> Value {
    let ends_on = model.and_then(|model| model.deprecated_on.as_deref());
    json!({
        "type": "model",
        "id": id,
        "display_name": model.map_or(id, |model| model.id.as_str()),
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": if ends_on.is_some() { "deprecated" } else { "active" },
        "deprecated_at": null,
        "retires_at": ends_on.map(|date| format!("{date}T00:00:00Z")),
        "line": null,
        "max_input_tokens": model.map(|model| model.max_input_tokens.unwrap_or(model.context_window)),
        "max_tokens": model.map(|model| model.max_output_tokens).filter(|most| *most > 0),
        "capabilities": null,
    })
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
        "abilities": abilities_json(model),
        "deprecated_on": model.deprecated_on,
    })
}
