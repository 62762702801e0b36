//! `Idempotency-Key`: the second call with a key gets the first one's answer, so that a caller who does not
//! know whether its request arrived can send it again and is not billed twice.
//!
//! The work is done apart from the connections that wait for it. A call that comes while the first is under
//! way waits with it. If all who wait have left, the work goes on for a while, for one that comes back. A
//! stream is handed to one of them; it ends when that one leaves, as any stream does, and the key is free
//! again. Errors are not kept: what failed may be tried again. Answers are kept in memory, by each gateway
//! for itself, for an hour at most and within a bound on their size.

use super::responses::{ResponsesCodec, event_stream, json_bytes, tell_limits, tell_target};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::{self, Delivery, DeliveryBody, ResponseStream};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokenrouter_protocol::Request;
use tokio::sync::watch;

pub(super) const HEADER: &str = "idempotency-key";
const LONGEST_KEY: usize = 255;
/// How long the work goes on when nobody waits for it any more: clients try again within some seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const KEEP: Duration = Duration::from_secs(3_600);
/// All that is kept, in bytes.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// The longest single answer that is kept.
const LONGEST_KEPT: usize = 4 * 1024 * 1024;

/// The API key's id, and what it sent as the header: another API key may have other models, limits and a
/// budget of its own, and is answered for itself.
type Name = (i64, String);

#[derive(Default)]
pub(crate) struct Idempotency {
    entries: Mutex<Entries>,
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
    stage: Arc<watch::Sender<Stage>>,
}

/// How far the work is.
#[derive(Clone)]
enum Stage {
    Running,
    /// A stream has begun; whoever takes it has it.
    Begun(Arc<Mutex<Option<(Delivery, Claim)>>>),
    Done(Arc<Kept>),
    Failed(ApiError),
    /// It was given up, because nobody waited.
    Deserted,
}

struct Kept {
    provider: String,
    model: String,
    /// For the first call only: by the next they say something else.
    limits: Vec<(&'static str, String)>,
    body: KeptBody,
}

enum KeptBody {
    Plain(Bytes),
    Events(Bytes),
    TooLong,
}

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

/// Does the work once, whoever asks for it.
pub(super) async fn once(
    app: &Arc<App>,
    caller: &Caller,
    request_id: &str,
    key: String,
    body: blake3::Hash,
    request: Request,
) -> ApiResult<Response> {
    let name = (caller.key_id, key);
    loop {
        let (mut stage, first) = app.idempotency.join(&name, body)?;
        let replayed = first.is_none();
        if let Some(sender) = first {
            let claim = Claim { app: Arc::clone(app), name: name.clone(), stage: sender, settled: false };
            tokio::spawn(work(claim, caller.clone(), request_id.to_owned(), request.clone()));
        }
        loop {
            let now = stage.borrow_and_update().clone();
            match now {
                Stage::Running => {}
                Stage::Begun(slot) => {
                    let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some((delivery, claim)) = taken {
                        return Ok(hand_over(stage, delivery, claim));
                    }
                }
                Stage::Done(kept) => return replay(&kept, replayed),
                Stage::Failed(error) => return Err(error),
                Stage::Deserted => break,
            }
            if stage.changed().await.is_err() {
                break;
            }
        }
    }
}

impl Idempotency {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who wait for the key's answer. Who is the first gets what the others listen to, and does
    /// the work.
    fn join(&self, name: &Name, body: blake3::Hash) -> ApiResult<(watch::Receiver<Stage>, Option<Stager>)> {
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
    async fn until_deserted(&self, name: &Name, stage: &watch::Sender<Stage>) {
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

    fn settle(&self, name: &Name, stage: &watch::Sender<Stage>, end: Stage) {
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

type Stager = Arc<watch::Sender<Stage>>;

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

impl Kept {
    /// An answer costs its place too.
    fn size(&self) -> usize {
        512 + match &self.body {
            KeptBody::Plain(bytes) | KeptBody::Events(bytes) => bytes.len(),
            KeptBody::TooLong => 0,
        }
    }
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

async fn work(mut claim: Claim, caller: Caller, request_id: String, request: Request) {
    let app = Arc::clone(&claim.app);
    let delivered = tokio::select! {
        delivered = pipeline::run(&app, &caller, &request_id, request, Box::new(ResponsesCodec)) => delivered,
        () = app.idempotency.until_deserted(&claim.name, &claim.stage) => return,
    };
    let delivery = match delivered {
        Ok(delivery) => delivery,
        Err(error) => return claim.settle(Stage::Failed(error)),
    };
    let Delivery { provider, model, limits, body } = delivery;
    match body {
        DeliveryBody::Plain(_, bytes) => {
            claim.settle(Stage::Done(Arc::new(Kept { provider, model, limits, body: KeptBody::Plain(bytes) })));
        }
        DeliveryBody::Stream(stream) => {
            let delivery = Delivery { provider, model, limits, body: DeliveryBody::Stream(stream) };
            let (name, stage) = (claim.name.clone(), Arc::clone(&claim.stage));
            let slot = Arc::new(Mutex::new(Some((delivery, claim))));
            stage.send_replace(Stage::Begun(Arc::clone(&slot)));
            // Who takes it holds a place among those who wait, and says how it ended. If nobody takes it,
            // it is dropped here, which cancels it.
            app.idempotency.until_deserted(&name, &stage).await;
            let left = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(left);
        }
    }
}

/// Gives the stream to its taker, and keeps what passes.
fn hand_over(stage: watch::Receiver<Stage>, delivery: Delivery, claim: Claim) -> Response {
    let Delivery { provider, model, limits, body } = delivery;
    match body {
        DeliveryBody::Plain(_, bytes) => tell_limits(tell_target(json_bytes(bytes), &provider, &model), &limits),
        DeliveryBody::Stream(inner) => {
            let target = (provider.clone(), model.clone());
            let claim = Some(claim);
            let stream = Keeping { inner: *inner, claim, kept: Vec::new(), whole: true, target, _waits: stage };
            tell_limits(tell_target(event_stream(Body::from_stream(stream)), &provider, &model), &limits)
        }
    }
}

/// A stream that is kept while it passes.
struct Keeping {
    inner: ResponseStream,
    claim: Option<Claim>,
    kept: Vec<u8>,
    whole: bool,
    target: (String, String),
    _waits: watch::Receiver<Stage>,
}

impl Stream for Keeping {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) if this.kept.len() + bytes.len() <= LONGEST_KEPT => {
                this.kept.extend_from_slice(bytes);
            }
            Poll::Ready(Some(_)) => this.whole = false,
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

fn replay(kept: &Kept, replayed: bool) -> ApiResult<Response> {
    let response = match &kept.body {
        KeptBody::Plain(bytes) => json_bytes(bytes.clone()),
        KeptBody::Events(bytes) => event_stream(Body::from(bytes.clone())),
        KeptBody::TooLong => {
            let message = format!("this `{HEADER}` was answered, at such length that the answer was not kept");
            return Err(ApiError { param: Some(HEADER.to_owned()), ..ApiError::new(Code::Conflict, message) });
        }
    };
    let mut response = tell_target(response, &kept.provider, &kept.model);
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    } else {
        response = tell_limits(response, &kept.limits);
    }
    Ok(response)
}
