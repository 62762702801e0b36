//! Liveness, readiness, and the counts for Prometheus.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn check_health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Not ready while stopping, or while no database answers.
pub(super) async fn check_readiness(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (code, status) = if app.stopping.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if app.store.config_version().await.is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "no database")
    } else {
        (StatusCode::OK, "ready")
    };
    (code, Json(json!({ "status": status })))
}

pub(super) async fn get_metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.text())
}
