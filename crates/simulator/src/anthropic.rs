//! Anthropic's Messages, with what Anthropic refuses.

use crate::mind::{Prompt, Reply, tokens};
use crate::wire::{content, event};
use http::HeaderMap;
use serde_json::{Value, json};

pub(crate) fn parse(provider: &str, request: &Value, headers: &HeaderMap) -> Result<Prompt, String> {
    if !headers.contains_key("anthropic-version") {
        return Err("anthropic-version: header is required".to_owned());
    }
    let model = request["model"].as_str().unwrap_or_default();
    let mut prompt = Prompt { provider: provider.into(), model: model.into(), ..Prompt::default() };
    let limit = request["max_tokens"].as_u64().ok_or("max_tokens: Field required")?;
    prompt.max_tokens = usize::try_from(limit).ok();
    let system = content(&request["system"]).0;
    if !system.is_empty() {
        prompt.message("system", system);
    }
    let messages =
        request["messages"].as_array().filter(|m| !m.is_empty()).ok_or("messages: at least one message is required")?;
    let mut pending: Vec<String> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "user" && role != "assistant" {
            return Err(format!("messages: unexpected role \"{role}\""));
        }
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        if blocks.iter().any(|b| b["type"] == "text" && b["text"].as_str().is_none_or(|t| t.trim().is_empty())) {
            return Err("messages: text content blocks must contain non-whitespace text".to_owned());
        }
        let answered: Vec<&str> =
            blocks.iter().filter(|b| b["type"] == "tool_result").filter_map(|b| b["tool_use_id"].as_str()).collect();
        if let Some(missing) = pending.iter().find(|id| !answered.contains(&id.as_str())) {
            return Err(format!(
                "messages: `tool_use` id {missing} was found without a `tool_result` block immediately after"
            ));
        }
        if answered.iter().any(|id| !pending.iter().any(|known| known == id)) {
            return Err("messages: unexpected `tool_use_id` found in `tool_result` blocks".to_owned());
        }
        pending = blocks
            .iter()
            .filter(|b| b["type"] == "tool_use")
            .filter_map(|b| b["id"].as_str().map(str::to_owned))
            .collect();
        let (text, images, files) = content(&message["content"]);
        prompt.images += images;
        prompt.files += files;
        if !text.is_empty() || answered.is_empty() {
            prompt.message(role, text);
        }
        for block in blocks.iter().filter(|b| b["type"] == "tool_result") {
            let (text, images, files) = content(&block["content"]);
            prompt.tool_results.push(text);
            prompt.images += images;
            prompt.files += files;
        }
    }
    for tool in request["tools"].as_array().into_iter().flatten() {
        prompt.tools.push((tool["name"].as_str().unwrap_or_default().to_owned(), tool["input_schema"].clone()));
    }
    let choice = &request["tool_choice"];
    prompt.tool_choice = match choice["type"].as_str() {
        Some("any") => "required".to_owned(),
        Some("tool") => choice["name"].as_str().unwrap_or_default().to_owned(),
        Some(word) => word.to_owned(),
        None => "auto".to_owned(),
    };
    prompt.reasoning = request["thinking"]["type"] == "enabled";
    if prompt.reasoning && !matches!(prompt.tool_choice.as_str(), "auto" | "none") {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    if request["temperature"].as_f64().is_some_and(|t| !(0.0..=1.0).contains(&t)) {
        return Err("temperature: range: 0..1".to_owned());
    }
    let format = &request["output_config"]["format"];
    if format["type"] == "json_schema" {
        prompt.schema = Some(format["schema"].clone());
    }
    Ok(prompt)
}

fn stop_reason(reply: &Reply) -> &'static str {
    if reply.refused {
        return "refusal";
    }
    match (reply.cut, reply.calls.is_empty()) {
        (true, _) => "max_tokens",
        (false, false) => "tool_use",
        (false, true) => "end_turn",
    }
}

fn usage(reply: &Reply, output: usize) -> Value {
    json!({"input_tokens": reply.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output})
}

/// The figures that are known at the end.
fn final_usage(reply: &Reply) -> Value {
    let mut usage = usage(reply, reply.output_tokens);
    if reply.thought.is_some() {
        usage["output_tokens_details"] = json!({"thinking_tokens": reply.reasoning_tokens});
    }
    usage
}

fn signature(reply: &Reply) -> String {
    format!("sim{:016x}", reply.seed)
}

fn message(prompt: &Prompt, reply: &Reply) -> Value {
    json!({"id": format!("msg_{:016x}", reply.seed), "type": "message", "role": "assistant", "model": prompt.model,
           "content": [], "stop_reason": null, "stop_sequence": null})
}

pub(crate) fn whole(prompt: &Prompt, reply: &Reply) -> Value {
    let mut body = message(prompt, reply);
    let mut blocks = Vec::new();
    if let Some(thought) = &reply.thought {
        blocks.push(json!({"type": "thinking", "thinking": thought, "signature": signature(reply)}));
    }
    if reply.calls.is_empty() && !reply.refused {
        blocks.push(json!({"type": "text", "text": reply.text}));
    }
    for call in &reply.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    body["content"] = blocks.into();
    body["stop_reason"] = stop_reason(reply).into();
    body["usage"] = final_usage(reply);
    body
}

pub(crate) fn events(prompt: &Prompt, reply: &Reply) -> Vec<String> {
    let mut start = message(prompt, reply);
    start["usage"] = usage(reply, 1);
    let mut out = vec![event("message_start", json!({"type": "message_start", "message": start}))];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        out.push(event(
            "content_block_start",
            json!({"type": "content_block_start", "index": index, "content_block": start}),
        ));
        if index == 0 {
            out.push(event("ping", json!({"type": "ping"})));
        }
        for delta in deltas {
            out.push(event(
                "content_block_delta",
                json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ));
        }
        out.push(event("content_block_stop", json!({"type": "content_block_stop", "index": index})));
        index += 1;
    };
    if let Some(thought) = &reply.thought {
        let mut deltas: Vec<Value> =
            tokens(thought).iter().map(|t| json!({"type": "thinking_delta", "thinking": t})).collect();
        deltas.push(json!({"type": "signature_delta", "signature": signature(reply)}));
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas);
    }
    if reply.calls.is_empty() && !reply.refused {
        let deltas = tokens(&reply.text).iter().map(|t| json!({"type": "text_delta", "text": t})).collect();
        block(json!({"type": "text", "text": ""}), deltas);
    }
    for call in &reply.calls {
        let mut deltas = vec![json!({"type": "input_json_delta", "partial_json": ""})];
        let pieces = call.arguments.split_inclusive([' ', ',', ':']);
        deltas.extend(pieces.map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
        block(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}), deltas);
    }
    out.push(event(
        "message_delta",
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason(reply), "stop_sequence": null},
               "usage": final_usage(reply)}),
    ));
    out.push(event("message_stop", json!({"type": "message_stop"})));
    out
}
