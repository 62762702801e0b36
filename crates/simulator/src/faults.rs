//! Scripted faults.

use crate::{Dialect, wire};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the server is given to write out what comes before a cut.
const FLUSH: Duration = Duration::from_millis(5);

fn once() -> Option<u64> {
    Some(1)
}

/// What goes wrong, for how many requests (`null` or 0: until cleared), for which provider and model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    #[serde(default)]
    id: u64,
    provider: Option<String>,
    model: Option<String>,
    #[serde(default = "once")]
    count: Option<u64>,
    status: Option<u16>,
    delay_ms: Option<u64>,
    cut_after_bytes: Option<usize>,
    drip_ms: Option<u64>,
    #[serde(default)]
    garbage: bool,
    retry_after: Option<u64>,
    body: Option<String>,
    #[serde(default)]
    hang: bool,
    #[serde(default)]
    pub error_event: bool,
    #[serde(default)]
    reset: bool,
}

#[derive(Default)]
pub(crate) struct Faults {
    list: Mutex<(u64, Vec<Fault>)>,
}

impl Faults {
    pub fn add(&self, mut fault: Fault) -> u64 {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.0 += 1;
        fault.id = list.0;
        fault.count = fault.count.filter(|count| *count > 0);
        list.1.push(fault);
        list.0
    }

    pub fn list(&self) -> Vec<Fault> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    pub fn clear(&self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }

    /// The first fault for this request, which is then used up by one.
    pub fn take(&self, provider: &str, model: &str) -> Option<Fault> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let at = list.1.iter().position(|fault| {
            fault.provider.as_deref().is_none_or(|p| p == provider) && fault.model.as_deref().is_none_or(|m| m == model)
        })?;
        let fault = list.1.get(at)?.clone();
        match list.1.get_mut(at)?.count.as_mut() {
            Some(1) => {
                list.1.remove(at);
            }
            Some(count) => *count -= 1,
            None => {}
        }
        Some(fault)
    }
}

/// Sees how an answer ends: given whole (or as a fault will have it), or its caller left before.
pub(crate) struct Watch(Arc<AtomicU8>);

impl Watch {
    const GIVEN: u8 = 1;
    const LEFT: u8 = 2;

    pub fn new(end: &Arc<AtomicU8>) -> Self {
        Self(Arc::clone(end))
    }

    pub fn finish(&self) {
        self.0.store(Self::GIVEN, Ordering::Relaxed);
    }

    /// The word for what was seen; none while the answer is under way.
    pub fn word(end: &AtomicU8) -> Option<&'static str> {
        match end.load(Ordering::Relaxed) {
            Self::GIVEN => Some("given"),
            Self::LEFT => Some("left"),
            _ => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.compare_exchange(0, Self::LEFT, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The faults that take the place of an answer.
pub(crate) async fn instead(fault: Option<&Fault>, dialect: Option<Dialect>) -> Option<Response> {
    let fault = fault?;
    if let Some(ms) = fault.delay_ms {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    if fault.hang {
        std::future::pending::<()>().await;
    }
    if fault.reset {
        // A body that promises more than it gives tears the connection.
        let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("reset")) });
        return Some(Body::from_stream(broken).into_response());
    }
    if fault.garbage {
        return Some((StatusCode::OK, "<html>this is not what you asked for</html>").into_response());
    }
    let status = StatusCode::from_u16(fault.status?).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match &fault.body {
        Some(body) => (status, body.clone()).into_response(),
        None => wire::error(dialect, status, "simulated_error", "a scripted fault"),
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Some(response)
}

/// The answer, slowed or cut as the fault says.
pub(crate) fn body(
    fault: Option<&Fault>,
    pieces: Vec<String>,
    kind: &'static str,
    delay: Duration,
    watch: &mut Option<Watch>,
) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
    let drip = fault.and_then(|fault| fault.drip_ms).map_or(delay, Duration::from_millis);
    let cut = fault.and_then(|fault| fault.cut_after_bytes);
    if drip.is_zero() && cut.is_none() {
        return (headers, pieces.concat()).into_response();
    }
    let left = cut.unwrap_or(usize::MAX);
    let state = (pieces.into_iter(), left, false, watch.take());
    let stream = stream::unfold(state, move |(mut pieces, left, torn, watch)| async move {
        let Some(piece) = pieces.next().filter(|_| !torn) else {
            watch.iter().for_each(Watch::finish);
            return None;
        };
        if !drip.is_zero() {
            tokio::time::sleep(drip).await;
        }
        if left == 0 {
            // The bytes before must be on the wire when the connection is torn, which they are once the
            // server has found that there is nothing to write for a while.
            tokio::time::sleep(FLUSH).await;
            watch.iter().for_each(Watch::finish);
            return Some((Err(std::io::Error::other("cut")), (pieces, 0, true, watch)));
        }
        let mut bytes = Bytes::from(piece);
        if bytes.len() >= left {
            bytes.truncate(left);
            // One more turn, for the cut itself.
            let rest = vec![String::new()].into_iter();
            return Some((Ok(bytes), (rest, 0, false, watch)));
        }
        let left = left - bytes.len();
        Some((Ok(bytes), (pieces, left, false, watch)))
    });
    (headers, Body::from_stream(stream)).into_response()
}
