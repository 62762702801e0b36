//! Chat Completions, with the ways of Mistral and DeepSeek.

use crate::mind::{Prompt, Reply, logprobs, reasons, tokens};
use crate::wire::content;
use serde_json::{Value, json};

pub(crate) fn parse(provider: &str, request: &Value) -> Result<Prompt, String> {
    let model = request["model"].as_str().unwrap_or_default();
    let mut prompt = Prompt { provider: provider.into(), model: model.into(), ..Prompt::default() };
    let messages = request["messages"].as_array().filter(|m| !m.is_empty()).ok_or("messages is required")?;
    if provider == "mistral" {
        for name in ["stream_options", "max_completion_tokens", "store", "metadata"] {
            if !request[name].is_null() {
                return Err(format!("Extra inputs are not permitted: {name}"));
            }
        }
    }
    if provider == "mistral" {
        mistral_order(messages)?;
    }
    // DeepSeek's newer models think unless they are told not to; here they tell of it when they are asked how much.
    let newer = provider == "deepseek" && (reasons(model) || model.contains("v4"));
    let thinks = newer && request["thinking"]["type"] != "disabled";
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        let (text, images, files) = content(&message["content"]);
        prompt.images += images;
        prompt.files += files;
        match role {
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                if provider == "mistral" && (id.len() != 9 || !id.bytes().all(|b| b.is_ascii_alphanumeric())) {
                    return Err(format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9."));
                }
                prompt.tool_results.push(text);
            }
            "developer" if provider != "openai" => return Err("unknown role developer".to_owned()),
            // Pictures alone, after the results of tools, belong to them.
            "user" if text.is_empty() && images + files > 0 && !prompt.tool_results.is_empty() => {}
            "assistant" if thinks && message["tool_calls"].is_array() && !message["reasoning_content"].is_string() => {
                return Err("The `reasoning_content` in the thinking mode must be passed back to the API.".to_owned());
            }
            "user" | "assistant" | "system" | "developer" => prompt.message(role, text),
            other => return Err(format!("unknown role {other}")),
        }
    }
    for tool in request["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        prompt.tools.push((function["name"].as_str().unwrap_or_default().to_owned(), function["parameters"].clone()));
    }
    prompt.tool_choice = match &request["tool_choice"] {
        Value::String(word) if word == "any" => "required".to_owned(),
        Value::String(word) => word.clone(),
        choice => choice["function"]["name"].as_str().unwrap_or("auto").to_owned(),
    };
    let format = &request["response_format"];
    match format["type"].as_str() {
        Some("json_schema") if provider != "deepseek" => prompt.schema = Some(format["json_schema"]["schema"].clone()),
        Some("json_schema") => return Err("This response_format type is unavailable now".to_owned()),
        Some("json_object") => prompt.json = true,
        _ => {}
    }
    let limit = request["max_completion_tokens"].as_u64().or_else(|| request["max_tokens"].as_u64());
    prompt.max_tokens = limit.and_then(|n| usize::try_from(n).ok());
    prompt.reasoning = reasons(model) && provider != "openai" || thinks && request["reasoning_effort"].is_string();
    if request["logprobs"] == true {
        if thinks {
            return Err(format!("{model} does not support logprobs"));
        }
        prompt.logprobs = Some(request["top_logprobs"].as_u64().unwrap_or(0));
    }
    Ok(prompt)
}

/// What <https://github.com/mistralai/mistral-common> refuses before the model sees it.
fn mistral_order(messages: &[Value]) -> Result<(), String> {
    let mut before = "system";
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        let may_follow: &[&str] = match before {
            "user" => &["assistant", "system", "user"],
            "assistant" => &["assistant", "user", "tool"],
            "tool" => &["assistant", "tool"],
            _ => &["user", "assistant", "system"],
        };
        if !may_follow.contains(&role) {
            return Err(format!("Unexpected role '{role}' after role '{before}'"));
        }
        let has_calls = message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
        let has_content = !(message["content"].is_null() || message["content"] == "");
        if role == "assistant" && !has_calls && !has_content {
            return Err("Assistant message must have either content or tool_calls, but not none.".to_owned());
        }
        before = role;
    }
    if before == "assistant" && messages.last().is_some_and(|last| last["prefix"] != true) {
        let wanted = "Expected last role User or Tool (or Assistant with prefix True) for serving";
        return Err(format!("{wanted} but got assistant"));
    }
    Ok(())
}

/// OpenAI's models refuse beside the content, DeepSeek's host filters it away; Mistral's models have no
/// other way than words.
fn has_refusals(prompt: &Prompt) -> bool {
    !matches!(prompt.provider.as_str(), "mistral" | "deepseek")
}

fn is_filtered(prompt: &Prompt, reply: &Reply) -> bool {
    reply.refused && prompt.provider == "deepseek"
}

fn finish(prompt: &Prompt, reply: &Reply) -> &'static str {
    if is_filtered(prompt, reply) {
        return "content_filter";
    }
    match (reply.cut, reply.calls.is_empty()) {
        (true, _) => "length",
        (false, false) => "tool_calls",
        (false, true) => "stop",
    }
}

