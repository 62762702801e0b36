//! Stored responses.

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, Error, OptionalExtension, Result, Row, params};

use super::convert::unsigned;
use crate::ledger::{LedgerEntry, StoredResponse};

/// Writes responses; prepared once a batch.
pub(crate) struct Inserter<'c>(CachedStatement<'c>);

impl<'c> Inserter<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        connection
            .prepare_cached(
                "INSERT INTO responses (
                     workspace_id, id, previous_response_id, conversation_id, created_at_ms, body,
                     input
                 ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (workspace_id, id) DO UPDATE SET body = excluded.body, running_for_key = NULL, if_left = NULL
                 WHERE running_for_key IS NOT NULL",
            )
            .map(Self)
    }

    pub(crate) fn insert(&mut self, response: &StoredResponse) -> Result<()> {
        self.0
            .execute(params![
                response.workspace_id,
                response.id,
                response.previous_response_id,
                response.conversation_id,
                response.created_at_ms,
                &*response.body,
                &*response.input,
            ])
            .map(drop)
    }
}

/// Writes a response that is not finished, and what the ledger is to say if nobody finishes it.
pub(crate) fn put_unfinished(connection: &Connection, if_left: &LedgerEntry, response: &StoredResponse) -> Result<()> {
    let entry = serde_json::to_string(if_left).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached(
            "INSERT INTO responses (
                 workspace_id, id, previous_response_id, conversation_id, created_at_ms, body, input,
                 running_for_key, if_left
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            response.workspace_id,
            response.id,
            response.previous_response_id,
            response.conversation_id,
            response.created_at_ms,
            &*response.body,
            &*response.input,
            if_left.key_id,
            entry,
        ])
        .map(drop)
}

/// How far a response is. One that is finished stays as it is.
pub(crate) fn update_unfinished(connection: &Connection, workspace_id: i64, id: &str, body: &[u8]) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE responses SET body = ?3
             WHERE workspace_id = ?1 AND id = ?2 AND running_for_key IS NOT NULL",
        )?
        .execute(params![workspace_id, id, body])
        .map(drop)
}

/// With what the ledger is to say of each.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<(LedgerEntry, StoredResponse)>> {
    connection
        .prepare_cached(
            "SELECT id, workspace_id, created_at_ms, previous_response_id, conversation_id, body, input, if_left
             FROM responses WHERE running_for_key IS NOT NULL ORDER BY seq",
        )?
        .query_map([], |row| {
            let entry = serde_json::from_str(row.get_ref(7)?.as_str()?)
                .map_err(|error| Error::FromSqlConversionFailure(7, Type::Text, error.into()))?;
            Ok((entry, response(row)?))
        })?
        .collect()
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, id: &str) -> Result<Option<StoredResponse>> {
    connection
        .prepare_cached(
            "SELECT id, workspace_id, created_at_ms, previous_response_id, conversation_id, body,
                    input
             FROM responses WHERE workspace_id = ?1 AND id = ?2",
        )?
        .query_row(params![workspace_id, id], response)
        .optional()
}

/// In one query, however long the chain is.
pub(crate) fn chain(connection: &Connection, workspace_id: i64, id: &str, limit: u32) -> Result<Vec<StoredResponse>> {
    connection
        .prepare_cached(
            "WITH RECURSIVE chain (depth, seq, previous) AS (
                 SELECT 1, seq, previous_response_id FROM responses WHERE workspace_id = ?1 AND id = ?2
                 UNION ALL
                 SELECT depth + 1, r.seq, r.previous_response_id
                 FROM chain JOIN responses r ON r.workspace_id = ?1 AND r.id = chain.previous
                 WHERE depth < ?3
             )
             SELECT r.id, r.workspace_id, r.created_at_ms, r.previous_response_id, r.conversation_id, r.body,
                    r.input
             FROM chain JOIN responses r ON r.seq = chain.seq ORDER BY chain.depth",
        )?
        .query_map(params![workspace_id, id, limit], response)?
        .collect()
}

fn response(row: &Row<'_>) -> Result<StoredResponse> {
    Ok(StoredResponse {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        created_at_ms: row.get(2)?,
        previous_response_id: row.get(3)?,
        conversation_id: row.get(4)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        input: Bytes::from(row.get::<_, Vec<u8>>(6)?),
    })
}

/// What was said of it in words may quote it, and goes too; the score stays.
pub(crate) fn delete(connection: &Connection, workspace_id: i64, id: &str) -> Result<bool> {
    connection
        .prepare_cached("UPDATE feedback SET comment = NULL WHERE workspace_id = ?1 AND response_id = ?2")?
        .execute(params![workspace_id, id])?;
    connection
        .prepare_cached("DELETE FROM responses WHERE workspace_id = ?1 AND id = ?2")?
        .execute(params![workspace_id, id])
        .map(|deleted| deleted > 0)
}

pub(crate) fn count(connection: &Connection, workspace_id: i64) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM responses WHERE workspace_id = ?1")?
        .query_row([workspace_id], |row| row.get(0))
        .map(unsigned)
}
