//! A plain answer: the same events as a stream's, all at once.

use super::record::{Outcome, Record};
use super::screen::{ResponseScreen, blocked_error};
use super::{Ready, dispatch, keeping};
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult};
use bytes::Bytes;
use tokenrouter_protocol::{Assembler, Ending, FinishReason, ModelEvent, Request};

pub(super) async fn finish(
    record: &mut Record,
    request: &Request,
    mut screen: ResponseScreen,
    events: Vec<ModelEvent>,
) -> ApiResult<Ready> {
    let mut assembler = Assembler::new(record.begin_response(request));
    assembler.keep_events(false);
    let mut sink = Vec::new();
    // What the answer cost is owed though it be blocked.
    record.spending.whole(&events);
    let screened = screen.whole(events, &mut record.tally).map_err(|blocked| blocked_error(&blocked))?;
    let mut reason = None;
    for event in screened {
        match event {
            ModelEvent::Finished(finish) => reason = Some(finish),
            ModelEvent::Failed(error) => {
                return Err(record.failure(&record.reported(error)));
            }
            other => assembler.push(other, &mut sink),
        }
    }
    let Some(reason) = reason else {
        let truncated = dispatch::garbage(tokenrouter_providers::DecodeError::Truncated);
        return Err(record.failure(&truncated));
    };
    assembler.end(Ending::Finished(reason), now_ms() / 1_000, &mut sink);
    let mut response = assembler.into_response();
    if reason == FinishReason::Completed {
        keeping::check(record, &response.output)?;
    }
    record.conclude(&mut response);
    let body: Bytes = serde_json::to_vec(&response).map_err(|e| ApiError::internal(&e))?.into();
    record.settle(outcome(reason), None, Some(body.clone())).await?;
    Ok(Ready::Plain { response: Box::new(response), body })
}

pub(super) fn outcome(reason: FinishReason) -> Outcome {
    if reason == FinishReason::Completed { Outcome::Completed } else { Outcome::Incomplete }
}
