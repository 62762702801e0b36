//! The open WebSocket connections: told when the gateway stops, and counted, so that it can wait for them and has
//! not more of them than it takes.

use crate::error::{ApiError, ApiResult, Code};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct Sessions {
    pub(super) stop: watch::Sender<bool>,
    open: watch::Sender<usize>,
    most: usize,
    /// How long one may be open.
    pub(super) longest: Duration,
}

impl Sessions {
    pub fn new(most: usize, longest: Duration) -> Self {
        Self { stop: watch::Sender::default(), open: watch::Sender::default(), most, longest }
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn until_closed(&self) {
        // An error means that the sender is gone, and with it all that it counts; but we hold it.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    pub fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Counts another one for as long as what is given stands.
    ///
    /// # Errors
    /// 503 when there are as many as there may be.
    pub(super) fn enter(self: &Arc<Self>) -> ApiResult<Open> {
        let is_one = self.open.send_if_modified(|open| {
            let has_room = *open < self.most;
            *open += usize::from(has_room);
            has_room
        });
        if is_one {
            return Ok(Open(Arc::clone(self)));
        }
        let message = "the gateway has as many WebSocket connections open as it takes; try again later, or over HTTP";
        Err(ApiError { retry_after_seconds: Some(5), ..ApiError::new(Code::Unavailable, message) })
    }
}

pub(super) struct Open(Arc<Sessions>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}
