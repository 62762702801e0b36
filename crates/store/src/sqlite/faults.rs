//! Tests of a database that fails: everyone waiting gets an error, and the writer goes on.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::Database;
use super::spool::Spool;
use crate::error::{Result, StoreError};
use crate::ledger::{LedgerEntry, RequestRecord, StoredResponse};
use crate::url::DatabaseUrl;

fn open(folder: &TempDir) -> Database {
    Database::open(DatabaseUrl::SqliteFile(folder.path().join("tr.db")), 0).unwrap()
}

fn entry(request_id: &str, decision_json: String) -> LedgerEntry {
    LedgerEntry {
        request_id: request_id.into(),
        workspace_id: 1,
        key_id: 1,
        response_id: None,
        created_at_ms: 1,
        latency_ms: 1,
        provider: None,
        model: None,
        requested_model: None,
        mode: "balance".into(),
        task: None,
        stream: false,
        outcome: "completed".into(),
        http_status: 200,
        error_code: None,
        input_tokens: 0,
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 0,
        reasoning_tokens: 0,
        cost_nano_usd: None,
        usage_is_estimate: false,
        charged_tokens: 0,
        charged_nano_usd: 0,
        decision_json,
    }
}

fn response(id: &str, bytes: usize) -> StoredResponse {
    StoredResponse {
        id: id.into(),
        workspace_id: 1,
        created_at_ms: 1,
        previous_response_id: None,
        conversation_id: None,
        body: vec![b'x'; bytes].into(),
        input: "[]".into(),
    }
}

async fn on_the_writer(
    database: &Database,
    change: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
) {
    let changed = database.writer.call(move |connection| Ok(change(connection)?));
    changed.await.unwrap();
}

async fn entries(database: &Database) -> u64 {
    database.read(|connection| super::ledger::count(connection, 1)).await.unwrap()
}

/// Queues records while the writer is held up, so that they make one batch.
async fn record_together(database: &Database, records: Vec<(LedgerEntry, Option<StoredResponse>)>) -> Vec<Result<()>> {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = database.writer.call(move |_| {
        let _ = held.recv();
        Ok(())
    });
    let queue = async {
        let waiting: Vec<_> = records
            .into_iter()
            .map(|(entry, response)| database.record(RequestRecord { response, ..RequestRecord::of(entry) }))
            .collect();
        release.send(()).unwrap();
        let mut outcomes = Vec::new();
        for record in waiting {
            outcomes.push(record.await);
        }
        outcomes
    };
    let (held, outcomes) = tokio::join!(hold, queue);
    held.unwrap();
    outcomes
}

#[tokio::test]
async fn a_full_disk_is_everyones_error_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    on_the_writer(&database, |connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        connection.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(()))
    })
    .await;
    let records = (0..3).map(|number| {
        let id = number.to_string();
        (entry(&id, String::new()), Some(response(&id, 100_000)))
    });
    let outcomes = record_together(&database, records.collect()).await;
    assert_eq!(outcomes, vec![Err(StoreError::DiskFull); 3]);
    assert_eq!(entries(&database).await, 0);

    on_the_writer(&database, |connection| {
        connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()))
    })
    .await;
    let record = database.record(RequestRecord::of(entry("after", String::new())));
    assert_eq!(record.await, Ok(()));
    assert_eq!(entries(&database).await, 1);
}

#[tokio::test]
async fn a_database_that_stays_busy_is_unavailable_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    on_the_writer(&database, |connection| connection.busy_timeout(Duration::from_millis(20))).await;
    let other = Connection::open(folder.path().join("tr.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let records = (0..3).map(|number| (entry(&number.to_string(), String::new()), None));
    for outcome in record_together(&database, records.collect()).await {
        assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    }
    // Reading is not writing.
    assert_eq!(entries(&database).await, 0);
    other.execute_batch("ROLLBACK").unwrap();
    let record = database.record(RequestRecord::of(entry("after", String::new())));
    assert_eq!(record.await, Ok(()));
}

#[tokio::test]
async fn a_record_that_cannot_be_written_does_not_take_its_batch_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    on_the_writer(&database, |connection| {
        connection.execute_batch(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON responses WHEN NEW.id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
    })
    .await;
    let records = ["first", "bad", "last"].map(|id| (entry(id, String::new()), Some(response(id, 10)))).to_vec();
    let outcomes = record_together(&database, records).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Ok(()), &Ok(())));
    assert!(matches!(outcomes[1], Err(StoreError::Conflict { .. })));
    // Not even the ledger's half of the bad one.
    assert_eq!(entries(&database).await, 2);
}

