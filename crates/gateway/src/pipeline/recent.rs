//! Where the conversations of the last minutes went, that no stored response tells of: those of `conversation`, and
//! those whose clients send all of their turns each time.
//!
//! A client's history is known by what it begins with: the request before, all of it, and the answer that it got. Of that
//! a hash is kept, with the workspace and the API key in it, and no text: who asks what another has asked learns nothing
//! of it, for the answer is part of what is known. Only in this process's memory: a
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
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Two kilobytes.
    hasher: Box<Hasher>,
    /// Of a history: its answer is to come.
    is_history: bool,
    known_for_ms: i64,
}

impl Mark {
    /// What it was answered with, as the caller gets it.
    pub fn answered(&mut self, answer: &[Item]) {
        if self.is_history {
            add_answer(&mut self.hasher, answer);
        }
    }
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

    pub(super) fn put(&self, mark: &Mark, turn: LastTurn) {
        self.put_at(finish(&mark.hasher), mark.known_for_ms, turn, now_ms());
    }

    fn put_at(&self, key: Key, known_for_ms: i64, turn: LastTurn, at_ms: i64) {
        let mut turns = self.turns();
        turns.count += 1;
        let number = turns.count;
        turns.known.insert(key, Known { turn, at_ms, until_ms: at_ms + known_for_ms, number });
        turns.order.push_back((key, number));
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
        let mut hasher = hasher(workspace_id, b"conversation");
        hasher.update(id.as_bytes());
        let turn = self.get_at(&finish(&hasher), now_ms());
        (turn, Mark { hasher: Box::new(hasher), is_history: false, known_for_ms: CONVERSATION_MS })
    }

