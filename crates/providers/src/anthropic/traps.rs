//! The traps that other gateways fell into with Anthropic, by their numbers in the project's findings.

use crate::{Encoded, Kind, Loss, StreamDecoder, Target, Translation, decode_response, encode};
use serde_json::{Value, json};
use tokenrouter_protocol::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, Request, StopDetail, Usage};

fn target(model: &str) -> Target<'_> {
    Target {
        kind: Kind::Anthropic,
        provider: "anthropic",
        model,
        account: None,
        max_output_tokens: Some(64_000),
        reasoning: true,
        stream: false,
    }
}

fn encoded(model: &str, body: Value) -> Encoded {
    encode(&target(model), &Request::parse(body).unwrap()).unwrap()
}

fn sent(model: &str, body: Value) -> (Value, Vec<String>) {
    let encoded = encoded(model, body);
    let lost = encoded.warnings.into_iter().map(|Loss { param, .. }| param).collect();
    (serde_json::from_slice(&encoded.body).unwrap(), lost)
}

fn translation() -> Translation {
    Translation::new(Kind::Anthropic, "anthropic", "claude-sonnet-4-5")
}

fn plain(message: &str) -> Vec<ModelEvent> {
    decode_response(Kind::Anthropic, message.as_bytes(), &translation()).unwrap()
}

fn streamed(events: &[Value]) -> Vec<ModelEvent> {
    let mut decoder = StreamDecoder::new(Kind::Anthropic, translation());
    let mut out = Vec::new();
    for event in events {
        decoder.event(event["type"].as_str().unwrap(), &event.to_string(), &mut out).unwrap();
    }
    decoder.end(&mut out).unwrap();
    out
}

fn start(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn begun(usage: Value) -> Value {
    json!({"type": "message_start", "message": {"model": "claude-sonnet-4-5", "content": [], "usage": usage}})
}

fn ended(reason: &str, usage: Value) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage}),
        json!({"type": "message_stop"}),
    ]
}

