//! The connections that read: a few, opened when first needed, used on tokio's blocking threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection;
use crate::error::{Result, StoreError};

/// Readers at once. SQLite in WAL mode lets them run beside the writer; more would only cost memory.
const READERS: usize = 4;

pub(super) struct Readers {
    path: Arc<PathBuf>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), permits: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    pub(super) async fn run<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::closed())?;
        let (path, idle) = (Arc::clone(&self.path), Arc::clone(&self.idle));
        let answer = tokio::task::spawn_blocking(move || {
            let taken = lock(&idle).pop();
            let mut connection = match taken {
                Some(connection) => connection,
                None => connection::open_reader(&path)?,
            };
            let value = query(&mut connection)?;
            // A connection that gave an error is not kept: the next reader starts afresh.
            if !permits.is_closed() {
                lock(&idle).push(connection);
            }
            // Held by the query, not by its caller, who may have gone away.
            drop(permit);
            Ok(value)
        });
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal { reason: "a query did not finish".into() }))
    }

    /// Refuses further queries and closes the idle connections.
    pub(super) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
