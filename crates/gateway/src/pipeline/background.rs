//! `background: true`: a response that is made while nobody waits.
//!
//! Everything that can be told at once is told at once: the request is read, planned and screened before
//! it is answered with the response `queued`, which is in the store by then. The rest runs in a task of
//! its own, as a stream whoever listens: its events are kept in memory while it runs and a while after,
//! so that a stream can be taken up again where it broke off. **However it ends, the store is told:**
//! finished, cancelled, or failed because the gateway stopped; what a gateway that died has left is
//! marked as failed when the next one starts ([`super::left`]).

use super::dispatch::{self, Answered};
use super::left;
use super::plan::Plan;
use super::record::{Outcome, Record};
use super::screen::ResponseScreen;
use super::stream::{self, EventCodec, Over, ResponseStream, Start};
use super::{Delivery, DeliveryBody};
use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokenrouter_protocol::{Assembler, Ending, Request, ResponseEvent, ResponseStatus};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long the events of a finished response can still be had from where they broke off.
const KEEP_EVENTS: Duration = Duration::from_secs(60);
/// How long those that are told to stop may take to record it.
const STOP_TIME: Duration = Duration::from_secs(5);

type Key = (i64, String);

/// The responses that run in the background, and those that did a moment ago.
pub(crate) struct Background {
    slots: Arc<Semaphore>,
    most: usize,
    jobs: Mutex<HashMap<Key, Arc<Job>>>,
}

/// Why a response is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Shutdown,
}

pub(super) type StopSignal = watch::Receiver<Option<Stop>>;

/// Comes back when the response is to stop, which without a signal is never.
pub(super) async fn stopped(signal: &mut Option<StopSignal>) -> Stop {
    if let Some(signal) = signal
        && let Ok(stop) = signal.wait_for(Option::is_some).await
        && let Some(stop) = *stop
    {
        return stop;
    }
    std::future::pending().await
}

/// Does what may be cut when the gateway stops and the time to drain is over.
pub(super) async fn unless_cut<T>(app: &App, work: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    let mut cut = Some(app.cut.subscribe());
    tokio::select! {
        biased;
        _ = stopped(&mut cut) => Err(abandoned()),
        result = work => result,
    }
}

impl Stop {
    pub(super) fn over(self) -> Over {
        match self {
            Self::Cancelled => Over::Ending(Ending::Cancelled),
            Self::Shutdown => Over::Error(Outcome::Failed, abandoned()),
        }
    }
}

pub(super) fn abandoned() -> ApiError {
    let message = "the gateway was stopped before the response was finished; send it again";
    ApiError { retry_after_seconds: Some(1), ..ApiError::new(Code::Unavailable, message) }
}

/// The events of one response, as they come.
pub(crate) struct Job {
    stop: watch::Sender<Option<Stop>>,
    /// Event number N is at place N.
    events: Mutex<Vec<Bytes>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    events: usize,
    ended: bool,
}

impl Job {
    fn new() -> Self {
        Self { stop: watch::Sender::new(None), events: Mutex::default(), progress: watch::Sender::default() }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Bytes) {
        self.events().push(event);
        self.progress.send_modify(|progress| progress.events += 1);
    }

    fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    fn ended(&self) -> bool {
        self.progress.borrow().ended
    }

    async fn until_ended(&self) {
        // An error means that the sender is gone, which is the end as well; but we hold it.
        let _ = self.progress.subscribe().wait_for(|progress| progress.ended).await;
    }

    /// The events from a place on, and those that are still to come.
    pub fn stream(self: &Arc<Self>, from: usize) -> ResponseStream {
        let state = (Arc::clone(self), self.progress.subscribe(), from);
        ResponseStream::of(futures_util::stream::unfold(state, |(job, mut progress, next)| async move {
            let ended = progress.wait_for(|now| now.events > next || now.ended).await.is_ok_and(|now| now.ended);
            let bytes: Vec<u8> = job.events().get(next..).unwrap_or_default().concat();
            let count = job.events().len();
            if bytes.is_empty() && ended {
                return None;
            }
            Some((Ok::<_, Infallible>(Bytes::from(bytes)), (job, progress, count.max(next))))
        }))
    }
}

impl Background {
    pub fn new(most: usize) -> Self {
        // The semaphore has a limit of its own, which no machine reaches.
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(most)), most, jobs: Mutex::default() }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<Key, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            let message = format!("{} responses run in the background already, which is the most at once", self.most);
            ApiError { retry_after_seconds: Some(1), ..ApiError::new(Code::RateLimitExceeded, message) }
        })
    }

    /// The response, if it runs or ran a moment ago.
    pub fn find(&self, workspace_id: i64, id: &str) -> Option<Arc<Job>> {
        self.jobs().get(&(workspace_id, id.to_owned())).cloned()
    }

    /// Stops a response if it runs, and comes back when that is recorded.
    pub async fn cancel(&self, workspace_id: i64, id: &str) {
        if let Some(job) = self.find(workspace_id, id) {
            job.stop.send_replace(Some(Stop::Cancelled));
            job.until_ended().await;
        }
    }

    fn running(&self) -> Vec<Arc<Job>> {
        self.jobs().values().filter(|job| !job.ended()).cloned().collect()
    }

    /// Comes back when nothing runs any more.
    pub async fn until_idle(&self) {
        for job in self.running() {
            job.until_ended().await;
        }
    }

    /// Marks what still runs as failed.
    pub async fn stop_all(&self) {
        let running = self.running();
        if running.is_empty() {
            return;
        }
        tracing::warn!(responses = running.len(), "responses in the background were stopped");
        for job in &running {
            job.stop.send_replace(Some(Stop::Shutdown));
        }
        if tokio::time::timeout(STOP_TIME, self.until_idle()).await.is_err() {
            tracing::error!("responses in the background could not be stopped in time");
        }
    }
}

