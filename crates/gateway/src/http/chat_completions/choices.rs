//! `n` above 1: several answers to one chat.
//!
//! Each is asked for by a request of its own, whoever answers: it takes a place, counts against every limit, is
//! screened and is in the ledger. They differ as far as their models' answers to the same question do; where the caller
//! has set a `seed`, each choice has the next one. In a stream the chunks of all come as they are written.

use super::stream::{ChunkCodec, DONE, usage_chunk};
use super::{Shape, completion};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::ApiResult;
use crate::http::responses::deliver;
use crate::pipeline::{self, Delivery, DeliveryBody, EventCodec, One, ResponseStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokenrouter_protocol::{Request, Usage, new_ordered_id};
use tokio::sync::OwnedSemaphorePermit;

/// What the choices of one stream share.
#[derive(Default)]
pub(super) struct Together {
    head: OnceLock<Vec<u8>>,
    used: Mutex<Option<Usage>>,
    failed: AtomicBool,
}

impl Together {
    /// What the chunks of all begin with: it is the first's.
    pub fn head(&self, own: Vec<u8>) -> Vec<u8> {
        self.head.get_or_init(|| own).clone()
    }

    pub fn used(&self, usage: Option<Usage>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = [*used, usage].into_iter().flatten().reduce(Usage::plus);
    }

    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// What comes after the last chunk of the last choice.
    fn end(&self, shape: Shape) -> Vec<u8> {
        let mut bytes = Vec::new();
        if shape.include_usage {
            let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            usage_chunk(self.head.get().map_or(&[], Vec::as_slice), used.as_ref(), &mut bytes);
        }
        bytes.extend_from_slice(DONE);
        bytes
    }
}

/// # Errors
/// As for one answer, if any of them ends in an error before its first byte.
pub(super) async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    request_id: String,
    request: Request,
    shape: Shape,
) -> ApiResult<Response> {
    // The request holds one.
    let mut places = Vec::new();
    for _ in 1..shape.choices {
        places.push(app.in_flight.enter().await?);
    }
    let together = Arc::new(Together::default());
    let mut all = Vec::new();
    for (index, _) in (0..shape.choices).enumerate() {
        let request_id = if index == 0 { request_id.clone() } else { new_ordered_id("req", now_ms()) };
        let codec = Box::new(ChunkCodec::new(shape, index, Some(Arc::clone(&together))));
        all.push(One { request_id, request: with_seed(request.clone(), index), codec });
    }
    let delivered = pipeline::run_together(app, caller, all).await;
    let deliveries = delivered.map_err(|error| error.with_request_id(&request_id))?;
    // The last has counted the most against the limits.
    let limits = deliveries.last().map(|last| last.limits.clone()).unwrap_or_default();
    let told = deliveries.first().map(|first| (first.provider.clone(), first.model.clone()));
    let (mut responses, mut streams) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        match delivery.body {
            DeliveryBody::Plain(response, _) => responses.push(*response),
            DeliveryBody::Stream(stream) => streams.push(*stream),
        }
    }
    let (provider, model) = told.unwrap_or_default();
    let body = match responses.pop() {
        // It only carries the headers: all of them are written.
        Some(last) => {
            responses.push(last.clone());
            DeliveryBody::Plain(Box::new(last), Bytes::new())
        }
        None => DeliveryBody::Stream(Box::new(ResponseStream::of(merged(streams, together, shape, places)))),
    };
    let sign = ChunkCodec::new(shape, 0, None).keep_alive();
    let delivery = Delivery { provider, model, limits, background: None, body }.kept_alive(app, sign);
    Ok(deliver(delivery, |_, _| completion(&responses, shape)))
}

/// The same seed would be answered alike.
fn with_seed(mut request: Request, index: usize) -> Request {
    if let Some(seed) = request.chat_only.get_mut("seed")
        && let (Some(first), Ok(index)) = (seed.as_i64(), i64::try_from(index))
    {
        *seed = first.wrapping_add(index).into();
    }
    request
}

/// The choices' chunks as they come, beginning with the first choice's; and nothing after an error.
fn merged(
    streams: Vec<ResponseStream>,
    together: Arc<Together>,
    shape: Shape,
    places: Vec<OwnedSemaphorePermit>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let state = Merged { waiting: streams, running: SelectAll::new(), together, shape, _places: places, ended: false };
    futures_util::stream::unfold(state, |mut state| async move { Some((Ok(state.next().await?), state)) })
}

struct Merged {
    /// Until the first has told what every chunk begins with.
    waiting: Vec<ResponseStream>,
    running: SelectAll<ResponseStream>,
    together: Arc<Together>,
    shape: Shape,
    /// Held until the end.
    _places: Vec<OwnedSemaphorePermit>,
    ended: bool,
}

impl Merged {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let next = match self.waiting.first_mut() {
            Some(first) => {
                let next = first.next().await;
                self.running.extend(self.waiting.drain(..));
                next
            }
            None => self.running.next().await,
        };
        let Some(Ok(bytes)) = next else {
            self.ended = true;
            return Some(self.together.end(self.shape).into());
        };
        if self.together.failed.load(Ordering::Acquire) {
            self.ended = true;
            // The others are told to stop.
            self.running.clear();
        }
        Some(bytes)
    }
}
