//! `/v1/provider-keys`: a workspace's own keys for providers. A key is given once and never shown again.

use super::body::read_json;
use super::extract::Path;
use super::rule_fields::RuleFields;
use crate::app::App;
use crate::auth::Admin;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_store::ProviderKeyPatch;

const LONGEST_KEY: usize = 4_096;

/// A key to be made.
pub struct NewKey {
    pub provider: String,
    pub name: String,
    /// 1 to 1000.
    pub weight: u32,
    pub key: SecretString,
}

fn no_such_key() -> ApiError {
    ApiError::not_found("such provider key")
}

/// Oldest first.
pub(super) async fn list_provider_keys(State(app): State<Arc<App>>, Admin(caller): Admin) -> ApiResult<Json<Value>> {
    let keys = app.store.list_provider_keys(caller.workspace_id).await?;
    Ok(Json(json!({ "data": keys.iter().map(|row| app.provider_key_json(row)).collect::<Vec<_>>() })))
}

pub(super) async fn create_provider_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Value>)> {
    let new = read_provider_key(read_json(&app, &headers, body).await?)?;
    let row = app.create_provider_key(caller.workspace_id, caller.user_id, new).await?;
    app.refresh().await;
    Ok((StatusCode::CREATED, Json(json!({ "data": app.provider_key_json(&row) }))))
}

pub(super) async fn get_provider_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<i64>,
) -> ApiResult<Json<Value>> {
    let row = app.store.get_provider_key(caller.workspace_id, id).await?.ok_or_else(no_such_key)?;
    Ok(Json(json!({ "data": app.provider_key_json(&row) })))
}

/// Name and weight. Another key is another object.
pub(super) async fn update_provider_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = RuleFields::of(read_json(&app, &headers, body).await?)?;
    let patch = ProviderKeyPatch { name: fields.name(), weight: weight(&mut fields) };
    fields.finish_of("a provider key that can be changed", &[])?;
    let row = app.store.update_provider_key(caller.workspace_id, id, patch, now_ms()).await?.ok_or_else(no_such_key)?;
    app.refresh().await;
    Ok(Json(json!({ "data": app.provider_key_json(&row) })))
}

pub(super) async fn delete_provider_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<i64>,
) -> ApiResult<Json<Value>> {
    if !app.store.delete_provider_key(caller.workspace_id, id).await? {
        return Err(no_such_key());
    }
    app.refresh().await;
    Ok(Json(json!({ "success": true })))
}

pub(super) async fn test_provider_key(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<i64>,
) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "data": app.test_provider_key(caller.workspace_id, id).await? })))
}

/// A key to be made, out of its fields.
///
/// # Errors
/// 422 with every mistake. The key is in none of them.
pub fn read_provider_key(body: Value) -> ApiResult<NewKey> {
    let mut fields = RuleFields::of(body)?;
    let provider = fields.string("provider");
    let provider = fields.require("provider", provider);
    let name = fields.name();
    let weight = weight(&mut fields);
    let key = key(&mut fields);
    let key = fields.require("key", key);
    fields.finish_of("a provider key", &[])?;
    let (Some(provider), Some(key)) = (provider, key) else { return Err(ApiError::internal(&"checked")) };
    let name = name.unwrap_or_else(|| provider.clone());
    Ok(NewKey { provider, name, weight: weight.unwrap_or(1), key })
}

fn weight(fields: &mut RuleFields) -> Option<u32> {
    let value = fields.take("weight").filter(|value| !value.is_null())?;
    let weight = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=1000).contains(n));
    if weight.is_none() {
        fields.error("weight", "`weight` must be a whole number from 1 to 1000");
    }
    weight
}

fn key(fields: &mut RuleFields) -> Option<SecretString> {
    let key = SecretString::from(fields.string("key")?);
    let text = secrecy::ExposeSecret::expose_secret(&key).trim();
    if (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(SecretString::from(text));
    }
    fields.error("key", format!("`key` must have 1 to {LONGEST_KEY} visible ASCII characters and no blanks"));
    None
}
