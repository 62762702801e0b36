//! `Idempotency-Key`: the second call with a key gets the first one's answer, so that a caller who does not
//! know whether its request arrived can send it again and is not billed twice.
//!
//! The work is done apart from the connections that wait for it, and holds the first one's place among the
//! requests under way until it ends. A call that comes while the first is under way waits with it, each for
//! as long as its own time allows. If all who wait have left, the work goes on for a while, for one that comes
//! back. A stream is handed to one of them; it ends when that one leaves, as any stream does, and the key is
//! free again; but a response in the background goes on, and is the key's answer from its beginning. Errors
//! are not kept: what failed may be tried again. Answers are kept in memory, by each gateway for itself, for
//! an hour at most and within a bound on their size.

mod entries;
mod kept;

pub(crate) use entries::Idempotency;

use super::in_flight::Place;
use super::responses::{ResponsesCodec, event_stream, json_bytes, tell_limits, tell_target};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::{self, Delivery, DeliveryBody};
use axum::body::Body;
use axum::response::Response;
use entries::{Name, Stage, Stager};
use futures_util::StreamExt;
use http::HeaderMap;
use kept::{Keeping, Kept, KeptBody};
use serde_json::Value;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokenrouter_protocol::Request;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

pub(super) const HEADER: &str = "idempotency-key";
const LONGEST_KEY: usize = 255;

/// The key in the headers, if there is one.
///
/// # Errors
/// 400 when it is none that could be kept.
pub(super) fn key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|text| (1..=LONGEST_KEY).contains(&text.len()));
    let wrong = || ApiError::parameter(HEADER, format!("`{HEADER}` must be 1 to {LONGEST_KEY} characters of ASCII"));
    text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
}

/// What tells one request from another: of its fields and values, however they were written.
pub(super) fn fingerprint(body: &Value) -> ApiResult<blake3::Hash> {
    let mut hasher = BufWriter::new(blake3::Hasher::new());
    serde_json::to_writer(&mut hasher, body).map_err(|e| ApiError::internal(&e))?;
    hasher.flush().map_err(|e| ApiError::internal(&e))?;
    Ok(hasher.get_ref().finalize())
}

/// Who asks, with which id, and its place among the requests under way.
pub(super) struct Asking<'a> {
    pub caller: &'a Caller,
    pub request_id: &'a str,
    pub place: Place,
}

/// Does the work once, whoever asks for it.
pub(super) async fn once(
    app: &Arc<App>,
    asking: Asking<'_>,
    key: String,
    body: blake3::Hash,
    request: Request,
) -> ApiResult<Response> {
    let Asking { caller, request_id, place } = asking;
    let limit = caller.time_limit.map_or(app.total_time, |own| own.min(app.total_time));
    let deadline = Instant::now() + limit;
    let name = (caller.key_id, key);
    let mut request = Some(request);
    loop {
        let (mut stage, first) = app.idempotency.join(&name, body)?;
        let is_first = first.is_some();
        if let Some(sender) = first {
            let claim = Claim { app: Arc::clone(app), name: name.clone(), stage: sender, settled: false };
            // Its own work has ended without an answer to this caller.
            let request = request.take().ok_or_else(taken_and_left)?;
            // Its time is the gateway's: others may wait longer than this caller does.
            let mut patient = caller.clone();
            patient.time_limit = None;
            tokio::spawn(work(claim, patient, request_id.to_owned(), request, place.clone()));
        }
        loop {
            let now = stage.borrow_and_update().clone();
            match now {
                Stage::Running => {}
                Stage::Begun(slot) => {
                    let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(offer) = taken {
                        return Ok(hand_over(stage, offer, deadline));
                    }
                }
                Stage::Done(kept) => return kept.give(app, caller, is_first).await,
                Stage::Failed(error) => return Err(error),
                Stage::Deserted => break,
            }
            match timeout_at(deadline.into(), stage.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    let message = "the answer was not there within the time that this request allowed";
                    return Err(ApiError::new(Code::UpstreamTimeout, message));
                }
            }
        }
    }
}

