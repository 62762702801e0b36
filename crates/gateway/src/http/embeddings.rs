//! `POST /v1/embeddings`.

use super::body::read_json;
use super::request_id::RequestId;
use super::responses::{json_bytes, tell_target};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::pipeline;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_protocol::{EmbeddingsRequest, EncodingFormat};

pub(super) async fn create_embeddings(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let request = EmbeddingsRequest::parse(read_json(&app, &headers, body).await?)?;
    let format = request.encoding_format;
    let embedded = pipeline::embed(&app, &caller, &request_id.0, request).await?;
    let embeddings = embedded.embeddings;
    let tokens = embeddings.usage.map_or(0, |usage| usage.total());
    let model = if embeddings.model.is_empty() { embedded.model.clone() } else { embeddings.model };
    let data: Vec<Value> = (0_u64..)
        .zip(&embeddings.vectors)
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": write(vector, format)}))
        .collect();
    let body = json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "tokenrouter": embedded.tokenrouter,
    });
    let bytes = serde_json::to_vec(&body).map_err(|e| ApiError::internal(&e))?;
    Ok(tell_target(json_bytes(bytes.into()), &embedded.provider, &embedded.model))
}

fn write(vector: &[f64], format: EncodingFormat) -> Value {
    match format {
        EncodingFormat::Float => json!(vector),
        // The format has 32 bits, which is all that models give.
        #[allow(clippy::cast_possible_truncation)]
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
            STANDARD.encode(bytes).into()
        }
    }
}
