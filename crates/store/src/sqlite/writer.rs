//! The one thread that writes, and its queue.
//!
//! Group commit: the thread takes whatever is queued, writes it in one transaction and then tells all
//! who wait. Under light load a batch is one record, under heavy load it grows by itself, since records
//! queue while the batch before them is committed; in between, [`gather`](super::gather) says whether
//! to wait a moment.
//!
//! While the database does not take records they go to the [`spool`](super::spool), of which their waiters are
//! told as of any other success, until [`Writer::recover`] finds the database well again.
//!
//! The queue is bounded by weight, about 64 MB: those who come when it is full wait for room.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::checkpointer::Checkpointer;
use super::gather::Gather;
use super::spool::Spool;
use super::{captures, connection, conversations, firewall_rules, ledger, responses};
use crate::error::{Result, StoreError};
use crate::keys::Charge;
use crate::ledger::RequestRecord;

/// The queue holds this many units; a record takes one, and one more for each [`UNIT_BYTES`] of it.
/// So it is bounded in records and in bytes.
const QUEUE_UNITS: u32 = 65_536;
const UNIT_BYTES: usize = 1024;

/// A batch ends here, so that the first in it does not wait too long nor the WAL grow too far.
const BATCH_RECORDS: usize = 512;
const BATCH_UNITS: usize = 8_192;

fn units(record: &RequestRecord) -> u32 {
    let units = 1 + record.weight() / UNIT_BYTES;
    // A record heavier than the whole queue is let in alone.
    u32::try_from(units).unwrap_or(u32::MAX).min(QUEUE_UNITS)
}

/// A record in the queue, and who waits for it.
struct Queued {
    job: RequestRecord,
    done: oneshot::Sender<Result<()>>,
    /// Given back when the record has left the queue, however it left.
    permit: OwnedSemaphorePermit,
}

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

enum Job {
    Record(Box<Queued>),
    Call(Call),
    Recover(oneshot::Sender<Result<Vec<Charge>>>),
    Close(oneshot::Sender<()>),
}

