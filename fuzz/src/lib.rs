//! What the fuzz targets do with bytes: each must hold for every input, and panics where it does not.
//!
//! The bodies stand here, apart from libFuzzer, so that a stable compiler checks them and
//! `tests/smoke.rs` drives them.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokenrouter_firewall::{Action, JsonGuard, PatternKind, RuleSet, RuleSpec, Scope, Tally, check_pattern, try_rule};
use tokenrouter_gateway::surfaces::{Surface, presented_key};
use tokenrouter_pcre2::thread_time;
use tokenrouter_protocol::{Assembler, Ending, ModelEvent, Request, Response, ResponseStatus};
use tokenrouter_providers::{
    Kind, StreamDecoder, Target, Translation, check_schema, decode_error, decode_response, encode,
};
use tokenrouter_routing::{Predictor, TaskInput, recognise};
use tokenrouter_upstream::sse::SseDecoder;

fn target(kind: Kind, stream: bool) -> Target<'static> {
    Target {
        kind,
        provider: "p",
        account: None,
        model: "gemini-3.5-flash",
        max_output_tokens: Some(1_024),
        reasoning: true,
        stream,
    }
}

/// A request of ours is read or refused by name, and what is read is written for every provider as JSON, or
/// refused by name.
pub fn request(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice(bytes) else { return };
    if let Ok(request) = Request::parse(body) {
        written_for_all(&request);
    }
}

/// The same of a chat, and of what Anthropic's clients send.
pub fn surface(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    for surface in Surface::ALL {
        if let Ok(request) = surface.read(body.clone()) {
            written_for_all(&request);
        }
    }
}

/// Of two headers, a line each, the key is found that one of them holds, or none; it has no blank at its ends.
pub fn authorization(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (authorization, x_api_key) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Some(key) = presented_key(authorization, x_api_key) else { return };
    assert!(!key.is_empty() && key.trim() == key, "a key is a word");
    let has = |header: &[u8]| header.windows(key.len()).any(|part| part == key.as_bytes());
    assert!(has(authorization) || has(x_api_key), "a key is what was sent");
    let is_bearer = authorization.len() > 7 && authorization[..7].eq_ignore_ascii_case(b"bearer ");
    assert!(is_bearer || has(x_api_key), "another scheme holds no key");
}

fn written_for_all(request: &Request) {
    for kind in Kind::ALL {
        for stream in [false, true] {
            if let Ok(encoded) = encode(&target(kind, stream), request) {
                let sent: Result<Value, _> = serde_json::from_slice(&encoded.body);
                assert!(sent.is_ok_and(|sent| sent.is_object()), "what is sent is a JSON object");
            }
        }
    }
}

/// A plain answer is events that end once, and says the same plain and streamed on every surface; or an error.
pub fn answer(bytes: &[u8]) {
    for kind in Kind::ALL {
        if let Ok(events) = decode_response(kind, bytes, &Translation::new(kind, "p", "m")) {
            ends_once(&events);
            says_the_same(events);
        }
        let _ = decode_error(kind, 400, bytes);
    }
}

/// A text (the rest) is held against a schema (the first line), which ends, however the schema refers to itself.
pub fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (schema, text) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Ok(schema) = serde_json::from_str(schema) {
        let _ = check_schema(&schema, text);
    }
}

/// A predictor is read or refused, and what is read weighs any text in bounds.
pub fn predictor(bytes: &[u8]) {
    let Ok(predictor) = Predictor::read(bytes) else { return };
    for text in ["", "prove that the graph", &String::from_utf8_lossy(&bytes[..bytes.len().min(4_000)])] {
        let seen = predictor.see(text);
        assert!((0.0..=1.0).contains(&seen.weight), "{seen:?}");
        let skills = predictor.models().iter().map(|model| Some(&model.skills));
        assert!(skills.chain([None]).all(|skills| seen.moved(skills).abs() <= 3.2), "{seen:?}");
    }
}

/// Any text, the first line as the instructions, has a task, with a confidence that is a share.
pub fn task(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (instructions, last_user) = text.split_once('\n').unwrap_or(("", &text));
    let input = TaskInput { last_user, instructions, before: instructions, ..TaskInput::default() };
    let guess = recognise(&input);
    assert!((0.0..=1.0).contains(&guess.confidence), "{guess:?}");
    assert_eq!(guess, recognise(&input), "the same again");
}

fn is_end(event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::Finished(_) | ModelEvent::Failed(_))
}

fn ends_once(events: &[ModelEvent]) {
    assert!(events.last().is_some_and(is_end), "the last event is an end");
    assert_eq!(events.iter().filter(|event| is_end(event)).count(), 1, "there is one end");
}

