//! `/v1/conversations` and their items.

use super::body::read_json;
use super::extract::{Path, Query};
use super::page::{Page, PageQuery};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::conversation::{kept, missing};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use tokenrouter_protocol::{Fields, Item, Object, check_metadata, new_ordered_id};
use tokenrouter_store::{ConversationItem, ConversationRow, ItemPage, StoreError};

/// As many as OpenAI's API takes at a time.
const MAX_ITEMS: usize = 20;

fn out(row: &ConversationRow) -> Value {
    json!({
        "id": row.id,
        "object": "conversation",
        "created_at": row.created_at_ms / 1_000,
        "metadata": row.metadata,
    })
}

fn item_out(item: &ConversationItem) -> ApiResult<Value> {
    serde_json::from_slice(&item.body).map_err(|e| ApiError::internal(&e))
}

/// `{}` when there is no body: a conversation needs none.
async fn fields(app: &App, headers: &HeaderMap, body: Body) -> ApiResult<Fields> {
    match read_json(app, headers, body).await {
        Ok(Value::Object(map)) => Ok(Fields::new(map, "")),
        Ok(_) => Err(ApiError::parameter("", "the body must be a JSON object")),
        Err(error) if error.message.starts_with("the body is empty") => Ok(Fields::new(Object::new(), "")),
        Err(error) => Err(error),
    }
}

fn items(fields: &mut Fields) -> ApiResult<Option<Vec<ConversationItem>>> {
    let Some(values) = fields.array("items")? else { return Ok(None) };
    if values.len() > MAX_ITEMS {
        return Err(ApiError::parameter("items", format!("`items` holds at most {MAX_ITEMS} items at a time")));
    }
    let mut items = Vec::with_capacity(values.len());
    let mut ids = HashSet::new();
    for (i, value) in values.into_iter().enumerate() {
        let path = format!("items[{i}]");
        let item = Item::parse(value, &path)?;
        if matches!(item, Item::Reference(_)) {
            return Err(ApiError::parameter(path, "an `item_reference` cannot be added: send the item itself"));
        }
        let item = kept(item)?;
        if !ids.insert(item.id.clone()) {
            return Err(ApiError::parameter(format!("{path}.id"), format!("the item `{}` is there twice", item.id)));
        }
        items.push(item);
    }
    Ok(Some(items))
}

fn metadata(fields: &mut Fields) -> ApiResult<Option<Value>> {
    let metadata = fields.object("metadata")?;
    if let Some(metadata) = &metadata {
        check_metadata(metadata)?;
    }
    Ok(metadata.map(Value::Object))
}

pub(super) async fn create_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = fields(&app, &headers, body).await?;
    let items = items(&mut fields)?.unwrap_or_default();
    let metadata = metadata(&mut fields)?.unwrap_or_else(|| json!({}));
    let created_at_ms = now_ms();
    let row = ConversationRow { id: new_ordered_id("conv", created_at_ms), created_at_ms, metadata };
    let answer = out(&row);
    app.store.create_conversation(caller.workspace_id, row, items).await?;
    Ok(Json(answer))
}

async fn find(app: &App, caller: &Caller, id: &str) -> ApiResult<ConversationRow> {
    app.store.get_conversation(caller.workspace_id, id).await?.ok_or_else(|| missing(id))
}

pub(super) async fn get_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    find(&app, &caller, &id).await.map(|row| Json(out(&row)))
}

pub(super) async fn update_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = fields(&app, &headers, body).await?;
    let given = fields.peek("metadata").is_some();
    let Some(metadata) = metadata(&mut fields)?.filter(|_| given) else {
        return Err(fields.missing("metadata").into());
    };
    let row = app.store.set_conversation_metadata(caller.workspace_id, &id, metadata).await?;
    row.map(|row| Json(out(&row))).ok_or_else(|| missing(&id))
}

pub(super) async fn delete_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let _lease = app.conversations.lease(caller.workspace_id, &id)?;
    if !app.store.delete_conversation(caller.workspace_id, &id).await? {
        return Err(missing(&id));
    }
    Ok(Json(json!({ "id": id, "object": "conversation.deleted", "deleted": true })))
}

pub(super) async fn list_conversation_items(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Value>> {
    let page = Page::of(query)?;
    find(&app, &caller, &id).await?;
    let wanted =
        ItemPage { after: page.after.clone(), limit: u32::try_from(page.limit).unwrap_or(u32::MAX), order: page.order };
    let Some(items) = app.store.list_conversation_items(caller.workspace_id, &id, wanted).await? else {
        return Err(page.no_such_item());
    };
    let items = items.iter().map(item_out).collect::<ApiResult<Vec<_>>>()?;
    Ok(Json(page.list(items)))
}

pub(super) async fn create_conversation_items(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let mut fields = fields(&app, &headers, body).await?;
    let items = items(&mut fields)?.ok_or_else(|| fields.missing("items"))?;
    let answer = items.iter().map(item_out).collect::<ApiResult<Vec<_>>>()?;
    let _lease = app.conversations.lease(caller.workspace_id, &id)?;
    match app.store.add_conversation_items(caller.workspace_id, &id, items).await {
        Ok(true) => Ok(Json(whole_list(answer))),
        Ok(false) => Err(missing(&id)),
        Err(StoreError::Conflict { .. }) => {
            let message = "the conversation has an item of the same id already";
            Err(ApiError { param: Some("items".to_owned()), ..ApiError::new(Code::Conflict, message) })
        }
        Err(error) => Err(error.into()),
    }
}

fn whole_list(items: Vec<Value>) -> Value {
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    json!({
        "object": "list",
        "first_id": id_of(items.first()),
        "last_id": id_of(items.last()),
        "has_more": false,
        "data": items,
    })
}

pub(super) async fn get_conversation_item(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, item_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    find(&app, &caller, &id).await?;
    let item = app.store.get_conversation_item(caller.workspace_id, &id, &item_id).await?;
    item_out(&item.ok_or_else(|| no_item(&item_id))?).map(Json)
}

/// Answers with the conversation, as OpenAI's API does.
pub(super) async fn delete_conversation_item(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, item_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let row = find(&app, &caller, &id).await?;
    let _lease = app.conversations.lease(caller.workspace_id, &id)?;
    if !app.store.delete_conversation_item(caller.workspace_id, &id, &item_id).await? {
        return Err(no_item(&item_id));
    }
    Ok(Json(out(&row)))
}

fn no_item(id: &str) -> ApiError {
    ApiError::not_found(&format!("item `{id}` in this conversation"))
}
