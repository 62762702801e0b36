//! Our request as OpenAI's.

use crate::encode::{Context, EncodeError, Target, to_json};
use crate::envelope::{Opened, open};
use serde_json::{Map, Value, json};
use tokenrouter_protocol::{Item, Reasoning, Request, TextConfig, Tool};

pub(crate) fn encode(context: &mut Context, request: &Request) -> Result<Vec<u8>, EncodeError> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", context.target.model.into());
    put("instructions", json!(request.instructions));
    put("input", input(context, request));
    if !request.tools.is_empty() {
        put("tools", json!(request.tools));
        put("tool_choice", tool_choice(request));
    }
    put("parallel_tool_calls", json!(request.parallel_tool_calls));
    put("max_tool_calls", json!(request.max_tool_calls));
    if request.text != TextConfig::default() {
        put("text", json!(request.text));
    }
    put("reasoning", json!(request.reasoning));
    put("temperature", json!(request.temperature));
    put("top_p", json!(request.top_p));
    put("top_logprobs", json!(request.top_logprobs));
    put("max_output_tokens", json!(request.max_output_tokens));
    put("truncation", json!(request.truncation));
    put("include", include(context.target, request));
    put("service_tier", json!(request.service_tier));
    put("safety_identifier", json!(request.safety_identifier));
    put("prompt_cache_key", json!(request.prompt_cache_key));
    put("user", json!(request.user));
    put("store", false.into());
    if context.target.stream {
        put("stream", true.into());
    }
    context.losses.add_if(
        request.presence_penalty.is_some(),
        "presence_penalty",
        "OpenAI's Responses have no such field",
    );
    context.losses.add_if(
        request.frequency_penalty.is_some(),
        "frequency_penalty",
        "OpenAI's Responses have no such field",
    );
    context.losses.add_if(!request.stop.is_empty(), "stop", "OpenAI's Responses have no such field");
    for name in request.chat_only.keys() {
        context.losses.add(name, "OpenAI's Responses have no such field, or their answer to it is not carried");
    }
    for (name, value) in &request.extra {
        if !name.starts_with("router_") && !body.contains_key(name) {
            body.insert(name.clone(), value.clone());
        }
    }
    to_json(&body, 1_024)
}

/// Of a model that reasons its sealed reasoning is always asked for: OpenAI keeps none, and what goes on from this answer
/// needs it. Other models refuse to be asked.
fn include(target: &Target, request: &Request) -> Value {
    const SEALED: &str = "reasoning.encrypted_content";
    let mut include: Vec<&str> = request.include.iter().map(String::as_str).collect();
    if target.reasoning && !include.contains(&SEALED) {
        include.push(SEALED);
    }
    if include.is_empty() { Value::Null } else { json!(include) }
}

/// The tools that are allowed are named with their types.
fn tool_choice(request: &Request) -> Value {
    let mut choice = json!(request.tool_choice);
    let is_other = |kind: &str, name: &str| {
        request.tools.iter().any(|tool| match tool {
            Tool::Other(object) => {
                object.get("type").is_some_and(|k| k == kind) && object.get("name").is_some_and(|n| n == name)
            }
            Tool::Function(_) => false,
        })
    };
    for tool in choice.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(object) = tool.as_object_mut() else { continue };
        let name = object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(kind) = ["custom", "namespace"].into_iter().find(|kind| is_other(kind, &name)) {
            object.insert("type".to_owned(), kind.into());
        }
    }
    choice
}

fn input(context: &mut Context, request: &Request) -> Value {
    let mut items = Vec::with_capacity(request.input.len());
    for (i, item) in request.input.iter().enumerate() {
        match item {
            Item::Reasoning(reasoning) => items.extend(reasoning_item(context, reasoning, i)),
            Item::Reference(_) => {}
            Item::Other(object) => {
                let mut object = object.clone();
                // Kept by nobody at OpenAI, under an id that may be ours.
                if object
                    .get("type")
                    .is_some_and(|kind| kind == "custom_tool_call" || kind == "custom_tool_call_output")
                {
                    object.shift_remove("id");
                    object.shift_remove("status");
                }
                items.push(Value::Object(object));
            }
            item => {
                let named = matches!(item, Item::Message(message) if message.extra.contains_key("name"));
                context.losses.add_if(named, &format!("input[{i}].name"), "OpenAI's Responses have no such field");
                let mut value = json!(item);
                if let Value::Object(object) = &mut value {
                    object.shift_remove("id");
                    object.shift_remove("status");
                    if named {
                        object.shift_remove("name");
                    }
                }
                items.push(value);
            }
        }
    }
    Value::Array(items)
}

fn reasoning_item(context: &mut Context, reasoning: &Reasoning, i: usize) -> Option<Value> {
    let (id, encrypted) = match reasoning.encrypted_content.as_deref().map(|text| (text, open(text, context.target))) {
        Some((_, Opened::Native(sealed))) => (sealed.id, sealed.signature?),
        Some((text, Opened::Bare)) => (reasoning.id.clone(), text.to_owned()),
        Some((_, Opened::Foreign(why))) => {
            context.losses.add(format_args!("input[{i}]"), format!("the reasoning was left out: {why}"));
            return None;
        }
        None => {
            context.losses.add(format_args!("input[{i}]"), "the reasoning was left out: it has no `encrypted_content`");
            return None;
        }
    };
    let summary: Vec<Value> =
        reasoning.summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
    let mut value = json!({"type": "reasoning", "summary": summary, "encrypted_content": encrypted});
    if let Some(id) = id {
        value["id"] = id.into();
    }
    Some(value)
}
