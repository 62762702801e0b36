//! Providers that are not there: OpenAI's Responses, Chat Completions and embeddings, and Anthropic's
//! Messages, plain and streamed, from a model that is plainly simulated.
//!
//! **The same request gives the same bytes**: ids are made from the request, there is no clock and no
//! chance. Faults can be scripted, and what was sent can be read back. It is a server of its own, so
//! it has axum, which the rest of the product leaves to the gateway.

mod anthropic;
mod chat;
mod embeddings;
mod faults;
mod mind;
mod responses;
mod wire;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use faults::{Fault, Faults};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Between the pieces of a streamed answer.
    pub token_delay: Duration,
}

/// How many requests are remembered.
const REMEMBERED: usize = 1_000;

struct Seen {
    method: Method,
    path: String,
    provider: String,
    key_end: String,
    body: Bytes,
}

struct Simulator {
    options: Options,
    faults: Faults,
    seen: Mutex<VecDeque<Seen>>,
}

/// Serves until `shutdown` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(options)).with_graceful_shutdown(shutdown).await
}

pub fn router(options: Options) -> Router {
    let simulator = Arc::new(Simulator { options, faults: Faults::default(), seen: Mutex::default() });
    Router::new()
        .route("/_simulator/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/_simulator/requests", get(list_requests).delete(clear_requests))
        .fallback(answer)
        .with_state(simulator)
}

async fn add_fault(State(simulator): State<Arc<Simulator>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => (StatusCode::CREATED, axum::Json(json!({ "id": simulator.faults.add(fault) }))).into_response(),
        Err(error) => {
            (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": { "message": error.to_string() } }))).into_response()
        }
    }
}

async fn list_faults(State(simulator): State<Arc<Simulator>>) -> axum::Json<Value> {
    axum::Json(json!({ "data": simulator.faults.list() }))
}

async fn clear_faults(State(simulator): State<Arc<Simulator>>) -> StatusCode {
    simulator.faults.clear();
    StatusCode::NO_CONTENT
}

async fn clear_requests(State(simulator): State<Arc<Simulator>>) -> StatusCode {
    simulator.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    StatusCode::NO_CONTENT
}

/// Oldest first. Keys are shown by their last four characters.
async fn list_requests(
    State(simulator): State<Arc<Simulator>>,
    Query(query): Query<HashMap<String, String>>,
) -> axum::Json<Value> {
    let seen = simulator.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let data: Vec<Value> = seen
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            json!({
                "method": request.method.as_str(), "path": request.path, "provider": request.provider,
                "model": body["model"], "headers": { "authorization": format!("…{}", request.key_end) }, "body": body,
            })
        })
        .filter(|request| query.get("provider").is_none_or(|wanted| request["provider"] == wanted.as_str()))
        .filter(|request| query.get("model").is_none_or(|wanted| request["model"] == wanted.as_str()))
        .collect();
    axum::Json(json!({ "total": data.len(), "data": data }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Responses,
    Chat,
    Messages,
}

/// `/{provider}/v1/responses` and the like; without a provider, whose API the path is.
fn route(path: &str) -> Option<(String, Option<Dialect>)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|part| *part != "v1").collect();
    let (provider, rest) = match parts.as_slice() {
        [provider, rest @ ..] if !matches!(*provider, "responses" | "chat" | "messages" | "models" | "embeddings") => {
            (Some(*provider), rest)
        }
        rest => (None, rest),
    };
    let (dialect, default) = match rest {
        ["responses"] => (Some(Dialect::Responses), "openai"),
        ["chat", "completions"] => (Some(Dialect::Chat), "openai"),
        ["messages"] => (Some(Dialect::Messages), "anthropic"),
        // Errors are of the same shape as a chat's.
        ["embeddings"] => (Some(Dialect::Chat), "openai"),
        ["models"] => (None, "openai"),
        _ => return None,
    };
    Some((provider.unwrap_or(default).to_owned(), dialect))
}

async fn answer(
    State(simulator): State<Arc<Simulator>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((provider, dialect)) = route(uri.path()) else {
        return wire::error(None, StatusCode::NOT_FOUND, "not_found_error", "the simulator has no such path");
    };
    let key = presented_key(&headers);
    let dialect_of_error = dialect.filter(|d| *d == Dialect::Messages);
    let Some(dialect) = dialect else {
        return axum::Json(wire::models(&provider)).into_response();
    };
    {
        let mut seen = simulator.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        let count = key.chars().count();
        let key_end = key.chars().skip(count.saturating_sub(4)).collect();
        let path = uri.path().to_owned();
        seen.push_back(Seen { method, path, provider: provider.clone(), key_end, body: body.clone() });
    }
    let refuse = |status, kind, message: &str| wire::error(dialect_of_error, status, kind, message);
    if key.is_empty() && wants_a_key(&provider) || key == "sk-invalid" {
        return refuse(StatusCode::UNAUTHORIZED, "authentication_error", "the key is not valid");
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is not JSON");
    };
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    if model.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "model is required");
    }
    let fault = simulator.faults.take(&provider, &model);
    if let Some(response) = faults::instead(fault.as_ref(), dialect_of_error).await {
        return response;
    }
    if uri.path().trim_end_matches('/').ends_with("/embeddings") {
        return match embeddings::answer(&provider, &request) {
            Ok(body) => faults::body(fault.as_ref(), vec![body.to_string()], "application/json", Duration::ZERO),
            Err((status, message)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                refuse(status, "invalid_request_error", &message)
            }
        };
    }
    let parsed = match dialect {
        Dialect::Responses => responses::parse(&provider, &request),
        Dialect::Chat => chat::parse(&provider, &request),
        Dialect::Messages => anthropic::parse(&provider, &request, &headers),
    };
    let prompt = match parsed {
        Ok(prompt) => prompt,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", &message),
    };
    let reply = mind::think(&prompt, wire::seed(&request));
    let stream = request["stream"].as_bool().unwrap_or(false);
    if !stream {
        let body = match dialect {
            Dialect::Responses => responses::whole(&prompt, &reply, &request),
            Dialect::Chat => chat::whole(&prompt, &reply),
            Dialect::Messages => anthropic::whole(&prompt, &reply),
        };
        return faults::body(fault.as_ref(), vec![body.to_string()], "application/json", Duration::ZERO);
    }
    let mut events = match dialect {
        Dialect::Responses => responses::events(&prompt, &reply, &request),
        Dialect::Chat => chat::events(&prompt, &reply, &request),
        Dialect::Messages => anthropic::events(&prompt, &reply),
    };
    if fault.as_ref().is_some_and(|fault| fault.error_event) {
        events.truncate(events.len() / 2);
        events.push(match dialect {
            Dialect::Chat => "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n".to_owned(),
            Dialect::Responses => wire::event("error", json!({"type": "error", "code": "server_error", "message": "overloaded", "param": null, "sequence_number": 99})),
            Dialect::Messages => wire::event("error", json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        });
    }
    faults::body(fault.as_ref(), events, "text/event-stream; charset=utf-8", simulator.options.token_delay)
}

/// The providers that are companies want a key; a host of the user's own, of any other name, does not.
fn wants_a_key(provider: &str) -> bool {
    matches!(provider, "openai" | "anthropic" | "gemini" | "mistral" | "deepseek" | "groq" | "together" | "openrouter")
}

fn presented_key(headers: &HeaderMap) -> String {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_owned();
    let bearer = text("authorization");
    if bearer.is_empty() { text("x-api-key") } else { bearer.trim_start_matches("Bearer").trim().to_owned() }
}
