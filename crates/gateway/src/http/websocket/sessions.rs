//! The open WebSocket connections: told when the gateway stops, and counted, so that it can wait for them and has
//! not more of them than it takes. **No workspace takes them all**: it may open another while it has no more than are
//! left for everybody.

use crate::error::{ApiError, ApiResult, Code};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct Sessions {
    pub(super) stop: watch::Sender<bool>,
    open: watch::Sender<usize>,
    /// Of each workspace that has some.
    of_workspaces: Mutex<HashMap<i64, usize>>,
    most: usize,
    /// How long one may be open.
    pub(super) longest: Duration,
}

impl Sessions {
    pub fn new(most: usize, longest: Duration) -> Self {
        let (stop, open) = (watch::Sender::default(), watch::Sender::default());
        Self { stop, open, of_workspaces: Mutex::default(), most, longest }
    }

    fn of_workspaces(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.of_workspaces.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Counts another one of this workspace for as long as what is given stands.
    ///
    /// # Errors
    /// 503 when there are as many as there may be; 429 when the workspace has more than are left.
    pub(super) fn enter(self: &Arc<Self>, workspace_id: i64) -> ApiResult<Open> {
        // Held until it is counted.
        let mut of_workspaces = self.of_workspaces();
        let own = of_workspaces.get(&workspace_id).copied().unwrap_or(0);
        let left = self.most.saturating_sub(self.open());
        let (code, message) = match left {
            0 => (Code::Unavailable, "the gateway has as many WebSocket connections open as it takes"),
            _ if own > left => {
                (Code::RateLimitExceeded, "this workspace has more WebSocket connections open than are left for others")
            }
            _ => {
                of_workspaces.insert(workspace_id, own + 1);
                self.open.send_modify(|open| *open += 1);
                return Ok(Open { sessions: Arc::clone(self), workspace_id });
            }
        };
        let message = format!("{message}; try again later, or over HTTP");
        Err(ApiError { retry_after_seconds: Some(5), ..ApiError::new(code, message) })
    }
}

pub(super) struct Open {
    sessions: Arc<Sessions>,
    workspace_id: i64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut of_workspaces = self.sessions.of_workspaces();
        if let Some(own) = of_workspaces.get_mut(&self.workspace_id) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                of_workspaces.remove(&self.workspace_id);
            }
        }
        self.sessions.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_leaves_some_to_the_others() {
        let sessions = Arc::new(Sessions::new(8, Duration::ZERO));
        let all_of = |workspace_id| -> Vec<Open> { std::iter::from_fn(|| sessions.enter(workspace_id).ok()).collect() };
        let refused = |workspace_id| sessions.enter(workspace_id).err().unwrap().code;
        let (first, second) = (all_of(1), all_of(2));
        assert_eq!((first.len(), second.len()), (5, 2));
        assert_eq!((refused(1), refused(2)), (Code::RateLimitExceeded, Code::RateLimitExceeded));
        let third = all_of(3);
        assert_eq!((third.len(), sessions.open(), refused(4)), (1, 8, Code::Unavailable));
        drop(first);
        assert_eq!(all_of(4).len(), 3);
        drop((second, third));
        assert!(sessions.of_workspaces().is_empty() && sessions.open() == 0);
    }
}
