//! The connections of callers: what runs on each, and how they end.
//!
//! A connection on which no request runs is closed when it has been so for `header_timeout`: whether it sent
//! nothing, half a head, or is kept for a next request that does not come. When the gateway stops, one that
//! never had a request is dropped a moment later, and the others end with what runs on them.
//!
//! A caller that takes no byte of what waits for it for `write_timeout` is taken to have left. Over HTTP/2 its
//! window can be closed while the connection itself takes bytes: there, a piece of an answer that was handed
//! over and after which no other was asked for says so.

use crate::patience::Patient;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// How long a request that is on its way when the gateway stops may take to get here.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// In the place of a time: the next piece has been asked for.
const ASKED_FOR: u64 = u64::MAX;

/// How long a connection may be without a request, and keep its bytes waiting.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub header_timeout: Duration,
    pub write_timeout: Duration,
}

/// What a connection is doing. Shared with the requests on it.
struct Activity {
    opened: Instant,
    /// Of each answer over HTTP/2: when its last piece was handed over, if no other has been asked for.
    handed: Mutex<Vec<Weak<AtomicU64>>>,
    running: AtomicUsize,
    /// When the last request ended, in milliseconds after `opened`.
    idle_since_ms: AtomicU64,
    had_a_request: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            handed: Mutex::default(),
            running: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(0),
            had_a_request: AtomicBool::new(false),
        }
    }

    fn begin(self: &Arc<Self>) -> Running {
        self.had_a_request.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(self))
    }

    /// Of an answer that begins.
    fn follow(&self) -> Arc<AtomicU64> {
        let handed = Arc::new(AtomicU64::new(ASKED_FOR));
        let mut all = self.handed();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&handed));
        handed
    }

    fn handed(&self) -> MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn has_followed(&self) -> bool {
        !self.handed().is_empty()
    }

    /// Whether a piece of an answer has been waiting for this long.
    fn keeps_waiting(&self, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let latest = self.now_ms().saturating_sub(limit);
        let waits = |handed: Arc<AtomicU64>| handed.load(Ordering::Relaxed) <= latest;
        self.handed().iter().filter_map(Weak::upgrade).any(waits)
    }

    fn had_a_request(&self) -> bool {
        self.had_a_request.load(Ordering::Relaxed)
    }

    /// Since when no request runs; none while one does.
    fn idle_since(&self) -> Option<Instant> {
        if self.running.load(Ordering::Acquire) > 0 {
            return None;
        }
        Some(self.opened + Duration::from_millis(self.idle_since_ms.load(Ordering::Acquire)))
    }
}

/// A request that runs: from its head until the last of its answer was taken from us.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.idle_since_ms.store(self.0.now_ms(), Ordering::Release);
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves one connection to its end. `stopping` turns true when the gateway stops.
pub(crate) async fn serve(
    stream: TcpStream,
    router: axum::Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let Limits { header_timeout, write_timeout } = limits;
    let activity = Arc::new(Activity::new());
    let service = TowerToHyperService::new(router.into_service::<Incoming>());
    let of_requests = Arc::clone(&activity);
    let counted = service_fn(move |request: Request<Incoming>| {
        let running = of_requests.begin();
        let handed = (request.version() == Version::HTTP_2).then(|| of_requests.follow());
        let answer = service.call(request);
        async move {
            let answer: Response<axum::body::Body> = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Counted { body, handed, running }))
        }
    });
    let stream = Patient::new(stream, write_timeout);
    let builder = Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), counted));
    let mut look = tokio::time::interval(write_timeout);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When it was told to end. What it has left to write may take as long as a head.
    let mut told: Option<Instant> = None;
    // Once the gateway stops: until when the first request may still come.
    let mut first_until: Option<Instant> = None;
    loop {
        let since = activity.idle_since().unwrap_or_else(Instant::now);
        let look_again = first_until.unwrap_or(told.map_or(since, |told| told.max(since)) + header_timeout);
        tokio::select! {
            // An error is of the connection: there is nobody to tell.
            _ = connection.as_mut() => return,
            // An error means that the gateway is gone.
            _ = stopping.wait_for(|stopping| *stopping), if told.is_none() => {
                told = Some(Instant::now());
                if activity.had_a_request() {
                    connection.as_mut().graceful_shutdown();
                } else {
                    first_until = Some(Instant::now() + ON_ITS_WAY);
                }
            }
            _ = look.tick(), if activity.has_followed() => {
                if activity.keeps_waiting(write_timeout) {
                    return;
                }
            }
            () = tokio::time::sleep_until(look_again) => {
                if first_until.take().is_some() {
                    if !activity.had_a_request() {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                } else if activity.idle_since().is_some_and(|since| since + header_timeout <= Instant::now()) {
                    if !activity.had_a_request() || told.is_some() {
                        return;
                    }
                    told = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// The body of an answer, for as long as it is sent.
struct Counted {
    body: axum::body::Body,
    handed: Option<Arc<AtomicU64>>,
    running: Running,
}

impl Counted {
    fn note(&self, at_ms: u64) {
        if let Some(handed) = &self.handed {
            handed.store(at_ms, Ordering::Relaxed);
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.note(ASKED_FOR);
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(Some(_))) {
            self.note(self.running.0.now_ms());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
