//! OpenAI's Responses.

use crate::mind::{Prompt, Reply, logprobs, reasons, tokens};
use crate::wire::{content, event};
use serde_json::{Value, json};

pub(crate) fn parse(provider: &str, request: &Value) -> Result<Prompt, String> {
    let model = request["model"].as_str().unwrap_or_default();
    let mut prompt = Prompt { provider: provider.into(), model: model.into(), ..Prompt::default() };
    if let Some(instructions) = request["instructions"].as_str() {
        prompt.message("system", instructions.to_owned());
    }
    if let Some(id) = request["previous_response_id"].as_str() {
        return Err(format!("Previous response with id '{id}' not found."));
    }
    match &request["input"] {
        Value::String(text) => prompt.message("user", text.clone()),
        Value::Array(items) => {
            for item in items {
                match item["type"].as_str().unwrap_or("message") {
                    "message" => {
                        let (text, images, files) = content(&item["content"]);
                        prompt.images += images;
                        prompt.files += files;
                        prompt.message(item["role"].as_str().unwrap_or("user"), text);
                    }
                    "function_call_output" | "custom_tool_call_output" => {
                        let (text, images, files) = content(&item["output"]);
                        prompt.tool_results.push(text);
                        prompt.images += images;
                        prompt.files += files;
                    }
                    "function_call" | "custom_tool_call" | "reasoning" => {}
                    other => return Err(format!("Invalid value: '{other}'. Supported values are: 'message', …")),
                }
            }
        }
        _ => return Err("Missing required parameter: 'input'.".to_owned()),
    }
    offer(&mut prompt, &request["tools"], None);
    if request["tool_choice"]["type"] == "allowed_tools" {
        let allowed = request["tool_choice"]["tools"].as_array().into_iter().flatten();
        let names: Vec<&str> = allowed.filter_map(|tool| tool["name"].as_str()).collect();
        let spaces: Vec<&str> = prompt
            .namespaces
            .iter()
            .filter(|(_, space)| names.contains(&space.as_str()))
            .map(|(name, _)| &**name)
            .collect();
        prompt.tools.retain(|(name, _)| names.contains(&name.as_str()) || spaces.contains(&name.as_str()));
        prompt.namespaces.retain(|(_, space)| names.contains(&space.as_str()));
        prompt.tools.dedup_by(|a, b| a.0 == b.0);
    }
    prompt.tool_choice = match &request["tool_choice"] {
        Value::String(word) => word.clone(),
        choice if choice["mode"] == "required" => "required".to_owned(),
        choice => choice["name"].as_str().unwrap_or("auto").to_owned(),
    };
    let format = &request["text"]["format"];
    match format["type"].as_str() {
        Some("json_schema") => prompt.schema = Some(format["schema"].clone()),
        Some("json_object") => prompt.json = true,
        _ => {}
    }
    prompt.max_tokens = request["max_output_tokens"].as_u64().and_then(|n| usize::try_from(n).ok());
    let effort = request["reasoning"]["effort"].as_str();
    prompt.reasoning =
        reasons(model) || effort.is_some_and(|effort| effort != "none") || request["reasoning"]["summary"].is_string();
    if request["include"].as_array().is_some_and(|list| list.iter().any(|word| word == "message.output_text.logprobs"))
    {
        prompt.logprobs = Some(request["top_logprobs"].as_u64().unwrap_or(0));
    }
    Ok(prompt)
}

fn offer(prompt: &mut Prompt, tools: &Value, namespace: Option<&str>) {
    for tool in tools.as_array().into_iter().flatten() {
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        match tool["type"].as_str() {
            Some("namespace") => {
                offer(prompt, &tool["tools"], Some(&name));
                continue;
            }
            Some("custom") => prompt.custom.push(name.clone()),
            Some("function") => {}
            _ => continue,
        }
        if let Some(namespace) = namespace {
            prompt.namespaces.push((name.clone(), namespace.to_owned()));
        }
        prompt.tools.push((name, tool["parameters"].clone()));
    }
}

