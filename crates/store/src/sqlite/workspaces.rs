//! Workspaces and their users.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::api_keys;
use super::convert::signed;
use crate::keys::{Workspace, WorkspaceRow, WorkspaceSettings};

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

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, name, created_at_ms, requests_per_minute, tokens_per_minute, max_in_flight, monthly_tokens,
              monthly_budget_nano_usd, task_confidence_percent ",
            $after
        )
    };
}

fn whole(row: &Row<'_>) -> Result<WorkspaceRow> {
    Ok(WorkspaceRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created_at_ms: row.get(2)?,
        settings: WorkspaceSettings { limits: api_keys::limits(row, 3)?, task_confidence_percent: row.get(8)? },
    })
}

/// Oldest first.
pub(crate) fn list(connection: &Connection) -> Result<Vec<WorkspaceRow>> {
    connection.prepare_cached(columns!("SELECT", "FROM workspaces ORDER BY id"))?.query_map([], whole)?.collect()
}

pub(crate) fn show(connection: &Connection, id: i64) -> Result<Option<WorkspaceRow>> {
    connection.prepare_cached(columns!("SELECT", "FROM workspaces WHERE id = ?1"))?.query_row([id], whole).optional()
}

/// The workspace as changed; none if there is no such workspace.
pub(crate) fn set(connection: &Connection, id: i64, settings: &WorkspaceSettings) -> Result<Option<WorkspaceRow>> {
    let WorkspaceSettings { limits, task_confidence_percent } = settings;
    connection
        .query_row(
            columns!(
                "UPDATE workspaces SET requests_per_minute = ?2, tokens_per_minute = ?3, max_in_flight = ?4,
                     monthly_tokens = ?5, monthly_budget_nano_usd = ?6, task_confidence_percent = ?7
                 WHERE id = ?1 RETURNING",
                ""
            ),
            params![
                id,
                limits.requests_per_minute.map(signed),
                limits.tokens_per_minute.map(signed),
                limits.max_in_flight.map(signed),
                limits.monthly_tokens.map(signed),
                limits.monthly_budget_nano_usd.map(signed),
                task_confidence_percent,
            ],
            whole,
        )
        .optional()
}

fn workspace(row: &Row<'_>) -> Result<Workspace> {
    Ok(Workspace { workspace_id: row.get(0)?, user_id: row.get(1)? })
}