fn arguments(events: &[ModelEvent], of: u32) -> String {
    let piece = |event: &ModelEvent| match event {
        ModelEvent::Delta { key, field: Field::Arguments, text } if *key == of => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(piece).collect()
}

fn done(events: &[ModelEvent]) -> Vec<(u32, bool)> {
    let end = |event: &ModelEvent| match event {
        ModelEvent::ItemDone { key, end: ItemEnd { incomplete, .. } } => Some((*key, *incomplete)),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": arguments})
}

fn output(id: &str, output: Value) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": output})
}

const TOOLS: &str = r#"[{"type":"function","name":"f","parameters":{"type":"object"}},{"type":"function","name":"g"}]"#;

fn tools() -> Value {
    serde_json::from_str(TOOLS).unwrap()
}

#[test]
fn trap_1_each_parallel_call_is_told_apart_and_done_also_without_arguments() {
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let mut events = vec![begun(json!({})), start(0, tool("a")), start(1, tool("b"))];
    events.push(delta(1, json!({"type": "input_json_delta", "partial_json": "{\"x\""})));
    events.push(stop(0));
    events.push(delta(1, json!({"type": "input_json_delta", "partial_json": ":1}"})));
    events.push(stop(1));
    events.extend(ended("tool_use", json!({})));
    let events = streamed(&events);
    assert_eq!((arguments(&events, 0).as_str(), arguments(&events, 1).as_str()), ("", "{\"x\":1}"));
    assert_eq!(done(&events), [(0, false), (1, false)]);
}

#[test]
fn trap_2_the_results_of_parallel_calls_stand_in_order_in_the_one_turn_after_them() {
    let input = json!([
        {"role": "user", "content": "go"}, call("a", "{}"), call("b", "{}"),
        {"role": "user", "content": "beside"}, output("a", json!("1")), output("b", json!("2")),
    ]);
    let (body, _) = sent("claude-sonnet-4-5", json!({"input": input}));
    let roles: Vec<&Value> = body["messages"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let kinds: Vec<&Value> = body["messages"][2]["content"].as_array().unwrap().iter().map(|b| &b["type"]).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
    assert_eq!(body["messages"][2]["content"][0]["tool_use_id"], "a");
}

#[test]
fn trap_3_a_call_is_known_by_its_call_id_never_by_its_items_id() {
    let mut first = call("call_1", "{}");
    first["id"] = "fc_9".into();
    let (body, _) = sent("claude-sonnet-4-5", json!({"input": [first, output("call_1", json!("x"))]}));
    assert_eq!(body["messages"][0]["content"][0]["id"], "call_1");
    assert_eq!(body["messages"][1]["content"][0]["tool_use_id"], "call_1");
}

#[test]
fn trap_5_no_arguments_are_an_empty_object_and_malformed_ones_are_kept_and_told() {
    let input = json!([call("a", ""), call("b", "{oops"), output("a", json!("")), output("b", json!(""))]);
    let (body, lost) = sent("claude-sonnet-4-5", json!({"input": input}));
    assert_eq!(body["messages"][0]["content"][0]["input"], json!({}));
    assert_eq!(body["messages"][0]["content"][1]["input"], json!({"arguments": "{oops"}));
    assert_eq!(lost, ["input[1].arguments"]);
}

#[test]
fn trap_5_a_plain_answers_input_keeps_the_bytes_that_the_model_wrote() {
    let input = "{\"z\": 1.0,  \"a\": 12345678901234567890123, \"e\": 1e2, \"u\": \"\\u00e9\"}";
    let message = format!(
        r#"{{"type":"message","content":[{{"type":"text","text":"so"}},{{"type":"tool_use","id":"t","name":"f","input":{input}}}],"stop_reason":"tool_use","usage":{{}}}}"#
    );
    assert_eq!(arguments(&plain(&message), 1), input);
}

#[test]
fn trap_6_the_limit_makes_an_answer_incomplete_and_a_cut_call_is_no_complete_one() {
    for reason in ["max_tokens", "model_context_window_exceeded"] {
        let mut events = vec![begun(json!({})), start(0, json!({"type": "text", "text": ""}))];
        events.push(delta(0, json!({"type": "text_delta", "text": "I look"})));
        events.push(stop(0));
        events.push(start(1, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})));
        events.push(delta(1, json!({"type": "input_json_delta", "partial_json": "{\"x"})));
        events.push(stop(1));
        events.extend(ended(reason, json!({})));
        let events = streamed(&events);
        assert_eq!(done(&events), [(0, false), (1, true)]);
        assert_eq!(events.last(), Some(&ModelEvent::Finished(FinishReason::MaxOutputTokens)));
        let window = events.contains(&ModelEvent::Stopped(StopDetail::ContextWindow));
        assert_eq!(window, reason == "model_context_window_exceeded");
    }
}

fn thinking(model: &str, body: Value) -> (Value, Vec<String>) {
    let mut whole = json!({"input": "hi", "tools": tools()});
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    sent(model, whole)
}

#[test]
fn trap_8_a_signature_is_given_back_unchanged_with_the_text_that_it_signs_and_to_nobody_else() {
    let events = [
        begun(json!({})),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "I "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "think"})),
        delta(0, json!({"type": "signature_delta", "signature": "Sig+/="})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "Red="})),
        stop(1),
    ];
    let events = streamed(&[&events[..], &ended("end_turn", json!({}))].concat());
    let sealed: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ItemDone { end, .. } => end.encrypted_content.clone(),
            _ => None,
        })
        .collect();
    let item = |text: &str, sealed: &str| {
        let content = if text.is_empty() { json!([]) } else { json!([{"type": "reasoning_text", "text": text}]) };
        json!({"type": "reasoning", "summary": [], "content": content, "encrypted_content": sealed})
    };
    let input = json!([item("I think", &sealed[0]), item("", &sealed[1]), {"role": "assistant", "content": "so"}]);
    let (body, lost) = sent("claude-sonnet-4-5", json!({"input": input}));
    assert_eq!(
        body["messages"][0]["content"][0],
        json!({"type": "thinking", "thinking": "I think", "signature": "Sig+/="})
    );
    assert_eq!(body["messages"][0]["content"][1], json!({"type": "redacted_thinking", "data": "Red="}));
    assert!(lost.is_empty());
    let (body, lost) = sent("claude-haiku-4-5", json!({"input": input}));
    assert_eq!(body["messages"][0]["content"], json!([{"type": "text", "text": "so"}]));
    assert_eq!(lost, ["input[0]", "input[1]"]);
    let changed = json!([item("I thunk", &sealed[0]), {"role": "assistant", "content": "so"}]);
    assert_eq!(sent("claude-sonnet-4-5", json!({"input": changed})).1, ["input[0]"]);
}