fn usage(prompt: &Prompt, reply: &Reply) -> Value {
    let mut usage = json!({
        "prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    });
    if prompt.provider == "deepseek" {
        usage["prompt_cache_hit_tokens"] = 0.into();
        usage["prompt_cache_miss_tokens"] = reply.input_tokens.into();
    } else if prompt.provider != "mistral" {
        usage["prompt_tokens_details"] = json!({"cached_tokens": 0, "audio_tokens": 0});
    }
    if prompt.provider != "mistral" {
        usage["completion_tokens_details"] = json!({"reasoning_tokens": reply.reasoning_tokens});
    }
    usage
}

fn head(prompt: &Prompt, reply: &Reply, object: &str) -> Value {
    json!({"id": format!("chatcmpl-{:016x}", reply.seed), "object": object, "created": 1_767_225_600, "model": prompt.model})
}

/// Mistral puts its thoughts into the content, others beside it.
fn add_thought(prompt: &Prompt, message: &mut Value, thought: &str, text: Option<&str>) {
    if prompt.provider == "mistral" {
        let mut parts = vec![json!({"type": "thinking", "thinking": [{"type": "text", "text": thought}]})];
        parts.extend(text.map(|text| json!({"type": "text", "text": text})));
        message["content"] = parts.into();
    } else {
        message["reasoning_content"] = thought.into();
    }
}

fn choice_logprobs(prompt: &Prompt, text: &str) -> Value {
    match logprobs(prompt, text) {
        Value::Null => Value::Null,
        content => json!({ "content": content }),
    }
}

pub(crate) fn whole(prompt: &Prompt, reply: &Reply) -> Value {
    let mut message = json!({"role": "assistant", "content": if reply.calls.is_empty() { Value::from(reply.text.as_str()) } else { Value::Null }});
    if is_filtered(prompt, reply) {
        message["content"] = "".into();
    } else if reply.refused && has_refusals(prompt) {
        message["content"] = Value::Null;
        message["refusal"] = reply.text.as_str().into();
    }
    if let Some(thought) = &reply.thought {
        add_thought(prompt, &mut message, thought, Some(&reply.text));
    }
    if !reply.calls.is_empty() {
        let calls: Vec<Value> = reply
            .calls
            .iter()
            .map(|c| json!({"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}))
            .collect();
        message["tool_calls"] = calls.into();
    }
    let mut body = head(prompt, reply, "chat.completion");
    let logprobs = choice_logprobs(prompt, &reply.text);
    body["choices"] =
        json!([{"index": 0, "message": message, "finish_reason": finish(prompt, reply), "logprobs": logprobs}]);
    body["usage"] = usage(prompt, reply);
    body
}

pub(crate) fn events(prompt: &Prompt, reply: &Reply, request: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut emit = |delta: Value, reason: Value, usage: Option<Value>| {
        let mut chunk = head(prompt, reply, "chat.completion.chunk");
        let said = delta["content"].as_str().filter(|said| !said.is_empty()).map(str::to_owned);
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        if let Some(said) = said.filter(|_| prompt.logprobs.is_some()) {
            chunk["choices"][0]["logprobs"] = choice_logprobs(prompt, &said);
        }
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        out.push(format!("data: {chunk}\n\n"));
    };
    emit(json!({"role": "assistant", "content": ""}), Value::Null, None);
    for piece in reply.thought.iter().flat_map(|thought| tokens(thought)) {
        let mut delta = json!({});
        add_thought(prompt, &mut delta, piece, None);
        emit(delta, Value::Null, None);
    }
    let field = if reply.refused && has_refusals(prompt) { "refusal" } else { "content" };
    for piece in tokens(&reply.text).into_iter().filter(|_| !is_filtered(prompt, reply)) {
        emit(json!({ field: piece }), Value::Null, None);
    }
    for (i, call) in reply.calls.iter().enumerate() {
        if prompt.provider == "mistral" {
            let function = json!({"name": call.name, "arguments": call.arguments});
            emit(json!({"tool_calls": [{"index": i, "id": call.id, "function": function}]}), Value::Null, None);
            continue;
        }
        let function = json!({"name": call.name, "arguments": ""});
        emit(
            json!({"tool_calls": [{"index": i, "id": call.id, "type": "function", "function": function}]}),
            Value::Null,
            None,
        );
        for piece in call.arguments.split_inclusive([' ', ',', ':']) {
            emit(json!({"tool_calls": [{"index": i, "function": {"arguments": piece}}]}), Value::Null, None);
        }
    }
    let always = matches!(prompt.provider.as_str(), "mistral" | "deepseek");
    emit(json!({}), finish(prompt, reply).into(), always.then(|| usage(prompt, reply)));
    if !always && request["stream_options"]["include_usage"] == true {
        let mut chunk = head(prompt, reply, "chat.completion.chunk");
        chunk["choices"] = json!([]);
        chunk["usage"] = usage(prompt, reply);
        out.push(format!("data: {chunk}\n\n"));
    }
    out.push("data: [DONE]\n\n".to_owned());
    out
}
