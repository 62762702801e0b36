//! What must hold of the codec whatever a provider does; how whole answers look is tested with the official
//! client.

use super::{request, response, stream};
use crate::pipeline::EventCodec;
use serde_json::{Value, json};
use tokenrouter_protocol::{
    Assembler, Ending, Field, FinishReason, ItemEnd, ItemStart, ModelEvent, Request, Response, ResponseEvent,
    StopDetail,
};

fn assembler() -> Assembler {
    let request = Request::parse(json!({ "input": "hi" })).unwrap();
    Assembler::new(Response::begin(&request, "resp_1".to_owned(), "m".to_owned(), 0))
}

/// The same answer as a stream's events and as the message of a plain answer.
fn both(events: Vec<ModelEvent>, reason: FinishReason) -> (Vec<Value>, Value) {
    let (mut assembler, mut out) = (assembler(), Vec::new());
    assembler.begin(&mut out);
    for event in events {
        assembler.push(event, &mut out);
    }
    assembler.end(Ending::Finished(reason), 1, &mut out);
    let whole = response::message(assembler.response(), &super::content::Places::default());
    (written(&out), json!(whole))
}

fn written(events: &[ResponseEvent]) -> Vec<Value> {
    let mut codec = stream::MessagesCodec::new(super::content::Places::default());
    let mut bytes = Vec::new();
    events.iter().for_each(|event| codec.event(event, &mut bytes));
    codec.end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn call(key: u32, id: &str) -> ModelEvent {
    ModelEvent::ItemStarted {
        key,
        item: ItemStart::FunctionCall { call_id: id.to_owned(), name: "f".to_owned(), namespace: None },
    }
}

fn delta(key: u32, field: Field, text: &str) -> ModelEvent {
    ModelEvent::Delta { key, field, text: text.to_owned() }
}

fn done(key: u32, sealed: Option<&str>) -> ModelEvent {
    let end = ItemEnd { incomplete: false, encrypted_content: sealed.map(str::to_owned) };
    ModelEvent::ItemDone { key, end }
}

/// Blocks as their events tell them: index, type, and the deltas joined.
fn blocks(events: &[Value]) -> Vec<(u64, String, String)> {
    let mut blocks: Vec<(u64, String, String)> = Vec::new();
    let mut open = false;
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(!open, "a block began within another");
                open = true;
                let kind = event["content_block"]["type"].as_str().unwrap().to_owned();
                blocks.push((event["index"].as_u64().unwrap(), kind, String::new()));
            }
            "content_block_delta" => {
                let last = blocks.last_mut().unwrap();
                assert!(open && event["index"] == last.0);
                let delta = event["delta"].as_object().unwrap();
                last.2.push_str(delta.iter().find(|(name, _)| *name != "type").unwrap().1.as_str().unwrap());
            }
            "content_block_stop" => {
                assert!(open && event["index"] == blocks.last().unwrap().0);
                open = false;
            }
            _ => {}
        }
    }
    assert!(!open);
    blocks
}

#[test]
fn calls_that_a_provider_writes_at_once_come_one_after_the_other() {
    let events = vec![
        call(0, "a"),
        delta(0, Field::Arguments, "{\"x\""),
        call(1, "b"),
        call(2, "c"),
        delta(2, Field::Arguments, "{}"),
        delta(1, Field::Arguments, "{\"y\":2.0}"),
        done(2, None),
        delta(0, Field::Arguments, ":1}"),
        done(1, None),
        done(0, None),
    ];
    let (events, whole) = both(events, FinishReason::Completed);
    let block = |index: u64, text: &str| (index, "tool_use".to_owned(), text.to_owned());
    assert_eq!(blocks(&events), [block(0, "{\"x\":1}"), block(1, "{\"y\":2.0}"), block(2, "{}")]);
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["content"][1]["input"].to_string(), "{\"y\":2.0}");
}

