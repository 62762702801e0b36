//! Providers that are not there: OpenAI's Responses, Chat Completions and embeddings, Anthropic's Messages and
//! Google's Gemini, plain and streamed, from a model that is plainly simulated.
//!
//! **The same request gives the same bytes**: ids are made from the request, there is no clock and no
//! chance. Faults can be scripted, and what was sent can be read back. It is a server of its own, so
//! it has axum, which the rest of the product leaves to the gateway.

mod anthropic;
mod chat;
mod embeddings;
mod faults;
mod gemini;
mod mind;
mod responses;
mod wire;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use faults::{Fault, Faults, Watch};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Between the pieces of a streamed answer.
    pub token_delay: Duration,
}

/// How many requests are remembered.
const REMEMBERED: usize = 1_000;
/// Well above what the gateway takes, as with real providers.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

struct Seen {
    method: Method,
    path: String,
    provider: String,
    model: String,
    /// The header in which the key came, if any.
    key_header: &'static str,
    key_end: String,
    body: Bytes,
    end: Arc<AtomicU8>,
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
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
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
                "model": request.model, "headers": { request.key_header: format!("…{}", request.key_end) }, "body": body,
                "end": Watch::word(&request.end),
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
    Gemini,
}

/// What a path asks for.
struct Route {
    provider: String,
    /// None for a list of models, and for OpenRouter's word on a key.
    dialect: Option<Dialect>,
    /// Where the path names it, as Gemini's do, and whether it is to stream.
    model: Option<(String, bool)>,
}

/// `/{provider}/v1/responses` and the like; without a provider, whose API the path is.
fn route(path: &str) -> Option<Route> {
    let is_version = |part: &str| matches!(part, "v1" | "v1beta");
    let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|part| !is_version(part)).collect();
    let (provider, rest) = match parts.as_slice() {
        [provider, rest @ ..]
            if !matches!(*provider, "responses" | "chat" | "messages" | "models" | "key" | "embeddings") =>
        {
            (Some(*provider), rest)
        }
        rest => (None, rest),
    };
    let mut model = None;
    let (dialect, default) = match rest {
        ["responses"] => (Some(Dialect::Responses), "openai"),
        ["chat", "completions"] => (Some(Dialect::Chat), "openai"),
        ["messages"] => (Some(Dialect::Messages), "anthropic"),
        ["models"] if path.contains("/v1beta/") || path.starts_with("v1beta/") => (None, "gemini"),
        // Errors are of the same shape as a chat's.
        ["embeddings"] => (Some(Dialect::Chat), "openai"),
        ["models"] => (None, "openai"),
        ["key"] => (None, "openrouter"),
        ["models", method] => {
            model = Some(gemini::method(method)?);
            (Some(Dialect::Gemini), "gemini")
        }
        _ => return None,
    };
    Some(Route { provider: provider.unwrap_or(default).to_owned(), dialect, model })
}

async fn answer(
    State(simulator): State<Arc<Simulator>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let end = Arc::default();
    let mut watch = Some(Watch::new(&end));
    let response = respond(&simulator, method, &uri, &headers, body, end, &mut watch).await;
    watch.iter().for_each(Watch::finish);
    response
}

