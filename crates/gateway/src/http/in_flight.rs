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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request may wait for a place.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) struct InFlight {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
    most_waiting: usize,
}

impl InFlight {
    pub fn new(most: usize, most_waiting: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(most)), waiting: AtomicUsize::new(0), most, most_waiting }
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

    /// How many places there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Makes so many places of a request's one, at once or after a moment. Where it has to wait it holds none: of two
    /// that held some and waited for more, none would come to run.
    ///
    /// # Errors
    /// 503 when there are not so many.
    pub async fn widen(&self, place: &Place, count: u32) -> ApiResult<()> {
        if let Ok(further) = Arc::clone(&self.places).try_acquire_many_owned(count.saturating_sub(1)) {
            let mut held = place.held();
            match held.as_mut() {
                Some(held) => held.merge(further),
                None => *held = Some(further),
            }
            return Ok(());
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before >= self.most_waiting {
            return Err(full());
        }
        *place.held() = None;
        match timeout(WAIT, Arc::clone(&self.places).acquire_many_owned(count)).await {
            Ok(Ok(places)) => {
                *place.held() = Some(places);
                Ok(())
            }
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

/// A request's place, or its places. Whatever goes on for it without its connection holds it too.
#[derive(Clone)]
pub(crate) struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn of(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// None only while it waits to become several.
    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admit_to(&app.in_flight, request, next).await
}

/// To places of their own.
pub(super) async fn admit_measuring(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admit_to(&app.measuring, request, next).await
}

async fn admit_to(places: &InFlight, mut request: Request, next: Next) -> Response {
    let place = match places.enter().await {
        Ok(place) => Place::of(place),
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

    #[tokio::test(start_paused = true)]
    async fn those_that_want_several_places_hold_none_while_they_wait() {
        let in_flight = InFlight::new(4, 10);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(Place::of(in_flight.enter().await.unwrap()));
        }
        let single = in_flight.enter().await.unwrap();
        // Three that want three each, with one place each: not one of them could run.
        let wide = |place: Place| {
            let in_flight = &in_flight;
            async move {
                in_flight.widen(&place, 3).await?;
                Ok::<_, ApiError>(place)
            }
        };
        let mut waiting: Vec<_> = places.drain(..).map(|place| Box::pin(wide(place))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let first = waiting.remove(0).await.unwrap();
        drop(first);
        let second = waiting.remove(0).await.unwrap();
        drop((second, single));
        drop(waiting.remove(0).await.unwrap());
        let all = Place::of(in_flight.enter().await.unwrap());
        assert!(in_flight.widen(&all, 4).await.is_ok());
        assert!(in_flight.widen(&all, 5).await.is_err(), "there are no more");
        assert_eq!(in_flight.places.available_permits(), 4, "what waited in vain holds nothing");
    }
}
