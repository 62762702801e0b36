//! Whatever the model's events, the caller's are in order, whole, and say what the response says.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use tokenrouter_protocol::{
    Assembler, Ending, Field, FinishReason, ItemEnd, ItemStart, ModelEvent, Request, Response, ResponseEvent, Usage,
};

fn request() -> Request {
    Request::parse(json!({"input": "hello", "metadata": {"a": "b"}})).unwrap()
}

fn assemble(events: Vec<ModelEvent>, reason: FinishReason) -> Vec<Value> {
    let response = Response::begin(&request(), "resp_1".into(), "m".into(), 7);
    let mut assembler = Assembler::new(response);
    let mut out: Vec<ResponseEvent> = Vec::new();
    assembler.begin(&mut out);
    for event in events {
        assembler.push(event, &mut out);
    }
    assembler.end(Ending::Finished(reason), 8, &mut out);
    out.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

/// A short script of what a model does: items of all kinds, their parts in any order, some not ended.
fn script() -> impl Strategy<Value = Vec<ModelEvent>> {
    let text = "[a-zé {}\"]{0,6}";
    let step = prop_oneof![
        (0u32..4, 0u32..2, text).prop_map(|(key, part, text)| (key, Field::Text(part), text)),
        (0u32..4, 0u32..2, text).prop_map(|(key, part, text)| (key, Field::ReasoningSummary(part), text)),
        (0u32..4, text).prop_map(|(key, text)| (key, Field::Refusal(5), text)),
        (0u32..4, text).prop_map(|(key, text)| (key, Field::ReasoningText(0), text)),
        (0u32..4, text).prop_map(|(key, text)| (key, Field::Arguments, text)),
    ];
    (
        proptest::collection::vec(step, 0..20),
        proptest::collection::vec(0usize..3, 4),
        proptest::collection::vec(any::<bool>(), 4),
    )
        .prop_map(|(steps, kinds, ended)| {
            let mut events = Vec::new();
            for (key, kind) in (0u32..).zip(&kinds) {
                let item = match kind {
                    0 => ItemStart::Message,
                    1 => ItemStart::Reasoning,
                    _ => ItemStart::FunctionCall { call_id: format!("call_{key}"), name: "f".into(), namespace: None },
                };
                events.push(ModelEvent::ItemStarted { key, item });
            }
            events.extend(steps.into_iter().map(|(key, field, text)| ModelEvent::Delta { key, field, text }));
            events.push(ModelEvent::Usage(Usage { uncached_input: 1, output: 2, ..Usage::default() }));
            for (key, ended) in (0u32..).zip(ended) {
                if ended {
                    events.push(ModelEvent::ItemDone { key, end: ItemEnd::default() });
                }
            }
            events
        })
}

proptest! {
    #[test]
    fn every_item_and_part_that_is_added_is_done_and_says_what_its_deltas_said(events in script()) {
        let events = assemble(events, FinishReason::Completed);
        let mut open: HashMap<String, usize> = HashMap::new();
        let mut deltas: HashMap<String, String> = HashMap::new();
        for (i, event) in events.iter().enumerate() {
            prop_assert_eq!(&event["sequence_number"], &json!(i));
            let kind = event["type"].as_str().unwrap();
            let item = event["item_id"].as_str().or(event["item"]["id"].as_str()).unwrap_or("");
            let part = format!("{item}/{}/{}", event["content_index"], event["summary_index"]);
            if kind.ends_with(".added") {
                let key = if kind.contains("part") { part.clone() } else { item.to_owned() };
                prop_assert!(open.insert(key, i).is_none(), "{} twice", kind);
            } else if kind.ends_with("part.done") {
                prop_assert!(open.remove(&part).is_some());
            } else if kind.ends_with("item.done") {
                prop_assert!(open.remove(item).is_some());
            } else if kind.ends_with(".delta") {
                let needs = if kind.contains("arguments") { item.to_owned() } else { part.clone() };
                prop_assert!(open.contains_key(&needs), "{} outside of what it belongs to", kind);
                deltas.entry(part).or_default().push_str(event["delta"].as_str().unwrap());
            } else if kind.ends_with(".done") {
                let said = ["text", "refusal", "arguments"].iter().find_map(|f| event[*f].as_str()).unwrap();
                prop_assert_eq!(said, deltas.get(&part).map_or("", String::as_str));
            }
        }
        prop_assert!(open.is_empty(), "left open: {:?}", open);
        let last = events.last().unwrap();
        prop_assert_eq!(&last["type"], "response.completed");
        let done: Vec<&Value> = events.iter().filter(|e| e["type"] == "response.output_item.done").map(|e| &e["item"]).collect();
        let mut by_index: Vec<(u64, &Value)> = events.iter().filter(|e| e["type"] == "response.output_item.done")
            .map(|e| (e["output_index"].as_u64().unwrap(), &e["item"])).collect();
        by_index.sort_by_key(|(i, _)| *i);
        let output: Vec<&Value> = last["response"]["output"].as_array().unwrap().iter().collect();
        prop_assert_eq!(output.len(), done.len());
        prop_assert_eq!(output, by_index.into_iter().map(|(_, item)| item).collect::<Vec<_>>());
    }
}

#[test]
fn arguments_cut_short_are_never_a_complete_call() {
    let start = ItemStart::FunctionCall { call_id: "c".into(), name: "f".into(), namespace: None };
    let events = vec![
        ModelEvent::ItemStarted { key: 0, item: start },
        ModelEvent::Delta { key: 0, field: Field::Arguments, text: "{\"a\":".into() },
    ];
    let events = assemble(events, FinishReason::MaxOutputTokens);
    assert!(events.iter().all(|e| e["type"] != "response.function_call_arguments.done"));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn a_call_without_arguments_has_an_empty_object_of_them_unless_it_was_cut() {
    let start = ItemStart::FunctionCall { call_id: "c".into(), name: "f".into(), namespace: None };
    let call = |incomplete| {
        let end = ItemEnd { incomplete, encrypted_content: None };
        vec![ModelEvent::ItemStarted { key: 0, item: start.clone() }, ModelEvent::ItemDone { key: 0, end }]
    };
    let events = assemble(call(false), FinishReason::Completed);
    let said = |kind: &str, field: &str| {
        let event = events.iter().find(|event| event["type"] == kind).unwrap();
        event[field].clone()
    };
    assert_eq!(said("response.function_call_arguments.delta", "delta"), "{}");
    assert_eq!(said("response.function_call_arguments.done", "arguments"), "{}");
    assert_eq!(events.last().unwrap()["response"]["output"][0]["arguments"], "{}");
    let events = assemble(call(true), FinishReason::MaxOutputTokens);
    assert_eq!(events.last().unwrap()["response"]["output"][0]["arguments"], "");
}

#[test]
fn a_message_without_a_word_still_has_its_part() {
    let events = vec![
        ModelEvent::ItemStarted { key: 0, item: ItemStart::Message },
        ModelEvent::ItemDone { key: 0, end: ItemEnd::default() },
    ];
    let kinds: Vec<String> = assemble(events, FinishReason::Completed)
        .iter()
        .map(|e| e["type"].as_str().unwrap().trim_start_matches("response.").to_owned())
        .collect();
    let wanted = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds, wanted);
}

proptest! {
    #[test]
    fn the_total_of_usage_is_the_sum_of_its_parts(a in 0u64..1 << 40, b in 0u64..1 << 40, c in 0u64..1 << 40, d in 0u64..1 << 40) {
        let usage = Usage { uncached_input: a, cache_read: b, cache_write: c, output: d, reasoning: d / 2, cache_write_1h: 0 };
        let json = serde_json::to_value(usage).unwrap();
        prop_assert_eq!(json["total_tokens"].as_u64().unwrap(), a + b + c + d);
        prop_assert_eq!(json["input_tokens"].as_u64().unwrap(), a + b + c);
    }
}

#[test]
fn what_a_custom_tool_is_called_with_is_told_as_it_comes() {
    let call = json!({"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "shell"});
    let Value::Object(call) = call else { panic!("no object") };
    let input = |text: &str| ModelEvent::Delta { key: 0, field: Field::Input, text: text.into() };
    let start = ModelEvent::ItemStarted { key: 0, item: ItemStart::Other(call) };
    let done = |incomplete| ModelEvent::ItemDone { key: 0, end: ItemEnd { incomplete, encrypted_content: None } };
    let told = assemble(vec![start.clone(), input("ls "), input("-l"), done(false)], FinishReason::Completed);
    let kinds: Vec<&str> = told[2..].iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.output_item.added",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!((&told[2]["item"]["input"], &told[2]["item"]["status"]), (&json!(""), &json!("in_progress")));
    assert_eq!(
        (&told[3]["delta"], &told[4]["delta"], &told[5]["input"]),
        (&json!("ls "), &json!("-l"), &json!("ls -l"))
    );
    assert_eq!((&told[6]["item"]["input"], &told[6]["item"]["status"]), (&json!("ls -l"), &json!("completed")));
    // One that is cut is told as far as it came, and has no `done`.
    let told = assemble(vec![start, input("ls"), done(true)], FinishReason::MaxOutputTokens);
    assert_eq!(told[4]["type"], "response.output_item.done");
    assert_eq!((&told[4]["item"]["input"], &told[4]["item"]["status"]), (&json!("ls"), &json!("incomplete")));
}