/// The one part of the message, with so much of its text.
fn part(prompt: &Prompt, reply: &Reply, text: &str) -> Value {
    if reply.refused {
        return json!({"type": "refusal", "refusal": text});
    }
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs(prompt, text))})
}

fn list(value: Value) -> Value {
    if value.is_array() { value } else { json!([]) }
}

/// An event's tokens tell no bytes.
fn without_bytes(mut list: Value) -> Value {
    for token in list.as_array_mut().into_iter().flatten() {
        let others = token["top_logprobs"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
        others.for_each(|other| drop(other.remove("bytes")));
        token.as_object_mut().map(|token| token.remove("bytes"));
    }
    list
}

fn items(prompt: &Prompt, reply: &Reply, request: &Value) -> Vec<Value> {
    let status = if reply.cut { "incomplete" } else { "completed" };
    let mut items = Vec::new();
    if let Some(thought) = &reply.thought {
        let mut item = json!({"id": format!("rs_{:016x}", reply.seed), "type": "reasoning",
                              "summary": [{"type": "summary_text", "text": thought}]});
        let include = request["include"].as_array();
        if include.is_some_and(|list| list.iter().any(|word| word == "reasoning.encrypted_content")) {
            item["encrypted_content"] = format!("simulated-{}-{:016x}", prompt.model, reply.seed).into();
        }
        items.push(item);
    }
    if reply.calls.is_empty() {
        items.push(
            json!({"id": format!("msg_{:016x}", reply.seed), "type": "message", "role": "assistant", "status": status,
            "content": [part(prompt, reply, &reply.text)]}),
        );
    }
    let last = reply.calls.len().saturating_sub(1);
    for (i, call) in reply.calls.iter().enumerate() {
        let status = if i == last { status } else { "completed" };
        let mut item = if prompt.custom.contains(&call.name) {
            // Of any text a word in quotation marks is an example.
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            json!({"id": format!("ctc_{:016x}{i}", reply.seed), "type": "custom_tool_call", "status": status,
                "call_id": call.id, "name": call.name, "input": input})
        } else {
            json!({"id": format!("fc_{:016x}{i}", reply.seed), "type": "function_call", "status": status,
                "call_id": call.id, "name": call.name, "arguments": call.arguments})
        };
        if let Some((_, namespace)) = prompt.namespaces.iter().find(|(name, _)| *name == call.name) {
            item["namespace"] = namespace.as_str().into();
        }
        items.push(item);
    }
    items
}

fn response(prompt: &Prompt, reply: &Reply, request: &Value) -> Value {
    let or = |name: &str, default: Value| if request[name].is_null() { default } else { request[name].clone() };
    json!({
        "id": format!("resp_{:016x}", reply.seed), "object": "response", "created_at": 1_767_225_600,
        "completed_at": null, "status": "in_progress", "background": false, "error": null, "incomplete_details": null,
        "instructions": request["instructions"], "max_output_tokens": request["max_output_tokens"],
        "max_tool_calls": request["max_tool_calls"], "model": prompt.model, "output": [],
        "parallel_tool_calls": or("parallel_tool_calls", true.into()), "previous_response_id": null,
        "reasoning": or("reasoning", json!({"effort": null, "summary": null})), "store": or("store", true.into()),
        "temperature": or("temperature", 1.0.into()), "text": or("text", json!({"format": {"type": "text"}})),
        "tool_choice": or("tool_choice", "auto".into()), "tools": or("tools", json!([])),
        "top_p": or("top_p", 1.0.into()), "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_logprobs": 0,
        "truncation": or("truncation", "disabled".into()), "usage": null, "user": null, "metadata": {},
        "service_tier": "default", "safety_identifier": null, "prompt_cache_key": null,
    })
}

pub(crate) fn whole(prompt: &Prompt, reply: &Reply, request: &Value) -> Value {
    let mut body = response(prompt, reply, request);
    body["output"] = items(prompt, reply, request).into();
    if reply.cut {
        body["status"] = "incomplete".into();
        body["incomplete_details"] = json!({"reason": "max_output_tokens"});
    } else {
        body["status"] = "completed".into();
        body["completed_at"] = 1_767_225_601.into();
    }
    body["usage"] = json!({
        "input_tokens": reply.input_tokens, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": reply.output_tokens, "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    });
    body
}

struct Events {
    out: Vec<String>,
}

impl Events {
    fn emit(&mut self, kind: &str, mut fields: Value) {
        fields["type"] = kind.into();
        fields["sequence_number"] = self.out.len().into();
        self.out.push(event(kind, fields));
    }
}

pub(crate) fn events(prompt: &Prompt, reply: &Reply, request: &Value) -> Vec<String> {
    let mut events = Events { out: Vec::new() };
    let begun = response(prompt, reply, request);
    events.emit("response.created", json!({ "response": begun }));
    events.emit("response.in_progress", json!({ "response": begun }));
    for (index, item) in items(prompt, reply, request).iter().enumerate() {
        let mut started = item.clone();
        for (name, empty) in [
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", json!("")),
            ("input", json!("")),
            ("status", json!("in_progress")),
        ] {
            if !started[name].is_null() {
                started[name] = empty;
            }
        }
        events.emit("response.output_item.added", json!({"output_index": index, "item": started}));
        let place = |fields: Value| {
            let mut fields = fields;
            fields["item_id"] = item["id"].clone();
            fields["output_index"] = index.into();
            fields
        };
        match item["type"].as_str() {
            Some("message") => {
                let begun = json!({"content_index": 0, "part": part(prompt, reply, "")});
                events.emit("response.content_part.added", place(begun));
                for piece in tokens(&reply.text) {
                    if reply.refused {
                        let delta = place(json!({"content_index": 0, "delta": piece}));
                        events.emit("response.refusal.delta", delta);
                    } else {
                        let delta = place(
                            json!({"content_index": 0, "delta": piece, "logprobs": without_bytes(list(logprobs(prompt, piece)))}),
                        );
                        events.emit("response.output_text.delta", delta);
                    }
                }
                if reply.refused {
                    let done = place(json!({"content_index": 0, "refusal": reply.text}));
                    events.emit("response.refusal.done", done);
                } else {
                    let done = place(
                        json!({"content_index": 0, "text": reply.text, "logprobs": without_bytes(list(logprobs(prompt, &reply.text)))}),
                    );
                    events.emit("response.output_text.done", done);
                }
                events
                    .emit("response.content_part.done", place(json!({"content_index": 0, "part": item["content"][0]})));
            }
            Some("reasoning") => {
                let text = reply.thought.as_deref().unwrap_or_default();
                let part = |text: &str| json!({"type": "summary_text", "text": text});
                events.emit(
                    "response.reasoning_summary_part.added",
                    place(json!({"summary_index": 0, "part": part("")})),
                );
                for piece in tokens(text) {
                    events.emit(
                        "response.reasoning_summary_text.delta",
                        place(json!({"summary_index": 0, "delta": piece})),
                    );
                }
                events.emit("response.reasoning_summary_text.done", place(json!({"summary_index": 0, "text": text})));
                events.emit(
                    "response.reasoning_summary_part.done",
                    place(json!({"summary_index": 0, "part": part(text)})),
                );
            }
            Some("custom_tool_call") => {
                events.emit("response.custom_tool_call_input.delta", place(json!({"delta": item["input"]})));
                events.emit("response.custom_tool_call_input.done", place(json!({"input": item["input"]})));
            }
            _ => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                for piece in arguments.split_inclusive([' ', ',', ':']) {
                    events.emit("response.function_call_arguments.delta", place(json!({ "delta": piece })));
                }
                events.emit(
                    "response.function_call_arguments.done",
                    place(json!({"arguments": arguments, "name": item["name"]})),
                );
            }
        }
        events.emit("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let last = if reply.cut { "response.incomplete" } else { "response.completed" };
    events.emit(last, json!({ "response": whole(prompt, reply, request) }));
    events.out
}
