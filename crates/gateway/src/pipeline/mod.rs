//! The life of a request, from a parsed request to what is delivered. Every surface passes through
//! [`run`]; a surface is a codec at the two ends.

mod admission;
pub(crate) mod background;
mod considered;
pub(crate) mod conversation;
mod dispatch;
mod embeddings;
mod estimate;
mod fallbacks;
mod field;
mod history;
mod keep_alive;
mod keeping;
pub(crate) mod left;
mod local;
mod needs;
mod plain;
mod plan;
pub(crate) mod recent;
mod record;
mod screen;
mod spending;
mod stream;
mod task;
mod together;
mod told;
mod walk;

pub use considered::considered_json;
pub(crate) use considered::forecast_of;
pub(crate) use embeddings::embed;
pub(crate) use estimate::{estimate_input_tokens, prompt_tokens};
pub(crate) use local::{Local, LocalTurns};
pub use plan::dry_run;
pub(crate) use plan::explain;
pub(crate) use stream::{EventCodec, ResponseStream};
pub(crate) use together::{One, run_together};
pub(crate) use told::usd;

use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::limits::Permit;
use background::Prepared;
use bytes::Bytes;
use record::Record;
use std::sync::Arc;
use tokenrouter_protocol::{Assembler, Ending, FinishReason, Request, Response};

