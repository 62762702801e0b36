//! Where records wait while the database cannot be written to: a file beside it.
//!
//! A record is a line ([`line`]). **What has been appended is on the disk before anybody is told
//! so**, and goes into the database once: a replay passes over the requests that the ledger has already, so it may
//! be cut off and begun again. The file is locked by whoever appends to it, so that no other process replays it
//! meanwhile.

mod line;
mod rejected;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use self::rejected::Rejected;
use super::writer::{begin, insert};
use super::{ledger, migrations};
use crate::error::{Result, StoreError};
use crate::keys::Charge;
use crate::ledger::{LedgerEntry, RequestRecord};

/// Of a replay's transactions.
const BATCH_RECORDS: usize = 256;

/// How the spool stands, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct SpoolState {
    is_active: AtomicBool,
    is_left: AtomicBool,
    is_full: AtomicBool,
    bytes: AtomicU64,
}

impl SpoolState {
    /// Whether records go to the spool, since the database does not take them.
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// Whether what a process before has left could not be brought in yet.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Acquire)
    }

    /// Whether a record was refused, for want of room or because the file could not be written to.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

pub(super) struct Spool {
    path: PathBuf,
    /// Opened and locked with the first record.
    file: Option<File>,
    /// The file ends within a line, of a process that died while it wrote it.
    is_torn: bool,
    most_bytes: u64,
    /// Of what was brought in, and is not told yet.
    charges: Vec<Charge>,
    state: Arc<SpoolState>,
}

impl Spool {
    /// Beside the database at `path`.
    pub(super) fn new(path: &Path, most_bytes: u64, state: Arc<SpoolState>) -> Self {
        Self { path: beside(path, ".spool"), file: None, is_torn: false, most_bytes, charges: Vec::new(), state }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state.is_active()
    }

    pub(super) fn is_left(&self) -> bool {
        self.state.is_left()
    }

    /// Its records are to be brought in later, without that new ones come here.
    pub(super) fn leave(&self) {
        self.state.is_left.store(true, Ordering::Release);
    }

    /// What the records counted as that were brought in since this was asked, whether or not a replay came to its end.
    pub(super) fn take_charges(&mut self) -> Vec<Charge> {
        std::mem::take(&mut self.charges)
    }

    /// From now on records come here.
    pub(super) fn activate(&self) {
        self.state.is_active.store(true, Ordering::Release);
    }

