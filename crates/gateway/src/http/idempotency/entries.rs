//! Which keys are known, how far the work for each is, and for how long an answer is kept.

use super::kept::Kept;
use super::{HEADER, Offer};
use crate::error::{ApiError, ApiResult, Code};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How long the work goes on when nobody waits for it any more: clients try again within some seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const KEEP: Duration = Duration::from_secs(3_600);
/// All that is kept, in bytes.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// All that is held of streams that are not at their end yet, in bytes; one that finds no room is not kept.
const MOST_UNDER_WAY: usize = 64 * 1024 * 1024;

/// The API key's id, and what it sent as the header: another API key may have other models, limits and a
/// budget of its own, and is answered for itself.
pub(super) type Name = (i64, String);

pub(super) type Stager = Arc<watch::Sender<Stage>>;

pub(crate) struct Idempotency {
    entries: Mutex<Entries>,
    /// For what is kept of streams that are under way, a permit a byte.
    pub(super) room: Arc<Semaphore>,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { entries: Mutex::default(), room: Arc::new(Semaphore::new(MOST_UNDER_WAY)) }
    }
}

#[derive(Default)]
struct Entries {
    by_name: HashMap<Name, Entry>,
    /// What is done, oldest first, with its size.
    done: VecDeque<(Instant, Name, usize)>,
    kept_bytes: usize,
}

struct Entry {
    body: blake3::Hash,
    stage: Stager,
}

/// How far the work is.
#[derive(Clone)]
pub(super) enum Stage {
    Running,
    /// A stream has begun; whoever takes it has it.
    Begun(Arc<Mutex<Option<Offer>>>),
    Done(Arc<Kept>),
    Failed(ApiError),
    /// It was given up, because nobody waited.
    Deserted,
}

impl Idempotency {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who wait for the key's answer. Who is the first gets what the others listen to, and does
    /// the work.
    pub(super) fn join(&self, name: &Name, body: blake3::Hash) -> ApiResult<(watch::Receiver<Stage>, Option<Stager>)> {
        let mut entries = self.entries();
        entries.forget_old(Instant::now());
        if let Some(entry) = entries.by_name.get(name) {
            if entry.body != body {
                let message = format!("this `{HEADER}` was used for another request");
                return Err(ApiError { param: Some(HEADER.to_owned()), ..ApiError::new(Code::Conflict, message) });
            }
            return Ok((entry.stage.subscribe(), None));
        }
        let (sender, receiver) = watch::channel(Stage::Running);
        let stage = Arc::new(sender);
        entries.by_name.insert(name.clone(), Entry { body, stage: Arc::clone(&stage) });
        Ok((receiver, Some(stage)))
    }

    /// Comes back when nobody has waited for a while, and then nobody can join any more.
    pub(super) async fn until_deserted(&self, name: &Name, stage: &watch::Sender<Stage>) {
        loop {
            stage.closed().await;
            tokio::time::sleep(PATIENCE).await;
            let mut entries = self.entries();
            if stage.is_closed() {
                if !matches!(*stage.borrow(), Stage::Done(_)) {
                    entries.free(name, stage);
                }
                return;
            }
        }
    }

    pub(super) fn settle(&self, name: &Name, stage: &watch::Sender<Stage>, end: Stage) {
        {
            let mut entries = self.entries();
            if let Stage::Done(kept) = &end {
                let size = kept.size() + name.1.len();
                entries.kept_bytes += size;
                entries.done.push_back((Instant::now(), name.clone(), size));
                entries.forget_old(Instant::now());
            } else {
                entries.free(name, stage);
            }
        }
        stage.send_replace(end);
    }
}

impl Entries {
    /// Lets the name be used anew, if it is still this one's.
    fn free(&mut self, name: &Name, stage: &watch::Sender<Stage>) {
        if self.by_name.get(name).is_some_and(|entry| std::ptr::eq(&raw const *entry.stage, stage)) {
            self.by_name.remove(name);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, name, size)) = self.done.front()
            && (now.saturating_duration_since(*at) > KEEP || self.kept_bytes > MOST_KEPT)
        {
            self.by_name.remove(name);
            self.kept_bytes = self.kept_bytes.saturating_sub(*size);
            self.done.pop_front();
        }
    }
}