/// The queue's entrance. When the last one is dropped, the thread writes what is queued and ends.
pub(super) struct Writer {
    queue: UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

impl Writer {
    /// Starts the thread; without a checkpointer, for a database that has no WAL.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Option<Checkpointer>,
        spool: Option<Spool>,
    ) -> Result<Self> {
        let (queue, jobs) = mpsc::unbounded_channel();
        let thread = WriterThread { connection, checkpointer, spool, gather: Gather::new(Instant::now()), jobs };
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::Io { reason: format!("the writing thread cannot be started: {error}") })?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(QUEUE_UNITS as usize)) })
    }

    /// Queues a record now, or, when the queue is full, as soon as there is room.
    pub(super) fn record(&self, job: RequestRecord) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, outcome) = oneshot::channel();
        let units = units(&job);
        match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(permit) => enqueue(&self.queue, job, done, permit),
            // A task of its own, so that the record is written though its caller goes away.
            // Outside a runtime nobody could wait: `done` is dropped, which answers Unavailable.
            Err(_) => {
                if let Ok(runtime) = Handle::try_current() {
                    let (queue, room) = (self.queue.clone(), Arc::clone(&self.room));
                    runtime.spawn(async move {
                        if let Ok(permit) = room.acquire_many_owned(units).await {
                            enqueue(&queue, job, done, permit);
                        }
                    });
                }
            }
        }
        async move { outcome.await.unwrap_or_else(|_| Err(StoreError::closed())) }
    }

    /// Runs a function on the thread, between two batches.
    pub(super) async fn call<T, F>(&self, function: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let (done, outcome) = oneshot::channel();
        // A job that cannot be queued is dropped, and `done` with it.
        let _ = self.queue.send(Job::Call(Box::new(move |connection| {
            let _ = done.send(function(connection));
        })));
        outcome.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Tries the database again and brings in what waits in the spool; gives what the records of it count as.
    pub(super) async fn recover(&self) -> Result<Vec<Charge>> {
        let (done, outcome) = oneshot::channel();
        let _ = self.queue.send(Job::Recover(done));
        outcome.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Resolves when all that was queued is written and the connection is closed.
    pub(super) async fn close(&self) {
        let (done, outcome) = oneshot::channel();
        let _ = self.queue.send(Job::Close(done));
        // An error means that it was closed before.
        let _ = outcome.await;
    }
}

fn enqueue(
    queue: &UnboundedSender<Job>,
    job: RequestRecord,
    done: oneshot::Sender<Result<()>>,
    permit: OwnedSemaphorePermit,
) {
    // If the thread has ended the job is dropped, and `done` with it, which answers Unavailable.
    let _ = queue.send(Job::Record(Box::new(Queued { job, done, permit })));
}

/// Starts a transaction that will write. It waits for other processes here, never in its middle.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

struct WriterThread {
    connection: Connection,
    checkpointer: Option<Checkpointer>,
    spool: Option<Spool>,
    gather: Gather,
    jobs: UnboundedReceiver<Job>,
}

impl WriterThread {
    fn run(mut self) {
        // A panic is a mistake of ours in one job; its waiters get an error, and the others go on.
        let closed = loop {
            match catch_unwind(AssertUnwindSafe(|| self.serve())) {
                Ok(closed) => break closed,
                Err(_) => tracing::error!("a write to the database panicked"),
            }
        };
        // What waits in the spool waits for the next start otherwise.
        if let Err(error) = self.recover() {
            tracing::error!(%error, "records wait in the spool for the next start");
        }
        // Nothing can be queued any more; what slipped in behind `close` is dropped with the queue.
        let Self { connection, checkpointer, jobs, .. } = self;
        drop(jobs);
        if let Some(checkpointer) = checkpointer {
            checkpointer.stop();
        }
        // It answers with a row, whose first figure says whether somebody was in its way.
        match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)) {
            Ok(0) => {}
            Ok(_) => tracing::warn!("the WAL stays beside the database: another process is reading it"),
            Err(error) => {
                tracing::warn!(%error, "the WAL stays beside the database: it could not be checkpointed");
            }
        }
        drop(connection);
        if let Some(closed) = closed {
            let _ = closed.send(());
        }
    }

    /// Answers when the store is closed (with who waits for that) or forgotten.
    fn serve(&mut self) -> Option<oneshot::Sender<()>> {
        let mut next = None;
        loop {
            match next.take().or_else(|| self.jobs.blocking_recv())? {
                Job::Record(first) => next = self.write_batch(*first),
                Job::Call(call) => call(&mut self.connection),
                Job::Recover(done) => {
                    let _ = done.send(self.recover());
                }
                Job::Close(done) => return Some(done),
            }
            if let Some(checkpointer) = &mut self.checkpointer {
                checkpointer.after_commit(&self.connection);
            }
        }
    }

    /// Empties the spool, if records go there or a process before has left some, and the database takes them.
    fn recover(&mut self) -> Result<Vec<Charge>> {
        let Some(spool) = self.spool.as_mut().filter(|spool| spool.is_active() || spool.is_left()) else {
            return Ok(Vec::new());
        };
        let was_active = spool.is_active();
        spool.replay(&mut self.connection)?;
        let charges = spool.take_charges();
        if was_active {
            tracing::warn!("the database can be written to again");
        }
        connection::be_patient(&self.connection)?;
        Ok(charges)
    }

    /// Puts the records into the spool, from now on without asking the database first.
    fn spool(spool: &mut Spool, connection: &Connection, batch: &Batch) -> Result<()> {
        if !spool.is_active() {
            tracing::error!("records go to the spool until the database can be written to again");
            // What else is asked of it meanwhile is not to hold the records up.
            connection::be_impatient(connection)?;
            spool.activate();
        }
        spool.append(batch.records.iter().map(|queued| &queued.job))
    }

    /// Writes `first` and the records queued behind it. Answers with the job that ended the batch, if
    /// it was of another kind.
    fn write_batch(&mut self, first: Queued) -> Option<Job> {
        let mut batch = Batch::of(first);
        // Before anything can fail or wait, so that what fails or waits does so for all.
        while batch.take_next(&mut self.jobs) {}
        if let Some(spool) = self.spool.as_mut().filter(|spool| spool.is_active()) {
            let spooled = Self::spool(spool, &self.connection, &batch);
            return batch.finish(|_| spooled.clone());
        }
        let queued = batch.records.len();
        if batch.next.is_none()
            && let Some(window) = self.gather.wait(queued)
        {
            thread::sleep(window);
            while batch.take_next(&mut self.jobs) {}
            self.gather.waited(batch.records.len() - queued);
        }
        let outcome = insert_batch(&mut self.connection, &mut self.jobs, &mut batch);
        let records = batch.records.len();
        self.gather.wrote(records, Instant::now());
        match outcome {
            Ok(()) => batch.finish(|_| Ok(())),
            // One record may be at fault: each for itself, then.
            Err(error) if records > 1 && !error.concerns_whole_database() => {
                batch.finish(|job| insert_one(&mut self.connection, job))
            }
            Err(error) => {
                tracing::error!(%error, records, "records could not be written");
                let outcome = match &mut self.spool {
                    Some(spool) if error.concerns_whole_database() => Self::spool(spool, &self.connection, &batch),
                    _ => Err(error),
                };
                batch.finish(|_| outcome.clone())
            }
        }
    }
}

