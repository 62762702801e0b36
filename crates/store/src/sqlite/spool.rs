//! Where records wait while the database cannot be written to: a file beside it.
//!
//! A record is a line: a checksum, a blank, JSON. **What has been appended is on the disk before anybody is told
//! so**, and goes into the database once: a replay passes over the requests that the ledger has already, so it may
//! be cut off and begun again. The file is locked by whoever appends to it, so that no other process replays it
//! meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::writer::{RecordJob, begin, insert};
use super::{ledger, migrations};
use crate::captures::Capture;
use crate::conversations::{ConversationItem, ConversationTurn};
use crate::error::{Result, StoreError};
use crate::ledger::{LedgerEntry, StoredResponse};

/// Of a replay's transactions.
const BATCH_RECORDS: usize = 256;
/// Hexadecimal digits.
const CHECKSUM: usize = 16;

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
    state: Arc<SpoolState>,
}

impl Spool {
    /// Beside the database at `path`.
    pub(super) fn new(path: &Path, most_bytes: u64, state: Arc<SpoolState>) -> Self {
        Self { path: beside(path, ".spool"), file: None, is_torn: false, most_bytes, state }
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

    /// From now on records come here.
    pub(super) fn activate(&self) {
        self.state.is_active.store(true, Ordering::Release);
    }

    /// Appends all or none of the records, and comes back when they are on the disk.
    ///
    /// # Errors
    /// When the spool is full, another process's, or cannot be written to.
    pub(super) fn append<'a>(&mut self, jobs: impl Iterator<Item = &'a RecordJob>) -> Result<()> {
        let mut lines = Vec::new();
        for job in jobs {
            write_line(&mut lines, &Record::of(job)?)?;
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
        let (mut brought, mut line, mut batch) = (0, Vec::new(), Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| self.wrong(&error))?;
            if read > 0 {
                match read_line(&line) {
                    Some(record) => batch.push(RecordJob::from(record)),
                    // The last line of a process that died while it wrote it, which nobody was told of.
                    None if !line.ends_with(b"\n") => tracing::warn!("the spool ends within a record"),
                    None => self.reject(&line, "it is damaged")?,
                }
            }
            if batch.len() >= BATCH_RECORDS || read == 0 {
                brought += self.bring(connection, &batch)?;
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

    fn bring(&self, connection: &mut Connection, batch: &[RecordJob]) -> Result<u64> {
        let mut brought = 0;
        let mut transaction = begin(connection)?;
        for job in batch {
            if is_there(&transaction, &job.entry)? {
                continue;
            }
            let Err(error) = insert_whole(&mut transaction, |one| insert(one, job))? else {
                brought += 1;
                continue;
            };
            let mut line = Vec::new();
            write_line(&mut line, &Record::of(job)?)?;
            self.reject(&line, &error.to_string())?;
            // What was answered is paid for, whatever becomes of the rest.
            let entry = |one: &Connection| Ok(ledger::Inserter::prepare(one)?.insert(&job.entry)?);
            if insert_whole(&mut transaction, entry)?.is_ok() {
                brought += 1;
            }
        }
        transaction.commit()?;
        Ok(brought)
    }

    /// Keeps a record that the database will never take, for a person to look at.
    fn reject(&self, line: &[u8], why: &str) -> Result<()> {
        let path = beside(&self.path, ".rejected");
        tracing::error!(why, path = %path.display(), "a record of the spool is put aside");
        let written = private().append(true).open(&path).and_then(|mut file| {
            file.write_all(line)?;
            file.sync_data()
        });
        written.map_err(|error| self.wrong(&error))
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

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    entry: LedgerEntry,
    response: Option<WrittenResponse>,
    turn: Option<WrittenTurn>,
    /// Input and output.
    #[serde(default)]
    capture: Option<(String, Option<String>)>,
}

#[derive(Serialize, Deserialize)]
struct WrittenResponse {
    id: String,
    workspace_id: i64,
    created_at_ms: i64,
    previous_response_id: Option<String>,
    conversation_id: Option<String>,
    body: String,
    input: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenTurn {
    conversation_id: String,
    /// Each item's id and body.
    items: Vec<(String, String)>,
}

/// Bodies are JSON, and so are text.
fn text(bytes: &Bytes) -> Result<String> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| StoreError::Internal { reason: "a record is not text".into() })
}

impl Record {
    fn of(job: &RecordJob) -> Result<Self> {
        let response = job.response.as_ref().map(|response| {
            Ok::<_, StoreError>(WrittenResponse {
                id: response.id.clone(),
                workspace_id: response.workspace_id,
                created_at_ms: response.created_at_ms,
                previous_response_id: response.previous_response_id.clone(),
                conversation_id: response.conversation_id.clone(),
                body: text(&response.body)?,
                input: text(&response.input)?,
            })
        });
        let turn = job.turn.as_ref().map(|turn| {
            let items = turn.items.iter().map(|item| Ok((item.id.clone(), text(&item.body)?)));
            Ok::<_, StoreError>(WrittenTurn {
                conversation_id: turn.conversation_id.clone(),
                items: items.collect::<Result<_>>()?,
            })
        });
        let capture = job.capture.as_ref().map(|capture| {
            Ok::<_, StoreError>((text(&capture.input)?, capture.output.as_ref().map(text).transpose()?))
        });
        Ok(Self {
            entry: job.entry.clone(),
            response: response.transpose()?,
            turn: turn.transpose()?,
            capture: capture.transpose()?,
        })
    }
}

impl From<Record> for RecordJob {
    fn from(record: Record) -> Self {
        let response = record.response.map(|response| StoredResponse {
            id: response.id,
            workspace_id: response.workspace_id,
            created_at_ms: response.created_at_ms,
            previous_response_id: response.previous_response_id,
            conversation_id: response.conversation_id,
            body: response.body.into(),
            input: response.input.into(),
        });
        let turn = record.turn.map(|turn| ConversationTurn {
            conversation_id: turn.conversation_id,
            items: turn.items.into_iter().map(|(id, body)| ConversationItem { id, body: body.into() }).collect(),
        });
        let capture = record.capture;
        let capture = capture.map(|(input, output)| Capture { input: input.into(), output: output.map(Bytes::from) });
        Self { entry: record.entry, response, turn, capture }
    }
}

fn checksum(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..CHECKSUM].to_owned()
}

fn write_line(lines: &mut Vec<u8>, record: &Record) -> Result<()> {
    let json = serde_json::to_vec(record)
        .map_err(|_| StoreError::Internal { reason: "a record cannot be written as JSON".into() })?;
    lines.extend_from_slice(checksum(&json).as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(&json);
    lines.push(b'\n');
    Ok(())
}

fn read_line(line: &[u8]) -> Option<Record> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{connection, migrations};
    use tempfile::TempDir;

    fn job(request_id: &str, response: Option<&str>) -> RecordJob {
        let entry = LedgerEntry {
            request_id: request_id.into(),
            workspace_id: 1,
            key_id: 1,
            response_id: response.map(str::to_owned),
            created_at_ms: 1,
            latency_ms: 1,
            provider: Some("openai".into()),
            model: None,
            requested_model: None,
            mode: "balance".into(),
            task: None,
            stream: false,
            outcome: "completed".into(),
            http_status: 200,
            error_code: None,
            input_tokens: 3,
            cached_input_tokens: 0,
            cache_write_tokens: 0,
            output_tokens: 5,
            reasoning_tokens: 0,
            cost_nano_usd: Some(7),
            usage_is_estimate: true,
            charged_tokens: 8,
            charged_nano_usd: 7,
            decision_json: "{}".into(),
        };
        let response = response.map(|id| StoredResponse {
            id: id.into(),
            workspace_id: 1,
            created_at_ms: 1,
            previous_response_id: None,
            conversation_id: None,
            body: "{\"text\": \"line\\nfeed, é\"}".into(),
            input: "[]".into(),
        });
        let items = vec![ConversationItem { id: format!("item_{request_id}"), body: "{}".into() }];
        let turn = Some(ConversationTurn { conversation_id: "none".into(), items });
        let capture = Some(Capture { input: "[]".into(), output: None });
        RecordJob { entry, response, turn, capture }
    }

    fn open(folder: &TempDir, most_bytes: u64) -> (Connection, Spool) {
        let path = folder.path().join("t.db");
        let mut connection = connection::open_writer(Some(&path)).unwrap();
        migrations::migrate(&mut connection).unwrap();
        (connection, Spool::new(&path, most_bytes, Arc::default()))
    }

    fn count(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_waits_is_brought_in_once_however_often_it_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut spool) = open(&folder, 1 << 20);
        spool.activate();
        spool.append([job("a", Some("resp_a")), job("b", None)].iter()).unwrap();
        let lines = std::fs::read(&spool.path).unwrap();
        assert_eq!(spool.replay(&mut connection).unwrap(), 2);
        assert!(!spool.is_active() && !spool.has_records());
        // As it is when the process dies between the commit and the emptying of the file.
        std::fs::write(&spool.path, lines).unwrap();
        assert_eq!(spool.replay(&mut connection).unwrap(), 0);
        assert_eq!((count(&connection, "ledger"), count(&connection, "responses")), (2, 1));
    }

    #[test]
    fn a_line_that_was_cut_off_is_nobodys_and_a_damaged_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut spool) = open(&folder, 1 << 20);
        spool.append([job("a", None), job("b", None), job("c", None)].iter()).unwrap();
        let mut lines = std::fs::read(&spool.path).unwrap();
        let second = lines.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        lines[second + 40] ^= 1;
        lines.truncate(lines.len() - 5);
        std::fs::write(&spool.path, lines).unwrap();
        assert_eq!(spool.replay(&mut connection).unwrap(), 1);
        let aside = std::fs::read_to_string(beside(&spool.path, ".rejected")).unwrap();
        assert_eq!(aside.lines().count(), 1);
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_what_is_appended_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut before) = open(&folder, 1 << 20);
        before.append([job("a", None), job("b", None)].iter()).unwrap();
        let path = before.path.clone();
        drop(before);
        let lines = std::fs::read(&path).unwrap();
        std::fs::write(&path, &lines[..lines.len() - 5]).unwrap();
        let mut spool = Spool::new(&folder.path().join("t.db"), 1 << 20, Arc::default());
        spool.append([job("c", None), job("d", None)].iter()).unwrap();
        assert_eq!(spool.replay(&mut connection).unwrap(), 3);
    }

    #[test]
    fn what_the_database_will_never_take_does_not_hold_the_rest_up() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut spool) = open(&folder, 1 << 20);
        connection
            .execute_batch(
                "CREATE TEMP TRIGGER refuse BEFORE INSERT ON responses WHEN NEW.id = 'bad'
                 BEGIN SELECT RAISE(ABORT, 'refused'); END",
            )
            .unwrap();
        spool.append([job("a", Some("good")), job("b", Some("bad")), job("c", None)].iter()).unwrap();
        assert_eq!(spool.replay(&mut connection).unwrap(), 3);
        // What it cost is known all the same.
        assert_eq!((count(&connection, "ledger"), count(&connection, "responses")), (3, 1));
        assert!(std::fs::read_to_string(beside(&spool.path, ".rejected")).unwrap().contains("\"bad\""));
    }

    #[test]
    fn it_takes_no_more_than_it_may_and_no_half_of_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut spool) = open(&folder, 1_000);
        spool.append([job("a", None)].iter()).unwrap();
        assert!(spool.append([job("b", None), job("c", None)].iter()).is_err());
        assert!(spool.state.is_full());
        assert_eq!(spool.replay(&mut connection).unwrap(), 1);
        assert!(!spool.state.is_full());
    }

    #[test]
    fn two_processes_do_not_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, mut spool) = open(&folder, 1 << 20);
        let (_, mut other) = open(&folder, 1 << 20);
        spool.append([job("a", None)].iter()).unwrap();
        assert!(other.append([job("b", None)].iter()).is_err());
        assert!(other.replay(&mut connection).is_err());
        assert_eq!(spool.replay(&mut connection).unwrap(), 1);
        other.append([job("b", None)].iter()).unwrap();
    }
}
