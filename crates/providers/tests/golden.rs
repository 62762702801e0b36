//! Golden files, a folder for each dialect: our requests in each provider's words (`*.request.json`, made of
//! `requests/`), and each provider's answers, plain and streamed (`*.answer.json`, `*.answer.sse`, as the
//! simulator gives them), as our events (`*.events`). `UPDATE_GOLDEN=1` writes what is made anew.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tokenrouter_protocol::{Field, ItemStart, ModelEvent, Request};
use tokenrouter_providers::{Kind, StreamDecoder, Target, Translation, decode_response, encode};

const DIALECTS: [(&str, Kind, &str); 6] = [
    ("openai", Kind::OpenAi, "gpt-4o"),
    ("anthropic", Kind::Anthropic, "claude-sonnet-4-5"),
    ("gemini", Kind::Gemini, "gemini-3.5-flash"),
    ("mistral", Kind::Mistral, "mistral-large-latest"),
    ("deepseek", Kind::DeepSeek, "deepseek-chat"),
    ("compatible", Kind::OpenAiCompatible, "local-model"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The files of a folder whose names end so, in order: the name without the end, and the bytes.
fn files(name: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(folder(name))
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let stem = path.file_name()?.to_str()?.strip_suffix(end)?.to_owned();
            Some((stem, fs::read(path).unwrap()))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "there is nothing that ends in {end} in {name}");
    found
}

fn check(dialect: &str, file: &str, found: &str) {
    let path = folder(dialect).join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == found, "{dialect}/{file} is another (UPDATE_GOLDEN=1 writes it):\n{found}");
}

fn target(kind: Kind, provider: &'static str, model: &'static str, stream: bool) -> Target<'static> {
    Target { kind, provider, model, account: None, max_output_tokens: Some(8_192), reasoning: true, stream }
}

/// Ids that were made here have chance in them.
fn without_chance(mut events: Vec<ModelEvent>) -> Vec<ModelEvent> {
    for event in &mut events {
        match event {
            ModelEvent::ItemStarted { item: ItemStart::FunctionCall { call_id, .. }, .. }
                if call_id.starts_with("call_made") =>
            {
                "call_made".clone_into(call_id);
            }
            ModelEvent::ItemStarted { item: ItemStart::Other(object), .. } => {
                object.insert("id".to_owned(), "made".into());
            }
            _ => {}
        }
    }
    events
}

fn told(events: &[ModelEvent]) -> String {
    let mut text = String::new();
    for event in events {
        writeln!(text, "{event:?}").unwrap();
    }
    text
}

/// What the request of the golden answers made of its tools: `shell` was a custom one.
fn translation(kind: Kind, name: &'static str, model: &'static str) -> Translation {
    let request = json!({"input": "x", "tools": [{"type": "custom", "name": "shell"}]});
    encode(&target(kind, name, model, false), &Request::parse(request).unwrap()).unwrap().translation
}

fn streamed(kind: Kind, translation: Translation, stream: &str) -> Vec<ModelEvent> {
    let mut decoder = StreamDecoder::new(kind, translation);
    let mut events = Vec::new();
    for block in stream.replace("\r\n", "\n").split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        decoder.event(field("event: "), field("data: "), &mut events).unwrap();
    }
    decoder.end(&mut events).unwrap();
    without_chance(events)
}

#[test]
fn tokens_beside_a_thought_are_not_the_texts_and_do_not_cut_the_thought() {
    let stream: String = [
        json!({"content": "", "reasoning_content": "First "}),
        json!({"content": "", "reasoning_content": "then "}),
        json!({"content": "Hi"}),
    ]
    .into_iter()
    .map(|delta| {
        let logprobs = json!({"content": [{"token": "t", "logprob": -0.5}]});
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "logprobs": logprobs}]}))
    })
    .collect();
    let finished = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let kind = Kind::OpenAiCompatible;
    let events =
        streamed(kind, translation(kind, "local", "m"), &format!("{stream}data: {finished}\n\ndata: [DONE]\n\n"));
    let count = |is: fn(&ModelEvent) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, ModelEvent::ItemStarted { .. })), 2, "{events:?}");
    assert_eq!(count(|event| matches!(event, ModelEvent::Logprobs { .. })), 1, "{events:?}");
}

#[test]
fn our_requests_are_these_in_each_providers_words() {
    for (dialect, kind, model) in DIALECTS {
        for (case, request) in files("requests", ".json") {
            let request = Request::parse(serde_json::from_slice(&request).unwrap()).unwrap();
            let found = match encode(&target(kind, dialect, model, true), &request) {
                Ok(encoded) => {
                    let warnings: Vec<Value> =
                        encoded.warnings.iter().map(|loss| json!([loss.param, loss.message])).collect();
                    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
                    json!({"path": encoded.path, "body": body, "warnings": warnings})
                }
                Err(error) => json!({"refused": [error.param, error.message]}),
            };
            check(dialect, &format!("{case}.request.json"), &format!("{found:#}\n"));
        }
    }
}

