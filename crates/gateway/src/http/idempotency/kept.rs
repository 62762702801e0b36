//! An answer that is kept, and how it is given again.

use super::super::responses::{ResponsesCodec, event_stream, find, json_bytes, replayed, tell_limits, tell_target};
use super::{Claim, HEADER, Stage};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::{EventCodec, ResponseStream};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderValue;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The longest single answer that is kept.
const LONGEST_KEPT: usize = 4 * 1024 * 1024;

pub(super) struct Kept {
    pub provider: String,
    pub model: String,
    /// For the first call only: by the next they say something else.
    pub limits: Vec<(&'static str, String)>,
    pub body: KeptBody,
}

pub(super) enum KeptBody {
    Plain(Bytes),
    Events(Bytes),
    /// The events of a response that runs in the background, by its id: it goes on whoever listens, and is in
    /// the store when it has ended.
    Background(String),
    TooLong,
}

impl Kept {
    /// An answer costs its place too.
    pub fn size(&self) -> usize {
        512 + match &self.body {
            KeptBody::Plain(bytes) | KeptBody::Events(bytes) => bytes.len(),
            KeptBody::Background(id) => id.len(),
            KeptBody::TooLong => 0,
        }
    }

    /// Gives the answer to a caller who is the first to get it, or is not.
    pub async fn give(&self, app: &App, caller: &Caller, is_first: bool) -> ApiResult<Response> {
        let response = match &self.body {
            KeptBody::Plain(bytes) => json_bytes(bytes.clone()),
            KeptBody::Events(bytes) => event_stream(Body::from(bytes.clone())),
            KeptBody::Background(id) => match app.background.find(caller.workspace_id, id) {
                Some(job) => {
                    let events = job.stream(0).kept_alive(app.heartbeat, ResponsesCodec.keep_alive());
                    event_stream(Body::from_stream(events))
                }
                None => replayed(&find(app, caller, id).await?)?,
            },
            KeptBody::TooLong => {
                let message = format!("this `{HEADER}` was answered, at such length that the answer was not kept");
                return Err(ApiError { param: Some(HEADER.to_owned()), ..ApiError::new(Code::Conflict, message) });
            }
        };
        let mut response = tell_target(response, &self.provider, &self.model);
        if is_first {
            response = tell_limits(response, &self.limits);
        } else {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

/// What has passed of a stream, for as long as there is room for it among those of all streams.
struct Passed {
    /// A permit a byte.
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: Option<Vec<u8>>,
}

impl Passed {
    fn new(room: Arc<Semaphore>) -> Self {
        Self { room, held: None, bytes: Some(Vec::new()) }
    }

    fn add(&mut self, more: &[u8]) {
        let Some(bytes) = self.bytes.as_mut().filter(|bytes| bytes.len() + more.len() <= LONGEST_KEPT) else {
            return self.drop_all();
        };
        let count = u32::try_from(more.len()).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(count) else {
            return self.drop_all();
        };
        bytes.extend_from_slice(more);
        match &mut self.held {
            Some(held) => held.merge(permit),
            held => *held = Some(permit),
        }
    }

    fn drop_all(&mut self) {
        self.bytes = None;
        self.held = None;
    }

    /// All that passed; `None` if it was too much.
    fn take(&mut self) -> Option<Vec<u8>> {
        self.held = None;
        self.bytes.take()
    }
}

/// A stream that is kept while it passes.
pub(super) struct Keeping {
    inner: ResponseStream,
    claim: Option<Claim>,
    kept: Passed,
    target: (String, String),
    _waits: watch::Receiver<Stage>,
}

impl Keeping {
    /// `stage`: who takes the stream counts among those who wait for it.
    pub fn new(inner: ResponseStream, claim: Claim, target: (String, String), stage: watch::Receiver<Stage>) -> Self {
        let kept = Passed::new(Arc::clone(&claim.app.idempotency.room));
        Self { inner, claim: Some(claim), kept, target, _waits: stage }
    }
}

impl Stream for Keeping {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => this.kept.add(bytes),
            Poll::Ready(None) => {
                // What failed is not kept: the claim is dropped, which frees the key.
                if let Some(mut claim) = this.claim.take()
                    && !this.inner.has_failed()
                {
                    let body = this.kept.take().map_or(KeptBody::TooLong, |bytes| KeptBody::Events(bytes.into()));
                    let (provider, model) = std::mem::take(&mut this.target);
                    claim.settle(Stage::Done(Arc::new(Kept { provider, model, limits: Vec::new(), body })));
                }
            }
            Poll::Pending | Poll::Ready(Some(Err(_))) => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_under_way_are_kept_within_one_bound_for_all() {
        let room = Arc::new(Semaphore::new(10));
        let (mut first, mut second) = (Passed::new(Arc::clone(&room)), Passed::new(Arc::clone(&room)));
        first.add(b"12345");
        second.add(b"1234");
        second.add(b"56");
        assert_eq!(room.available_permits(), 5, "what is not kept holds no room");
        second.add(b"7");
        assert_eq!(second.take(), None);
        first.add(b"67890");
        assert_eq!(first.take().as_deref(), Some(&b"1234567890"[..]));
        assert_eq!(room.available_permits(), 10);
        let mut long = Passed::new(Arc::new(Semaphore::new(2 * LONGEST_KEPT)));
        long.add(&vec![0; LONGEST_KEPT]);
        long.add(b"1");
        assert_eq!(long.take(), None);
    }
}
