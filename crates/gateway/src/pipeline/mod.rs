//! The life of a request, from a parsed request to what is delivered. Every surface passes through
//! [`run`]; a surface is a codec at the two ends.

pub(crate) mod conversation;
mod dispatch;
mod history;
mod plain;
mod plan;
mod record;
mod screen;
mod stream;

pub(crate) use plan::explain;
pub(crate) use stream::{EventCodec, ResponseStream};

use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use bytes::Bytes;
use record::Record;
use std::sync::Arc;
use tokenrouter_protocol::{Request, Response};

/// What goes out, and what the headers tell.
pub(crate) struct Delivery {
    pub provider: String,
    pub model: String,
    pub body: DeliveryBody,
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
    let mut record = Record::begin(Arc::clone(app), caller, request_id, &request);
    match road(caller, &mut record, request).await {
        Ok(Ready::Plain { response, body }) => {
            let (provider, model) = (record.told.provider.clone(), record.told.model.clone());
            Ok(Delivery { provider, model, body: DeliveryBody::Plain(response, body) })
        }
        Ok(Ready::Stream(start)) => {
            let (provider, model) = (record.told.provider.clone(), record.told.model.clone());
            let stream = ResponseStream::new(record, *start, codec);
            Ok(Delivery { provider, model, body: DeliveryBody::Stream(Box::new(stream)) })
        }
        Err(error) => {
            let error = error.with_request_id(request_id);
            record.settle_failure(&error).await;
            Err(error)
        }
    }
}

enum Ready {
    Plain { response: Box<Response>, body: Bytes },
    Stream(Box<stream::Start>),
}

async fn road(caller: &Caller, record: &mut Record, mut request: Request) -> ApiResult<Ready> {
    refuse_what_is_not_there_yet(&request)?;
    let app = Arc::clone(&record.app);
    // Rules look at what the caller says now, not at the turns before.
    let facts = plan::Facts::of(&request);
    let history = history::expand(&app, caller.workspace_id, &mut request).await?;
    record.lease = history.lease;
    let plan = plan::decide(&app, &caller.rules.routing, &request, &facts)?;
    record.planned(&plan);
    screen::prompt(&caller.rules.firewall, &mut request, &mut record.tally)?;
    record.keep_input(&request, history.first_own);
    let answered = dispatch::dispatch(&app, &plan.targets, &request, record).await?;
    record.chosen(&answered);
    let screen = screen::ResponseScreen::new(Arc::clone(&caller.rules.firewall));
    match answered.answer {
        dispatch::Answered::Plain(events) => plain::finish(record, &request, screen, events).await,
        dispatch::Answered::Stream { first, events, decoder } => {
            let response = record.begin_response(&request);
            Ok(Ready::Stream(Box::new(stream::Start { response, screen, first, events, decoder })))
        }
    }
}

fn refuse_what_is_not_there_yet(request: &Request) -> ApiResult<()> {
    if request.background {
        return Err(ApiError::parameter("background", "`background` is not supported by this version"));
    }
    Ok(())
}
