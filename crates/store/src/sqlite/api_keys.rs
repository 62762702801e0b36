//! API keys: hashes, never the keys.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::convert;
use crate::keys::{ApiKeyRow, KeyParts, KeyRestrictions, NewApiKey, UsageLimits, Workspace, hash_key};

/// How a key came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Person,
    Bootstrap,
}

/// A key that is there, and how it stands.
pub(crate) struct Known {
    pub row: ApiKeyRow,
    pub origin: Origin,
}

/// The columns of a key, in the order that [`api_key`] reads them.
macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, workspace_id, user_id, name, prefix, last4, created_at_ms, expires_at_ms,
              revoked_at_ms, is_bootstrap, scope, models,
              requests_per_minute, tokens_per_minute, max_in_flight, monthly_tokens,
              monthly_budget_nano_usd ",
            $after
        )
    };
}

fn api_key(row: &Row<'_>) -> Result<ApiKeyRow> {
    Ok(ApiKeyRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        user_id: row.get(2)?,
        name: row.get(3)?,
        prefix: row.get(4)?,
        last4: row.get(5)?,
        created_at_ms: row.get(6)?,
        expires_at_ms: row.get(7)?,
        revoked_at_ms: row.get(8)?,
        restrictions: restrictions(row, 10)?,
    })
}

/// From the columns `scope`, `models` and the limits, in this order, of which the first has this number.
pub(super) fn restrictions(row: &Row<'_>, column: usize) -> Result<KeyRestrictions> {
    let models = convert::json(row, column + 1)?;
    let models = serde_json::from_value(models).map_err(|error| convert::wrong(column + 1, error))?;
    Ok(KeyRestrictions { scope: row.get(column)?, models, limits: limits(row, column + 2)? })
}

/// From the five columns of limits, of which the first has this number.
pub(super) fn limits(row: &Row<'_>, column: usize) -> Result<UsageLimits> {
    let limit = |place: usize| row.get(column + place).map(|limit: Option<i64>| limit.map(convert::unsigned));
    Ok(UsageLimits {
        requests_per_minute: limit(0)?,
        tokens_per_minute: limit(1)?,
        max_in_flight: limit(2)?,
        monthly_tokens: limit(3)?,
        monthly_budget_nano_usd: limit(4)?,
    })
}

pub(crate) fn create(
    connection: &Connection,
    workspace: Workspace,
    new: &NewApiKey,
    key: &str,
    origin: Origin,
    now_ms: i64,
) -> Result<ApiKeyRow> {
    let parts = KeyParts::of(key);
    let limits = &new.restrictions.limits;
    connection.query_row(
        columns!(
            "INSERT INTO api_keys (
                 workspace_id, user_id, name, hash, prefix, last4, is_bootstrap, created_at_ms,
                 expires_at_ms, scope, models, requests_per_minute, tokens_per_minute,
                 max_in_flight, monthly_tokens, monthly_budget_nano_usd
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING",
            ""
        ),
        params![
            workspace.workspace_id,
            workspace.user_id,
            new.name,
            hash_key(key),
            parts.prefix,
            parts.last4,
            origin == Origin::Bootstrap,
            now_ms,
            new.expires_at_ms,
            new.restrictions.scope,
            serde_json::Value::from(new.restrictions.models.clone()).to_string(),
            limits.requests_per_minute.map(convert::signed),
            limits.tokens_per_minute.map(convert::signed),
            limits.max_in_flight.map(convert::signed),
            limits.monthly_tokens.map(convert::signed),
            limits.monthly_budget_nano_usd.map(convert::signed),
        ],
        api_key,
    )
}

/// Oldest first, the revoked ones too.
pub(crate) fn list(connection: &Connection, workspace_id: i64) -> Result<Vec<ApiKeyRow>> {
    connection
        .prepare(columns!("SELECT", "FROM api_keys WHERE workspace_id = ?1 ORDER BY id"))?
        .query_map([workspace_id], api_key)?
        .collect()
}

/// Looks a key up by itself, in whichever workspace it is: a key is what says which workspace.
pub(crate) fn find(connection: &Connection, key: &str) -> Result<Option<Known>> {
    connection
        .query_row(columns!("SELECT", "FROM api_keys WHERE hash = ?1"), [hash_key(key)], |row| {
            let is_bootstrap: bool = row.get(9)?;
            Ok(Known { row: api_key(row)?, origin: if is_bootstrap { Origin::Bootstrap } else { Origin::Person } })
        })
        .optional()
}

/// A person's revocation: final, a bootstrap does not undo it. False if there is no such key or it is
/// revoked already.
pub(crate) fn revoke(connection: &Connection, workspace_id: i64, id: i64, now_ms: i64) -> Result<bool> {
    connection
        .execute(
            "UPDATE api_keys SET revoked_at_ms = ?3, is_bootstrap = 0
             WHERE workspace_id = ?1 AND id = ?2 AND revoked_at_ms IS NULL",
            params![workspace_id, id, now_ms],
        )
        .map(|revoked| revoked > 0)
}

/// Revokes the workspace's bootstrap keys except `kept`. They stay bootstrap keys, so that one of them
/// is put in force again if it is given again.
pub(crate) fn retire_bootstrap_keys(
    connection: &Connection,
    workspace_id: i64,
    kept: i64,
    now_ms: i64,
) -> Result<usize> {
    connection.execute(
        "UPDATE api_keys SET revoked_at_ms = ?3
         WHERE workspace_id = ?1 AND is_bootstrap = 1 AND id <> ?2 AND revoked_at_ms IS NULL",
        params![workspace_id, kept, now_ms],
    )
}

/// Puts a retired bootstrap key in force again.
pub(crate) fn reinstate(connection: &Connection, workspace_id: i64, id: i64) -> Result<ApiKeyRow> {
    connection.query_row(
        columns!(
            "UPDATE api_keys SET revoked_at_ms = NULL
             WHERE workspace_id = ?1 AND id = ?2 AND is_bootstrap = 1 RETURNING",
            ""
        ),
        params![workspace_id, id],
        api_key,
    )
}
