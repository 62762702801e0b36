//! The request ledger.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::convert::{signed, unsigned};
use crate::keys::KeyUsage;
use crate::ledger::LedgerEntry;
use crate::request_log::{RequestFilter, UsageGroup, UsageRow};

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
                     output_tokens, reasoning_tokens, cost_nano_usd, decision_json,
                     usage_is_estimate, charged_tokens, charged_nano_usd
                 ) VALUES (
                     ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25
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
                entry.usage_is_estimate,
                signed(entry.charged_tokens),
                signed(entry.charged_nano_usd),
            ])
            .map(drop)
    }
}

/// The columns of an entry, in the order that [`entry`] reads them.
macro_rules! select {
    ($rest:expr) => {
        select!("", $rest)
    };
    ($more:literal, $rest:expr) => {
        concat!(
            "SELECT request_id, workspace_id, key_id, response_id, created_at_ms, latency_ms,
                    provider, model, requested_model, mode, task, stream, outcome, http_status,
                    error_code, input_tokens, cached_input_tokens, cache_write_tokens,
                    output_tokens, reasoning_tokens, cost_nano_usd, decision_json, usage_is_estimate,
                    coalesce(charged_tokens, input_tokens + output_tokens),
                    coalesce(charged_nano_usd, cost_nano_usd, 0)",
            $more,
            " FROM ledger ",
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
        usage_is_estimate: row.get(22)?,
        charged_tokens: row.get(23).map(unsigned)?,
        charged_nano_usd: row.get(24).map(unsigned)?,
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

/// A response's id begins with the time that its request came at, so the index over time finds it.
pub(crate) fn of_response(
    connection: &Connection,
    workspace_id: i64,
    response_id: &str,
) -> Result<Option<LedgerEntry>> {
    let time = response_id.split_once('_').and_then(|(_, digits)| digits.get(..12));
    let Some(created_at_ms) = time.and_then(|digits| i64::from_str_radix(digits, 16).ok()) else { return Ok(None) };
    connection
        .prepare_cached(select!("WHERE workspace_id = ?1 AND created_at_ms = ?2 AND response_id = ?3"))?
        .query_row(params![workspace_id, created_at_ms, response_id], entry)
        .optional()
}

/// The conditions of a filter, as parameters 1 to 7.
macro_rules! filtered {
    ($before:expr, $after:literal) => {
        concat!(
            $before,
            " WHERE workspace_id = ?1
                AND created_at_ms >= coalesce(?2, -9223372036854775808)
                AND created_at_ms < coalesce(?3, 9223372036854775807)
                AND (?4 IS NULL OR outcome = ?4)
                AND (?5 IS NULL OR provider = ?5)
                AND (?6 IS NULL OR model = ?6)
                AND (?7 IS NULL OR key_id = ?7) ",
            $after
        )
    };
}

pub(crate) fn find(
    connection: &Connection,
    workspace_id: i64,
    filter: &RequestFilter,
    limit: u32,
    after: Option<&str>,
) -> Result<Option<Vec<LedgerEntry>>> {
    let place: Option<(i64, i64)> = match after {
        None => None,
        Some(request_id) => {
            let place = connection
                .prepare_cached("SELECT created_at_ms, id FROM ledger WHERE workspace_id = ?1 AND request_id = ?2")?
                .query_row(params![workspace_id, request_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if place.is_none() {
                return Ok(None);
            }
            place
        }
    };
    let (at_ms, id) = place.unwrap_or((i64::MAX, i64::MAX));
    connection
        .prepare_cached(filtered!(
            select!(""),
            "AND (created_at_ms, id) < (?8, ?9) ORDER BY created_at_ms DESC, id DESC LIMIT ?10"
        ))?
        .query_map(
            params![
                workspace_id,
                filter.since_ms,
                filter.until_ms,
                filter.outcome,
                filter.provider,
                filter.model,
                filter.key_id,
                at_ms,
                id,
                limit,
            ],
            entry,
        )?
        .collect::<Result<_>>()
        .map(Some)
}

pub(crate) fn recorded(
    connection: &Connection,
    workspace_id: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, LedgerEntry)>> {
    connection
        .prepare_cached(select!(", id ", "WHERE id > ?2 AND workspace_id = ?1 ORDER BY id LIMIT ?3"))?
        .query_map(params![workspace_id, after, limit], |row| Ok((row.get(25)?, entry(row)?)))?
        .collect()
}

pub(crate) fn last(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM ledger")?.query_row([], |row| row.get(0))
}

/// The exact sum of whole numbers, up to 2^62; what is more is the greatest number. SQLite's own sum is an error when it
/// is too large, so two halves are summed, which cannot be within a billion rows.
macro_rules! total {
    ($what:literal) => {
        concat!(
            "CASE WHEN sum((",
            $what,
            ") >> 30) > 4294967295 THEN 9223372036854775807
             ELSE (sum((",
            $what,
            ") >> 30) << 30) + sum((",
            $what,
            ") & 1073741823) END"
        )
    };
}

/// The sums of a group; what the group is stands before.
macro_rules! sums {
    ($group:literal) => {
        filtered!(
            concat!(
                "SELECT ",
                $group,
                ", count(*), sum(outcome IN ('completed', 'incomplete')), ",
                total!("input_tokens"),
                ", ",
                total!("cached_input_tokens"),
                ", ",
                total!("cache_write_tokens"),
                ", ",
                total!("output_tokens"),
                ", ",
                total!("reasoning_tokens"),
                ", coalesce(",
                total!("cost_nano_usd"),
                ", 0), sum(cost_nano_usd IS NULL AND provider IS NOT NULL) FROM ledger"
            ),
            "GROUP BY 1 ORDER BY 1"
        )
    };
}

pub(crate) fn usage(
    connection: &Connection,
    workspace_id: i64,
    filter: &RequestFilter,
    group: UsageGroup,
) -> Result<Vec<UsageRow>> {
    let query = match group {
        UsageGroup::Day => sums!("date(created_at_ms / 1000, 'unixepoch')"),
        UsageGroup::Model => sums!("provider || '/' || model"),
        UsageGroup::Provider => sums!("provider"),
        UsageGroup::Key => sums!("CAST(key_id AS TEXT)"),
    };
    connection
        .prepare_cached(query)?
        .query_map(
            params![
                workspace_id,
                filter.since_ms,
                filter.until_ms,
                filter.outcome,
                filter.provider,
                filter.model,
                filter.key_id,
            ],
            |row| {
                let count = |column: usize| row.get(column).map(unsigned);
                Ok(UsageRow {
                    group: row.get(0)?,
                    requests: count(1)?,
                    answered_requests: count(2)?,
                    input_tokens: count(3)?,
                    cached_input_tokens: count(4)?,
                    cache_write_tokens: count(5)?,
                    output_tokens: count(6)?,
                    reasoning_tokens: count(7)?,
                    cost_nano_usd: count(8)?,
                    unpriced_requests: count(9)?,
                })
            },
        )?
        .collect()
}

pub(crate) fn key_usage(connection: &Connection, since_ms: i64) -> Result<Vec<KeyUsage>> {
    connection
        // By workspace, so that the index over time is of use.
        .prepare_cached(concat!(
            "SELECT ledger.workspace_id, key_id, ",
            total!("coalesce(charged_tokens, input_tokens + output_tokens)"),
            ", ",
            total!("coalesce(charged_nano_usd, cost_nano_usd, 0)"),
            " FROM workspaces JOIN ledger ON ledger.workspace_id = workspaces.id
              WHERE ledger.created_at_ms >= ?1 GROUP BY ledger.workspace_id, key_id"
        ))?
        .query_map([since_ms], |row| {
            Ok(KeyUsage {
                workspace_id: row.get(0)?,
                key_id: row.get(1)?,
                tokens: row.get(2).map(unsigned)?,
                cost_nano_usd: row.get(3).map(unsigned)?,
            })
        })?
        .collect()
}

pub(crate) fn count(connection: &Connection, workspace_id: i64) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM ledger WHERE workspace_id = ?1")?
        .query_row([workspace_id], |row| row.get(0))
        .map(unsigned)
}
