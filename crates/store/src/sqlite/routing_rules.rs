//! Routing rules.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::convert::json;
use crate::rules::{NewRoutingRule, RoutingRulePatch, RoutingRuleRow};

/// The columns of a rule, in the order that [`rule`] reads them.
macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, workspace_id, user_id, name, priority, is_enabled, match_json, action_json,
              created_at_ms, updated_at_ms ",
            $after
        )
    };
}

fn rule(row: &Row<'_>) -> Result<RoutingRuleRow> {
    Ok(RoutingRuleRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        user_id: row.get(2)?,
        name: row.get(3)?,
        priority: row.get(4)?,
        is_enabled: row.get(5)?,
        match_json: json(row, 6)?,
        action_json: json(row, 7)?,
        created_at_ms: row.get(8)?,
        updated_at_ms: row.get(9)?,
    })
}

/// Of all workspaces: for the snapshot alone.
pub(crate) fn list_all(connection: &Connection) -> Result<Vec<RoutingRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM routing_rules ORDER BY workspace_id, priority DESC, id"))?
        .query_map([], rule)?
        .collect()
}

pub(crate) fn list(connection: &Connection, workspace_id: i64) -> Result<Vec<RoutingRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM routing_rules WHERE workspace_id = ?1 ORDER BY priority DESC, id"))?
        .query_map([workspace_id], rule)?
        .collect()
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, id: i64) -> Result<Option<RoutingRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM routing_rules WHERE workspace_id = ?1 AND id = ?2"))?
        .query_row([workspace_id, id], rule)
        .optional()
}

pub(crate) fn create(
    connection: &Connection,
    workspace_id: i64,
    user_id: i64,
    new: &NewRoutingRule,
    now_ms: i64,
) -> Result<RoutingRuleRow> {
    connection
        .prepare_cached(columns!(
            "INSERT INTO routing_rules (
                 workspace_id, user_id, name, priority, is_enabled, match_json, action_json,
                 created_at_ms, updated_at_ms
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) RETURNING",
            ""
        ))?
        .query_row(
            params![
                workspace_id,
                user_id,
                new.name,
                new.priority,
                new.is_enabled,
                new.match_json.to_string(),
                new.action_json.to_string(),
                now_ms,
            ],
            rule,
        )
}

pub(crate) fn update(
    connection: &Connection,
    workspace_id: i64,
    id: i64,
    patch: &RoutingRulePatch,
    now_ms: i64,
) -> Result<Option<RoutingRuleRow>> {
    connection
        .prepare_cached(columns!(
            "UPDATE routing_rules SET
                 name = coalesce(?3, name),
                 priority = coalesce(?4, priority),
                 is_enabled = coalesce(?5, is_enabled),
                 match_json = coalesce(?6, match_json),
                 action_json = coalesce(?7, action_json),
                 updated_at_ms = ?8
             WHERE workspace_id = ?1 AND id = ?2 RETURNING",
            ""
        ))?
        .query_row(
            params![
                workspace_id,
                id,
                patch.name,
                patch.priority,
                patch.is_enabled,
                patch.match_json.as_ref().map(ToString::to_string),
                patch.action_json.as_ref().map(ToString::to_string),
                now_ms,
            ],
            rule,
        )
        .optional()
}

pub(crate) fn delete(connection: &Connection, workspace_id: i64, id: i64) -> Result<bool> {
    connection
        .prepare_cached("DELETE FROM routing_rules WHERE workspace_id = ?1 AND id = ?2")?
        .execute([workspace_id, id])
        .map(|deleted| deleted > 0)
}