async fn respond(
    simulator: &Simulator,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
    end: Arc<AtomicU8>,
    watch: &mut Option<Watch>,
) -> Response {
    let Some(Route { provider, dialect, model: path_model }) = route(uri.path()) else {
        return wire::error(None, StatusCode::NOT_FOUND, "not_found_error", "the simulator has no such path");
    };
    let (key_header, key) = presented_key(headers);
    let dialect_of_error = dialect.filter(|d| matches!(d, Dialect::Messages | Dialect::Gemini));
    let is_refused = key.is_empty() && wants_a_key(&provider) || key == "sk-invalid";
    let Some(dialect) = dialect else {
        // As OpenRouter does, which shows its models to everybody.
        let is_public = provider == "openrouter" && !uri.path().ends_with("/key");
        if is_refused && !is_public {
            return wire::error(None, StatusCode::UNAUTHORIZED, "authentication_error", "the key is not valid");
        }
        return axum::Json(wire::models(&provider)).into_response();
    };
    let request = serde_json::from_slice::<Value>(&body);
    let model = match &path_model {
        Some((model, _)) => model.clone(),
        None => request.as_ref().ok().and_then(|body| body["model"].as_str()).unwrap_or_default().to_owned(),
    };
    {
        let mut seen = simulator.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        let count = key.chars().count();
        let key_end = key.chars().skip(count.saturating_sub(4)).collect();
        let path = uri.path().to_owned();
        let (provider, model) = (provider.clone(), model.clone());
        seen.push_back(Seen { method, path, provider, model, key_header, key_end, body: body.clone(), end });
    }
    let refuse = |status, kind, message: &str| wire::error(dialect_of_error, status, kind, message);
    if is_refused {
        return refuse(StatusCode::UNAUTHORIZED, "authentication_error", "the key is not valid");
    }
    let Ok(mut request) = request else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is not JSON");
    };
    if let (Some((model, _)), Some(object)) = (&path_model, request.as_object_mut()) {
        object.insert("model".to_owned(), model.as_str().into());
    }
    if model.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "model is required");
    }
    let fault = simulator.faults.take(&provider, &model);
    if let Some(response) = faults::instead(fault.as_ref(), dialect_of_error).await {
        return response;
    }
    if uri.path().trim_end_matches('/').ends_with("/embeddings") {
        return match embeddings::answer(&provider, &request) {
            Ok(body) => faults::body(fault.as_ref(), vec![body.to_string()], "application/json", Duration::ZERO, watch),
            Err((status, message)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                refuse(status, "invalid_request_error", &message)
            }
        };
    }
    let parsed = match dialect {
        Dialect::Responses => responses::parse(&provider, &request),
        Dialect::Chat => chat::parse(&provider, &request),
        Dialect::Messages => anthropic::parse(&provider, &request, headers),
        Dialect::Gemini => gemini::parse(&provider, &request),
    };
    let prompt = match parsed {
        Ok(prompt) => prompt,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", &message),
    };
    let reply = mind::think(&prompt, wire::seed(&request));
    let stream = path_model.map_or_else(|| request["stream"].as_bool().unwrap_or(false), |(_, stream)| stream);
    let sse = dialect != Dialect::Gemini || uri.query().is_some_and(|query| query.split('&').any(|p| p == "alt=sse"));
    if !stream {
        let body = match dialect {
            Dialect::Responses => responses::whole(&prompt, &reply, &request),
            Dialect::Chat => chat::whole(&prompt, &reply),
            Dialect::Messages => anthropic::whole(&prompt, &reply),
            Dialect::Gemini => gemini::whole(&prompt, &reply),
        };
        return faults::body(fault.as_ref(), vec![body.to_string()], "application/json", Duration::ZERO, watch);
    }
    let mut events = match dialect {
        Dialect::Responses => responses::events(&prompt, &reply, &request),
        Dialect::Chat => chat::events(&prompt, &reply, &request),
        Dialect::Messages => anthropic::events(&prompt, &reply),
        Dialect::Gemini => gemini::events(&prompt, &reply, sse),
    };
    if fault.as_ref().is_some_and(|fault| fault.error_event) {
        events.truncate(events.len() / 2);
        events.push(match dialect {
            Dialect::Chat => "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n".to_owned(),
            Dialect::Responses => wire::event("error", json!({"type": "error", "code": "server_error", "message": "overloaded", "param": null, "sequence_number": 99})),
            Dialect::Gemini => "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n".to_owned(),
            Dialect::Messages => wire::event("error", json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        });
    }
    let kind = if sse { "text/event-stream; charset=utf-8" } else { "application/json" };
    faults::body(fault.as_ref(), events, kind, simulator.options.token_delay, watch)
}

/// The providers that are companies want a key; a host of the user's own, of any other name, does not.
fn wants_a_key(provider: &str) -> bool {
    matches!(provider, "openai" | "anthropic" | "gemini" | "mistral" | "deepseek" | "groq" | "together" | "openrouter")
}

/// The header in which a key came, and the key.
fn presented_key(headers: &HeaderMap) -> (&'static str, String) {
    let key = |name: &'static str| {
        let text = headers.get(name)?.to_str().ok()?.trim_start_matches("Bearer").trim();
        (!text.is_empty()).then(|| (name, text.to_owned()))
    };
    ["authorization", "x-api-key", "x-goog-api-key", "api-key"].into_iter().find_map(key).unwrap_or_default()
}
