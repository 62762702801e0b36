//! Both directions, as values.

use crate::{Encoded, Kind, Loss, ModelEvent, StreamDecoder, Target, Translation, decode_response, encode};
use serde_json::{Value, json};
use tokenrouter_protocol::{Field, FinishReason, ItemStart, Request, Usage};

const OLD: &str = "gemini-2.5-flash";
const NEW: &str = "gemini-3.5-flash";

fn target(model: &str) -> Target<'_> {
    Target {
        kind: Kind::Gemini,
        provider: "gemini",
        model,
        account: None,
        max_output_tokens: None,
        reasoning: true,
        stream: false,
    }
}

fn encoded(model: &str, request: Value) -> Encoded {
    encode(&target(model), &Request::parse(request).unwrap()).unwrap()
}

fn sent(model: &str, request: Value) -> Value {
    serde_json::from_slice(&encoded(model, request).body).unwrap()
}

fn refused(request: Value) -> String {
    encode(&target(NEW), &Request::parse(request).unwrap()).unwrap_err().param
}

fn params(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.param.as_str()).collect()
}

fn plain(body: &Value) -> Vec<ModelEvent> {
    decode_response(Kind::Gemini, body.to_string().as_bytes(), &Translation::new(Kind::Gemini, "gemini", NEW)).unwrap()
}

fn streamed(chunks: &[Value]) -> Vec<ModelEvent> {
    let mut decoder = StreamDecoder::new(Kind::Gemini, Translation::new(Kind::Gemini, "gemini", NEW));
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.event("", &chunk.to_string(), &mut out).unwrap();
    }
    decoder.end(&mut out).unwrap();
    assert!(decoder.finished());
    out
}

fn chunk(parts: Value, finish: Option<&str>) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish}]})
}

fn finish(events: &[ModelEvent]) -> FinishReason {
    let Some(ModelEvent::Finished(reason)) = events.last() else { panic!("no end: {events:?}") };
    *reason
}

fn sealed(events: &[ModelEvent]) -> Vec<String> {
    let ends = events.iter().filter_map(|event| match event {
        ModelEvent::ItemDone { end, .. } => end.encrypted_content.clone(),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_conversation_becomes_turns_of_two_roles() {
    let request = json!({
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "One"},
            {"role": "user", "content": [{"type": "input_text", "text": "Two"}, {"type": "input_text", "text": ""}]},
            {"role": "developer", "content": "In verse."},
            {"role": "assistant", "content": "Three"},
            {"role": "user", "content": "Four"},
        ],
        "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 20, "presence_penalty": 0.1,
        "frequency_penalty": 0.2, "seed": 7, "stop": "END",
    });
    let wanted = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "In verse."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "One"}, {"text": "Two"}]},
            {"role": "model", "parts": [{"text": "Three"}]},
            {"role": "user", "parts": [{"text": "Four"}]},
        ],
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 20, "presencePenalty": 0.1,
                             "frequencyPenalty": 0.2, "seed": 7, "stopSequences": ["END"]},
    });
    let encoded = encoded(NEW, request);
    assert_eq!(serde_json::from_slice::<Value>(&encoded.body).unwrap(), wanted);
    assert_eq!(encoded.warnings, []);
}

