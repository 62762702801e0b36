//! Several answers at once, as the choices of a chat are. Each is a request of its own, with its own limits, screens and
//! entry in the ledger. **No provider is asked before all of them have been let in**, and one that fails ends all.

use super::record::Record;
use super::{Delivery, EventCodec, deliver, prepare, refuse};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiResult;
use futures_util::future::try_join_all;
use std::sync::Arc;
use tokenrouter_protocol::Request;

pub(crate) struct One {
    pub request_id: String,
    pub request: Request,
    pub codec: Box<dyn EventCodec>,
}

/// Streams have begun when this comes back, and give no signs of life of their own.
///
/// # Errors
/// The first that one of them ends in before its first byte; the others are dropped.
pub(crate) async fn run_together(app: &Arc<App>, caller: &Caller, all: Vec<One>) -> ApiResult<Vec<Delivery>> {
    let mut ready = Vec::with_capacity(all.len());
    for One { request_id, request, codec } in all {
        let mut record = Record::begin(Arc::clone(app), caller, &request_id, &request);
        match prepare(caller, &mut record, request).await {
            Ok(prepared) => ready.push((record, prepared, codec, request_id)),
            Err(error) => return Err(refuse(&mut record, error, &request_id).await),
        }
    }
    let delivered = ready.into_iter().map(|(record, prepared, codec, request_id)| async move {
        deliver(record, prepared, codec, &request_id).await
    });
    try_join_all(delivered).await
}
