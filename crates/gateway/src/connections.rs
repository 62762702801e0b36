//! The connections of callers: what runs on each, and how they end.
//!
//! A connection on which no request runs is closed when it has been so for `header_timeout`: whether it sent
//! nothing, half a head, or is kept for a next request that does not come. When the gateway stops, one that
//! never had a request is dropped a moment later, and the others end with what runs on them.
//!
//! A caller that takes no byte of what waits for it for `write_timeout` is taken to have left. Over HTTP/2 that
//! ends the connection when it takes nothing at all, and else the one answer that waits ([`crate::answers`]).

use crate::answers::{Answer, Answers};
use crate::patience::Patient;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a request that is on its way when the gateway stops may take to get here.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// How long a connection may take to end that was told to, and on which no request runs.
const GOODBYE: Duration = Duration::from_secs(2);
/// Answers at once on a connection over HTTP/2, which its caller is told.
const MOST_STREAMS: u32 = 200;

/// How long a connection may be without a request, and keep its bytes waiting.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub header_timeout: Duration,
    pub write_timeout: Duration,
}

/// What a connection is doing. Shared with the requests on it.
struct Activity {
    opened: Instant,
    running: AtomicUsize,
    /// When the last request ended, in milliseconds after `opened`.
    idle_since_ms: AtomicU64,
    had_a_request: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
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

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
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

/// A request that runs: from its head until the last byte of its answer has gone out.
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
        let answer = service.call(request);
        async move {
            let answer: Response<axum::body::Body> = answer.await?;
            Ok::<_, Infallible>(Answer::of(answer, running))
        }
    });
    let stream = Patient::new(stream, write_timeout);
    let mut builder = Builder::new(Answers { limit: write_timeout });
    builder.http2().max_concurrent_streams(MOST_STREAMS);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), counted));
    // When it was told to end. A caller over HTTP/2 has to say that it has heard.
    let mut told: Option<Instant> = None;
    // Once the gateway stops: until when the first request may still come.
    let mut first_until: Option<Instant> = None;
    loop {
        let since = activity.idle_since().unwrap_or_else(Instant::now);
        let patience = if told.is_some() { header_timeout.min(GOODBYE) } else { header_timeout };
        let look_again = first_until.unwrap_or(told.map_or(since, |told| told.max(since)) + patience);
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
            () = tokio::time::sleep_until(look_again) => {
                if first_until.take().is_some() {
                    if !activity.had_a_request() {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                } else if activity.idle_since().is_some_and(|since| since + patience <= Instant::now()) {
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
