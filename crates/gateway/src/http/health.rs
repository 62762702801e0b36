//! Liveness, readiness, and the counts for Prometheus.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokenrouter_store::Recording;
use tokio::time::timeout;

pub(super) async fn check_health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// How long the database may take to answer here.
const PROBE: Duration = Duration::from_secs(1);

/// Not ready while stopping, or while what is asked could not be recorded. Without its database a gateway goes on with
/// the keys and rules that it knows, and is ready, though degraded: all of them would be taken out together otherwise.
pub(super) async fn check_readiness(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (code, status) = if app.stopping.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        match app.store.recording() {
            Recording::Refused => (StatusCode::SERVICE_UNAVAILABLE, "spool full"),
            Recording::Spooled { .. } => (StatusCode::OK, "degraded"),
            Recording::Direct => match timeout(PROBE, app.store.config_version()).await {
                Ok(Ok(_)) => (StatusCode::OK, "ready"),
                _ => (StatusCode::OK, "degraded"),
            },
        }
    };
    (code, Json(json!({ "status": status })))
}

pub(super) async fn get_metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.text() + &state_text(&app))
}

fn state_text(app: &App) -> String {
    let (state, bytes) = match app.store.recording() {
        Recording::Direct => (0, 0),
        Recording::Spooled { bytes } => (1, bytes),
        Recording::Refused => (2, 0),
    };
    format!(
        "# HELP tokenrouter_recording 0: into the database; 1: into the spool; 2: refused.\n\
         # TYPE tokenrouter_recording gauge\ntokenrouter_recording {state}\n\
         # HELP tokenrouter_spool_bytes What waits for the database.\n\
         # TYPE tokenrouter_spool_bytes gauge\ntokenrouter_spool_bytes {bytes}\n\
         # HELP tokenrouter_websockets_open WebSockets that are open.\n\
         # TYPE tokenrouter_websockets_open gauge\ntokenrouter_websockets_open {}\n",
        app.sessions.open()
    )
}
