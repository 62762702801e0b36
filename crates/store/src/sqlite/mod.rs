//! The embedded database: one SQLite file in WAL mode.
//!
//! One thread writes ([`writer`]), one brings the WAL home ([`checkpointer`]), a few connections read
//! ([`readers`]). Every query is a function over
//! a connection, in the file of the thing that it is about, and takes its values as bound parameters.

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod captures;
mod checkpointer;
mod connection;
pub(crate) mod conversations;
mod convert;
pub(crate) mod feedback;
pub(crate) mod firewall_rules;
mod gather;
pub(crate) mod ledger;
pub(crate) mod migrations;
pub(crate) mod provider_keys;
mod readers;
pub(crate) mod responses;
pub(crate) mod routing_rules;
pub(crate) mod snapshot;
mod spool;
pub(crate) mod workspaces;
mod writer;

#[cfg(test)]
mod faults;

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use self::checkpointer::Checkpointer;
use self::readers::Readers;
use self::spool::Spool;
pub(crate) use self::spool::SpoolState;
use self::writer::Writer;
use crate::error::{Result, StoreError};
use crate::keys::Charge;
use crate::ledger::RequestRecord;
use crate::url::DatabaseUrl;

/// An open database.
pub(crate) struct Database {
    writer: Writer,
    /// `None` where the one connection is all there is, in memory: then the writer reads too.
    readers: Option<Readers>,
    spool: Arc<SpoolState>,
    has_spool: bool,
}

impl Database {
    /// Opens the database, creating and migrating it as needed, and brings in what a process before has left in the
    /// spool. `spool_bytes`: how much may wait there; 0: there is none. Blocks.
    pub(crate) fn open(url: DatabaseUrl, spool_bytes: u64) -> Result<Self> {
        let path: Option<PathBuf> = match url {
            DatabaseUrl::SqliteFile(path) => Some(path),
            DatabaseUrl::SqliteMemory => None,
        };
        let mut connection = connection::open_writer(path.as_deref())?;
        migrations::migrate(&mut connection)?;
        let checkpointer = match &path {
            Some(path) => Some(Checkpointer::start(path.clone(), &mut connection)?),
            None => None,
        };
        let state = Arc::<SpoolState>::default();
        let mut spool = match &path {
            Some(path) if spool_bytes > 0 => Some(Spool::new(path, spool_bytes, Arc::clone(&state))),
            _ => None,
        };
        if let Some(spool) = spool.as_mut().filter(|spool| spool.has_records())
            && let Err(error) = spool.replay(&mut connection)
        {
            // Another process appends to it, or the database fails again: `recover` tries it later.
            tracing::warn!(%error, "the spool was left as it is");
            spool.leave();
        }
        if let Some(spool) = &mut spool {
            // Whoever sums up what was charged begins now, and finds these in the ledger.
            drop(spool.take_charges());
        }
        let has_spool = spool.is_some();
        let writer = Writer::start(connection, checkpointer, spool)?;
        Ok(Self { writer, readers: path.map(Readers::new), spool: state, has_spool })
    }

    pub(crate) fn spool(&self) -> &SpoolState {
        &self.spool
    }

    /// Brings what waits in the spool into the database, if it takes it.
    pub(crate) async fn recover(&self) -> Result<Vec<Charge>> {
        self.writer.recover().await
    }

    /// Runs a query that changes nothing, seeing all that was acknowledged before.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.run(query).await,
            None => self.writer.call(move |connection| query(connection).map_err(StoreError::from)).await,
        }
    }

    /// Runs a change in a transaction of its own, committed if it answers `Ok`. An error at once while records go to the
    /// spool: those come first, and would be overlooked by it, or undo it when they are brought in.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let (spool, has_spool) = (Arc::clone(&self.spool), self.has_spool);
        self.writer
            .call(move |connection| {
                if spool.is_active() {
                    return Err(StoreError::Unavailable { reason: "it cannot be written to".into() });
                }
                let written = in_transaction(connection, change);
                match &written {
                    // Records that wait behind others that fail alike are not to wait as long for each of them: the
                    // next one is for the spool.
                    Err(error) if has_spool && error.concerns_whole_database() => connection::be_impatient(connection)?,
                    Err(_) => {}
                    // What is committed is no error any more.
                    Ok(_) => drop(connection::be_patient(connection)),
                }
                written
            })
            .await
    }

    /// Queues a record; the future resolves when it is durable. The record is written even if the
    /// future is dropped.
    pub(crate) fn record(&self, record: RequestRecord) -> impl Future<Output = Result<()>> + Send + use<> {
        self.writer.record(record)
    }

    /// Writes what is queued, brings the WAL home and closes.
    pub(crate) async fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close();
        }
        self.writer.close().await;
    }
}

fn in_transaction<T>(connection: &mut Connection, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let transaction = writer::begin(connection)?;
    let value = change(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