#[test]
fn trap_9_a_forced_tool_is_left_to_the_model_while_it_thinks_and_parallel_calls_are_turned_off() {
    for model in ["claude-sonnet-4-5", "claude-opus-4-6"] {
        let asked = json!({"tool_choice": "required", "parallel_tool_calls": false, "reasoning": {"effort": "low"}});
        let (body, lost) = thinking(model, asked);
        assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert_eq!(lost, ["tool_choice"]);
    }
    let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]});
    let (body, lost) = thinking("claude-sonnet-4-5", json!({"tool_choice": allowed}));
    assert_eq!((&body["tool_choice"]["type"], &body["tools"][0]["name"]), (&json!("any"), &json!("g")));
    assert_eq!((body["tools"].as_array().unwrap().len(), lost), (1, vec!["tool_choice".to_owned()]));
}

#[test]
fn each_generation_is_asked_to_think_in_its_own_way() {
    let effort = |effort: &str| json!({"reasoning": {"effort": effort}, "temperature": 0.5});
    let (body, lost) = thinking("claude-sonnet-4-5", effort("low"));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
    assert_eq!(lost, ["temperature"]);
    let (body, lost) = thinking("claude-sonnet-4-5", effort("xhigh"));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 16384}));
    assert_eq!(lost, ["reasoning.effort", "temperature"]);
    let (body, _) = thinking("claude-opus-4-6", effort("xhigh"));
    assert_eq!((&body["thinking"]["type"], &body["output_config"]["effort"]), (&json!("adaptive"), &json!("high")));
    let (body, _) = thinking("claude-opus-4-7", effort("xhigh"));
    assert_eq!(body["output_config"], json!({"effort": "xhigh"}));
    // From 4.7 on sampling is refused, thinking or not.
    let (body, lost) = thinking("claude-fable-5-1", json!({"temperature": 0.5, "top_p": 0.9}));
    assert!(body.get("temperature").is_none() && body.get("top_p").is_none());
    assert_eq!(lost, ["temperature", "top_p"]);
    let native = |thinking: Value| json!({"anthropic": {"thinking": thinking}, "reasoning": {"effort": "medium"}});
    let budget = json!({"type": "enabled", "budget_tokens": 2000});
    let (body, lost) = thinking("claude-sonnet-4-5", native(budget.clone()));
    assert_eq!((&body["thinking"], lost.len()), (&budget, 0));
    let (body, lost) = thinking("claude-opus-4-7", native(budget));
    assert_eq!((&body["thinking"]["type"], lost.len()), (&json!("adaptive"), 1));
    let (body, lost) = thinking("claude-sonnet-4-5", native(json!({"type": "adaptive"})));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 8192}));
    assert_eq!(lost, ["thinking"]);
}