/// Records that are committed together.
struct Batch {
    records: Vec<Queued>,
    units: usize,
    /// The job behind them that is no record.
    next: Option<Job>,
}

impl Batch {
    fn of(first: Queued) -> Self {
        let mut records = Vec::with_capacity(64);
        let units = first.permit.num_permits();
        records.push(first);
        Self { records, units, next: None }
    }

    /// Takes one more record from the queue; false if there is none or no room.
    fn take_next(&mut self, jobs: &mut UnboundedReceiver<Job>) -> bool {
        let full = self.records.len() >= BATCH_RECORDS || self.units >= BATCH_UNITS;
        if full || self.next.is_some() {
            return false;
        }
        match jobs.try_recv() {
            Ok(Job::Record(queued)) => {
                self.units += queued.permit.num_permits();
                self.records.push(*queued);
                true
            }
            Ok(other) => {
                self.next = Some(other);
                false
            }
            Err(_) => false,
        }
    }

    /// Tells each who waits what became of its record.
    fn finish(self, mut outcome: impl FnMut(&RequestRecord) -> Result<()>) -> Option<Job> {
        for Queued { job, done, permit } in self.records {
            let outcome = outcome(&job);
            drop(permit);
            // Nobody listens if the caller went away; the record is written all the same.
            let _ = done.send(outcome);
        }
        self.next
    }
}

/// One transaction over the batch and what is queued by the time that it is written.
fn insert_batch(connection: &mut Connection, jobs: &mut UnboundedReceiver<Job>, batch: &mut Batch) -> Result<()> {
    let transaction = begin(connection)?;
    {
        let mut entries = ledger::Inserter::prepare(&transaction)?;
        let mut bodies = responses::Inserter::prepare(&transaction)?;
        let mut written = 0;
        while let Some(queued) = batch.records.get(written) {
            entries.insert(&queued.job.entry)?;
            if let Some(response) = &queued.job.response {
                bodies.insert(response)?;
            }
            if let Some(turn) = &queued.job.turn {
                conversations::add_turn(&transaction, queued.job.entry.workspace_id, turn)?;
            }
            if let Some(capture) = &queued.job.capture {
                captures::insert(&transaction, &queued.job.entry, capture)?;
            }
            count_hits(&transaction, &queued.job)?;
            written += 1;
            if written == batch.records.len() {
                batch.take_next(jobs);
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn insert_one(connection: &mut Connection, job: &RequestRecord) -> Result<()> {
    let transaction = begin(connection)?;
    insert(&transaction, job)?;
    transaction.commit()?;
    Ok(())
}

/// Within a transaction.
pub(super) fn insert(connection: &Connection, job: &RequestRecord) -> Result<()> {
    ledger::Inserter::prepare(connection)?.insert(&job.entry)?;
    if let Some(response) = &job.response {
        responses::Inserter::prepare(connection)?.insert(response)?;
    }
    if let Some(turn) = &job.turn {
        conversations::add_turn(connection, job.entry.workspace_id, turn)?;
    }
    if let Some(capture) = &job.capture {
        captures::insert(connection, &job.entry, capture)?;
    }
    count_hits(connection, job)
}

fn count_hits(connection: &Connection, job: &RequestRecord) -> Result<()> {
    let ended_at_ms = job.entry.created_at_ms.saturating_add(job.entry.latency_ms);
    Ok(firewall_rules::count_hits(connection, &job.firewall_hits, ended_at_ms)?)
}
