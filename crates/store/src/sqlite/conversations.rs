//! Conversations and their items.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use serde_json::Value;

use super::convert::json;
use crate::conversations::{ConversationItem, ConversationRow, ConversationTurn, ItemOrder, ItemPage};

pub(crate) fn create(
    connection: &Connection,
    workspace_id: i64,
    conversation: &ConversationRow,
    items: &[ConversationItem],
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (workspace_id, id, created_at_ms, metadata) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            workspace_id,
            conversation.id,
            conversation.created_at_ms,
            conversation.metadata.to_string()
        ])?;
    add_items(connection, workspace_id, &conversation.id, items)
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, id: &str) -> Result<Option<ConversationRow>> {
    connection
        .prepare_cached("SELECT id, created_at_ms, metadata FROM conversations WHERE workspace_id = ?1 AND id = ?2")?
        .query_row(params![workspace_id, id], |row| {
            Ok(ConversationRow { id: row.get(0)?, created_at_ms: row.get(1)?, metadata: json(row, 2)? })
        })
        .optional()
}

/// The conversation as changed.
pub(crate) fn set_metadata(
    connection: &Connection,
    workspace_id: i64,
    id: &str,
    metadata: &Value,
) -> Result<Option<ConversationRow>> {
    connection
        .prepare_cached("UPDATE conversations SET metadata = ?3 WHERE workspace_id = ?1 AND id = ?2")?
        .execute(params![workspace_id, id, metadata.to_string()])?;
    get(connection, workspace_id, id)
}

pub(crate) fn delete(connection: &Connection, workspace_id: i64, id: &str) -> Result<bool> {
    connection
        .prepare_cached("DELETE FROM conversation_items WHERE workspace_id = ?1 AND conversation_id = ?2")?
        .execute(params![workspace_id, id])?;
    connection
        .prepare_cached("DELETE FROM conversations WHERE workspace_id = ?1 AND id = ?2")?
        .execute(params![workspace_id, id])
        .map(|deleted| deleted > 0)
}

/// Behind the items that are there. An id that is there already is a constraint violation.
pub(crate) fn add_items(
    connection: &Connection,
    workspace_id: i64,
    id: &str,
    items: &[ConversationItem],
) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO conversation_items (workspace_id, conversation_id, id, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for item in items {
        insert.execute(params![workspace_id, id, item.id, &*item.body])?;
    }
    Ok(())
}

/// What a response adds, unless the conversation has gone meanwhile.
pub(crate) fn add_turn(connection: &Connection, workspace_id: i64, turn: &ConversationTurn) -> Result<()> {
    if get(connection, workspace_id, &turn.conversation_id)?.is_none() {
        return Ok(());
    }
    add_items(connection, workspace_id, &turn.conversation_id, &turn.items)
}

fn item(row: &Row<'_>) -> Result<ConversationItem> {
    Ok(ConversationItem { id: row.get(0)?, body: Bytes::from(row.get::<_, Vec<u8>>(1)?) })
}

/// All items, oldest first; `None` if there is no such conversation.
pub(crate) fn all_items(connection: &Connection, workspace_id: i64, id: &str) -> Result<Option<Vec<ConversationItem>>> {
    // Both are read in one view of the database.
    let view = connection.unchecked_transaction()?;
    if get(&view, workspace_id, id)?.is_none() {
        return Ok(None);
    }
    view.prepare_cached(
        "SELECT id, body FROM conversation_items WHERE workspace_id = ?1 AND conversation_id = ?2 ORDER BY seq",
    )?
    .query_map(params![workspace_id, id], item)?
    .collect::<Result<Vec<_>>>()
    .map(Some)
}

/// One item more than the page holds, if there are more; `None` if there is no item `after`.
pub(crate) fn list_items(
    connection: &Connection,
    workspace_id: i64,
    id: &str,
    page: &ItemPage,
) -> Result<Option<Vec<ConversationItem>>> {
    let after: Option<i64> = match &page.after {
        None => None,
        Some(after) => {
            let place = connection
                .prepare_cached(
                    "SELECT seq FROM conversation_items WHERE workspace_id = ?1 AND conversation_id = ?2 AND id = ?3",
                )?
                .query_row(params![workspace_id, id, after], |row| row.get(0))
                .optional()?;
            match place {
                None => return Ok(None),
                place => place,
            }
        }
    };
    let (sql, edge) = match page.order {
        ItemOrder::OldestFirst => (
            "SELECT id, body FROM conversation_items
             WHERE workspace_id = ?1 AND conversation_id = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
            i64::MIN,
        ),
        ItemOrder::NewestFirst => (
            "SELECT id, body FROM conversation_items
             WHERE workspace_id = ?1 AND conversation_id = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
            i64::MAX,
        ),
    };
    connection
        .prepare_cached(sql)?
        .query_map(params![workspace_id, id, after.unwrap_or(edge), i64::from(page.limit) + 1], item)?
        .collect::<Result<Vec<_>>>()
        .map(Some)
}

pub(crate) fn get_item(
    connection: &Connection,
    workspace_id: i64,
    id: &str,
    item_id: &str,
) -> Result<Option<ConversationItem>> {
    connection
        .prepare_cached(
            "SELECT id, body FROM conversation_items WHERE workspace_id = ?1 AND conversation_id = ?2 AND id = ?3",
        )?
        .query_row(params![workspace_id, id, item_id], item)
        .optional()
}

pub(crate) fn delete_item(connection: &Connection, workspace_id: i64, id: &str, item_id: &str) -> Result<bool> {
    connection
        .prepare_cached("DELETE FROM conversation_items WHERE workspace_id = ?1 AND conversation_id = ?2 AND id = ?3")?
        .execute(params![workspace_id, id, item_id])
        .map(|deleted| deleted > 0)
}
