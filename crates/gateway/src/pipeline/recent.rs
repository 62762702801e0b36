//! Where the conversations of the last minutes went, that no stored response tells of: those of `conversation`, and
//! those whose clients send all of their turns each time.
//!
//! A client's history is known by what it begins with: the request before, all of it, is what comes before the answer
//! in this one. Of that a hash is kept, with the workspace in it, and no text. Only in this process's memory: a
//! conversation that is not recognised is decided upon anew, and nothing else is lost.

use crate::clock::now_ms;
use blake3::Hasher;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokenrouter_protocol::{Item, OutputValue, Part, Request, Role, Usage};
use tokenrouter_routing::LastTurn;

/// How long a provider keeps a prompt that nobody asks for again: five minutes with Anthropic, five to ten with OpenAI.
pub(super) const CACHE_MS: i64 = 5 * 60 * 1_000;
/// The shortest prompt that OpenAI caches.
const CACHED_FROM_TOKENS: u64 = 1_024;
/// How long a conversation is known; the cache of its prompt counts for less.
const CONVERSATION_MS: i64 = 60 * 60 * 1_000;
/// About 200 bytes each.
const MOST: usize = 16_384;
/// Of a client's history so many beginnings are looked for, the longest first: turns may have been taken back.
const MOST_BEGINNINGS: usize = 4;

pub(super) type Key = [u8; 16];

/// What a later request may be recognised by, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    key: Key,
    known_for_ms: i64,
}

#[derive(Default)]
pub(crate) struct RecentTurns(Mutex<Turns>);

#[derive(Default)]
struct Turns {
    known: HashMap<Key, Known>,
    /// In the order in which they came; a key that came again is there twice.
    order: VecDeque<(Key, u64)>,
    count: u64,
}

struct Known {
    turn: LastTurn,
    at_ms: i64,
    until_ms: i64,
    number: u64,
}

impl RecentTurns {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, mark: Mark, turn: LastTurn) {
        self.put_at(mark, turn, now_ms());
    }

    fn put_at(&self, mark: Mark, turn: LastTurn, at_ms: i64) {
        let mut turns = self.turns();
        turns.count += 1;
        let number = turns.count;
        turns.known.insert(mark.key, Known { turn, at_ms, until_ms: at_ms + mark.known_for_ms, number });
        turns.order.push_back((mark.key, number));
        while turns.order.len() > MOST {
            let Some((key, number)) = turns.order.pop_front() else { break };
            if turns.known.get(&key).is_some_and(|known| known.number == number) {
                turns.known.remove(&key);
            }
        }
    }

    fn get_at(&self, key: &Key, at_ms: i64) -> Option<LastTurn> {
        let turns = self.turns();
        let known = turns.known.get(key).filter(|known| at_ms < known.until_ms)?;
        let mut turn = known.turn.clone();
        if at_ms - known.at_ms >= CACHE_MS {
            (turn.recent_tokens, turn.cached_tokens) = (0, 0);
        }
        Some(turn)
    }

    /// The turn before of a conversation, and what this one is to be known by.
    pub(super) fn of_conversation(&self, workspace_id: i64, id: &str) -> (Option<LastTurn>, Mark) {
        let key = finish(hasher(workspace_id, b"conversation").update(id.as_bytes()));
        (self.get_at(&key, now_ms()), Mark { key, known_for_ms: CONVERSATION_MS })
    }

    /// The turn before of a history that the client has sent, if it has answers in it that came from here, and what
    /// this one is to be known by.
    pub(super) fn of_history(&self, workspace_id: i64, request: &Request) -> (Option<LastTurn>, Mark) {
        let (beginnings, key) = beginnings(workspace_id, request);
        let now = now_ms();
        let turn = beginnings.iter().rev().take(MOST_BEGINNINGS).find_map(|key| self.get_at(key, now));
        (turn, Mark { key, known_for_ms: CACHE_MS })
    }
}

/// The turn that has just been answered.
pub(super) fn last_turn(provider: &str, model: &str, provider_key_id: Option<i64>, usage: &Usage) -> LastTurn {
    LastTurn {
        provider: provider.to_owned(),
        model: model.to_owned(),
        provider_key_id,
        recent_tokens: cached_by_itself(usage.total()),
        cached_tokens: usage.cache_read.saturating_add(usage.cache_write),
    }
}

/// So much of a prompt of this length, and of its answer, as a provider keeps that keeps every prompt.
pub(super) fn cached_by_itself(tokens: u64) -> u64 {
    if tokens >= CACHED_FROM_TOKENS { tokens } else { 0 }
}

fn hasher(workspace_id: i64, what: &[u8]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&workspace_id.to_le_bytes()).update(what);
    hasher
}