/// A response's place among those that run. Dropping it, however that comes, ends the response's events.
struct Running {
    app: Arc<App>,
    key: Key,
    job: Arc<Job>,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.end();
        let (app, key) = (Arc::clone(&self.app), self.key.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(KEEP_EVENTS).await;
                app.background.jobs().remove(&key);
            });
        }
    }
}

/// Keeps each event for whoever listens.
struct KeepingCodec {
    inner: Box<dyn EventCodec>,
    job: Arc<Job>,
}

impl EventCodec for KeepingCodec {
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        let mut own = Vec::with_capacity(256);
        self.inner.event(event, &mut own);
        bytes.extend_from_slice(&own);
        self.job.push(own.into());
    }

    fn end(&mut self, bytes: &mut Vec<u8>) {
        let mut own = Vec::new();
        self.inner.end(&mut own);
        bytes.extend_from_slice(&own);
        self.job.push(own.into());
    }
}

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub request: Arc<Request>,
    pub plan: Arc<Plan>,
    pub screen: ResponseScreen,
}

/// Stores the response as queued, starts it, and gives what the caller is told.
pub(super) async fn start(
    mut record: Record,
    mut prepared: Prepared,
    codec: Box<dyn EventCodec>,
) -> Result<Delivery, (Record, ApiError)> {
    let app = Arc::clone(&record.app);
    let slot = match app.background.slot() {
        Ok(slot) => slot,
        Err(error) => return Err((record, error)),
    };
    // Nobody waits for it.
    record.deadline = None;
    let streamed = prepared.request.stream;
    // The events are wanted whoever listens: they tell what was used when the response is cancelled.
    Arc::make_mut(&mut prepared.request).stream = true;
    let mut response = record.begin_response(&prepared.request);
    if let Some(target) = prepared.plan.targets.first() {
        response.model = target.name.to_string();
    }
    response.status = ResponseStatus::Queued;
    let if_left = left::entry(&record, &prepared);
    let body = match record.store_queued(&response, if_left).await {
        Ok(body) => body,
        Err(error) => return Err((record, error)),
    };
    let job = Arc::new(Job::new());
    let key = (record.workspace_id(), response.id.clone());
    app.background.jobs().insert(key.clone(), Arc::clone(&job));
    let running = Running { app: Arc::clone(&app), key, job: Arc::clone(&job), _slot: slot };
    let mut codec = KeepingCodec { inner: codec, job: Arc::clone(&job) };
    let mut assembler = Assembler::new(response.clone());
    let mut events = Vec::new();
    assembler.queue(&mut events);
    events.iter().for_each(|event| codec.event(event, &mut Vec::new()));
    let (provider, model) = (String::new(), response.model.clone());
    let limits = record.limit_headers.clone();
    let listened = Arc::clone(&job);
    let background = Some(response.id.clone());
    tokio::spawn(async move {
        work(record, prepared, assembler, codec, job.stop.subscribe()).await;
        drop(running);
    });
    let body = if streamed {
        DeliveryBody::Stream(Box::new(listened.stream(0)))
    } else {
        DeliveryBody::Plain(Box::new(response), body)
    };
    Ok(Delivery { provider, model, limits, background, body })
}

async fn work(
    mut record: Record,
    prepared: Prepared,
    mut assembler: Assembler,
    mut codec: KeepingCodec,
    signal: StopSignal,
) {
    let app = Arc::clone(&record.app);
    let mut signal = Some(signal);
    assembler.response_mut().status = ResponseStatus::InProgress;
    if let Err(error) = record.store_in_progress(assembler.response()).await {
        // It goes on: what counts is that its end is recorded.
        tracing::warn!(code = ?error.code, "a response in the background could not be marked as in progress");
    }
    let dispatched = tokio::select! {
        biased;
        stop = stopped(&mut signal) => Err(stop.over()),
        answered = dispatch::dispatch(&app, &prepared.plan, &prepared.request, &mut record) => {
            answered.map_err(|error| Over::Error(Outcome::Failed, error))
        }
    };
    let over = match dispatched {
        Ok(answered) => {
            record.chosen(&answered);
            record.describe(assembler.response_mut());
            match answered.answer {
                Answered::Stream(begun) => {
                    let start = Start { assembler, screen: prepared.screen, begun, stop: signal };
                    let mut stream = ResponseStream::new(record, start, Box::new(codec));
                    while stream.next().await.is_some() {}
                    return;
                }
                Answered::Plain(_) => Over::Error(Outcome::Failed, ApiError::internal(&"a stream was asked for")),
            }
        }
        Err(over) => over,
    };
    let mut events = Vec::new();
    assembler.begin(&mut events);
    stream::finish(&mut record, &mut assembler, &mut codec, events, over, &mut Vec::new()).await;
}
