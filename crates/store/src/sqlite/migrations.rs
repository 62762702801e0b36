//! Bringing a database to the schema that this program knows.
//!
//! SQLite's `user_version` says which migrations a file has had; the table `schema_migrations` says
//! when. All pending ones are applied in one transaction, so a file is never between two versions.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::error::{Result, StoreError};

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// In order; the version of a schema is how many of these it has had. Only ever appended to.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_initial", sql: include_str!("../../../../migrations/sqlite/0001_initial.sql") },
    Migration { name: "0002_conversations", sql: include_str!("../../../../migrations/sqlite/0002_conversations.sql") },
    Migration { name: "0003_background", sql: include_str!("../../../../migrations/sqlite/0003_background.sql") },
    Migration { name: "0004_firewall", sql: include_str!("../../../../migrations/sqlite/0004_firewall.sql") },
    Migration {
        name: "0005_key_restrictions",
        sql: include_str!("../../../../migrations/sqlite/0005_key_restrictions.sql"),
    },
    Migration { name: "0006_key_limits", sql: include_str!("../../../../migrations/sqlite/0006_key_limits.sql") },
    Migration { name: "0007_charges", sql: include_str!("../../../../migrations/sqlite/0007_charges.sql") },
    Migration { name: "0008_provider_keys", sql: include_str!("../../../../migrations/sqlite/0008_provider_keys.sql") },
    Migration { name: "0009_feedback", sql: include_str!("../../../../migrations/sqlite/0009_feedback.sql") },
    Migration {
        name: "0010_workspace_limits",
        sql: include_str!("../../../../migrations/sqlite/0010_workspace_limits.sql"),
    },
    Migration { name: "0011_captures", sql: include_str!("../../../../migrations/sqlite/0011_captures.sql") },
    Migration {
        name: "0012_task_confidence",
        sql: include_str!("../../../../migrations/sqlite/0012_task_confidence.sql"),
    },
    Migration {
        name: "0013_left_responses",
        sql: include_str!("../../../../migrations/sqlite/0013_left_responses.sql"),
    },
];

pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    apply(connection, MIGRATIONS)
}

fn apply(connection: &mut Connection, migrations: &[Migration]) -> Result<()> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if version(connection)? == known {
        return Ok(());
    }
    // Two processes may open a new file at once: the version counts only once the lock is held.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let had =
        usize::try_from(found).map_err(|_| StoreError::Corrupt { reason: format!("its schema version is {found}") })?;
    let Some(pending) = migrations.get(had..) else {
        return Err(StoreError::NewerSchema { found, known });
    };
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             version    INTEGER PRIMARY KEY,
             name       TEXT NOT NULL,
             applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
         ) STRICT",
    )?;
    for (version, migration) in (found + 1..).zip(pending) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name) VALUES (?1, ?2)",
            params![version, migration.name],
        )?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration =
        Migration { name: "0001_first", sql: "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);" };
    const SECOND: Migration =
        Migration { name: "0002_second", sql: "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 2;" };
    const BROKEN: Migration =
        Migration { name: "0002_broken", sql: "CREATE TABLE b (x INTEGER); INSERT INTO nowhere VALUES (1);" };

    fn names(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT name FROM schema_migrations ORDER BY version").unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(|name| name.unwrap()).collect()
    }

    #[test]
    fn each_migration_is_applied_once_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &[FIRST]).unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(names(&connection), ["0001_first", "0002_second"]);
        let row: (i64, i64) =
            connection.query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, (1, 2));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &[FIRST]).unwrap();
        apply(&mut connection, &[FIRST, BROKEN]).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(connection.prepare("SELECT * FROM b").is_err());
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn what_an_older_version_left_unfinished_can_be_read() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &MIGRATIONS[..12]).unwrap();
        let bodies = [r#"{"tokenrouter":{"request_id":"req_1","mode":"cost","task":"qa","route":{}}}"#, "{}"];
        for (id, body) in ["a", "b"].into_iter().zip(bodies) {
            let sql = "INSERT INTO responses (workspace_id, id, created_at_ms, body, input, running_for_key)
                       VALUES (1, ?1, 5, ?2, x'5b5d', 3)";
            connection.execute(sql, params![id, body.as_bytes()]).unwrap();
        }
        migrate(&mut connection).unwrap();
        let left = crate::sqlite::responses::unfinished(&connection).unwrap();
        let told: Vec<_> = left.iter().map(|(entry, _)| (&*entry.request_id, &*entry.mode, entry.key_id)).collect();
        assert_eq!(told, [("req_1", "cost", 3), ("b", "", 3)]);
        let decision: serde_json::Value = serde_json::from_str(&left[0].0.decision_json).unwrap();
        assert_eq!(decision["task"], "qa");
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(apply(&mut connection, &[FIRST]), Err(StoreError::NewerSchema { found: 2, known: 1 }));
        assert_eq!(version(&connection).unwrap(), 2);
    }
}