#[test]
fn each_providers_plain_answers_are_these_events_of_ours() {
    for (dialect, kind, model) in DIALECTS {
        for (case, body) in files(dialect, ".answer.json") {
            let events = decode_response(kind, &body, &translation(kind, dialect, model)).unwrap();
            check(dialect, &format!("{case}.answer.json.events"), &told(&without_chance(events)));
        }
    }
}

#[test]
fn each_providers_streams_are_these_events_of_ours() {
    for (dialect, kind, model) in DIALECTS {
        for (case, body) in files(dialect, ".answer.sse") {
            let events = streamed(kind, translation(kind, dialect, model), std::str::from_utf8(&body).unwrap());
            check(dialect, &format!("{case}.answer.sse.events"), &told(&events));
        }
    }
}

/// Every dialect's streams, for the traps that can occur in each.
fn every_stream(case: &str) -> Vec<(&'static str, Vec<ModelEvent>)> {
    DIALECTS
        .iter()
        .map(|(dialect, kind, model)| {
            let body = fs::read_to_string(folder(dialect).join(format!("{case}.answer.sse"))).unwrap();
            (*dialect, streamed(*kind, translation(*kind, dialect, model), &body))
        })
        .collect()
}

fn request_of(dialect: &str, case: &str) -> Value {
    serde_json::from_slice(&fs::read(folder(dialect).join(format!("{case}.request.json"))).unwrap()).unwrap()
}

#[test]
fn trap_1_every_parallel_call_is_told_apart_and_done_in_every_dialect() {
    for (dialect, events) in every_stream("parallel") {
        let mut started = Vec::new();
        let mut done = Vec::new();
        for event in &events {
            match event {
                ModelEvent::ItemStarted { key, item: ItemStart::FunctionCall { name, .. } } => {
                    started.push((*key, name.as_str()));
                }
                ModelEvent::ItemDone { key, .. } => done.push(*key),
                _ => {}
            }
        }
        assert_eq!(started.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["get_weather", "get_time"], "{dialect}");
        for (key, name) in started {
            assert_eq!(done.iter().filter(|k| **k == key).count(), 1, "{dialect}");
            let mine = |event: &&ModelEvent| matches!(event, ModelEvent::Delta { key: k, field: Field::Arguments, .. } if *k == key);
            let arguments: String = events
                .iter()
                .filter(mine)
                .map(|event| if let ModelEvent::Delta { text, .. } = event { text.as_str() } else { "" })
                .collect();
            assert_eq!(
                serde_json::from_str::<Value>(&arguments).unwrap(),
                json!({"city": "Paris"}),
                "{dialect} {name}"
            );
        }
    }
}

#[test]
fn trap_6_an_answer_cut_at_its_limit_is_incomplete_in_every_dialect() {
    for (dialect, events) in every_stream("cut") {
        let last = format!("{:?}", events.last().unwrap());
        assert_eq!(last, "Finished(MaxOutputTokens)", "{dialect}");
        let cut = events.iter().rev().find_map(|event| match event {
            ModelEvent::ItemDone { end, .. } => Some(end.incomplete),
            _ => None,
        });
        // OpenAI's item says so itself.
        assert_eq!(cut, Some(true), "{dialect}");
    }
}

#[test]
fn trap_7_a_stream_that_breaks_off_is_never_an_answer_in_any_dialect() {
    for (dialect, kind, model) in DIALECTS {
        let body = fs::read_to_string(folder(dialect).join("text.answer.sse")).unwrap().replace("\r\n", "\n");
        let blocks: Vec<&str> = body.split("\n\n").collect();
        let mut decoder = StreamDecoder::new(kind, translation(kind, dialect, model));
        let mut events = Vec::new();
        for block in &blocks[..blocks.len() / 2] {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            decoder.event(field("event: "), field("data: "), &mut events).unwrap();
        }
        assert!(decoder.end(&mut events).is_err(), "{dialect}");
    }
}

