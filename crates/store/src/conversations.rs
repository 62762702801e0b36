//! Conversations, as rows: what an item says is the protocol crate's matter, here it is JSON bytes.

use bytes::Bytes;
use serde_json::Value;

/// A conversation, without its items.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationRow {
    /// Unique within the workspace.
    pub id: String,
    pub created_at_ms: i64,
    /// A JSON object.
    pub metadata: Value,
}

/// An item of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationItem {
    /// Unique within the conversation.
    pub id: String,
    /// The item, as JSON.
    pub body: Bytes,
}

/// What a response adds to its conversation: its input, then its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationTurn {
    pub conversation_id: String,
    pub items: Vec<ConversationItem>,
}

impl ConversationTurn {
    /// Bytes held, about.
    pub(crate) fn weight(&self) -> usize {
        self.items.iter().map(|item| size_of::<ConversationItem>() + item.id.len() + item.body.len()).sum()
    }
}

/// Which of a conversation's items are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    /// The item that the page before ended with.
    pub after: Option<String>,
    pub limit: u32,
    pub order: ItemOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemOrder {
    OldestFirst,
    NewestFirst,
}