#[test]
fn trap_11_system_messages_in_mid_history_are_hoisted_in_their_order() {
    let input = json!([
        {"role": "system", "content": "one"}, {"role": "user", "content": "hi"},
        {"role": "developer", "content": "two"}, {"role": "user", "content": "there"},
    ]);
    let (body, _) = sent("claude-sonnet-4-5", json!({"instructions": "zero", "input": input}));
    assert_eq!(body["system"], "zero\n\none\n\ntwo");
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn trap_12_blank_texts_are_left_out_and_nothing_is_invented() {
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": " \n"}, {"type": "input_text", "text": "hi"}]},
        {"role": "assistant", "content": ""}, call("a", "{}"),
        output("a", json!([{"type": "input_text", "text": ""}])),
    ]);
    let (body, _) = sent("claude-sonnet-4-5", json!({"instructions": "  ", "input": input}));
    assert!(body.get("system").is_none());
    assert_eq!(body["messages"][0]["content"], json!([{"type": "text", "text": "hi"}]));
    assert_eq!(body["messages"][1]["content"].as_array().unwrap().len(), 1);
    assert_eq!(body["messages"][2]["content"], json!([{"type": "tool_result", "tool_use_id": "a"}]));
}

#[test]
fn trap_13_images_and_files_stand_in_tool_results_and_foreign_ids_are_refused_by_name() {
    let parts = json!([
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0x"},
    ]);
    let (body, _) = sent("claude-sonnet-4-5", json!({"input": [call("a", "{}"), output("a", parts)]}));
    let content = &body["messages"][1]["content"][0]["content"];
    assert_eq!(content[0]["source"], json!({"type": "base64", "media_type": "image/png", "data": "AA"}));
    assert_eq!(
        (&content[1]["type"], &content[1]["source"]["media_type"]),
        (&json!("document"), &json!("application/pdf"))
    );
    let foreign = json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]});
    let error = encode(&target("claude-sonnet-4-5"), &Request::parse(foreign).unwrap()).unwrap_err();
    assert_eq!(error.param, "input[0].content[0].file_id");
}

#[test]
fn trap_15_refusals_are_no_clean_stop_and_pauses_are_told() {
    let message = |reason: &str| {
        plain(&json!({"content": [{"type": "text", "text": "I"}], "stop_reason": reason, "stop_sequence": "END", "usage": {}}).to_string())
    };
    let refused = message("refusal");
    assert_eq!(refused.last(), Some(&ModelEvent::Finished(FinishReason::ContentFilter)));
    assert_eq!(done(&refused), [(0, true)]);
    assert!(message("pause_turn").contains(&ModelEvent::Stopped(StopDetail::Paused)));
    assert!(message("stop_sequence").contains(&ModelEvent::Stopped(StopDetail::Sequence("END".to_owned()))));
    assert_eq!(message("end_turn").last(), Some(&ModelEvent::Finished(FinishReason::Completed)));
}

#[test]
fn trap_16_usage_is_five_buckets_of_which_the_last_figures_count() {
    let usage = |events: &[ModelEvent]| {
        events.iter().rev().find_map(|event| match event {
            ModelEvent::Usage(usage) => Some(*usage),
            _ => None,
        })
    };
    let first = json!({"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1});
    let last = json!({"output_tokens": 30, "input_tokens": null, "output_tokens_details": {"thinking_tokens": 12}});
    let events = streamed(&[&[begun(first)], &ended("end_turn", last)[..]].concat());
    let wanted =
        Usage { uncached_input: 5, cache_read: 100, cache_write: 20, output: 30, reasoning: 12, cache_write_1h: 0 };
    assert_eq!(usage(&events), Some(wanted));
    assert_eq!(wanted.total(), 155);
    let kept = json!({"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 1});
    let events = plain(&json!({"content": [], "stop_reason": "end_turn", "usage": kept}).to_string());
    assert_eq!(usage(&events).map(|usage| (usage.cache_write, usage.cache_write_1h)), Some((7, 4)));
}

#[test]
fn trap_17_the_limit_is_the_models_real_one_and_never_above_it() {
    assert_eq!(sent("claude-sonnet-4-5", json!({"input": "hi"})).0["max_tokens"], 64_000);
    let (body, lost) = sent("claude-sonnet-4-5", json!({"input": "hi", "max_output_tokens": 100_000}));
    assert_eq!((&body["max_tokens"], lost), (&json!(64_000), vec!["max_output_tokens".to_owned()]));
}

#[test]
fn trap_18_only_known_fields_leave_and_the_order_of_a_schema_stays() {
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}});
    let tool = json!({"type": "function", "name": "f", "parameters": schema});
    let body = json!({
        "input": "hi", "tools": [tool], "router_mode": "cost", "store": true, "user": "u", "novel": 1,
        "metadata": {"secret": "x"}, "anthropic": {"top_k": 3, "model": "other", "betas": ["b1", "b2"]},
    });
    let encoded = encoded("claude-sonnet-4-5", body);
    let text = String::from_utf8(encoded.body.clone()).unwrap();
    assert!(text.contains(&schema.to_string()));
    let names: Vec<String> =
        serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["model", "max_tokens", "messages", "tools", "tool_choice", "top_k", "metadata"]);
    assert!(text.contains("\"metadata\":{\"user_id\":\"u\"}"), "{text}");
    assert!(text.contains("\"model\":\"claude-sonnet-4-5\""));
    assert!(encoded.headers.iter().any(|(name, value)| name == "anthropic-beta" && value == "b1,b2"));
    let lost: Vec<&str> = encoded.warnings.iter().map(|loss| loss.param.as_str()).collect();
    assert!(lost.contains(&"novel") && lost.contains(&"model"), "{lost:?}");
}

