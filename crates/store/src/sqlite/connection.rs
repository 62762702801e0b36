//! Opening connections: the file and its permissions, and the settings of each kind of connection.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Result, StoreError};

/// How long a connection waits for another process (the command line, a backup) to finish.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long while it is known not to be writable.
const SHORT_BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// How often switching to WAL is tried when another process is opening the same new file: SQLite does
/// not wait by itself there.
const WAL_ATTEMPTS: u32 = 100;
const WAL_RETRY_DELAY: Duration = Duration::from_millis(20);

/// Of a new file. Three rows of 2 kB fit into such a page, where one of SQLite's usual 4 kB holds one
/// and is half empty; larger pages make small commits dearer. Measured with `examples/store_bench.rs`.
pub(super) const PAGE_BYTES: i32 = 8192;

/// Settings of the connection that writes.
///
/// `synchronous=NORMAL` in WAL mode: a commit is a write to the operating system, which survives the
/// death of the process; the disk is synced at checkpoints, so a power cut may take the last moments
/// but never damages the file. Checkpoints are the [`checkpointer`](super::checkpointer)'s. No memory
/// map and a small cache: memory is flat.
const WRITER_SETTINGS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA journal_size_limit = 67108864;
";

const CHECKPOINTER_SETTINGS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -64;
";

const READER_SETTINGS: &str = "
    PRAGMA query_only = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -1024;
";

/// Opens the connection that writes, creating the file (and its folder) for its owner only. Without a
/// path, a database in memory.
pub(super) fn open_writer(path: Option<&Path>) -> Result<Connection> {
    let connection = match path {
        Some(path) => {
            create_private_file(path)
                .map_err(|error| StoreError::Io { reason: format!("{}: {error}", path.display()) })?;
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
        }
        None => Connection::open_in_memory()?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if path.is_some() {
        // Before anything is written: it does nothing to a file that has pages.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        switch_to_wal(&connection)?;
    }
    connection.execute_batch(WRITER_SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(READER_SETTINGS)?;
    Ok(connection)
}

/// Opens a connection that only brings the WAL home.
pub(super) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.execute_batch(CHECKPOINTER_SETTINGS)?;
    Ok(connection)
}

pub(super) fn be_patient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)
}

pub(super) fn be_impatient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(SHORT_BUSY_TIMEOUT)
}

fn switch_to_wal(connection: &Connection) -> Result<()> {
    let mut attempt = 0;
    loop {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match switched {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(_) => {
                return Err(StoreError::Unsupported {
                    reason: "the file system of the database does not allow SQLite's WAL mode".into(),
                });
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && attempt < WAL_ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(WAL_RETRY_DELAY);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// SQLite gives the WAL and its index the permissions of the database file, so it is enough to create
/// that one. What exists keeps the permissions that its owner gave it.
fn create_private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.exists()
    {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    if fs::exists(path)? {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
