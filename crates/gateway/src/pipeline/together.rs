//! Several answers to one request, as the choices of a chat are. It is planned and screened once; from there on each
//! answer is a request of its own, with its own screens of what comes and its own entry in the ledger. **No provider is
//! asked before all of them have been let in**, and one that fails ends all.

use super::background::Prepared;
use super::record::Record;
use super::screen::ResponseScreen;
use super::{Delivery, EventCodec, deliver, prepare, refuse};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiResult;
use futures_util::future::try_join_all;
use std::sync::Arc;
use tokenrouter_protocol::Request;

/// One of the answers.
pub(crate) struct One {
    pub request_id: String,
    pub codec: Box<dyn EventCodec>,
}

/// `of_each` is the request as the answer of this number is asked for: the same, as far as it can be, of which no copy
/// is made. Streams have begun when this comes back, and give no signs of life of their own.
///
/// # Errors
/// The first that one of them ends in before its first byte, with its own request id; the others are dropped.
pub(crate) async fn run_together(
    app: &Arc<App>,
    caller: &Caller,
    request: Request,
    first: One,
    others: Vec<One>,
    of_each: impl Fn(&Arc<Request>, usize) -> Arc<Request>,
) -> ApiResult<Vec<Delivery>> {
    let mut record = Record::begin(Arc::clone(app), caller, &first.request_id, &request);
    record.is_one_of_several = true;
    let further = u64::try_from(others.len()).unwrap_or(u64::MAX);
    let (prepared, permits) = match prepare(caller, &mut record, request, further).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(refuse(&mut record, error, &first.request_id).await),
    };
    let mut permits = permits.into_iter();
    let mut ready = Vec::with_capacity(others.len() + 1);
    for (number, other) in (1..).zip(others) {
        let request = of_each(&prepared.request, number);
        let record = record.another(caller, &other.request_id, &request, permits.next());
        let screen = ResponseScreen::new(Arc::clone(&caller.rules.firewall), &request);
        ready.push((record, Prepared { request, plan: Arc::clone(&prepared.plan), screen }, other));
    }
    ready.insert(0, (record, prepared, first));
    let delivered = ready.into_iter().map(|(record, prepared, One { request_id, codec })| async move {
        deliver(record, prepared, codec, &request_id).await
    });
    try_join_all(delivered).await
}