    /// The turn before of a history that the client has sent, if it has answers in it that came from here, and what
    /// this one is to be known by.
    pub(super) fn of_history(&self, workspace_id: i64, key_id: i64, request: &Request) -> (Option<LastTurn>, Mark) {
        let (beginnings, hasher) = beginnings(workspace_id, key_id, request);
        let now = now_ms();
        let turn = beginnings.iter().rev().find_map(|key| self.get_at(key, now));
        (turn, Mark { hasher: Box::new(hasher), is_history: true, known_for_ms: CACHE_MS })
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

/// Up to the end of each of the model's last turns, and the whole.
fn beginnings(workspace_id: i64, key_id: i64, request: &Request) -> (Vec<Key>, Hasher) {
    let mut hasher = hasher(workspace_id, b"history");
    hasher.update(&key_id.to_le_bytes());
    field(&mut hasher, b'i', request.instructions.as_deref().unwrap_or_default());
    let mut keys = Vec::new();
    let turns = || request.input.chunk_by(|a, b| is_by_model(a) == is_by_model(b));
    let is_answer = |turn: &[Item]| turn.first().is_some_and(is_by_model);
    let mut older = turns().filter(|turn| is_answer(turn)).count().saturating_sub(MOST_BEGINNINGS);
    for turn in turns() {
        if is_answer(turn) && older > 0 {
            older -= 1;
        } else if is_answer(turn) {
            let mut known = hasher.clone();
            add_answer(&mut known, turn);
            keys.push(finish(&known));
        }
        turn.iter().for_each(|item| add(&mut hasher, item));
    }
    (keys, hasher)
}

fn is_by_model(item: &Item) -> bool {
    match item {
        Item::Message(message) => message.role == Role::Assistant,
        Item::FunctionCall(_) | Item::Reasoning(_) => true,
        Item::FunctionCallOutput(_) | Item::Reference(_) => false,
        Item::Other(object) => {
            !object.get("type").and_then(|kind| kind.as_str()).is_some_and(|kind| kind.ends_with("_output"))
        }
    }
}

/// What a model's turn says, first its text and then its calls: not in which pieces and which order a client keeps them.
fn add_answer(hasher: &mut Hasher, answer: &[Item]) {
    let messages =
        answer.iter().filter_map(|item| if let Item::Message(message) = item { Some(message) } else { None });
    let text: String = messages
        .flat_map(|message| &message.content)
        .filter_map(|part| match part {
            Part::Text { text, .. } | Part::Refusal { text } => Some(text.as_str()),
            Part::Image { .. } | Part::File { .. } | Part::Other(_) => None,
        })
        .collect();
    field(hasher, b'w', text.trim());
    for item in answer {
        match item {
            Item::Message(_) => {}
            Item::FunctionCall(call) => {
                field(hasher, b'c', &call.call_id);
                field(hasher, b'n', &call.name);
                // Clients of Messages read the arguments, and write them anew.
                let arguments = serde_json::from_str(&call.arguments).map(|read: serde_json::Value| read.to_string());
                field(hasher, b'a', arguments.as_deref().unwrap_or(&call.arguments));
            }
            other => add(hasher, other),
        }
    }
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

    /// With a text, or with items.
    fn answered(recent: &RecentTurns, mut mark: Mark, answer: Value, model: &str) {
        let items = if answer.is_string() { json!([{"role": "assistant", "content": answer}]) } else { answer };
        mark.answered(&request(items).input);
        recent.put(&mark, turn(model));
    }

    fn found(recent: &RecentTurns, workspace_id: i64, input: Value) -> Option<String> {
        recent.of_history(workspace_id, 7, &request(input)).0.map(|turn| turn.model)
    }

    #[test]
    fn trap_21_a_history_that_a_client_sends_is_known_by_what_it_begins_with() {
        let recent = RecentTurns::default();
        let first = json!("Hello");
        let (none, mark) = recent.of_history(1, 7, &request(first));
        assert!(none.is_none());
        answered(&recent, mark, json!("Hi."), "m");
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
        let (_, mark) = recent.of_history(1, 7, &request(all));
        answered(&recent, mark, json!("Hi."), "n");
        assert_eq!(found(&recent, 1, json!([hello, said, more, said, hello])).as_deref(), Some("n"));
    }

    #[test]
    fn who_asks_the_same_is_not_taken_for_who_has_asked_it() {
        let recent = RecentTurns::default();
        let (_, mark) = recent.of_history(1, 7, &request(json!("Hello")));
        answered(&recent, mark, json!("Hi."), "m");
        let history = |said: &str| json!([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": said}, {"role": "user", "content": "More"}]);
        let of_key = |key_id: i64, said: &str| recent.of_history(1, key_id, &request(history(said))).0;
        assert!(of_key(7, "Hi.").is_some());
        assert!(of_key(7, "Good day.").is_none(), "another answer is another conversation's");
        assert!(of_key(8, "Hi.").is_none(), "another key's");
        // Both go on, each with its own.
        let (_, other) = recent.of_history(1, 7, &request(json!("Hello")));
        answered(&recent, other, json!("Good day."), "n");
        assert_eq!(of_key(7, "Hi.").map(|turn| turn.model).as_deref(), Some("m"));
        assert_eq!(of_key(7, "Good day.").map(|turn| turn.model).as_deref(), Some("n"));
    }

    #[test]
    fn an_answer_is_known_by_its_calls_too_in_whatever_pieces_a_client_keeps_it() {
        let recent = RecentTurns::default();
        let call = |id: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": arguments});
        let said = |text: &str| json!({"role": "assistant", "content": text});
        let (_, mark) = recent.of_history(1, 7, &request(json!("Hello")));
        answered(&recent, mark, json!([said("I look."), call("c1", "{\"b\":1}")]), "m");
        let output = json!({"type": "function_call_output", "call_id": "c1", "output": "2"});
        let hello = json!({"role": "user", "content": "Hello"});
        let same = call("c1", "{\"b\": 1}");
        for whole in [vec![said("I look."), same.clone()], vec![said("I "), said("look."), same.clone()]] {
            let history = [vec![hello.clone()], whole, vec![output.clone()]].concat();
            assert_eq!(found(&recent, 1, json!(history)).as_deref(), Some("m"));
        }
        for other in [call("c2", "{\"b\": 1}"), call("c1", "{\"b\": 2}")] {
            assert_eq!(found(&recent, 1, json!([hello, said("I look."), other, output])), None);
        }
    }

    #[test]
    fn trap_21_a_conversation_is_known_for_longer_than_its_prompt_is_cached() {
        let recent = RecentTurns::default();
        let (none, mark) = recent.of_conversation(1, "conv_1");
        assert!(none.is_none());
        let key = finish(&mark.hasher);
        recent.put_at(key, CONVERSATION_MS, turn("m"), 0);
        let tokens = |at_ms| recent.get_at(&key, at_ms).map(|turn| (turn.recent_tokens, turn.cached_tokens));
        assert_eq!(tokens(CACHE_MS - 1), Some((2_510, 500)));
        assert_eq!(tokens(CACHE_MS), Some((0, 0)));
        assert_eq!(tokens(CONVERSATION_MS), None);
        assert!(recent.of_conversation(2, "conv_1").0.is_none());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_oldest_goes_first() {
        let recent = RecentTurns::default();
        let key = |number: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&(number as u64).to_le_bytes());
            key
        };
        recent.put_at(key(0), CACHE_MS, turn("m"), 0);
        for number in 1..MOST {
            recent.put_at(key(number), CACHE_MS, turn("m"), 0);
        }
        recent.put_at(key(0), CACHE_MS, turn("again"), 0);
        recent.put_at(key(MOST), CACHE_MS, turn("m"), 0);
        assert_eq!(recent.get_at(&key(0), 0).map(|turn| turn.model).as_deref(), Some("again"));
        assert!(recent.get_at(&key(1), 0).is_none() && recent.get_at(&key(2), 0).is_some());
        assert!(recent.turns().known.len() <= MOST);
    }
}
