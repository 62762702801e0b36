//! Reading a request's body: bounded in size and in time.

use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(60);
/// A caller that sends too much is listened to a while longer, so that it reads our answer rather
/// than a broken connection.
const DRAIN_TIME: Duration = Duration::from_secs(5);
const DRAIN_FACTOR: usize = 4;

/// # Errors
/// 400 for what is not JSON, 408 and 413 for what comes too slowly or is too long.
pub(crate) async fn read_json(app: &App, headers: &HeaderMap, body: Body) -> ApiResult<Value> {
    Ok(read_json_of(app, headers, body).await?.0)
}

/// The same, with how many bytes it had.
pub(crate) async fn read_json_of(app: &App, headers: &HeaderMap, body: Body) -> ApiResult<(Value, usize)> {
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        let message = "the body must not be compressed (`Content-Encoding`)";
        return Err(ApiError::parameter("Content-Encoding", message));
    }
    let bytes = read(app.max_body_bytes, body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::new(Code::InvalidJson, "the body is empty; it must be a JSON object"));
    }
    let read = serde_json::from_slice(&bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let why = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            _ => "it breaks off",
        };
        ApiError::new(Code::InvalidJson, format!("the body is not JSON: {why} at {place}"))
    });
    Ok((read?, bytes.len()))
}

async fn read(limit: usize, mut body: Body) -> ApiResult<Bytes> {
    let read = async {
        let mut first: Option<Bytes> = None;
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::new(Code::InvalidJson, "the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
                return Ok(None);
            }
            match (&first, all.is_empty()) {
                // Most bodies come in one piece, which need not be copied.
                (None, true) => first = Some(data),
                _ => {
                    if let Some(first) = first.take() {
                        all.extend_from_slice(&first);
                    }
                    all.extend_from_slice(&data);
                }
            }
        }
        Ok(Some(first.unwrap_or_else(|| all.into())))
    };
    match timeout(BODY_TIME, read).await {
        Err(_) => Err(ApiError::new(Code::RequestTimeout, "the body did not arrive in time")),
        Ok(Err(error)) => Err(error),
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            let _ = timeout(DRAIN_TIME, drain(body, limit.saturating_mul(DRAIN_FACTOR))).await;
            let message = format!("the body is longer than {limit} bytes");
            Err(ApiError::new(Code::PayloadTooLarge, message))
        }
    }
}

async fn drain(mut body: Body, limit: usize) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > limit {
            return;
        }
    }
}