    /// Appends all or none of the records, and comes back when they are on the disk.
    ///
    /// # Errors
    /// When the spool is full, another process's, or cannot be written to.
    pub(super) fn append<'a>(&mut self, records: impl Iterator<Item = &'a RequestRecord>) -> Result<()> {
        let mut lines = Vec::new();
        for record in records {
            line::write(&mut lines, record)?;
        }
        if let Err(error) = self.open() {
            // What cannot be written here cannot be written anywhere: requests are refused before a provider is asked.
            // Another process lets go of it by itself.
            if !matches!(error, StoreError::Unavailable { .. }) {
                self.state.is_full.store(true, Ordering::Release);
            }
            return Err(error);
        }
        if self.is_torn {
            // Half a line would spoil the one that comes behind it.
            lines.insert(0, b'\n');
        }
        let before = self.state.bytes();
        let after = before.saturating_add(lines.len() as u64);
        if after > self.most_bytes {
            self.state.is_full.store(true, Ordering::Release);
            return Err(StoreError::Unavailable { reason: "its spool is full".into() });
        }
        let mut file = self.file()?;
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        if let Err(error) = written {
            if file.set_len(before).is_err() {
                // With what there is of the lines: it is opened anew, and looked at.
                self.file = None;
            }
            self.state.is_full.store(true, Ordering::Release);
            return Err(self.wrong(&error));
        }
        self.is_torn = false;
        self.state.bytes.store(after, Ordering::Relaxed);
        Ok(())
    }

    /// Brings what waits into the database and empties the file. Gives how many records were brought in.
    ///
    /// # Errors
    /// When the database does not take them: then they stay.
    pub(super) fn replay(&mut self, connection: &mut Connection) -> Result<u64> {
        try_out(connection)?;
        if !self.has_records() {
            self.deactivate();
            return Ok(0);
        }
        self.open()?;
        let mut reader = BufReader::new(File::open(&self.path).map_err(|error| self.wrong(&error))?);
        let mut rejected = Rejected::at(beside(&self.path, ".rejected"));
        let (mut brought, mut line, mut batch) = (0, Vec::new(), Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| self.wrong(&error))?;
            if read > 0 {
                match line::read(&line) {
                    Some(record) => batch.push(record),
                    // The last line of a process that died while it wrote it, which nobody was told of.
                    None if !line.ends_with(b"\n") => tracing::warn!("the spool ends within a record"),
                    None => rejected.put(&line, "it is damaged").map_err(|error| self.wrong(&error))?,
                }
            }
            if batch.len() >= BATCH_RECORDS || read == 0 {
                brought += self.bring(connection, &batch, &mut rejected)?;
                batch.clear();
            }
            if read == 0 {
                break;
            }
        }
        sync_commits(connection)?;
        let file = self.file()?;
        file.set_len(0).and_then(|()| file.sync_data()).map_err(|error| self.wrong(&error))?;
        self.is_torn = false;
        self.state.bytes.store(0, Ordering::Relaxed);
        // The file stays, and its lock goes: whoever has opened it may lock it, and append to this very file.
        self.file = None;
        self.deactivate();
        if brought > 0 {
            tracing::info!(records = brought, "what waited in the spool is in the database");
        }
        Ok(brought)
    }

    fn bring(&mut self, connection: &mut Connection, batch: &[RequestRecord], rejected: &mut Rejected) -> Result<u64> {
        let mut brought = Vec::new();
        let mut transaction = begin(connection)?;
        for record in batch {
            if is_there(&transaction, &record.entry)? {
                continue;
            }
            let Err(error) = insert_whole(&mut transaction, |one| insert(one, record))? else {
                brought.push(record.entry.charge());
                continue;
            };
            // Before the commit: once the entry is there, nobody looks at the record again.
            let mut line = Vec::new();
            line::write(&mut line, record)?;
            rejected.put(&line, &error.to_string()).map_err(|error| self.wrong(&error))?;
            // What was answered is paid for, whatever becomes of the rest.
            let entry = |one: &Connection| Ok(ledger::Inserter::prepare(one)?.insert(&record.entry)?);
            if insert_whole(&mut transaction, entry)?.is_ok() {
                brought.push(record.entry.charge());
            }
        }
        transaction.commit()?;
        let count = brought.len() as u64;
        self.charges.append(&mut brought);
        Ok(count)
    }

    /// Whether the file holds any, for all that can be seen.
    pub(super) fn has_records(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() > 0)
    }

    /// Opens and locks the file, unless that is done.
    fn open(&mut self) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let file = private().read(true).append(true).open(&self.path).map_err(|error| self.wrong(&error))?;
        file.try_lock().map_err(|_| StoreError::Unavailable { reason: "its spool is another process's".into() })?;
        let bytes = file.metadata().map_err(|error| self.wrong(&error))?.len();
        self.is_torn = bytes > 0 && !ends_a_line(&file).map_err(|error| self.wrong(&error))?;
        self.state.bytes.store(bytes, Ordering::Relaxed);
        self.file = Some(file);
        Ok(())
    }

    fn file(&self) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| StoreError::Internal { reason: "the spool is not open".into() })
    }

    fn deactivate(&self) {
        self.state.is_full.store(false, Ordering::Release);
        self.state.is_left.store(false, Ordering::Release);
        self.state.is_active.store(false, Ordering::Release);
    }

    fn wrong(&self, error: &std::io::Error) -> StoreError {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return StoreError::DiskFull;
        }
        StoreError::Io { reason: format!("{}: {error}", self.path.display()) }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// What is made is its owner's alone, as the database is.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Of a file that is not empty.
fn ends_a_line(mut file: &File) -> std::io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Whether the database takes anything. The lock can be had on a full disk too, so something is written.
fn try_out(connection: &mut Connection) -> Result<()> {
    let transaction = begin(connection)?;
    let version = migrations::version(&transaction)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}

/// Brings all commits so far onto the disk, where they are not by themselves: before what they were made of goes.
fn sync_commits(connection: &mut Connection) -> Result<()> {
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    // It syncs the WAL, with all that stands before it there.
    let synced = try_out(connection);
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    synced
}

/// Inserts all or nothing of a record. The inner error is the record's own, the outer one the database's.
fn insert_whole(
    transaction: &mut Transaction<'_>,
    insert: impl FnOnce(&Connection) -> Result<()>,
) -> Result<Result<()>> {
    let one = transaction.savepoint()?;
    match insert(&one) {
        Ok(()) => one.commit()?,
        Err(error) if error.concerns_whole_database() => return Err(error),
        // It is rolled back as it goes.
        Err(error) => return Ok(Err(error)),
    }
    Ok(Ok(()))
}

fn is_there(connection: &Connection, entry: &LedgerEntry) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM ledger WHERE workspace_id = ?1 AND request_id = ?2")?
        .query_row(params![entry.workspace_id, entry.request_id], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

#[cfg(test)]
mod tests;
