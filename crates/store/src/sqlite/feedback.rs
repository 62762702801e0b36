//! Feedback on responses.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::convert::unsigned;
use crate::feedback::{FeedbackRow, FeedbackSum};

/// Takes the place of what was said of the response before.
pub(crate) fn put(connection: &Connection, workspace_id: i64, row: &FeedbackRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO feedback (
                 workspace_id, response_id, provider, model, task, score, forecast, comment, created_at_ms
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (workspace_id, response_id) DO UPDATE SET
                 score = excluded.score, comment = excluded.comment, created_at_ms = excluded.created_at_ms",
        )?
        .execute(params![
            workspace_id,
            row.response_id,
            row.provider,
            row.model,
            row.task,
            row.score,
            row.forecast,
            row.comment,
            row.created_at_ms,
        ])
        .map(drop)
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, response_id: &str) -> Result<Option<FeedbackRow>> {
    connection
        .prepare_cached(
            "SELECT response_id, provider, model, task, score, forecast, comment, created_at_ms
             FROM feedback WHERE workspace_id = ?1 AND response_id = ?2",
        )?
        .query_row(params![workspace_id, response_id], row)
        .optional()
}

/// Newest first, at most `limit`.
pub(crate) fn list(connection: &Connection, workspace_id: i64, limit: u32) -> Result<Vec<FeedbackRow>> {
    connection
        .prepare_cached(
            "SELECT response_id, provider, model, task, score, forecast, comment, created_at_ms
             FROM feedback WHERE workspace_id = ?1 ORDER BY created_at_ms DESC, response_id DESC LIMIT ?2",
        )?
        .query_map(params![workspace_id, limit], row)?
        .collect()
}

/// The sums of one workspace, or of all.
pub(crate) fn sums(connection: &Connection, workspace_id: Option<i64>) -> Result<Vec<FeedbackSum>> {
    // A range, so that one workspace's are found by the index.
    let (first, last) = workspace_id.map_or((i64::MIN, i64::MAX), |id| (id, id));
    connection
        .prepare_cached(
            "SELECT workspace_id, provider, model, task, count(*), sum(score - forecast)
             FROM feedback WHERE workspace_id BETWEEN ?1 AND ?2 GROUP BY workspace_id, provider, model, task",
        )?
        .query_map([first, last], |row| {
            Ok(FeedbackSum {
                workspace_id: row.get(0)?,
                provider: row.get(1)?,
                model: row.get(2)?,
                task: row.get(3)?,
                count: row.get(4).map(unsigned)?,
                above_forecast: row.get(5)?,
            })
        })?
        .collect()
}

fn row(row: &Row<'_>) -> Result<FeedbackRow> {
    Ok(FeedbackRow {
        response_id: row.get(0)?,
        provider: row.get(1)?,
        model: row.get(2)?,
        task: row.get(3)?,
        score: row.get(4)?,
        forecast: row.get(5)?,
        comment: row.get(6)?,
        created_at_ms: row.get(7)?,
    })
}
