//! Workspaces' own keys for providers, sealed.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::convert;
use crate::provider_keys::{NewProviderKey, ProviderKeyPatch, ProviderKeyRow, SealedKey};

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, workspace_id, user_id, provider, name, origin, weight, last4, master_key_version, sealed,
              created_at_ms, updated_at_ms ",
            $after
        )
    };
}

fn provider_key(row: &Row<'_>) -> Result<ProviderKeyRow> {
    Ok(ProviderKeyRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        user_id: row.get(2)?,
        provider: row.get(3)?,
        name: row.get(4)?,
        origin: row.get(5)?,
        weight: row.get(6)?,
        last4: row.get(7)?,
        sealed: SealedKey { master_key_version: row.get(8)?, bytes: row.get(9)? },
        created_at_ms: row.get(10)?,
        updated_at_ms: row.get(11)?,
    })
}

/// The row without its key, whose sealing needs the row's id: [`seal`] is the second half.
pub(crate) fn create(
    connection: &Connection,
    workspace_id: i64,
    user_id: i64,
    new: &NewProviderKey,
    now_ms: i64,
) -> Result<i64> {
    connection.query_row(
        "INSERT INTO provider_keys (
             workspace_id, user_id, provider, name, origin, weight, last4, master_key_version, sealed,
             created_at_ms, updated_at_ms
         ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, x'', ?8, ?8) RETURNING id",
        params![workspace_id, user_id, new.provider, new.name, new.origin, new.weight, new.last4, now_ms],
        |row| row.get(0),
    )
}

pub(crate) fn seal(connection: &Connection, workspace_id: i64, id: i64, sealed: &SealedKey) -> Result<ProviderKeyRow> {
    connection.query_row(
        columns!(
            "UPDATE provider_keys SET master_key_version = ?3, sealed = ?4
             WHERE workspace_id = ?1 AND id = ?2 RETURNING",
            ""
        ),
        params![workspace_id, id, sealed.master_key_version, sealed.bytes],
        provider_key,
    )
}

/// Oldest first.
pub(crate) fn list(connection: &Connection, workspace_id: i64) -> Result<Vec<ProviderKeyRow>> {
    connection
        .prepare(columns!("SELECT", "FROM provider_keys WHERE workspace_id = ?1 ORDER BY id"))?
        .query_map([workspace_id], provider_key)?
        .collect()
}

/// Of all workspaces, oldest first.
pub(crate) fn list_all(connection: &Connection) -> Result<Vec<ProviderKeyRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM provider_keys ORDER BY id"))?
        .query_map([], provider_key)?
        .collect()
}

pub(crate) fn count(connection: &Connection, workspace_id: i64, provider: &str) -> Result<u64> {
    connection
        .query_row(
            "SELECT count(*) FROM provider_keys WHERE workspace_id = ?1 AND provider = ?2",
            params![workspace_id, provider],
            |row| row.get(0),
        )
        .map(convert::unsigned)
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, id: i64) -> Result<Option<ProviderKeyRow>> {
    connection
        .query_row(
            columns!("SELECT", "FROM provider_keys WHERE workspace_id = ?1 AND id = ?2"),
            params![workspace_id, id],
            provider_key,
        )
        .optional()
}

pub(crate) fn update(
    connection: &Connection,
    workspace_id: i64,
    id: i64,
    patch: &ProviderKeyPatch,
    now_ms: i64,
) -> Result<Option<ProviderKeyRow>> {
    connection
        .query_row(
            columns!(
                "UPDATE provider_keys SET name = coalesce(?3, name), weight = coalesce(?4, weight),
                     updated_at_ms = ?5
                 WHERE workspace_id = ?1 AND id = ?2 RETURNING",
                ""
            ),
            params![workspace_id, id, patch.name, patch.weight, now_ms],
            provider_key,
        )
        .optional()
}

pub(crate) fn delete(connection: &Connection, workspace_id: i64, id: i64) -> Result<bool> {
    connection
        .execute("DELETE FROM provider_keys WHERE workspace_id = ?1 AND id = ?2", params![workspace_id, id])
        .map(|deleted| deleted > 0)
}