#[test]
fn trap_13_images_and_files_go_inline_or_by_an_address_that_gemini_fetches() {
    let part = |part: Value| {
        sent(NEW, json!({"input": [{"role": "user", "content": [part]}]}))["contents"][0]["parts"][0].clone()
    };
    assert_eq!(
        part(json!({"type": "input_image", "image_url": "data:image/png;base64,AAAA"})),
        json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})
    );
    assert_eq!(
        part(json!({"type": "input_image", "image_url": "https://host/a.png?x=1"})),
        json!({"fileData": {"fileUri": "https://host/a.png?x=1", "mimeType": "image/png"}})
    );
    assert_eq!(
        part(json!({"type": "input_file", "file_url": "https://www.youtube.com/watch?v=1"})),
        json!({"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}})
    );
    assert_eq!(
        part(json!({"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0"})),
        json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0"}})
    );
    assert_eq!(
        part(json!({"type": "input_file", "filename": "a.json", "file_data": "e30="})),
        json!({"inlineData": {"mimeType": "text/plain", "data": "e30="}})
    );
    let refused = |part: Value| refused(json!({"input": [{"role": "user", "content": [part]}]}));
    assert_eq!(refused(json!({"type": "input_image", "image_url": "http://host/a.png"})), "input[0].content[0]");
    assert_eq!(refused(json!({"type": "input_image", "image_url": "gs://bucket/a.png"})), "input[0].content[0]");
    assert_eq!(refused(json!({"type": "input_image", "file_id": "file_1"})), "input[0].content[0].file_id");
    assert_eq!(refused(json!({"type": "input_file", "filename": "a.zip", "file_data": "AAAA"})), "input[0].content[0]");
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "name": name, "description": "d", "parameters": {"type": "object", "properties": {}}})
}

#[test]
fn tools_and_the_choice_among_them() {
    let request = |choice: Value| json!({"input": "x", "tools": [tool("f"), tool("g")], "tool_choice": choice});
    let config = |choice: Value| sent(NEW, request(choice))["toolConfig"]["functionCallingConfig"].clone();
    assert_eq!(config(json!("auto")), json!({"mode": "AUTO"}));
    assert_eq!(config(json!("none")), json!({"mode": "NONE"}));
    assert_eq!(config(json!("required")), json!({"mode": "ANY"}));
    assert_eq!(config(json!({"type": "function", "name": "g"})), json!({"mode": "ANY", "allowedFunctionNames": ["g"]}));
    let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]});
    let body = encoded(NEW, request(allowed));
    assert_eq!(body.warnings, []);
    let body: Value = serde_json::from_slice(&body.body).unwrap();
    assert_eq!(body["toolConfig"]["functionCallingConfig"], json!({"mode": "ANY", "allowedFunctionNames": ["f"]}));
    let declared = json!([
        {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}},
        {"name": "g", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}},
    ]);
    assert_eq!(body["tools"], json!([{ "functionDeclarations": declared }]));
}

