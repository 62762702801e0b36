//! Bringing the WAL home without holding the writer up.
//!
//! A checkpoint syncs the disk, which takes tens of milliseconds: too long for the requests that wait
//! for the writer. So a thread of its own does it while the writer goes on appending. What was appended
//! meanwhile remains, and SQLite starts the WAL from its beginning only when nothing remains; that
//! small rest is the writer's, between two batches.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::connection;
use crate::error::{Result, StoreError};

/// Pages in the WAL that are worth a checkpoint: 16 MB. Those written again and again go home once.
const WORTH_IT: i32 = (16 << 20) / connection::PAGE_BYTES;

/// Pages in the WAL, beyond those, at which the thread has fallen behind: 128 MB. Then the writer waits
/// for the disk, and with it all who write.
const TOO_MANY: i32 = (128 << 20) / connection::PAGE_BYTES;

/// Brings home what can be brought home without waiting for anyone.
const WITHOUT_WAITING: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Waits for the thread and for readers, as long as the connection waits when it is busy.
const WITH_WAITING: &str = "PRAGMA wal_checkpoint(FULL)";

/// The thread repeats itself until at most this many pages remain, or so often.
const SMALL_REST: i64 = 128;
const ROUNDS: u32 = 4;

/// Nothing to do; the thread is at work; the rest is the writer's.
const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const REST: u8 = 2;

/// The writer's side.
pub(super) struct Checkpointer {
    /// Pages in the WAL after the writer's last commit.
    wal_pages: Arc<AtomicI32>,
    state: Arc<AtomicU8>,
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    /// The WAL is left alone until it has this many pages.
    due_at: i32,
}

impl Checkpointer {
    /// `writer` is the connection whose commits fill the WAL.
    pub(super) fn start(path: PathBuf, writer: &mut Connection) -> Result<Self> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let (wake, woken) = sync_channel(1);
        let connection = connection::open_checkpointer(&path)?;
        let thread_state = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || serve(&connection, &thread_state, &woken))
            .map_err(|error| StoreError::Io {
                reason: format!("the checkpointing thread cannot be started: {error}"),
            })?;
        let wal_pages = Arc::new(AtomicI32::new(0));
        let noted = Arc::clone(&wal_pages);
        // This takes the place of SQLite's own checkpoints, made in the middle of a commit.
        writer.wal_hook(Some(move |_: &mut _, pages| {
            noted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { wal_pages, state, wake, thread, due_at: WORTH_IT })
    }

    /// To be called by the writing thread between two batches.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        let state = self.state.load(Ordering::Acquire);
        let too_many = pages >= self.due_at.saturating_add(TOO_MANY);
        if state == REST || too_many {
            checkpoint(writer, if too_many { WITH_WAITING } else { WITHOUT_WAITING });
            // If someone still reads an old state, the WAL goes on growing from here.
            self.due_at = pages.saturating_add(WORTH_IT);
            if state == REST {
                self.state.store(IDLE, Ordering::Release);
            }
        } else if pages < self.due_at - WORTH_IT {
            // It has been started from its beginning.
            self.due_at = WORTH_IT;
        } else if state == IDLE && pages >= self.due_at {
            self.state.store(RUNNING, Ordering::Release);
            // The thread lives as long as this sender.
            let _ = self.wake.try_send(());
        }
    }

    /// Ends the thread and closes its connection.
    pub(super) fn stop(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpointing thread panicked");
        }
    }
}

fn serve(connection: &Connection, state: &AtomicU8, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        for _ in 0..ROUNDS {
            if checkpoint(connection, WITHOUT_WAITING).is_none_or(|rest| rest <= SMALL_REST) {
                break;
            }
        }
        state.store(REST, Ordering::Release);
    }
}

/// Brings home what no reader still needs. Answers how many pages remain.
fn checkpoint(connection: &Connection, pragma: &str) -> Option<i64> {
    let rest = connection.query_row(pragma, [], |row| {
        let (pages, home): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(pages - home)
    });
    match rest {
        Ok(rest) => Some(rest),
        Err(error) => {
            tracing::warn!(%error, "the WAL could not be checkpointed; it grows until it can be");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> (Connection, Checkpointer) {
        let path = folder.path().join("tr.db");
        let mut writer = connection::open_writer(Some(&path)).unwrap();
        let checkpointer = Checkpointer::start(path, &mut writer).unwrap();
        writer.execute_batch("CREATE TABLE t (x BLOB)").unwrap();
        (writer, checkpointer)
    }

    fn write_mb(writer: &Connection, checkpointer: &Checkpointer, mb: i32) -> i32 {
        writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [mb << 20]).unwrap();
        checkpointer.wal_pages.load(Ordering::Relaxed)
    }

    #[test]
    fn the_wal_is_started_from_its_beginning_when_it_has_grown() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, mut checkpointer) = open(&folder);
        for _ in 0..2 {
            write_mb(&writer, &checkpointer, 20);
            checkpointer.after_commit(&writer);
            while checkpointer.state.load(Ordering::Acquire) != REST {
                thread::yield_now();
            }
            checkpointer.after_commit(&writer);
            assert!(write_mb(&writer, &checkpointer, 1) < WORTH_IT / 2);
            checkpointer.after_commit(&writer);
            assert_eq!(checkpointer.state.load(Ordering::Acquire), IDLE);
            assert_eq!(checkpointer.due_at, WORTH_IT);
        }
        checkpointer.stop();
    }

    #[test]
    fn a_reader_of_an_old_state_delays_it_and_does_not_keep_it_busy() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, mut checkpointer) = open(&folder);
        let reader = connection::open_reader(&folder.path().join("tr.db")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        let grown = write_mb(&writer, &checkpointer, 20);
        checkpointer.after_commit(&writer);
        while checkpointer.state.load(Ordering::Acquire) != REST {
            thread::yield_now();
        }
        checkpointer.after_commit(&writer);
        assert!(write_mb(&writer, &checkpointer, 1) > grown);
        checkpointer.after_commit(&writer);
        assert_eq!(checkpointer.state.load(Ordering::Acquire), IDLE);
        assert_eq!(checkpointer.due_at, grown + WORTH_IT);
        checkpointer.stop();
    }
}