#[tokio::test]
async fn a_job_that_panics_is_an_error_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    let panicked = database.write::<(), _>(|_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(StoreError::Unavailable { .. })));
    let record = database.record(RequestRecord::of(entry("after", String::new())));
    assert_eq!(record.await, Ok(()));
}

#[tokio::test]
async fn a_change_that_fails_halfway_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    let failed: Result<()> = database
        .write(|transaction| {
            super::workspaces::create(transaction, "half", 1)?;
            Err(StoreError::DiskFull)
        })
        .await;
    assert_eq!(failed, Err(StoreError::DiskFull));
    let first = database.read(|connection| super::workspaces::first(connection));
    assert_eq!(first.await.unwrap(), None);
}

#[tokio::test]
async fn what_could_not_be_brought_in_at_the_start_is_brought_in_later() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).close().await;
    let path = folder.path().join("tr.db");
    let mut other = Spool::new(&path, 1 << 20, Arc::default());
    let job = RequestRecord::of(entry("left", String::new()));
    other.append(std::iter::once(&job)).unwrap();
    let database = Database::open(DatabaseUrl::SqliteFile(path), 1 << 20).unwrap();
    assert!(database.spool().is_left() && !database.spool().is_active());
    assert!(database.recover().await.is_err());
    // New ones are not held up by it.
    assert_eq!(database.record(RequestRecord::of(entry("new", String::new()))).await, Ok(()));
    assert_eq!(entries(&database).await, 1);
    drop(other);
    assert_eq!(database.recover().await.map(|charges| charges.len()), Ok(1));
    assert!(!database.spool().is_left());
    assert_eq!(entries(&database).await, 2);
}

#[test]
fn only_what_a_record_itself_is_refused_for_is_its_own_matter() {
    let error = |code| StoreError::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    for code in [rusqlite::ffi::SQLITE_NOMEM, rusqlite::ffi::SQLITE_ERROR, rusqlite::ffi::SQLITE_FULL] {
        assert!(error(code).concerns_whole_database(), "{code}");
    }
    for code in [rusqlite::ffi::SQLITE_TOOBIG, rusqlite::ffi::SQLITE_CONSTRAINT, rusqlite::ffi::SQLITE_MISMATCH] {
        assert!(!error(code).concerns_whole_database(), "{code}");
    }
}

#[tokio::test]
async fn sums_that_are_too_large_for_the_database_are_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder);
    database
        .write(|transaction| {
            super::workspaces::create(transaction, "w", 1)?;
            Ok(())
        })
        .await
        .unwrap();
    let sums = async || {
        let rows = database.read(|connection| super::ledger::key_usage(connection, 0)).await.unwrap();
        (rows[0].tokens, rows[0].cost_nano_usd)
    };
    let spent = |id: &str, tokens, cost| LedgerEntry {
        charged_tokens: tokens,
        charged_nano_usd: cost,
        input_tokens: tokens,
        cost_nano_usd: i64::try_from(cost).ok(),
        ..entry(id, String::new())
    };
    for (id, tokens, cost) in [("a", 3 << 40, 7), ("b", (1 << 31) + 1, 0)] {
        assert_eq!(database.record(RequestRecord::of(spent(id, tokens, cost))).await, Ok(()));
    }
    assert_eq!(sums().await, ((3 << 40) + (1 << 31) + 1, 7));
    for id in ["c", "d"] {
        assert_eq!(database.record(RequestRecord::of(spent(id, u64::MAX, 1 << 62))).await, Ok(()));
    }
    let most = i64::MAX.unsigned_abs();
    assert_eq!(sums().await, (most, most));
    let filter = crate::request_log::RequestFilter::default();
    let rows = database
        .read(move |connection| super::ledger::usage(connection, 1, &filter, crate::request_log::UsageGroup::Day));
    let row = rows.await.unwrap().remove(0);
    assert_eq!((row.requests, row.input_tokens, row.cost_nano_usd), (4, most, most));
}
