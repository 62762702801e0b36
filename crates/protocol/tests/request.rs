//! What a request may look like, and what is said of one that is wrong.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenrouter_protocol::{Item, Part, Request, TextFormat, Tool, ToolChoice};

fn parse(body: Value) -> Request {
    Request::parse(body).unwrap()
}

fn wrong(body: Value) -> String {
    Request::parse(body).unwrap_err().param
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    assert_eq!(wrong(json!({})), "input");
    assert_eq!(wrong(json!({"input": 7})), "input");
    assert_eq!(wrong(json!({"input": []})), "input");
    assert_eq!(wrong(json!({"input": "x", "temperature": "hot"})), "temperature");
    assert_eq!(wrong(json!({"input": "x", "temperature": 3})), "temperature");
    assert_eq!(wrong(json!({"input": "x", "max_output_tokens": 0})), "max_output_tokens");
    assert_eq!(wrong(json!({"input": "x", "max_output_tokens": 1.5})), "max_output_tokens");
    assert_eq!(wrong(json!({"input": "x", "stream": "yes"})), "stream");
    assert_eq!(wrong(json!({"input": [{"role": "king", "content": "x"}]})), "input[0].role");
    assert_eq!(
        wrong(json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]})),
        "input[0].content[0].text"
    );
    assert_eq!(wrong(json!({"input": [{"type": "function_call_output", "output": "x"}]})), "input[0].call_id");
    assert_eq!(wrong(json!({"input": "x", "tools": [{"type": "function"}]})), "tools[0].name");
    assert_eq!(wrong(json!({"input": "x", "tool_choice": "perhaps"})), "tool_choice");
    assert_eq!(wrong(json!({"input": "x", "metadata": {"a": []}})), "metadata.a");
    assert_eq!(wrong(json!({"input": "x", "text": {"format": {"type": "xml"}}})), "text.format.type");
    assert_eq!(wrong(json!([1])), "");
}

#[test]
fn the_older_shapes_mean_the_same() {
    let old = parse(json!({
        "input": [{"role": "user", "content": [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}
        ]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "text": {"json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}
    }));
    let new = parse(json!({
        "input": [{"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "hi"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
        ]}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}}
    }));
    assert_eq!(old.input, new.input);
    assert_eq!(old.tools, new.tools);
    assert_eq!(old.tool_choice, ToolChoice::Function("f".into()));
    assert_eq!(old.text, new.text);
    assert!(matches!(new.text.format, TextFormat::JsonSchema { strict: Some(true), .. }));
    assert!(matches!(&new.tools[0], Tool::Function(f) if f.name == "f"));
}

#[test]
fn what_is_not_known_is_kept_and_written_back() {
    let request = parse(json!({
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "data": "x"}], "phase": "p"},
            {"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}}
        ],
        "shiny_new_field": {"a": 1}
    }));
    assert_eq!(request.extra["shiny_new_field"], json!({"a": 1}));
    let Item::Message(message) = &request.input[0] else { panic!("a message") };
    assert!(matches!(&message.content[0], Part::Other(o) if o["data"] == "x"));
    let back = serde_json::to_value(&request.input).unwrap();
    assert_eq!(back[0]["phase"], "p");
    assert_eq!(back[0]["content"][0], json!({"type": "input_audio", "data": "x"}));
    assert_eq!(back[1], json!({"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}}));
}

#[test]
fn null_counts_as_absent() {
    let request = parse(json!({"input": "x", "temperature": null, "tools": null, "metadata": null, "store": null}));
    assert!(request.store && request.temperature.is_none() && request.tools.is_empty());
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = "input|type|role|content|text|message|user|function_call|call_id|name|arguments|output|summary|id|url";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words.prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((words, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused_and_never_worse(body in any_json()) {
        let _ = Request::parse(body);
    }

    #[test]
    fn an_item_that_is_written_is_read_again_as_it_was(body in any_json()) {
        if let Ok(item) = Item::parse(body, "item") {
            let written = serde_json::to_value(&item).unwrap();
            let again = Item::parse(written.clone(), "item").unwrap();
            prop_assert_eq!(serde_json::to_value(&again).unwrap(), written);
        }
    }
}
