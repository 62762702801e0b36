//! How much is under way at once. What is more waits a moment, a few at a time; then it is shed, with 503
//! and `Retry-After`, before memory runs out.
//!
//! A place is held until the last byte of the answer has gone out or the caller has left, which the connection
//! sees to ([`crate::answers`]): a stream counts for as long as it lasts. Health is asked for outside of it, or a busy gateway would look dead.

use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request may wait for a place.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) struct InFlight {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl InFlight {
    pub fn new(most: usize, most_waiting: usize) -> Self {
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { places, waiting: AtomicUsize::new(0), most_waiting }
    }

    /// A place, at once or after a moment.
    ///
    /// # Errors
    /// 503 when there is none.
    pub async fn enter(&self) -> ApiResult<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before >= self.most_waiting {
            return Err(full());
        }
        match timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }
}

fn full() -> ApiError {
    let message = "the gateway has as many requests under way as it takes; try again soon";
    ApiError { retry_after_seconds: Some(1), ..ApiError::new(Code::Unavailable, message) }
}

/// One that waits, counted for as long as it does.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's place. Whatever goes on for it without its connection holds it too.
#[derive(Clone)]
pub(crate) struct Place(#[allow(dead_code)] Arc<OwnedSemaphorePermit>);

pub(super) async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let place = match app.in_flight.enter().await {
        Ok(place) => Place(Arc::new(place)),
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(place.clone());
    let mut answer = next.run(request).await;
    answer.extensions_mut().insert(place);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_waits_a_moment_and_is_then_shed() {
        let in_flight = InFlight::new(1, 1);
        let place = in_flight.enter().await.unwrap();
        let error = in_flight.enter().await.unwrap_err();
        assert_eq!((error.code, error.retry_after_seconds), (Code::Unavailable, Some(1)));
        let mut second = Box::pin(in_flight.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(in_flight.enter().now_or_never().unwrap().is_err(), "the queue is bounded");
        drop(place);
        assert!(second.await.is_ok());
        assert_eq!(in_flight.waiting.load(Ordering::Relaxed), 0);
    }
}
