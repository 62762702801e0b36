//! Firewall rules.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::rules::{FirewallRulePatch, FirewallRuleRow, NewFirewallRule};

/// The columns of a rule, in the order that [`rule`] reads them.
macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, workspace_id, user_id, name, priority, is_enabled, scope, kind, pattern, action,
              replacement, created_at_ms, updated_at_ms, normalize,
              coalesce((SELECT hits FROM firewall_hits WHERE rule_id = firewall_rules.id), 0),
              (SELECT last_hit_at_ms FROM firewall_hits WHERE rule_id = firewall_rules.id) ",
            $after
        )
    };
}

fn rule(row: &Row<'_>) -> Result<FirewallRuleRow> {
    Ok(FirewallRuleRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        user_id: row.get(2)?,
        name: row.get(3)?,
        priority: row.get(4)?,
        is_enabled: row.get(5)?,
        scope: row.get(6)?,
        kind: row.get(7)?,
        pattern: row.get(8)?,
        action: row.get(9)?,
        replacement: row.get(10)?,
        created_at_ms: row.get(11)?,
        updated_at_ms: row.get(12)?,
        normalize: row.get(13)?,
        hits: u64::try_from(row.get::<_, i64>(14)?).unwrap_or(0),
        last_hit_at_ms: row.get(15)?,
    })
}

/// Adds to what rules have matched; a rule that is gone by now has no count.
pub(crate) fn count_hits(connection: &Connection, hits: &[(i64, u64)], now_ms: i64) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO firewall_hits (rule_id, hits, last_hit_at_ms)
         SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM firewall_rules WHERE id = ?1)
         ON CONFLICT (rule_id) DO UPDATE
         SET hits = hits + excluded.hits, last_hit_at_ms = max(last_hit_at_ms, excluded.last_hit_at_ms)",
    )?;
    for (rule_id, matches) in hits {
        statement.execute(params![rule_id, i64::try_from(*matches).unwrap_or(i64::MAX), now_ms])?;
    }
    Ok(())
}

/// Of all workspaces: for the snapshot alone.
pub(crate) fn list_all(connection: &Connection) -> Result<Vec<FirewallRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM firewall_rules ORDER BY workspace_id, priority DESC, id"))?
        .query_map([], rule)?
        .collect()
}

pub(crate) fn list(connection: &Connection, workspace_id: i64) -> Result<Vec<FirewallRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM firewall_rules WHERE workspace_id = ?1 ORDER BY priority DESC, id"))?
        .query_map([workspace_id], rule)?
        .collect()
}

pub(crate) fn get(connection: &Connection, workspace_id: i64, id: i64) -> Result<Option<FirewallRuleRow>> {
    connection
        .prepare_cached(columns!("SELECT", "FROM firewall_rules WHERE workspace_id = ?1 AND id = ?2"))?
        .query_row([workspace_id, id], rule)
        .optional()
}

pub(crate) fn create(
    connection: &Connection,
    workspace_id: i64,
    user_id: i64,
    new: &NewFirewallRule,
    now_ms: i64,
) -> Result<FirewallRuleRow> {
    connection
        .prepare_cached(columns!(
            "INSERT INTO firewall_rules (
                 workspace_id, user_id, name, priority, is_enabled, scope, kind, pattern, action,
                 replacement, created_at_ms, updated_at_ms, normalize
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12) RETURNING",
            ""
        ))?
        .query_row(
            params![
                workspace_id,
                user_id,
                new.name,
                new.priority,
                new.is_enabled,
                new.scope,
                new.kind,
                new.pattern,
                new.action,
                new.replacement,
                now_ms,
                new.normalize,
            ],
            rule,
        )
}

pub(crate) fn update(
    connection: &Connection,
    workspace_id: i64,
    id: i64,
    patch: &FirewallRulePatch,
    now_ms: i64,
) -> Result<Option<FirewallRuleRow>> {
    connection
        .prepare_cached(columns!(
            "UPDATE firewall_rules SET
                 name = coalesce(?3, name),
                 priority = coalesce(?4, priority),
                 is_enabled = coalesce(?5, is_enabled),
                 scope = coalesce(?6, scope),
                 kind = coalesce(?7, kind),
                 pattern = coalesce(?8, pattern),
                 action = coalesce(?9, action),
                 replacement = CASE WHEN ?10 THEN ?11 ELSE replacement END,
                 updated_at_ms = ?12,
                 normalize = coalesce(?13, normalize)
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
                patch.scope,
                patch.kind,
                patch.pattern,
                patch.action,
                patch.replacement.is_some(),
                patch.replacement.as_ref().and_then(Option::as_ref),
                now_ms,
                patch.normalize,
            ],
            rule,
        )
        .optional()
}

pub(crate) fn delete(connection: &Connection, workspace_id: i64, id: i64) -> Result<bool> {
    connection
        .prepare_cached("DELETE FROM firewall_rules WHERE workspace_id = ?1 AND id = ?2")?
        .execute([workspace_id, id])
        .map(|deleted| deleted > 0)
}