#[test]
fn thoughts_are_signed_or_redacted_and_paragraphs_of_a_summary_are_one_thought() {
    let events = vec![
        ModelEvent::ItemStarted { key: 0, item: ItemStart::Reasoning },
        delta(0, Field::ReasoningSummary(0), "one"),
        delta(0, Field::ReasoningSummary(1), "two"),
        done(0, Some("tr1.a")),
        ModelEvent::ItemStarted { key: 1, item: ItemStart::Reasoning },
        done(1, Some("tr1.b")),
        ModelEvent::ItemStarted { key: 2, item: ItemStart::Reasoning },
        done(2, None),
        ModelEvent::ItemStarted { key: 3, item: ItemStart::Message },
        delta(3, Field::Text(0), ""),
        done(3, None),
    ];
    let (events, whole) = both(events, FinishReason::Completed);
    let thought = json!({"type": "thinking", "thinking": "one\n\ntwo", "signature": "tr1.a"});
    assert_eq!(whole["content"], json!([thought, {"type": "redacted_thinking", "data": "tr1.b"}]));
    let streamed = blocks(&events);
    assert_eq!(streamed[0], (0, "thinking".to_owned(), "one\n\ntwotr1.a".to_owned()));
    assert_eq!(streamed[1].1, "redacted_thinking");
    assert_eq!(streamed.len(), 2);
}

#[test]
fn every_reason_to_stop_has_its_word() {
    let text = || {
        vec![ModelEvent::ItemStarted { key: 0, item: ItemStart::Message }, delta(0, Field::Text(0), "x"), done(0, None)]
    };
    let cases = [
        (None, FinishReason::Completed, "end_turn"),
        (None, FinishReason::MaxOutputTokens, "max_tokens"),
        (None, FinishReason::ContentFilter, "refusal"),
        (Some(StopDetail::Sequence("END".to_owned())), FinishReason::Completed, "stop_sequence"),
        (Some(StopDetail::Paused), FinishReason::Completed, "pause_turn"),
        (Some(StopDetail::ContextWindow), FinishReason::MaxOutputTokens, "model_context_window_exceeded"),
    ];
    for (detail, reason, word) in cases {
        let sequence = if word == "stop_sequence" { json!("END") } else { Value::Null };
        let events = text().into_iter().chain(detail.map(ModelEvent::Stopped)).collect();
        let (events, whole) = both(events, reason);
        assert_eq!((&whole["stop_reason"], &whole["stop_sequence"]), (&json!(word), &sequence));
        let last = &events[events.len() - 2];
        assert_eq!(last["delta"], json!({"stop_reason": word, "stop_sequence": sequence}));
    }
    let refused = vec![ModelEvent::ItemStarted { key: 0, item: ItemStart::Message }, delta(0, Field::Refusal(0), "no")];
    assert_eq!(both(refused, FinishReason::Completed).1["stop_reason"], "refusal");
}

#[test]
fn a_call_that_was_cut_short_is_no_call_in_a_plain_answer() {
    let events = vec![call(0, "a"), delta(0, Field::Arguments, "{\"x")];
    let (_, whole) = both(events, FinishReason::MaxOutputTokens);
    assert_eq!((&whole["content"], &whole["stop_reason"]), (&json!([]), &json!("max_tokens")));
}

#[test]
fn a_place_in_our_input_is_told_as_the_place_in_the_callers_messages() {
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
    let body = json!({
        "max_tokens": 1,
        "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [result, {"type": "text", "text": "c"}, {"type": "text", "text": "d"}]}],
    });
    let (_, places) = request::parse(body, Vec::new()).unwrap();
    let cases = [
        ("`input[0].content[0]`: x", "`system[0]`: x"),
        ("input[1].output[1]", "messages[0].content[0].content[1]"),
        ("input[1].is_error", "messages[0].content[0].is_error"),
        ("a input[2].content[1].file_id b", "a messages[0].content[2].file_id b"),
        ("input[9] and input[x] and input[", "input[9] and input[x] and input["),
    ];
    for (ours, theirs) in cases {
        assert_eq!(places.in_text(ours), theirs);
    }
}
