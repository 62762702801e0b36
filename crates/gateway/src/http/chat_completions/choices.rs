//! `n` above 1: several answers to one chat.
//!
//! Each is asked for by a request of its own, whoever answers: it takes a place, counts against every limit, is
//! screened and is in the ledger. They differ as far as their models' answers to the same question do; where the caller
//! has set a `seed`, each choice has the next one. In a stream the chunks of all come as they are written, from when all
//! have begun.
//!
//! All are sent at once, each with the whole chat: `n` times the body is held to what one body may have.

use super::stream::{ChunkCodec, DONE, usage_chunk};
use super::{Shape, completion};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::http::Place;
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

/// Whether so many can be let in at all, however long their caller waits.
///
/// # Errors
/// 400 on `n` for more than a limit ever lets in; 413 for what is longer, as often as it is sent, than a body may be.
pub(super) fn check(app: &App, caller: &Caller, shape: Shape, body_bytes: usize) -> ApiResult<()> {
    let choices = shape.choices;
    let (key, workspace) = (&caller.limits, &caller.workspace.limits);
    for (limit, who, what) in [
        (key.requests_per_minute, "this API key may send", "requests a minute"),
        (key.max_in_flight, "this API key may have", "requests in flight"),
        (workspace.requests_per_minute, "this workspace may send", "requests a minute"),
        (workspace.max_in_flight, "this workspace may have", "requests in flight"),
        (u64::try_from(app.in_flight.most()).ok(), "the gateway takes", "requests at once"),
    ] {
        if let Some(limit) = limit.filter(|limit| *limit < u64::from(choices)) {
            let message = format!("`n`: each choice is a request, and {who} {limit} {what}");
            return Err(ApiError::parameter("n", message));
        }
    }
    let most = app.max_body_bytes;
    if body_bytes.saturating_mul(usize::try_from(choices).unwrap_or(usize::MAX)) > most {
        let message = format!(
            "`n`: the chat is sent for each choice, and {choices} times {body_bytes} bytes are more than the {most} that \
             a body may have; ask for fewer choices, or several times"
        );
        return Err(ApiError { param: Some("n".to_owned()), ..ApiError::new(Code::PayloadTooLarge, message) });
    }
    Ok(())
}

/// # Errors
/// As for one answer, if any of them ends in an error before its first byte.
pub(super) async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    (request_id, place): (String, Place),
    request: Request,
    shape: Shape,
) -> ApiResult<Response> {
    app.in_flight.widen(&place, shape.choices).await?;
    let together = Arc::new(Together::default());
    let one = |request_id: String, index: usize| One {
        request_id,
        codec: Box::new(ChunkCodec::new(shape, index, Some(Arc::clone(&together)))),
    };
    let others = (1..shape.choices).zip(1..).map(|(_, index)| one(new_ordered_id("req", now_ms()), index)).collect();
    let deliveries = pipeline::run_together(app, caller, request, one(request_id, 0), others, with_seed).await?;
    let told = deliveries.first().map(|first| (first.provider.clone(), first.model.clone(), first.limits.clone()));
    let (mut responses, mut streams) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        match delivery.body {
            DeliveryBody::Plain(response, _) => responses.push(*response),
            DeliveryBody::Stream(stream) => streams.push(*stream),
        }
    }
    let (provider, model, limits) = told.unwrap_or_default();
    let body = match responses.pop() {
        // It only carries the headers: all of them are written.
        Some(last) => {
            responses.push(last.clone());
            DeliveryBody::Plain(Box::new(last), Bytes::new())
        }
        None => DeliveryBody::Stream(Box::new(ResponseStream::of(merged(streams, together, shape)))),
    };
    let sign = ChunkCodec::new(shape, 0, None).keep_alive();
    let delivery = Delivery { provider, model, limits, background: None, body }.kept_alive(app, sign);
    Ok(deliver(delivery, |_, _| completion(&responses, shape)))
}

/// The same seed would be answered alike. Without one all ask by the same request.
fn with_seed(request: &Arc<Request>, index: usize) -> Arc<Request> {
    let mut request = Arc::clone(request);
    if request.chat_only.contains_key("seed")
        && let Some(seed) = Arc::make_mut(&mut request).chat_only.get_mut("seed")
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
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let state = Merged { waiting: streams, running: SelectAll::new(), together, shape, ended: false };
    futures_util::stream::unfold(state, |mut state| async move { Some((Ok(state.next().await?), state)) })
}

struct Merged {
    /// Until the first has told what every chunk begins with.
    waiting: Vec<ResponseStream>,
    running: SelectAll<ResponseStream>,
    together: Arc<Together>,
    shape: Shape,
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