#[test]
fn citations_and_what_anthropics_own_tools_did_are_carried() {
    let citation = json!({"type": "char_location", "cited_text": "x"});
    let events = [
        begun(json!({})),
        start(0, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\":\"sea\"}"})),
        stop(0),
        start(1, json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "wet"})),
        delta(2, json!({"type": "citations_delta", "citation": citation})),
        stop(2),
    ];
    let events = streamed(&[&events[..], &ended("end_turn", json!({}))].concat());
    assert!(events.contains(&ModelEvent::Annotation { key: 2, part: 0, annotation: citation }));
    let own: Vec<&Value> = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ItemStarted { item: ItemStart::Other(object), .. } => object.get("type"),
            _ => None,
        })
        .collect();
    assert_eq!(own, ["server_tool_use", "web_search_tool_result"]);
    let given: Vec<Value> = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ItemStarted { item: ItemStart::Other(object), .. } => Some(Value::Object(object.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(given[0]["input"], json!({"query": "sea"}));
    let (body, _) = sent("claude-sonnet-4-5", json!({"input": given}));
    assert_eq!(body["messages"][0]["content"], json!(given));
    assert_eq!(done(&events), [(0, false), (1, false), (2, false)]);
}

#[test]
fn what_only_anthropic_knows_is_taken_off_for_others_and_named_but_for_marks_of_the_cache() {
    let input = json!([{"role": "user", "content": [
        {"type": "input_text", "text": "hi", "anthropic": {"cache_control": {"type": "ephemeral"}}}]}]);
    let tool = json!({"type": "function", "name": "f", "anthropic": {"defer_loading": true}});
    let own = json!({"type": "web_search_20250305", "name": "web_search"});
    let body = json!({"input": input, "tools": [tool, own], "anthropic": {"top_k": 3, "metadata": {"user_id": "u"}}});
    let request = Request::parse(body).unwrap();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Anthropic) {
        let encoded = encode(&Target { kind, ..target("m") }, &request).unwrap();
        let text = String::from_utf8(encoded.body).unwrap();
        for name in ["anthropic", "cache_control", "top_k", "defer_loading", "web_search", "user_id"] {
            assert!(!text.contains(name), "{kind:?} {text}");
        }
        let lost: Vec<&str> = encoded.warnings.iter().map(|loss| loss.param.as_str()).collect();
        assert_eq!(lost, ["top_k", "tools[0].defer_loading", "tools"], "{kind:?}");
    }
    let (body, lost) = (encoded_native(&request), encode(&target("claude-sonnet-4-5"), &request).unwrap().warnings);
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!((&body["tools"][0]["defer_loading"], &body["tools"][1]["name"]), (&json!(true), &json!("web_search")));
}

fn encoded_native(request: &Request) -> Value {
    serde_json::from_slice(&encode(&target("claude-sonnet-4-5"), request).unwrap().body).unwrap()
}
