//! The embedded database: one SQLite file in WAL mode.
//!
//! One thread writes ([`writer`]), one brings the WAL home ([`checkpointer`]), a few connections read
//! ([`readers`]). Every query is a function over
//! a connection, in the file of the thing that it is about, and takes its values as bound parameters.

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
mod checkpointer;
mod connection;
pub(crate) mod conversations;
mod convert;
pub(crate) mod firewall_rules;
mod gather;
pub(crate) mod ledger;
pub(crate) mod migrations;
pub(crate) mod provider_keys;
mod readers;
pub(crate) mod responses;
pub(crate) mod routing_rules;
pub(crate) mod snapshot;
pub(crate) mod workspaces;
mod writer;

#[cfg(test)]
mod faults;

use std::path::PathBuf;

use rusqlite::{Connection, Transaction};

use self::checkpointer::Checkpointer;
use self::readers::Readers;
use self::writer::{RecordJob, Writer};
use crate::conversations::ConversationTurn;
use crate::error::{Result, StoreError};
use crate::ledger::{LedgerEntry, StoredResponse};
use crate::url::DatabaseUrl;

/// An open database.
pub(crate) struct Database {
    writer: Writer,
    /// `None` where the one connection is all there is, in memory: then the writer reads too.
    readers: Option<Readers>,
}

impl Database {
    /// Opens the database, creating and migrating it as needed. Blocks.
    pub(crate) fn open(url: DatabaseUrl) -> Result<Self> {
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
        Ok(Self { writer: Writer::start(connection, checkpointer)?, readers: path.map(Readers::new) })
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

    /// Runs a change in a transaction of its own, committed if it answers `Ok`.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        self.writer
            .call(move |connection| {
                let transaction = writer::begin(connection)?;
                let value = change(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })
            .await
    }

    /// Queues a record; the future resolves when it is durable. The record is written even if the
    /// future is dropped.
    pub(crate) fn record(
        &self,
        entry: LedgerEntry,
        response: Option<StoredResponse>,
        turn: Option<ConversationTurn>,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        self.writer.record(RecordJob { entry, response, turn })
    }

    /// Writes what is queued, brings the WAL home and closes.
    pub(crate) async fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close();
        }
        self.writer.close().await;
    }
}
