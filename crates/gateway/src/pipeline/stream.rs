//! A streamed answer: provider's events in, server-sent events out.
//!
//! The stream is pulled by the connection to the caller, so a slow reader slows the provider and
//! nothing piles up; when the caller goes away everything here is dropped, which closes the
//! connection to the provider and records what was used. **The last event goes out only when the
//! ledger has the request.**

use super::background::{StopSignal, stopped};
use super::dispatch::{Begun, OUT_OF_TIME, before, garbage};
use super::keep_alive::KeepAlive;
use super::keeping;
use super::plain::outcome;
use super::record::{Outcome, Record};
use super::screen::{ResponseScreen, blocked_error};
use crate::clock::now_ms;
use crate::error::{ApiError, Code};
use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokenrouter_protocol::{Assembler, Ending, FinishReason, ModelEvent, ResponseEvent};
use tokenrouter_providers::StreamDecoder;
use tokenrouter_upstream::{Asked, Class, EventStream, Failure};

/// How a surface writes the events of a response.
pub(crate) trait EventCodec: Send {
    /// Appends what the event is in this surface's words, which may be nothing.
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>);

    /// Appends what comes after the last event.
    fn end(&mut self, bytes: &mut Vec<u8>);

    /// A sign of life that means nothing; empty where there is none.
    fn keep_alive(&self) -> &'static [u8] {
        b": keep-alive\n\n"
    }
}

/// What a stream begins with.
pub(super) struct Start {
    pub assembler: Assembler,
    pub screen: ResponseScreen,
    pub begun: Begun,
    /// By which the response is told to stop.
    pub stop: Option<StopSignal>,
}

/// The body of a streamed response.
pub(crate) struct ResponseStream {
    events: Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>,
    failed: Arc<AtomicBool>,
    end_by: Arc<OnceLock<Instant>>,
}

impl ResponseStream {
    pub(super) fn new(record: Record, start: Start, codec: Box<dyn EventCodec>) -> Self {
        let failed = Arc::new(AtomicBool::new(false));
        let end_by = Arc::new(OnceLock::new());
        let run = Run {
            failed: Arc::clone(&failed),
            end_by: Arc::clone(&end_by),
            record,
            codec,
            screen: start.screen,
            assembler: start.assembler,
            events: start.begun.events,
            decoder: start.begun.decoder,
            asked: Some(start.begun.asked),
            stop: start.stop,
            decoded: start.begun.first,
            screened: Vec::new(),
            out: Vec::new(),
            begun: false,
            ended: false,
            over: None,
            first_at: Instant::now(),
        };
        let events =
            futures_util::stream::unfold(run, |mut run| async move { run.next().await.map(|bytes| (Ok(bytes), run)) });
        Self { failed, end_by, ..Self::of(events) }
    }

    /// Who reads it has no more time than this. Said once, by whoever takes the stream.
    pub fn end_by(&self, deadline: Instant) {
        // A second word changes nothing.
        let _ = self.end_by.set(deadline);
    }

    /// Whether it has ended without a whole answer, or with one that could not be recorded.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Breaks a silence of this length; none, if it is zero.
    pub fn kept_alive(self, silence: Duration, sign: &'static [u8]) -> Self {
        if silence.is_zero() || sign.is_empty() {
            return self;
        }
        let (failed, end_by) = (Arc::clone(&self.failed), Arc::clone(&self.end_by));
        Self { failed, end_by, ..Self::of(KeepAlive::new(self, silence, sign)) }
    }