fn finish(hasher: &Hasher) -> Key {
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

/// What came before each of the model's turns, and the whole.
fn beginnings(workspace_id: i64, request: &Request) -> (Vec<Key>, Key) {
    let mut hasher = hasher(workspace_id, b"history");
    field(&mut hasher, b'i', request.instructions.as_deref().unwrap_or_default());
    let mut keys = Vec::new();
    let mut by_model = false;
    for item in &request.input {
        let is_by_model = match item {
            Item::Message(message) => message.role == Role::Assistant,
            Item::FunctionCall(_) | Item::Reasoning(_) => true,
            Item::FunctionCallOutput(_) | Item::Reference(_) => false,
            Item::Other(object) => {
                !object.get("type").and_then(|kind| kind.as_str()).is_some_and(|kind| kind.ends_with("_output"))
            }
        };
        if is_by_model && !by_model {
            keys.push(finish(&hasher));
        }
        by_model = is_by_model;
        add(&mut hasher, item);
    }
    (keys, finish(&hasher))
}

/// What an item says. Not what clients change from turn to turn: ids, marks for caches, thoughts that they leave out.
fn add(hasher: &mut Hasher, item: &Item) {
    match item {
        Item::Message(message) => {
            field(hasher, b'm', message.role.as_str());
            message.content.iter().for_each(|part| add_part(hasher, part));
        }
        Item::FunctionCall(call) => {
            field(hasher, b'c', &call.call_id);
            field(hasher, b'n', &call.name);
            field(hasher, b'a', &call.arguments);
        }
        Item::FunctionCallOutput(output) => {
            field(hasher, b'o', &output.call_id);
            match &output.output {
                OutputValue::Text(text) => field(hasher, b't', text),
                OutputValue::Parts(parts) => parts.iter().for_each(|part| add_part(hasher, part)),
            }
        }
        Item::Reasoning(_) | Item::Reference(_) => {}
        Item::Other(object) => {
            for name in ["type", "call_id", "name", "input", "output"] {
                if let Some(value) = object.get(name) {
                    field(hasher, b'x', &value.to_string());
                }
            }
        }
    }
}

fn add_part(hasher: &mut Hasher, part: &Part) {
    match part {
        Part::Text { text, .. } => field(hasher, b't', text),
        Part::Refusal { text } => field(hasher, b'r', text),
        Part::Image { url, file_id, .. } => {
            [url, file_id].into_iter().flatten().for_each(|text| field(hasher, b'p', text));
        }
        Part::File { filename, file_data, file_url, file_id, .. } => {
            [filename, file_data, file_url, file_id].into_iter().flatten().for_each(|text| field(hasher, b'f', text));
        }
        Part::Other(object) => field(hasher, b'x', &serde_json::to_string(object).unwrap_or_default()),
    }
}

/// With its length, so that no two fields look like two others.
fn field(hasher: &mut Hasher, kind: u8, text: &str) {
    hasher.update(&[kind]).update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(input: Value) -> Request {
        Request::parse(json!({"instructions": "Be brief.", "input": input})).unwrap()
    }

    fn turn(model: &str) -> LastTurn {
        let usage = Usage { uncached_input: 2_000, cache_read: 500, output: 10, ..Usage::default() };
        last_turn("p", model, None, &usage)
    }

    fn found(recent: &RecentTurns, workspace_id: i64, input: Value) -> Option<String> {
        recent.of_history(workspace_id, &request(input)).0.map(|turn| turn.model)
    }

    #[test]
    fn trap_21_a_history_that_a_client_sends_is_known_by_what_it_begins_with() {
        let recent = RecentTurns::default();
        let first = json!("Hello");
        let (none, mark) = recent.of_history(1, &request(first));
        assert!(none.is_none());
        recent.put(mark, turn("m"));
        let said = json!({"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi."}]});
        let thought = json!({"type": "reasoning", "summary": []});
        let hello = json!({"role": "user", "content": [{"type": "input_text", "text": "Hello", "cache_control": {}}]});
        let more = json!({"role": "user", "content": "More"});
        let all = json!([hello, said, more]);
        assert_eq!(found(&recent, 1, all.clone()).as_deref(), Some("m"));
        assert_eq!(found(&recent, 1, json!([hello, thought, said, more])).as_deref(), Some("m"), "with its thoughts");
        assert_eq!(found(&recent, 2, all.clone()), None, "another workspace's");
        assert_eq!(found(&recent, 1, json!([more, said, hello])), None, "another conversation");
        assert_eq!(found(&recent, 1, json!("Hello")), None, "the same question asked anew");
        // The next turn is known by the whole of this one, and comes before it.
        let (_, mark) = recent.of_history(1, &request(all));
        recent.put(mark, turn("n"));
        assert_eq!(found(&recent, 1, json!([hello, said, more, said, hello])).as_deref(), Some("n"));
    }

    #[test]
    fn trap_21_a_conversation_is_known_for_longer_than_its_prompt_is_cached() {
        let recent = RecentTurns::default();
        let (none, mark) = recent.of_conversation(1, "conv_1");
        assert!(none.is_none());
        recent.put_at(mark, turn("m"), 0);
        let tokens = |at_ms| recent.get_at(&mark.key, at_ms).map(|turn| (turn.recent_tokens, turn.cached_tokens));
        assert_eq!(tokens(CACHE_MS - 1), Some((2_510, 500)));
        assert_eq!(tokens(CACHE_MS), Some((0, 0)));
        assert_eq!(tokens(CONVERSATION_MS), None);
        assert!(recent.of_conversation(2, "conv_1").0.is_none());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_oldest_goes_first() {
        let recent = RecentTurns::default();
        let mark = |number: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&(number as u64).to_le_bytes());
            Mark { key, known_for_ms: CACHE_MS }
        };
        recent.put_at(mark(0), turn("m"), 0);
        for number in 1..MOST {
            recent.put_at(mark(number), turn("m"), 0);
        }
        recent.put_at(mark(0), turn("again"), 0);
        recent.put_at(mark(MOST), turn("m"), 0);
        assert_eq!(recent.get_at(&mark(0).key, 0).map(|turn| turn.model).as_deref(), Some("again"));
        assert!(recent.get_at(&mark(1).key, 0).is_none() && recent.get_at(&mark(2).key, 0).is_some());
        assert!(recent.turns().known.len() <= MOST);
    }
}