/// The caller of each surface reads the same text in a plain answer and in the pieces of a streamed one.
fn says_the_same(events: Vec<ModelEvent>) {
    let Ok(request) = Request::parse(json!({ "input": "x" })) else { return };
    let mut assembler = Assembler::new(Response::begin(&request, "resp_1".to_owned(), "m".to_owned(), 0));
    let mut out = Vec::new();
    assembler.begin(&mut out);
    let mut failed = false;
    for event in events {
        match event {
            ModelEvent::Finished(reason) => assembler.end(Ending::Finished(reason), 1, &mut out),
            ModelEvent::Failed(_) => {
                failed = true;
                assembler.end(Ending::Failed(Box::default()), 1, &mut out);
            }
            event => assembler.push(event, &mut out),
        }
    }
    let response = assembler.into_response();
    for surface in Surface::ALL {
        let written = surface.write(&response, &out);
        let text = String::from_utf8_lossy(&written.stream);
        let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let pieces: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap_or_default()).collect();
        assert!(pieces.iter().all(Value::is_object), "each piece is a JSON object");
        if failed {
            continue;
        }
        let (mut plain, mut streamed) = match surface {
            Surface::ChatCompletions => (chat(&written.plain["choices"][0]["message"]), chat_of(&pieces)),
            Surface::Messages => (message(&written.plain["content"]), message_of(&pieces)),
        };
        if response.status == ResponseStatus::Incomplete {
            // A message's call that was cut is none, which its stream cannot take back.
            plain.3.clear();
            streamed.3.clear();
        }
        assert_eq!(plain, streamed, "{surface:?} says the same plain and streamed");
    }
}

/// Text, refusal, thoughts, and each call's name and arguments.
type Said = (String, String, String, Vec<(String, String)>);

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn chat(message: &Value) -> Said {
    let field = |name: &str| text(&message[name]).to_owned();
    let calls = list(&message["tool_calls"]).map(|call| match text(&call["type"]) {
        "custom" => (text(&call["custom"]["name"]).to_owned(), text(&call["custom"]["input"]).to_owned()),
        _ => (text(&call["function"]["name"]).to_owned(), text(&call["function"]["arguments"]).to_owned()),
    });
    (field("content"), field("refusal"), field("reasoning_content"), calls.collect())
}

fn chat_of(chunks: &[Value]) -> Said {
    let mut said = Said::default();
    for chunk in chunks {
        let delta = &chunk["choices"][0]["delta"];
        said.0.push_str(text(&delta["content"]));
        said.1.push_str(text(&delta["refusal"]));
        said.2.push_str(text(&delta["reasoning_content"]));
        for call in list(&delta["tool_calls"]) {
            let inner = if call["custom"].is_object() { &call["custom"] } else { &call["function"] };
            if call.get("id").is_some() {
                said.3.push((text(&inner["name"]).to_owned(), String::new()));
            }
            let at = call["index"].as_u64().and_then(|index| usize::try_from(index).ok());
            if let Some((_, arguments)) = at.and_then(|at| said.3.get_mut(at)) {
                arguments.push_str(text(&inner["arguments"]));
                arguments.push_str(text(&inner["input"]));
            }
        }
    }
    said
}

/// Of a message's blocks.
fn message(blocks: &Value) -> Said {
    let mut said = Said::default();
    for block in list(blocks) {
        match text(&block["type"]) {
            "text" => said.0.push_str(text(&block["text"])),
            "thinking" => said.2.push_str(text(&block["thinking"])),
            "tool_use" => said.3.push((text(&block["name"]).to_owned(), block["input"].to_string())),
            _ => {}
        }
    }
    said
}

fn message_of(events: &[Value]) -> Said {
    let mut said = Said::default();
    for event in events {
        let (block, delta) = (&event["content_block"], &event["delta"]);
        if block["type"] == "tool_use" {
            said.3.push((text(&block["name"]).to_owned(), String::new()));
        }
        said.0.push_str(text(&delta["text"]));
        said.2.push_str(text(&delta["thinking"]));
        if let Some((_, arguments)) = said.3.last_mut() {
            arguments.push_str(text(&delta["partial_json"]));
        }
    }
    for (_, arguments) in &mut said.3 {
        // A plain answer has it as an object, into which what is none is put.
        let raw = if arguments.trim().is_empty() { "{}" } else { arguments.as_str() };
        let read = serde_json::from_str::<Value>(raw).ok().filter(Value::is_object);
        *arguments = read.unwrap_or_else(|| json!({ "arguments": raw })).to_string();
    }
    said
}