#[test]
fn trap_2_results_stand_together_in_the_order_of_their_calls() {
    let request = json!({"input": [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}"},
        {"type": "function_call", "call_id": "call_made_1", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "call_made_1", "output": "second"},
        {"role": "user", "content": "and so?"},
        {"type": "function_call_output", "call_id": "a", "output": "{\"first\": true}"},
    ]});
    let wanted = json!([
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {"x": 1}, "id": "a"}, "thoughtSignature": super::NO_SIGNATURE},
            {"functionCall": {"name": "g", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "f", "id": "a", "response": {"output": "{\"first\": true}"}}},
            {"functionResponse": {"name": "g", "response": {"output": "second"}}},
            {"text": "and so?"},
        ]},
    ]);
    assert_eq!(sent(NEW, request.clone())["contents"], wanted);
    // Earlier models sign no calls.
    assert!(sent(OLD, request)["contents"][1]["parts"][0].get("thoughtSignature").is_none());
    let orphan = json!({"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]});
    assert_eq!(refused(orphan), "input[0].call_id");
    assert_eq!(refused(json!({"input": [{"role": "system", "content": ""}]})), "input");
}

#[test]
fn trap_13_an_image_in_a_tools_output_stands_in_it_or_beside_it() {
    let request = json!({"input": [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
    ]});
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let body = sent(NEW, request.clone());
    let wanted = json!({"name": "f", "id": "a", "response": {"output": "see"}, "parts": [image]});
    assert_eq!(body["contents"][2]["parts"], json!([{ "functionResponse": wanted }]));
    let old = encoded(OLD, request);
    assert_eq!(params(&old.warnings), ["input[2].output"]);
    let body: Value = serde_json::from_slice(&old.body).unwrap();
    assert_eq!(body["contents"][2]["parts"][1], image);
}

#[test]
fn a_schema_is_lowered_and_what_it_lost_is_named() {
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2}}});
    let format = json!({"format": {"type": "json_schema", "name": "n", "schema": schema}});
    let encoded_one = encoded(NEW, json!({"input": "x", "text": format}));
    let body: Value = serde_json::from_slice(&encoded_one.body).unwrap();
    let wanted = json!({"responseMimeType": "application/json", "responseJsonSchema":
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}});
    assert_eq!(body["generationConfig"], wanted);
    assert_eq!(params(&encoded_one.warnings), ["text.format"]);
    assert!(encoded_one.warnings[0].message.contains("multipleOf"));
    let mut with_schema = tool("f");
    with_schema["parameters"] = schema.clone();
    let tools = encoded(NEW, json!({"input": "x", "tools": [tool("e"), with_schema.clone()]}));
    assert_eq!(params(&tools.warnings), ["tools[1].parameters"]);
    // An earlier model takes a format or tools, not both.
    let both = encoded(OLD, json!({"input": "x", "text": format, "tools": [tool("e")]}));
    assert_eq!(params(&both.warnings), ["text.format"]);
    let body: Value = serde_json::from_slice(&both.body).unwrap();
    assert!(body.get("generationConfig").is_none());
    assert!(body["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains("multipleOf"));
    let json = sent(NEW, json!({"input": "x", "text": {"format": {"type": "json_object"}}}));
    assert_eq!(json["generationConfig"], json!({"responseMimeType": "application/json"}));
}

#[test]
fn an_effort_is_a_budget_or_a_level_by_the_models_generation() {
    let cases = [
        (OLD, "none", json!({"thinkingBudget": 0}), false),
        ("gemini-2.5-pro", "none", json!({"thinkingBudget": 128}), true),
        (OLD, "low", json!({"thinkingBudget": 1_024}), false),
        (OLD, "high", json!({"thinkingBudget": 24_576}), false),
        (OLD, "xhigh", json!({"thinkingBudget": 24_576}), true),
        (NEW, "low", json!({"thinkingLevel": "LOW"}), false),
        (NEW, "none", json!({"thinkingLevel": "MINIMAL"}), true),
        ("gemini-3.1-pro-preview", "minimal", json!({"thinkingLevel": "LOW"}), true),
        (NEW, "xhigh", json!({"thinkingLevel": "HIGH"}), true),
        ("gemini-3.8-flash", "minimal", json!({"thinkingLevel": "LOW"}), true),
        ("gemini-4-argon", "none", json!({"thinkingLevel": "LOW"}), true),
    ];
    for (model, effort, wanted, lost) in cases {
        let encoded = encoded(model, json!({"input": "x", "reasoning": {"effort": effort}}));
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(body["generationConfig"]["thinkingConfig"], wanted, "{model} {effort}");
        assert_eq!(params(&encoded.warnings), if lost { vec!["reasoning.effort"] } else { vec![] }, "{model} {effort}");
    }
    let summary = sent(NEW, json!({"input": "x", "reasoning": {"summary": "auto"}}));
    assert_eq!(summary["generationConfig"]["thinkingConfig"], json!({"includeThoughts": true}));
}

#[test]
fn what_gemini_has_not_is_named() {
    let request = json!({
        "input": "x", "tools": [tool("f")], "parallel_tool_calls": false, "top_logprobs": 2, "max_tool_calls": 3,
        "truncation": "auto", "service_tier": "flex", "text": {"verbosity": "low"}, "next_year": 1,
        "router_mode": "cost",
    });
    let encoded = encoded(NEW, request);
    let mut lost = params(&encoded.warnings);
    lost.sort_unstable();
    assert_eq!(
        lost,
        [
            "max_tool_calls",
            "next_year",
            "parallel_tool_calls",
            "service_tier",
            "text.verbosity",
            "top_logprobs",
            "truncation"
        ]
    );
}

#[test]
fn a_text_and_its_usage_in_the_normal_form() {
    let body = json!({
        "candidates": [{"content": {"parts": [{"text": "Hel"}, {"text": "lo"}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5,
                          "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 3, "totalTokenCount": 138},
        "modelVersion": "gemini-3.5-flash-001",
    });
    let delta = |text: &str| ModelEvent::Delta { key: 0, field: Field::Text(0), text: text.to_owned() };
    let wanted = [
        ModelEvent::Started { model: Some("gemini-3.5-flash-001".to_owned()) },
        ModelEvent::ItemStarted { key: 0, item: ItemStart::Message },
        delta("Hel"),
        delta("lo"),
        ModelEvent::ItemDone { key: 0, end: tokenrouter_protocol::ItemEnd::default() },
        ModelEvent::Usage(Usage {
            uncached_input: 43,
            cache_read: 60,
            cache_write: 0,
            output: 35,
            reasoning: 30,
            cache_write_1h: 0,
        }),
        ModelEvent::Finished(FinishReason::Completed),
    ];
    assert_eq!(plain(&body), wanted);
    let Some(ModelEvent::Usage(usage)) = wanted.get(5) else { panic!() };
    assert_eq!(usage.total(), 138);
}

#[test]
fn arguments_are_the_bytes_that_the_model_gave() {
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{ "x" : 1.50, "y":1e2 }}},{"functionCall":{"id":"c7","name":"g"}}]},"finishReason":"STOP"}]}"#;
    let events = decode_response(Kind::Gemini, body, &Translation::new(Kind::Gemini, "gemini", OLD)).unwrap();
    let calls: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ItemStarted { item: ItemStart::FunctionCall { call_id, name, .. }, .. } => {
                Some((call_id.as_str(), name.as_str()))
            }
            _ => None,
        })
        .collect();
    assert!(matches!(calls.as_slice(), [(made, "f"), ("c7", "g")] if super::decode::is_made_id(made)), "{calls:?}");
    let arguments: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::Delta { field: Field::Arguments, text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(arguments, [r#"{ "x" : 1.50, "y":1e2 }"#, "{}"]);
}

/// The reasoning items and calls of an answer as the next request's input.
fn given_back(model: &str, sealed: &str, rest: Value) -> Encoded {
    let mut input = vec![
        json!({"role": "user", "content": "x"}),
        json!({"type": "reasoning", "summary": [], "encrypted_content": sealed}),
    ];
    input.extend(rest.as_array().cloned().unwrap_or_default());
    encoded(model, json!({ "input": input }))
}

#[test]
fn trap_8_a_signature_comes_back_at_the_part_that_it_signed_and_to_its_own_model_alone() {
    let thought = json!({"text": "Hm.", "thought": true});
    let call = json!({"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "U2ln"});
    for events in [
        plain(&chunk(json!([thought, call]), Some("STOP"))),
        streamed(&[chunk(json!([thought]), None), chunk(json!([call]), Some("STOP"))]),
        // Also where the thoughts themselves are not told.
        streamed(&[chunk(json!([call]), Some("STOP"))]),
    ] {
        let [sealed] = sealed(&events).try_into().unwrap();
        let rest = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                          {"type": "function_call_output", "call_id": "c", "output": "y"}]);
        let again = given_back(NEW, &sealed, rest.clone());
        assert_eq!(again.warnings, []);
        let body: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(body["contents"][1]["parts"], json!([call]));
        let foreign = given_back("gemini-4-argon", &sealed, rest);
        assert_eq!(params(&foreign.warnings), ["input[1]"]);
        assert!(!String::from_utf8(foreign.body).unwrap().contains("U2ln"));
    }
}

#[test]
fn trap_8_a_signature_that_comes_after_its_text_goes_back_after_it() {
    let events = streamed(&[
        chunk(json!([{"text": "Hello"}]), None),
        chunk(json!([{"text": "", "thoughtSignature": "U2ln"}]), Some("STOP")),
    ]);
    let [sealed] = sealed(&events).try_into().unwrap();
    let input = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "Hello"},
        {"type": "reasoning", "summary": [], "encrypted_content": sealed},
        {"role": "user", "content": "y"},
    ]);
    let body = sent(NEW, json!({ "input": input }));
    assert_eq!(body["contents"][1]["parts"], json!([{"text": "Hello"}, {"text": "", "thoughtSignature": "U2ln"}]));
    let signed_text = plain(&chunk(json!([{"text": "Hello", "thoughtSignature": "U2ln"}]), Some("STOP")));
    let kinds: Vec<&ItemStart> = signed_text
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ItemStarted { item, .. } => Some(item),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [&ItemStart::Reasoning, &ItemStart::Message]);
}

