//! Everything that the data plane reads, of one moment.

use rusqlite::{Connection, Result};

use super::{api_keys, captures, firewall_rules, provider_keys, routing_rules, workspaces};
use crate::keys::KeyRow;
use crate::rules::Snapshot;

pub(crate) fn read(connection: &mut Connection) -> Result<Snapshot> {
    // One transaction, so that all parts are of the same moment.
    let transaction = connection.transaction()?;
    Ok(Snapshot {
        version: version(&transaction)?,
        keys: keys(&transaction)?,
        routing_rules: routing_rules::list_all(&transaction)?,
        firewall_rules: firewall_rules::list_all(&transaction)?,
        provider_keys: provider_keys::list_all(&transaction)?,
        workspaces: workspaces::list(&transaction)?,
        capture_days: captures::all_days(&transaction)?,
    })
}

pub(crate) fn version(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT version FROM config_version")?.query_row([], |row| row.get(0))
}

fn keys(connection: &Connection) -> Result<Vec<KeyRow>> {
    connection
        .prepare_cached(
            "SELECT hash, id, workspace_id, user_id, expires_at_ms, scope, models,
                    requests_per_minute, tokens_per_minute, max_in_flight, monthly_tokens,
                    monthly_budget_nano_usd
             FROM api_keys WHERE revoked_at_ms IS NULL ORDER BY id",
        )?
        .query_map([], |row| {
            Ok(KeyRow {
                hash: row.get(0)?,
                key_id: row.get(1)?,
                workspace_id: row.get(2)?,
                user_id: row.get(3)?,
                expires_at_ms: row.get(4)?,
                restrictions: api_keys::restrictions(row, 5)?,
            })
        })?
        .collect()
}
