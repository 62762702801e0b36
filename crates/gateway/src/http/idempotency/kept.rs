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
use tokio::sync::watch;

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

/// A stream that is kept while it passes.
pub(super) struct Keeping {
    inner: ResponseStream,
    claim: Option<Claim>,
    kept: Vec<u8>,
    whole: bool,
    target: (String, String),
    _waits: watch::Receiver<Stage>,
}

impl Keeping {
    /// `stage`: who takes the stream counts among those who wait for it.
    pub fn new(inner: ResponseStream, claim: Claim, target: (String, String), stage: watch::Receiver<Stage>) -> Self {
        Self { inner, claim: Some(claim), kept: Vec::new(), whole: true, target, _waits: stage }
    }
}

impl Stream for Keeping {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) if this.whole && this.kept.len() + bytes.len() <= LONGEST_KEPT => {
                this.kept.extend_from_slice(bytes);
            }
            Poll::Ready(Some(_)) => {
                this.whole = false;
                this.kept = Vec::new();
            }
            Poll::Ready(None) => {
                // What failed is not kept: the claim is dropped, which frees the key.
                if let Some(mut claim) = this.claim.take()
                    && !this.inner.has_failed()
                {
                    let bytes = std::mem::take(&mut this.kept);
                    let body = if this.whole { KeptBody::Events(bytes.into()) } else { KeptBody::TooLong };
                    let (provider, model) = std::mem::take(&mut this.target);
                    claim.settle(Stage::Done(Arc::new(Kept { provider, model, limits: Vec::new(), body })));
                }
            }
            Poll::Pending => {}
        }
        polled
    }
}
