//! Captured prompts and answers, and for how long they are kept.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::captures::Capture;
use crate::ledger::LedgerEntry;

const DAY_MS: i64 = 86_400_000;

/// Keeps it if the workspace captures still: what it turned off meanwhile must not come back.
pub(crate) fn insert(connection: &Connection, entry: &LedgerEntry, capture: &Capture) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO captures (workspace_id, request_id, created_at_ms, input, output)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM capture_settings WHERE workspace_id = ?1)
             ON CONFLICT (workspace_id, request_id) DO NOTHING",
        )?
        .execute(params![
            entry.workspace_id,
            entry.request_id,
            entry.created_at_ms,
            &*capture.input,
            capture.output.as_deref()
        ])
        .map(drop)
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, request_id: &str) -> Result<Option<Capture>> {
    connection
        .prepare_cached("SELECT input, output FROM captures WHERE workspace_id = ?1 AND request_id = ?2")?
        .query_row(params![workspace_id, request_id], |row| {
            let output = row.get::<_, Option<Vec<u8>>>(1)?;
            Ok(Capture { input: Bytes::from(row.get::<_, Vec<u8>>(0)?), output: output.map(Bytes::from) })
        })
        .optional()
}

pub(crate) fn days(connection: &Connection, workspace_id: i64) -> Result<Option<u32>> {
    connection
        .query_row("SELECT days FROM capture_settings WHERE workspace_id = ?1", [workspace_id], |row| row.get(0))
        .optional()
}

/// Of all workspaces that capture.
pub(crate) fn all_days(connection: &Connection) -> Result<Vec<(i64, u32)>> {
    connection
        .prepare_cached("SELECT workspace_id, days FROM capture_settings ORDER BY workspace_id")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Without days, nothing more is captured, and what was is deleted.
pub(crate) fn set_days(connection: &Connection, workspace_id: i64, days: Option<u32>) -> Result<()> {
    match days {
        Some(days) => connection.execute(
            "INSERT INTO capture_settings (workspace_id, days) VALUES (?1, ?2)
             ON CONFLICT (workspace_id) DO UPDATE SET days = excluded.days",
            params![workspace_id, days],
        )?,
        None => {
            connection.execute("DELETE FROM capture_settings WHERE workspace_id = ?1", [workspace_id])?;
            connection.execute("DELETE FROM captures WHERE workspace_id = ?1", [workspace_id])?
        }
    };
    Ok(())
}

/// Deletes what is older than its workspace keeps it; gives how much that was.
pub(crate) fn expire(connection: &Connection, now_ms: i64) -> Result<usize> {
    let mut deleted = 0;
    for (workspace_id, days) in all_days(connection)? {
        let oldest = now_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        deleted += connection.execute(
            "DELETE FROM captures WHERE workspace_id = ?1 AND created_at_ms < ?2",
            params![workspace_id, oldest],
        )?;
    }
    Ok(deleted)
}