#[test]
fn trap_15_stops_that_are_no_clean_ends() {
    for (reason, wanted) in [
        ("STOP", FinishReason::Completed),
        ("MAX_TOKENS", FinishReason::MaxOutputTokens),
        ("SAFETY", FinishReason::ContentFilter),
        ("RECITATION", FinishReason::ContentFilter),
        ("BLOCKLIST", FinishReason::ContentFilter),
        ("PROHIBITED_CONTENT", FinishReason::ContentFilter),
        ("SPII", FinishReason::ContentFilter),
    ] {
        let body = chunk(json!([{"text": "a"}]), Some(reason));
        for events in [plain(&body), streamed(&[chunk(json!([{"text": "a"}]), None), chunk(json!([]), Some(reason))])] {
            assert_eq!(finish(&events), wanted, "{reason}");
            let cut = events.iter().any(|e| matches!(e, ModelEvent::ItemDone { end, .. } if end.incomplete));
            assert_eq!(cut, wanted != FinishReason::Completed, "{reason}");
        }
    }
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}});
    assert_eq!(finish(&plain(&blocked)), FinishReason::ContentFilter);
    for (reason, status) in [
        ("MALFORMED_FUNCTION_CALL", 500),
        ("TOO_MANY_TOOL_CALLS", 500),
        ("OTHER", 500),
        ("MISSING_THOUGHT_SIGNATURE", 400),
        ("PUP_LIMITED_DISABLED", 403),
    ] {
        let events = plain(&chunk(json!([]), Some(reason)));
        let Some(ModelEvent::Failed(error)) = events.last() else { panic!("{reason} is no end of an answer") };
        assert_eq!((error.status, error.kind.as_str()), (status, reason.to_ascii_lowercase().as_str()));
    }
}

#[test]
fn trap_7_an_error_in_a_stream_is_a_failure_and_a_stream_that_breaks_off_is_cut() {
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    let events = streamed(&[chunk(json!([{"text": "a"}]), None), error]);
    let Some(ModelEvent::Failed(error)) = events.last() else { panic!("no failure") };
    assert_eq!((error.status, error.kind.as_str()), (503, "UNAVAILABLE"));

    let translation = Translation::new(Kind::Gemini, "gemini", NEW);
    let mut decoder = StreamDecoder::new(Kind::Gemini, translation.clone());
    let mut out = Vec::new();
    decoder.event("", &chunk(json!([{"text": "a"}]), None).to_string(), &mut out).unwrap();
    assert!(decoder.end(&mut out).is_err());
    for body in ["{}", "[]", "[{}]", "7", "<html>", r#"{"candidates":[]}"#, r#"{"candidates":{}}"#] {
        assert!(decode_response(Kind::Gemini, body.as_bytes(), &translation).is_err(), "{body}");
    }
}