/// A stream is the same events whole and in pieces, of which the first byte says how long they are.
pub fn stream(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let size = usize::from(*first) + 1;
    let (whole, pieces) = (sse(&[bytes]), sse(&bytes.chunks(size).collect::<Vec<_>>()));
    assert_eq!(whole, pieces, "the events are the same however the bytes are cut");
    for kind in Kind::ALL {
        let mut decoder = StreamDecoder::new(kind, Translation::new(kind, "p", "m"));
        let mut events = Vec::new();
        let read = whole.iter().try_for_each(|(name, data)| decoder.event(name, data, &mut events));
        if read.is_ok() && decoder.end(&mut events).is_ok() {
            ends_once(&events);
            says_the_same(events);
        }
    }
}

fn sse(pieces: &[&[u8]]) -> Vec<(String, String)> {
    let mut decoder = SseDecoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push((event.name, event.data)),
                Ok(None) => break,
                Err(_) => return events,
            }
        }
    }
    events
}

fn rule(pattern: &str, kind: PatternKind) -> RuleSpec {
    RuleSpec {
        id: 1,
        name: "a rule".to_owned(),
        priority: 0,
        is_enabled: true,
        scope: Scope::Response,
        kind,
        pattern: pattern.to_owned(),
        action: Action::Mask,
        replacement: Some("*".to_owned()),
        normalize: false,
    }
}

/// A pattern (the first line) compiles or is refused, and masks a text (the rest) whole as in pieces.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, text) = text.split_once('\n').unwrap_or((text, ""));
    for kind in [PatternKind::Regex, PatternKind::Substring] {
        if check_pattern(kind, pattern).is_err() {
            continue;
        }
        let spec = rule(pattern, kind);
        let _ = try_rule(&spec, text);
        let Ok(rules) = RuleSet::compile(&[spec]) else { continue };
        let rules = Arc::new(rules);
        let mut tally = Tally::default();
        let Ok(whole) = rules.screen(Scope::Response, text, &mut tally) else { continue };
        let mut guard = rules.guard(Scope::Response);
        let mut out = String::new();
        let mut piece = [0; 4];
        let pushed = text.chars().try_for_each(|c| guard.push(c.encode_utf8(&mut piece), &mut out, &mut tally));
        if pushed.is_ok() && guard.finish(&mut out, &mut tally).is_ok() {
            assert_eq!(out, whole, "a stream's text is the whole text's");
        }
    }
}

/// What one rule may take of one text.
pub const LONGEST: Duration = Duration::from_millis(50);
const TIMED_TEXT_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 20;

/// The processor time that a pattern (the first line) takes over 64 KiB of a text (the rest, over and over), whole or
/// in pieces of 20 bytes, whichever is longer; none if it is refused. A text that it cannot be done with within its
/// budget counts: giving up takes its time too.
///
/// For a release build: without optimisation the figure says nothing.
#[must_use]
pub fn pattern_time(bytes: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (pattern, seed) = text.split_once('\n').unwrap_or((text, ""));
    check_pattern(PatternKind::Regex, pattern).ok()?;
    let rules = Arc::new(RuleSet::compile(&[rule(pattern, PatternKind::Regex)]).ok()?);
    let seed = if seed.is_empty() { "a" } else { seed };
    let mut text = seed.repeat(TIMED_TEXT_BYTES.div_ceil(seed.len()));
    text.truncate(text.floor_char_boundary(TIMED_TEXT_BYTES));
    let (mut tally, mut out) = (Tally::default(), String::new());
    let before = thread_time();
    let _ = std::hint::black_box(rules.screen(Scope::Response, &text, &mut tally));
    let between = thread_time();
    let mut guard = rules.guard(Scope::Response);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        if guard.push(piece, &mut out, &mut tally).is_err() {
            break;
        }
        rest = more;
    }
    let _ = std::hint::black_box(guard.finish(&mut out, &mut tally));
    Some(between.saturating_sub(before).max(thread_time().saturating_sub(between)))
}

/// JSON that is masked is JSON, whole as in pieces.
pub fn json_guard(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(rules) = RuleSet::compile(&[rule(r"[aeiou]\w", PatternKind::Regex)]) else { return };
    let rules = Arc::new(rules);
    let mut tally = Tally::default();
    let Ok(whole) = rules.screen_json(Scope::Response, text, &mut tally) else { return };
    let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    assert!(!is_json(text) || is_json(&whole), "what was JSON is JSON");
    let mut guard = JsonGuard::new(rules, Scope::Response);
    let mut out = String::new();
    let mut piece = [0; 4];
    let pushed = text.chars().try_for_each(|c| guard.push(c.encode_utf8(&mut piece), &mut out, &mut tally));
    if pushed.is_ok() && guard.finish(&mut out, &mut tally).is_ok() {
        assert_eq!(out, whole, "a stream's text is the whole text's");
    }
}
