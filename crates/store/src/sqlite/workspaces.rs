//! Workspaces and their users.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::keys::Workspace;

pub(crate) fn create(connection: &Connection, name: &str, now_ms: i64) -> Result<Workspace> {
    let workspace_id = connection.query_row(
        "INSERT INTO workspaces (name, created_at_ms) VALUES (?1, ?2) RETURNING id",
        params![name, now_ms],
        |row| row.get(0),
    )?;
    let user_id = connection.query_row(
        "INSERT INTO users (workspace_id, created_at_ms) VALUES (?1, ?2) RETURNING id",
        params![workspace_id, now_ms],
        |row| row.get(0),
    )?;
    Ok(Workspace { workspace_id, user_id })
}

/// The workspace that the first start made.
pub(crate) fn first(connection: &Connection) -> Result<Option<Workspace>> {
    connection
        .query_row("SELECT workspace_id, id FROM users ORDER BY workspace_id, id LIMIT 1", [], workspace)
        .optional()
}

/// A workspace with its first user.
pub(crate) fn get(connection: &Connection, workspace_id: i64) -> Result<Option<Workspace>> {
    connection
        .query_row(
            "SELECT workspace_id, id FROM users WHERE workspace_id = ?1 ORDER BY id LIMIT 1",
            [workspace_id],
            workspace,
        )
        .optional()
}

/// The oldest workspace of this name.
pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<Workspace>> {
    connection
        .query_row(
            "SELECT u.workspace_id, u.id FROM users u JOIN workspaces w ON w.id = u.workspace_id \
             WHERE w.name = ?1 ORDER BY w.id, u.id LIMIT 1",
            [name],
            workspace,
        )
        .optional()
}

fn workspace(row: &Row<'_>) -> Result<Workspace> {
    Ok(Workspace { workspace_id: row.get(0)?, user_id: row.get(1)? })
}
