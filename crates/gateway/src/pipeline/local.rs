//! What a connection keeps of its own turns, so that a response which is not stored can be gone on from while the
//! connection lasts, as Open Responses has it over a WebSocket. In memory alone: no other connection finds it, and
//! nothing of it is written.

use super::recent::CACHE_MS;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult};
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokenrouter_protocol::Item;
use tokenrouter_routing::LastTurn;

/// Of each lane its last turn is kept, and of so many lanes.
const MOST_LANES: usize = 32;

pub(crate) struct LocalTurns {
    kept: Mutex<VecDeque<Turn>>,
    most_bytes: usize,
}

struct Turn {
    lane: Option<String>,
    id: String,
    /// All items up to this turn's end, as JSON.
    items: Bytes,
    last: Option<LastTurn>,
    at_ms: i64,
}

impl LocalTurns {
    /// Keeps so many bytes of JSON in all, the newest.
    pub fn new(most_bytes: usize) -> Self {
        Self { kept: Mutex::default(), most_bytes }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Turn>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, turn: Turn) {
        let mut kept = self.kept();
        kept.retain(|known| known.lane != turn.lane);
        kept.push_back(turn);
        while kept.len() > MOST_LANES || kept.iter().map(|turn| turn.items.len()).sum::<usize>() > self.most_bytes {
            kept.pop_front();
        }
    }

    /// The items up to the end of the response with this id, and where it came from.
    pub(super) fn find(&self, id: &str) -> ApiResult<Option<(Vec<Item>, Option<LastTurn>)>> {
        let (items, last) = {
            let kept = self.kept();
            let Some(turn) = kept.iter().find(|turn| turn.id == id) else { return Ok(None) };
            let mut last = turn.last.clone();
            if let Some(last) = last.as_mut().filter(|_| now_ms() - turn.at_ms >= CACHE_MS) {
                (last.recent_tokens, last.cached_tokens) = (0, 0);
            }
            (turn.items.clone(), last)
        };
        let values: Vec<Value> = serde_json::from_slice(&items).map_err(|e| ApiError::internal(&e))?;
        let items = values.into_iter().map(|value| Item::parse(value, "item").map_err(|e| ApiError::internal(&e)));
        Ok(Some((items.collect::<ApiResult<_>>()?, last)))
    }

    /// What could not be gone on from is kept no longer.
    pub fn forget(&self, id: &str) {
        self.kept().retain(|turn| turn.id != id);
    }
}

/// Where a request finds the turns before it, and leaves its own.
pub(crate) struct Local {
    turns: Arc<LocalTurns>,
    lane: Option<String>,
    /// All items up to now.
    items: Vec<Item>,
}

impl Local {
    pub fn new(turns: Arc<LocalTurns>, lane: Option<String>) -> Self {
        Self { turns, lane, items: Vec::new() }
    }

    pub(super) fn turns(&self) -> &LocalTurns {
        &self.turns
    }

    pub(super) fn add(&mut self, items: &[Item]) {
        self.items.extend_from_slice(items);
    }

    /// Keeps the turn that has been answered, as the response with this id.
    pub(super) fn keep(self, id: &str, last: Option<LastTurn>) -> ApiResult<()> {
        let items = serde_json::to_vec(&self.items).map_err(|e| ApiError::internal(&e))?.into();
        self.turns.put(Turn { lane: self.lane, id: id.to_owned(), items, last, at_ms: now_ms() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenrouter_protocol::{Message, Role};

    fn put(turns: &Arc<LocalTurns>, lane: Option<&str>, id: &str, text: &str) {
        let mut local = Local::new(Arc::clone(turns), lane.map(str::to_owned));
        local.add(&[Item::Message(Message::new(Role::User, text))]);
        local.keep(id, None).unwrap();
    }

    fn is_kept(turns: &LocalTurns, id: &str) -> bool {
        turns.find(id).unwrap().is_some()
    }

    #[test]
    fn the_last_turn_of_each_lane_is_kept_until_it_is_forgotten() {
        let turns = Arc::new(LocalTurns::new(10_000));
        put(&turns, None, "resp_1", "one");
        put(&turns, Some("a"), "resp_2", "two");
        put(&turns, None, "resp_3", "three");
        assert!(!is_kept(&turns, "resp_1") && is_kept(&turns, "resp_2") && is_kept(&turns, "resp_3"));
        turns.forget("resp_2");
        assert!(!is_kept(&turns, "resp_2") && is_kept(&turns, "resp_3"));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_the_oldest_goes_first() {
        let turns = Arc::new(LocalTurns::new(1_000));
        let text = "x".repeat(300);
        for (lane, id) in [("a", "resp_a"), ("b", "resp_b"), ("c", "resp_c")] {
            put(&turns, Some(lane), id, &text);
        }
        assert!(!is_kept(&turns, "resp_a") && is_kept(&turns, "resp_c"));
        put(&turns, Some("d"), "resp_d", &text.repeat(4));
        assert!(!is_kept(&turns, "resp_d"), "alone too long");
        for number in 0..40 {
            put(&turns, Some(&number.to_string()), &format!("resp_{number}"), "");
        }
        assert!(turns.kept().len() <= MOST_LANES);
    }
}
