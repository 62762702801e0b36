//! What the fuzz targets do with bytes: each must hold for every input, and panics where it does not.
//!
//! The bodies stand here, apart from libFuzzer, so that a stable compiler checks them and
//! `tests/smoke.rs` drives them.

use std::sync::Arc;
use std::time::Duration;
use tokenrouter_firewall::{Action, JsonGuard, PatternKind, RuleSet, RuleSpec, Scope, Tally, check_pattern, try_rule};
use tokenrouter_pcre2::thread_time;
use tokenrouter_protocol::{ModelEvent, Request};
use tokenrouter_providers::{
    Kind, StreamDecoder, Target, Translation, check_schema, decode_error, decode_response, encode,
};
use tokenrouter_routing::{TaskInput, recognise};
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
    let Ok(request) = Request::parse(body) else { return };
    for kind in Kind::ALL {
        for stream in [false, true] {
            if let Ok(encoded) = encode(&target(kind, stream), &request) {
                let sent: Result<serde_json::Value, _> = serde_json::from_slice(&encoded.body);
                assert!(sent.is_ok_and(|sent| sent.is_object()), "what is sent is a JSON object");
            }
        }
    }
}

/// A plain answer is events that end once, or an error.
pub fn answer(bytes: &[u8]) {
    for kind in Kind::ALL {
        if let Ok(events) = decode_response(kind, bytes, &Translation::new(kind, "p", "m")) {
            ends_once(&events);
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
