//! Answers on their way to callers, each until its last byte has been written.
//!
//! Over HTTP/2 one connection carries many answers, and a caller can close the window of one of them while it
//! reads the others. So each is watched by itself: when bytes of it have waited for the limit of time and none of
//! them went out, **this answer alone is reset.** Of an answer over HTTP/1 its connection tells
//! ([`crate::patience`]).

use crate::http::Place;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

tokio::task_local! {
    /// Of the answer that this task sends, which one over HTTP/2 has.
    static WATCH: Arc<Watch>;
}

/// Runs each answer over HTTP/2 in a task of its own, for as long as its bytes go out.
#[derive(Clone, Copy)]
pub(crate) struct Answers {
    /// How long bytes may wait.
    pub limit: Duration,
}

impl<F> Executor<F> for Answers
where
    F: Future + Send + 'static,
{
    fn execute(&self, answer: F) {
        let (limit, watch) = (self.limit, Arc::new(Watch::new()));
        let mut answer = Box::pin(WATCH.scope(Arc::clone(&watch), answer));
        let mut alarm = None;
        // Where the answer has not ended, dropping it resets its stream.
        tokio::spawn(poll_fn(move |context| match answer.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => watch.poll_stuck(limit, &mut alarm, context),
        }));
    }
}

/// How far an answer has come.
struct Watch {
    started: Instant,
    /// Bytes that were handed over and have not gone out.
    unsent: AtomicUsize,
    /// When bytes went out last, or the first of those that wait was handed over, in milliseconds after `started`.
    moved_ms: AtomicU64,
    all_sent: AtomicWaker,
}

impl Watch {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            unsent: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
            all_sent: AtomicWaker::new(),
        }
    }

    fn moves(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    fn takes(&self, count: usize) {
        if self.unsent.fetch_add(count, Ordering::AcqRel) == 0 {
            self.moves();
        }
    }

    fn sends(&self, count: usize) {
        self.moves();
        if self.unsent.fetch_sub(count, Ordering::AcqRel) == count {
            self.all_sent.wake();
        }
    }

    fn is_empty(&self) -> bool {
        self.unsent.load(Ordering::Acquire) == 0
    }

    fn poll_all_sent(&self, context: &Context<'_>) -> Poll<()> {
        self.all_sent.register(context.waker());
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when bytes have waited for so long and none went out. An alarm is set while bytes wait, and left to
    /// ring when they have gone: they come and go often.
    fn poll_stuck(&self, limit: Duration, alarm: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(alarm) = alarm {
                ready!(alarm.as_mut().poll(context));
            }
            *alarm = None;
            if self.is_empty() {
                return Poll::Pending;
            }
            let end = self.started + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)) + limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            *alarm = Some(Box::pin(sleep_until(end)));
        }
    }
}

/// What is held until the last byte has gone out or the caller has left.
struct Held<R> {
    _running: R,
    _place: Option<Place>,
    watch: Option<Arc<Watch>>,
}

/// The body of an answer. What it is made with, such as the request's place, is held by each of its pieces too.
pub(crate) struct Answer<R> {
    body: axum::body::Body,
    has_ended: bool,
    held: Arc<Held<R>>,
}

impl<R> Answer<R> {
    /// `running` is dropped with the last byte.
    pub fn of(mut response: Response<axum::body::Body>, running: R) -> Response<Self> {
        let place = response.extensions_mut().remove();
        let watch = WATCH.try_with(Arc::clone).ok();
        let held = Arc::new(Held { _running: running, _place: place, watch });
        response.map(|body| Self { body, has_ended: false, held })
    }

    /// An answer over HTTP/2 ends when all of it has gone out: behind its end nobody could reset it.
    fn poll_end(&self, context: &Context<'_>) -> Poll<()> {
        self.held.watch.as_ref().map_or(Poll::Ready(()), |watch| watch.poll_all_sent(context))
    }
}

impl<R> Body for Answer<R> {
    type Data = Piece<R>;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece<R>>, axum::Error>>> {
        if !self.has_ended {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            self.has_ended = frame.is_none() || self.body.is_end_stream();
            if let Some(frame) = frame {
                let held = &self.held;
                return Poll::Ready(Some(frame.map(|frame| frame.map_data(|bytes| Piece::new(bytes, held)))));
            }
        }
        self.poll_end(context).map(|()| None)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.held.watch.as_ref().is_none_or(|watch| watch.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer until they have gone out.
pub(crate) struct Piece<R> {
    bytes: Bytes,
    held: Arc<Held<R>>,
}

impl<R> Piece<R> {
    fn new(bytes: Bytes, held: &Arc<Held<R>>) -> Self {
        if let Some(watch) = &held.watch {
            watch.takes(bytes.len());
        }
        Self { bytes, held: Arc::clone(held) }
    }
}

impl<R> Buf for Piece<R> {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(watch) = &self.held.watch {
            watch.sends(count);
        }
    }
}