/// What goes out, and what the headers tell.
pub(crate) struct Delivery {
    pub provider: String,
    pub model: String,
    /// `x-ratelimit-*`, where the key has such limits.
    pub limits: Vec<(&'static str, String)>,
    /// The id of a response that runs in the background.
    pub background: Option<String>,
    pub body: DeliveryBody,
}

impl Delivery {
    pub fn kept_alive(mut self, app: &App, sign: &'static [u8]) -> Self {
        if let DeliveryBody::Stream(stream) = self.body {
            self.body = DeliveryBody::Stream(Box::new(stream.kept_alive(app.heartbeat, sign)));
        }
        self
    }
}

pub(crate) enum DeliveryBody {
    /// The response, and the same as JSON.
    Plain(Box<Response>, Bytes),
    /// The response as events, in the codec's words.
    Stream(Box<ResponseStream>),
}

/// Takes a request through its stages. Whatever happens, one ledger entry is written. A surface is what
/// makes `request`, and the codec for a stream's events or what is made of a plain response.
///
/// # Errors
/// Any of the contract's §7, before the first byte has gone out.
pub(crate) async fn run(
    app: &Arc<App>,
    caller: &Caller,
    request_id: &str,
    request: Request,
    codec: Box<dyn EventCodec>,
) -> ApiResult<Delivery> {
    run_on(app, caller, request_id, request, codec, None).await
}

/// The same on a connection that keeps its own turns.
pub(crate) async fn run_on(
    app: &Arc<App>,
    caller: &Caller,
    request_id: &str,
    request: Request,
    codec: Box<dyn EventCodec>,
    local: Option<Local>,
) -> ApiResult<Delivery> {
    let sign = codec.keep_alive();
    let mut record = Record::begin(Arc::clone(app), caller, request_id, &request);
    record.local = local;
    match prepare(caller, &mut record, request, 0).await.map(|(prepared, _)| prepared) {
        Ok(prepared) if prepared.request.background => match background::start(record, prepared, codec).await {
            Ok(delivery) => Ok(delivery.kept_alive(app, sign)),
            Err((mut record, error)) => Err(refuse(&mut record, error, request_id).await),
        },
        Ok(prepared) if prepared.request.warm_up => {
            let mut response = record.begin_response(&prepared.request);
            if let Some(target) = prepared.plan.targets.first() {
                response.model = target.name.to_string();
            }
            drop(prepared);
            Ok(warm_up(record, response, codec).await)
        }
        Ok(prepared) => Ok(deliver(record, prepared, codec, request_id).await?.kept_alive(app, sign)),
        Err(error) => Err(refuse(&mut record, error, request_id).await),
    }
}

/// Stages 7 to 10 of a request whose caller waits for its answer.
async fn deliver(
    mut record: Record,
    prepared: Prepared,
    codec: Box<dyn EventCodec>,
    request_id: &str,
) -> ApiResult<Delivery> {
    let ready = match answer(&mut record, prepared).await {
        Ok(ready) => ready,
        Err(error) => return Err(refuse(&mut record, error, request_id).await),
    };
    let (provider, model) = (record.told.provider.clone(), record.told.model.clone());
    let limits = record.limit_headers.clone();
    let body = match ready {
        Ready::Plain { response, body } => DeliveryBody::Plain(response, body),
        Ready::Stream(start) => DeliveryBody::Stream(Box::new(ResponseStream::new(record, *start, codec))),
    };
    Ok(Delivery { provider, model, limits, background: None, body })
}

/// Keeps the request, planned and screened, as a response without output that can be gone on from. No provider is
/// asked.
async fn warm_up(mut record: Record, response: Response, mut codec: Box<dyn EventCodec>) -> Delivery {
    let model = response.model.clone();
    let limits = record.limit_headers.clone();
    let mut assembler = Assembler::new(response);
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    assembler.begin(&mut events);
    let over = stream::Over::Ending(Ending::Finished(FinishReason::Completed));
    stream::finish(&mut record, &mut assembler, &mut *codec, events, over, &mut bytes).await;
    let stream = ResponseStream::of(futures_util::stream::once(async { Ok(Bytes::from(bytes)) }));
    Delivery { provider: String::new(), model, limits, background: None, body: DeliveryBody::Stream(Box::new(stream)) }
}

async fn refuse(record: &mut Record, error: ApiError, request_id: &str) -> ApiError {
    let error = error.with_request_id(request_id);
    record.settle_failure(&error).await;
    error
}

enum Ready {
    Plain { response: Box<Response>, body: Bytes },
    Stream(Box<stream::Start>),
}

/// Stages 3 to 6, of one answer and so many further ones, whose permits it gives.
async fn prepare(
    caller: &Caller,
    record: &mut Record,
    mut request: Request,
    further: u64,
) -> ApiResult<(Prepared, Vec<Permit>)> {
    if request.background && !request.store {
        let message = "a response in the background is kept until it is asked for: it needs `store`";
        return Err(ApiError::parameter("background", message));
    }
    let app = Arc::clone(&record.app);
    app.can_record()?;
    // Rules look at what the caller says now, not at the turns before.
    let facts = plan::Facts::of(&request);
    let history = history::expand(&app, caller, &mut request, record.local.as_ref()).await?;
    record.lease = history.lease;
    record.mark = history.mark;
    if request.store && history.is_local {
        let message = "`previous_response_id`: the turns before are not stored, so that this response can be gone on \
                       from on this connection alone, while it is the last of its `stream_id`";
        record.told.warnings.push(told::Warning::new(told::Source::Router, None, message));
    } else if request.store {
        // It is found in the store.
        record.local = None;
    }
    let mut plan = plan::decide(&app, caller, &request, &facts, history.last_turn)?;
    record.planned(&mut plan);
    screen::prompt(&caller.rules.firewall, &mut request, &mut record.tally)?;
    keeping::logprobs_or_rules(record, &caller.rules.firewall, &request)?;
    let permits = admission::admit(record, caller, &mut plan.targets, plan.input_tokens, &request, further)?;
    record.keep_input(&request, history.first_own)?;
    let screen = screen::ResponseScreen::new(Arc::clone(&caller.rules.firewall), &request);
    Ok((Prepared { request: Arc::new(request), plan: Arc::new(plan), screen }, permits))
}

/// Stage 7, and what comes after it.
async fn answer(record: &mut Record, prepared: Prepared) -> ApiResult<Ready> {
    let Prepared { request, plan, screen } = prepared;
    let app = Arc::clone(&record.app);
    let dispatched = dispatch::dispatch(&app, &plan, &request, record);
    let answered = match background::unless_cut(&app, dispatched).await {
        Ok(answered) => answered,
        Err(mut error) => {
            let passed = screen.message(&mut error.message, &mut record.tally);
            passed.map_err(|blocked| screen::blocked_error(&blocked))?;
            return Err(error);
        }
    };
    record.chosen(&answered);
    match answered.answer {
        dispatch::Answered::Plain(events) => plain::finish(record, &request, screen, events).await,
        dispatch::Answered::Stream(begun) => {
            let assembler = Assembler::new(record.begin_response(&request));
            let stop = Some(app.cut.subscribe());
            Ok(Ready::Stream(Box::new(stream::Start { assembler, screen, begun, stop })))
        }
    }
}