    pub fn of(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Self {
        Self { events: Box::pin(stream), failed: Arc::default(), end_by: Arc::default() }
    }
}

impl Stream for ResponseStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

struct Run {
    failed: Arc<AtomicBool>,
    end_by: Arc<OnceLock<Instant>>,
    record: Record,
    codec: Box<dyn EventCodec>,
    screen: ResponseScreen,
    assembler: Assembler,
    events: Box<EventStream>,
    decoder: Box<StreamDecoder>,
    /// Until the target's health is told how the answer ended. If the caller ended it, it is told nothing.
    asked: Option<Asked>,
    stop: Option<StopSignal>,
    decoded: Vec<ModelEvent>,
    screened: Vec<ModelEvent>,
    out: Vec<ResponseEvent>,
    begun: bool,
    ended: bool,
    /// The answer is over, and what came before its end is on its way to the caller.
    over: Option<Over>,
    first_at: Instant,
}

/// Why the answer is over.
pub(super) enum Over {
    Ending(Ending),
    Error(Outcome, ApiError),
}

impl Run {
    /// The next bytes for the caller; none after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut bytes = Vec::with_capacity(512);
        if let Some(over) = self.over.take() {
            self.finish(over, &mut bytes).await;
            return Some(bytes.into());
        }
        if !self.begun {
            self.begun = true;
            self.assembler.begin(&mut self.out);
        }
        // A provider that always has something ready is bound by the time as well.
        if let Some(over) = self.over_by_now() {
            return self.end_with(over, bytes).await;
        }
        loop {
            let over = self.take_decoded();
            self.write_out(&mut bytes);
            if let Some(over) = over {
                return self.end_with(over, bytes).await;
            }
            // What has arrived already goes out in one piece.
            match self.events.ready() {
                Ok(Some(event)) => {
                    if let Err(error) = self.decoder.event(&event.name, &event.data, &mut self.decoded) {
                        let over = self.failure(&garbage(error));
                        return self.end_with(over, bytes).await;
                    }
                    continue;
                }
                Ok(None) if !bytes.is_empty() => return Some(bytes.into()),
                Ok(None) => {}
                Err(failure) => {
                    let over = self.failure(&failure);
                    return self.end_with(over, bytes).await;
                }
            }
            let deadline = self.deadline();
            let event = tokio::select! {
                biased;
                stop = stopped(&mut self.stop) => return self.end_with(stop.over(), bytes).await,
                event = before(deadline, self.events.next()) => event,
            };
            let step = match event {
                Ok(Some(event)) => self.decoder.event(&event.name, &event.data, &mut self.decoded).map_err(garbage),
                Ok(None) => self.decoder.end(&mut self.decoded).map_err(garbage).and_then(|()| {
                    let over =
                        self.decoded.iter().any(|e| matches!(e, ModelEvent::Finished(_) | ModelEvent::Failed(_)));
                    if over { Ok(()) } else { Err(garbage(tokenrouter_providers::DecodeError::Truncated)) }
                }),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = step {
                let over = self.failure(&failure);
                return self.end_with(over, bytes).await;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.record.deadline, self.end_by.get().copied()].into_iter().flatten().min()
    }

    /// Why the stream is to end though it could go on.
    fn over_by_now(&mut self) -> Option<Over> {
        if let Some(stop) = stopped(&mut self.stop).now_or_never() {
            return Some(stop.over());
        }
        let late = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        late.then(|| self.failure(&Failure::new(Class::Timeout, OUT_OF_TIME)))
    }

    /// Text that can go out does not wait until the record is durable, as the end of the answer must.
    async fn end_with(&mut self, over: Over, mut bytes: Vec<u8>) -> Option<Bytes> {
        if bytes.is_empty() {
            self.finish(over, &mut bytes).await;
        } else {
            self.over = Some(over);
        }
        Some(bytes.into())
    }

    /// Screens and assembles what has been decoded. Says so when the answer is over.
    fn take_decoded(&mut self) -> Option<Over> {
        for event in self.decoded.drain(..) {
            let passed = self.screen.pass(event, &mut self.record.tally, &mut self.screened);
            for event in self.screened.drain(..) {
                match event {
                    ModelEvent::Finished(reason) => {
                        if let Some(asked) = self.asked.take() {
                            asked.succeeded(Instant::now());
                        }
                        learn(&self.record, None);
                        self.record.spending.is_whole();
                        return Some(Over::Ending(Ending::Finished(reason)));
                    }
                    ModelEvent::Failed(error) => {
                        let failure = self.record.reported(error);
                        return Some(broken(&self.record, self.asked.take(), &failure));
                    }
                    ModelEvent::Usage(usage) => {
                        // Counted though the caller may go away before the end.
                        self.record.spending.tells(usage);
                        self.assembler.push(ModelEvent::Usage(usage), &mut self.out);
                    }
                    other => {
                        if let ModelEvent::Delta { text, .. } = &other {
                            self.record.spending.wrote(text);
                        }
                        self.assembler.push(other, &mut self.out);
                    }
                }
            }
            if let Err(blocked) = passed {
                return Some(Over::Error(Outcome::Blocked, blocked_error(&blocked)));
            }
        }
        None
    }

    fn failure(&mut self, failure: &Failure) -> Over {
        broken(&self.record, self.asked.take(), failure)
    }

    async fn finish(&mut self, over: Over, bytes: &mut Vec<u8>) {
        self.ended = true;
        self.observe();
        let out = std::mem::take(&mut self.out);
        if !finish(&mut self.record, &mut self.assembler, &mut *self.codec, out, over, bytes).await {
            self.failed.store(true, Ordering::Release);
        }
    }

    fn write_out(&mut self, bytes: &mut Vec<u8>) {
        for event in self.out.drain(..) {
            self.codec.event(&event, bytes);
        }
    }

    /// Teaches the router how quick this target writes.
    fn observe(&self) {
        let output = self.record.spending.output_tokens();
        if output == 0 || self.record.is_one_of_several {
            return;
        }
        #[allow(clippy::cast_precision_loss)]
        let per_second = output as f64 / self.first_at.elapsed().as_secs_f64().max(1e-4);
        let (provider, model) = (&self.record.told.provider, &self.record.model_id);
        self.record.app.latency.observe(provider, model, None, Some(per_second));
    }
}

/// The workspace learns how well the model that answers does it: at the end, not when it begins.
fn learn(record: &Record, failure: Option<Class>) {
    record.app.learned.observe(record.workspace_id(), &record.told.provider, &record.model_id, failure);
}

/// The provider's part in the stream has ended in a failure: its target's health and the log are told.
fn broken(record: &Record, asked: Option<Asked>, failure: &Failure) -> Over {
    tracing::warn!(
        request_id = %record.told.request_id, provider = %record.told.provider,
        class = ?failure.class, kind = %failure.error.kind, "a stream broke off"
    );
    // The caller's impatience says nothing of the target.
    if failure.error.kind != OUT_OF_TIME {
        learn(record, Some(failure.class));
        if let Some(asked) = asked {
            asked.failed(failure, Instant::now());
        }
    }
    Over::Error(Outcome::Failed, record.failure(failure))
}

/// Ends the response, records it, and only then lets its last event out; `out` are the events that come
/// before. Gives whether that was a whole answer, and is recorded.
pub(super) async fn finish(
    record: &mut Record,
    assembler: &mut Assembler,
    codec: &mut dyn EventCodec,
    mut out: Vec<ResponseEvent>,
    over: Over,
    bytes: &mut Vec<u8>,
) -> bool {
    let over = match over {
        Over::Ending(Ending::Finished(FinishReason::Completed)) => {
            match keeping::check(record, &assembler.response().output) {
                Ok(()) => over,
                Err(error) => Over::Error(Outcome::Failed, error),
            }
        }
        over => over,
    };
    let is_whole = matches!(over, Over::Ending(Ending::Finished(_)));
    let (ending, outcome, error) = match over {
        Over::Ending(ending) => {
            let outcome = match &ending {
                Ending::Finished(reason) => outcome(*reason),
                Ending::Cancelled => Outcome::Cancelled,
                Ending::Failed(_) => Outcome::Failed,
            };
            (ending, outcome, None)
        }
        Over::Error(outcome, error) => {
            let error = error.with_request_id(&record.told.request_id);
            (Ending::Failed(Box::new(error.body())), outcome, Some(error))
        }
    };
    assembler.end(ending, now_ms() / 1_000, &mut out);
    let Some(mut last) = out.pop() else { return false };
    let mut body = Bytes::new();
    if let Some(response) = last.response_mut() {
        record.conclude(response);
        body = serde_json::to_vec(response).unwrap_or_default().into();
    }
    out.iter().for_each(|event| codec.event(event, bytes));
    let failed = error.as_ref().is_some_and(|error| error.code != Code::FirewallBlocked);
    let settled = record.settle(outcome, error.as_ref(), Some(body)).await;
    let is_recorded = settled.is_ok();
    if let Err(trouble) = settled
        && !failed
        && let Some(response) = last.response_mut()
    {
        // What is not recorded must not look complete.
        let trouble = trouble.with_request_id(&record.told.request_id);
        response.status = tokenrouter_protocol::ResponseStatus::Failed;
        response.completed_at = None;
        response.error = Some(trouble.body());
        last.turn_into_failure();
    }
    codec.event(&last, bytes);
    codec.end(bytes);
    is_whole && is_recorded
}