/// Whoever asks again does the work anew.
fn taken_and_left() -> ApiError {
    let message = format!("another call with this `{HEADER}` took the stream and left; try again");
    ApiError { retry_after_seconds: Some(1), ..ApiError::new(Code::Unavailable, message) }
}

/// A stream that has begun, for whoever takes it.
struct Offer {
    delivery: Delivery,
    claim: Claim,
    /// Goes with the offer, which tells the work that somebody has taken it.
    _untaken: oneshot::Sender<()>,
}

/// The right, and the duty, to say how the work ended.
struct Claim {
    app: Arc<App>,
    name: Name,
    stage: Stager,
    settled: bool,
}

impl Claim {
    fn settle(&mut self, end: Stage) {
        self.settled = true;
        self.app.idempotency.settle(&self.name, &self.stage, end);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Stage::Deserted);
        }
    }
}

/// `_place` is held until the work is done, or somebody has taken it over who holds one too.
async fn work(mut claim: Claim, caller: Caller, request_id: String, request: Request, _place: Place) {
    let app = Arc::clone(&claim.app);
    let delivered = tokio::select! {
        delivered = pipeline::run(&app, &caller, &request_id, request, Box::new(ResponsesCodec)) => delivered,
        () = app.idempotency.until_deserted(&claim.name, &claim.stage) => return,
    };
    let delivery = match delivered {
        Ok(delivery) => delivery,
        Err(error) => return claim.settle(Stage::Failed(error)),
    };
    let Delivery { provider, model, limits, background, body } = delivery;
    let stream = match (body, background) {
        (DeliveryBody::Plain(_, bytes), _) => {
            let body = KeptBody::Plain(bytes);
            return claim.settle(Stage::Done(Arc::new(Kept { provider, model, limits, body })));
        }
        (DeliveryBody::Stream(_), Some(id)) => {
            let body = KeptBody::Background(id);
            return claim.settle(Stage::Done(Arc::new(Kept { provider, model, limits, body })));
        }
        (DeliveryBody::Stream(stream), None) => stream,
    };
    let body = DeliveryBody::Stream(stream);
    let delivery = Delivery { provider, model, limits, background: None, body };
    let (name, stage) = (claim.name.clone(), Arc::clone(&claim.stage));
    let (untaken, taken) = oneshot::channel::<()>();
    let slot = Arc::new(Mutex::new(Some(Offer { delivery, claim, _untaken: untaken })));
    let mut cut = app.cut.subscribe();
    stage.send_replace(Stage::Begun(Arc::clone(&slot)));
    // Who takes it holds a place among those who wait, and says how it ended. If nobody takes it, it is
    // dropped here, which cancels it; when the gateway stops it is told so, and ends by itself.
    let is_cut = tokio::select! {
        _ = taken => return,
        () = app.idempotency.until_deserted(&name, &stage) => false,
        stop = cut.wait_for(Option::is_some) => stop.is_ok(),
    };
    let left = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Offer { delivery: Delivery { body: DeliveryBody::Stream(mut stream), .. }, claim: _claim, .. }) = left
        && is_cut
    {
        while stream.next().await.is_some() {}
    }
}

/// Gives the stream to its taker, for as long as that one has time, and keeps what passes.
fn hand_over(stage: watch::Receiver<Stage>, offer: Offer, deadline: Instant) -> Response {
    let Offer { delivery, claim, .. } = offer;
    let Delivery { provider, model, limits, body, .. } = delivery;
    match body {
        DeliveryBody::Plain(_, bytes) => tell_limits(tell_target(json_bytes(bytes), &provider, &model), &limits),
        DeliveryBody::Stream(stream) => {
            stream.end_by(deadline);
            let stream = Keeping::new(*stream, claim, (provider.clone(), model.clone()), stage);
            tell_limits(tell_target(event_stream(Body::from_stream(stream)), &provider, &model), &limits)
        }
    }
}
