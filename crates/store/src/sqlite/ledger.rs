//! The request ledger.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::convert::{signed, unsigned};
use crate::ledger::LedgerEntry;

/// Writes entries; prepared once a batch.
pub(crate) struct Inserter<'c>(CachedStatement<'c>);

impl<'c> Inserter<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        connection
            .prepare_cached(
                "INSERT INTO ledger (
                     workspace_id, key_id, request_id, response_id, created_at_ms, latency_ms,
                     provider, model, requested_model, mode, task, stream, outcome, http_status,
                     error_code, input_tokens, cached_input_tokens, cache_write_tokens,
                     output_tokens, reasoning_tokens, cost_nano_usd, decision_json
                 ) VALUES (
                     ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20, ?21, ?22
                 ) ON CONFLICT (workspace_id, request_id) DO NOTHING",
            )
            .map(Self)
    }

    pub(crate) fn insert(&mut self, entry: &LedgerEntry) -> Result<()> {
        self.0
            .execute(params![
                entry.workspace_id,
                entry.key_id,
                entry.request_id,
                entry.response_id,
                entry.created_at_ms,
                entry.latency_ms,
                entry.provider,
                entry.model,
                entry.requested_model,
                entry.mode,
                entry.task,
                entry.stream,
                entry.outcome,
                entry.http_status,
                entry.error_code,
                signed(entry.input_tokens),
                signed(entry.cached_input_tokens),
                signed(entry.cache_write_tokens),
                signed(entry.output_tokens),
                signed(entry.reasoning_tokens),
                entry.cost_nano_usd,
                entry.decision_json,
            ])
            .map(drop)
    }
}

/// The columns of an entry, in the order that [`entry`] reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT request_id, workspace_id, key_id, response_id, created_at_ms, latency_ms,
                    provider, model, requested_model, mode, task, stream, outcome, http_status,
                    error_code, input_tokens, cached_input_tokens, cache_write_tokens,
                    output_tokens, reasoning_tokens, cost_nano_usd, decision_json
             FROM ledger ",
            $rest
        )
    };
}

fn entry(row: &Row<'_>) -> Result<LedgerEntry> {
    Ok(LedgerEntry {
        request_id: row.get(0)?,
        workspace_id: row.get(1)?,
        key_id: row.get(2)?,
        response_id: row.get(3)?,
        created_at_ms: row.get(4)?,
        latency_ms: row.get(5)?,
        provider: row.get(6)?,
        model: row.get(7)?,
        requested_model: row.get(8)?,
        mode: row.get(9)?,
        task: row.get(10)?,
        stream: row.get(11)?,
        outcome: row.get(12)?,
        http_status: row.get(13)?,
        error_code: row.get(14)?,
        input_tokens: unsigned(row.get(15)?),
        cached_input_tokens: unsigned(row.get(16)?),
        cache_write_tokens: unsigned(row.get(17)?),
        output_tokens: unsigned(row.get(18)?),
        reasoning_tokens: unsigned(row.get(19)?),
        cost_nano_usd: row.get(20)?,
        decision_json: row.get(21)?,
    })
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, request_id: &str) -> Result<Option<LedgerEntry>> {
    connection
        .prepare_cached(select!("WHERE workspace_id = ?1 AND request_id = ?2"))?
        .query_row(params![workspace_id, request_id], entry)
        .optional()
}

/// Newest first; with `before`, those older than that request.
pub(crate) fn list(
    connection: &Connection,
    workspace_id: i64,
    limit: u32,
    before: Option<&str>,
) -> Result<Vec<LedgerEntry>> {
    match before {
        None => connection
            .prepare_cached(select!("WHERE workspace_id = ?1 ORDER BY created_at_ms DESC, id DESC LIMIT ?2"))?
            .query_map(params![workspace_id, limit], entry)?
            .collect(),
        Some(request_id) => connection
            .prepare_cached(select!(
                "WHERE workspace_id = ?1 AND (created_at_ms, id) <
                     (SELECT created_at_ms, id FROM ledger
                      WHERE workspace_id = ?1 AND request_id = ?3)
                 ORDER BY created_at_ms DESC, id DESC LIMIT ?2"
            ))?
            .query_map(params![workspace_id, limit, request_id], entry)?
            .collect(),
    }
}

pub(crate) fn count(connection: &Connection, workspace_id: i64) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM ledger WHERE workspace_id = ?1")?
        .query_row([workspace_id], |row| row.get(0))
        .map(unsigned)
}