#[test]
fn trap_13_an_image_in_a_tools_result_comes_right_after_the_results_or_within_them() {
    for dialect in ["deepseek", "compatible"] {
        let sent = request_of(dialect, "image_in_result");
        let roles: Vec<&str> =
            sent["body"]["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "user", "user"], "{dialect}");
        assert_eq!(sent["body"]["messages"][4]["content"][0]["type"], "image_url", "{dialect}");
        assert_eq!(sent["warnings"][0][0], "input[3].output", "{dialect}");
    }
    let sent = request_of("mistral", "image_in_result");
    assert_eq!(sent["body"]["messages"][2]["content"][1]["type"], "image_url");
    // Of what the user says then, not of the image.
    assert_eq!(sent["warnings"][0][0], "input[5]");
}

#[test]
fn trap_15_a_refusal_is_told_in_every_dialect_that_has_one() {
    for (dialect, events) in every_stream("refusal") {
        let refused = events.iter().any(|e| matches!(e, ModelEvent::Delta { field: Field::Refusal(_), .. }));
        let filtered = format!("{:?}", events.last().unwrap()) == "Finished(ContentFilter)";
        // Mistral's has no other way than words.
        assert_eq!(refused || filtered, dialect != "mistral", "{dialect}");
    }
}

#[test]
fn trap_16_usage_comes_at_the_end_of_every_dialects_stream() {
    for case in ["text", "parallel", "cut", "refusal", "reasoning", "shell"] {
        for (dialect, events) in every_stream(case) {
            let usage =
                events.iter().rev().find_map(|e| if let ModelEvent::Usage(usage) = e { Some(*usage) } else { None });
            let usage = usage.unwrap();
            assert_eq!(usage.total(), usage.uncached_input + usage.cache_read + usage.cache_write + usage.output);
            assert!(usage.uncached_input > 0 && usage.reasoning <= usage.output, "{dialect} {case}");
        }
    }
}

#[test]
fn trap_20_a_custom_tools_call_comes_back_as_text_in_every_dialect() {
    for (dialect, events) in every_stream("shell") {
        let call = events.iter().find_map(|event| match event {
            ModelEvent::ItemStarted { item: ItemStart::Other(object), .. } => Some(object),
            _ => None,
        });
        let call = call.unwrap_or_else(|| panic!("{dialect} calls nothing"));
        assert_eq!((&call["type"], call.get("input")), (&json!("custom_tool_call"), None), "{dialect}");
        let input = events.iter().filter_map(|event| match event {
            ModelEvent::Delta { field: Field::Input, text, .. } => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(input.collect::<String>(), "uptime", "{dialect}");
    }
}

fn messages(dialect: &str, case: &str) -> Vec<Value> {
    request_of(dialect, case)["body"]["messages"].as_array().unwrap().clone()
}

const CHATS: [&str; 3] = ["mistral", "deepseek", "compatible"];

#[test]
fn trap_2_results_come_right_after_their_calls_in_every_chat() {
    for dialect in CHATS {
        let messages = messages(dialect, "round_trip");
        let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"], "{dialect}");
        let calls = messages[1]["tool_calls"].as_array().unwrap();
        // The results were given in the other order, and stay in it.
        assert_eq!(messages[2]["tool_call_id"], calls[1]["id"], "{dialect}");
        assert_eq!(messages[3]["tool_call_id"], calls[0]["id"], "{dialect}");
    }
}

#[test]
fn trap_3_no_items_id_is_sent_in_place_of_a_calls_id() {
    for (dialect, ..) in DIALECTS {
        let sent = request_of(dialect, "round_trip").to_string();
        assert!(!sent.contains("fc_1") && !sent.contains("fc_2"), "{dialect}");
    }
}

#[test]
fn trap_4_mistrals_call_ids_have_nine_letters_and_others_are_left_as_they_are() {
    let id = |dialect| messages(dialect, "round_trip")[1]["tool_calls"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id("mistral").len(), 9);
    assert_eq!((id("deepseek").as_str(), id("compatible").as_str()), ("call_a.1", "call_a.1"));
}

#[test]
fn trap_5_arguments_go_back_byte_for_byte_and_none_are_an_empty_object_in_every_chat() {
    for dialect in CHATS {
        let calls = messages(dialect, "round_trip")[1]["tool_calls"].clone();
        assert_eq!(calls[0]["function"]["arguments"], "{\"city\": \"Paris\"}", "{dialect}");
        assert_eq!(calls[1]["function"]["arguments"], "{}", "{dialect}");
    }
}

#[test]
fn trap_10_no_host_of_chats_is_sent_the_role_of_a_developer() {
    for dialect in CHATS {
        let roles: Vec<Value> = messages(dialect, "system").iter().map(|m| m["role"].clone()).collect();
        // Mistral takes no empty answer, which the fifth is.
        let fifth: &[&str] = if dialect == "mistral" { &[] } else { &["assistant"] };
        assert_eq!(roles, [&["system", "system", "user", "system"], fifth, &["user"]].concat(), "{dialect}");
    }
}

#[test]
fn trap_12_neither_anthropic_nor_gemini_is_sent_an_empty_text() {
    for dialect in ["anthropic", "gemini"] {
        let sent = request_of(dialect, "system").to_string();
        assert!(!sent.contains("\"text\":\"\""), "{dialect}: {sent}");
    }
}

#[test]
fn trap_13_a_foreign_files_id_is_refused_by_its_name_in_every_dialect_but_its_own() {
    for (dialect, kind, _) in DIALECTS {
        let refused = request_of(dialect, "foreign_file")["refused"][0].clone();
        let own = kind == Kind::OpenAi;
        assert_eq!(refused, if own { Value::Null } else { json!("input[0].content[0].file_id") }, "{dialect}");
    }
}

#[test]
fn trap_18_nothing_of_the_routers_own_leaves_and_openai_keeps_nothing() {
    let body = json!({"input": "x", "router_mode": "cost", "metadata": {"a": "b"}, "previous_response_id": "resp_1"});
    for (dialect, kind, model) in DIALECTS {
        let request = Request::parse(body.clone()).unwrap();
        let sent = String::from_utf8(encode(&target(kind, dialect, model, false), &request).unwrap().body).unwrap();
        assert!(!sent.contains("router_") && !sent.contains("previous_response_id"), "{dialect}: {sent}");
        assert_eq!(sent.contains("\"store\":false"), kind == Kind::OpenAi, "{dialect}");
    }
}
