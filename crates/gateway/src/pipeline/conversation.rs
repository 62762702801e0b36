//! Conversations, as the pipeline uses them: who may change one, and what its items are.
//!
//! **One at a time changes a conversation.** A response holds the lease from before the items are read
//! until its own are durable; whoever comes meanwhile is told 409 `conflict` at once, and nothing is lost
//! or interleaved. The leases are those of this process, as the embedded database is.

use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokenrouter_protocol::{Item, new_id};
use tokenrouter_store::ConversationItem;

type Key = (i64, String);

/// The conversations that are being changed.
#[derive(Clone, Default)]
pub(crate) struct Conversations(Arc<Mutex<HashSet<Key>>>);

/// The right to change one conversation, until it is dropped.
pub(crate) struct Lease {
    conversations: Conversations,
    key: Key,
}

impl Conversations {
    /// # Errors
    /// 409 while somebody else has it.
    pub fn lease(&self, workspace_id: i64, id: &str) -> ApiResult<Lease> {
        let key = (workspace_id, id.to_owned());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return Ok(Lease { conversations: self.clone(), key });
        }
        let message = format!("another request is at work on the conversation `{id}`; try again when it is done");
        let mut error = ApiError::new(Code::Conflict, message);
        error.param = Some("conversation".to_owned());
        error.retry_after_seconds = Some(1);
        Err(error)
    }
}

impl Lease {
    pub fn conversation_id(&self) -> &str {
        &self.key.1
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.conversations.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// All items of a conversation, oldest first.
///
/// # Errors
/// 404 if the workspace has no such conversation.
pub(super) async fn items(app: &App, workspace_id: i64, id: &str) -> ApiResult<Vec<Item>> {
    let items = app.store.get_conversation_items(workspace_id, id).await?.ok_or_else(|| missing(id))?;
    parse(&items)
}

pub(crate) fn missing(id: &str) -> ApiError {
    ApiError {
        param: Some("conversation".to_owned()),
        ..ApiError::new(Code::NotFound, format!("there is no conversation `{id}`"))
    }
}

pub(super) fn parse(items: &[ConversationItem]) -> ApiResult<Vec<Item>> {
    let parse = |item: &ConversationItem| {
        let value = serde_json::from_slice(&item.body).map_err(|e| ApiError::internal(&e))?;
        Item::parse(value, "item").map_err(|e| ApiError::internal(&e))
    };
    items.iter().map(parse).collect()
}

/// An item has one place in a conversation: sent once more, it would stand there twice.
pub(super) fn refuse_known_items(known: &[Item], own: &[Item]) -> ApiResult<()> {
    let ids: HashSet<&str> = known.iter().filter_map(Item::id).collect();
    let mut seen = HashSet::new();
    for (i, item) in own.iter().enumerate() {
        let Some(id) = item.id().filter(|_| !matches!(item, Item::Reference(_))) else { continue };
        if ids.contains(id) || !seen.insert(id) {
            let message = format!("the conversation has an item `{id}` already: leave it out, it is read from there");
            return Err(ApiError::parameter(format!("input[{i}].id"), message));
        }
    }
    Ok(())
}

/// The item as it is kept, with an id of its own.
pub(crate) fn kept(mut item: Item) -> ApiResult<ConversationItem> {
    item.ensure_id();
    if let Item::Other(object) = &mut item
        && !object.get("id").is_some_and(serde_json::Value::is_string)
    {
        object.insert("id".to_owned(), new_id("item").into());
    }
    let Some(id) = item.id().map(str::to_owned) else { return Err(ApiError::internal(&"an item has no id")) };
    let body = serde_json::to_vec(&item).map_err(|e| ApiError::internal(&e))?;
    Ok(ConversationItem { id, body: body.into() })
}
