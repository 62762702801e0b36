//! A response as a `chat.completion`.

use super::Shape;
use crate::pipeline::usd;
use serde_json::{Value, json};
use tokenrouter_protocol::{Item, Object, Part, Response, Usage};

/// What is put between two thoughts, which a chat has one field for.
pub(super) const BETWEEN_THOUGHTS: &str = "\n\n";

/// A choice of each response. Beside several of them the first speaks for the whole, but for what was used, and what
/// warnings and the firewall's rules say of any; each tells for itself what the router did.
pub(super) fn completion(responses: &[Response], shape: Shape) -> Value {
    let Some(first) = responses.first() else { return Value::Null };
    let mut choices: Vec<Value> =
        responses.iter().enumerate().map(|(i, response)| choice(response, i, shape)).collect();
    let (mut tokenrouter, mut metadata) = (first.tokenrouter.clone(), first.metadata.clone());
    if responses.len() > 1 {
        for (choice, response) in choices.iter_mut().zip(responses) {
            choice["tokenrouter"] = told_of_one(response);
        }
        tokenrouter["cost_usd"] = cost(responses);
        of_any(responses, &mut tokenrouter, &mut metadata);
    }
    json!({
        "id": first.id,
        "object": "chat.completion",
        "created": first.created_at,
        "model": first.model,
        "choices": choices,
        "usage": responses.iter().filter_map(|response| response.usage).reduce(Usage::plus).as_ref().map(usage),
        "service_tier": first.service_tier,
        "system_fingerprint": null,
        "metadata": metadata,
        "tokenrouter": tokenrouter,
    })
}

fn choice(response: &Response, index: usize, shape: Shape) -> Value {
    json!({
        "index": index,
        "message": message(response, shape),
        "logprobs": logprobs(&told(response)),
        "finish_reason": finish_reason(response, shape),
    })
}

/// What the router did for one of several choices. Where it is stored it can be had by its own id.
pub(super) fn told_of_one(response: &Response) -> Value {
    let mut told = response.tokenrouter.clone();
    if response.store {
        told["response_id"] = response.id.as_str().into();
    }
    told
}

/// Each warning once. The rules of the firewall too: of the answers' matches the sum, of the prompt's, which is
/// screened once, the number.
fn of_any(responses: &[Response], tokenrouter: &mut Value, metadata: &mut Object) {
    let (mut warnings, mut hits): (Vec<Value>, Vec<Value>) = Default::default();
    let list = |response: &Response, name: &str| response.tokenrouter[name].as_array().cloned().unwrap_or_default();
    for response in responses {
        for warning in list(response, "warnings") {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        for hit in list(response, "firewall") {
            match hits.iter_mut().find(|known| known["rule_id"] == hit["rule_id"]) {
                Some(known) if hit["scope"] == "response" => {
                    let sum = [&*known, &hit].into_iter().filter_map(|hit| hit["matches"].as_u64()).sum::<u64>();
                    known["matches"] = sum.into();
                }
                Some(_) => {}
                None => hits.push(hit),
            }
        }
    }
    // Where all say the same, they may be the caller's own words.
    let all_agree = responses.iter().all(|response| response.metadata.get("warnings") == metadata.get("warnings"));
    if !all_agree {
        let messages: Vec<&str> = warnings.iter().filter_map(|warning| warning["message"].as_str()).collect();
        metadata.insert("warnings".to_owned(), messages.join("\n").into());
    }
    tokenrouter["warnings"] = warnings.into();
    tokenrouter["firewall"] = hits.into();
    if responses.iter().any(|response| response.tokenrouter["usage_estimated"] == true) {
        tokenrouter["usage_estimated"] = true.into();
    }
}

/// Of all; null where one is not known. Added up in billionths of a dollar, as they are counted.
fn cost(responses: &[Response]) -> Value {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let nano_usd = |response: &Response| Some((response.tokenrouter["cost_usd"].as_f64()? * 1e9).round() as u64);
    responses.iter().map(nano_usd).sum::<Option<u64>>().map(usd).into()
}

/// Of all texts of the answer.
fn told(response: &Response) -> Vec<Value> {
    let parts = response.output.iter().flat_map(|item| match item {
        Item::Message(message) => message.content.as_slice(),
        _ => &[],
    });
    let lists = parts.filter_map(|part| match part {
        Part::Text { extra, .. } => extra.get("logprobs")?.as_array(),
        _ => None,
    });
    lists.flatten().cloned().collect()
}

/// A choice's `logprobs`.
pub(super) fn logprobs(told: &[Value]) -> Value {
    if told.is_empty() { Value::Null } else { json!({"content": told, "refusal": null}) }
}

fn message(response: &Response, shape: Shape) -> Value {
    let mut content: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut annotations = Vec::new();
    let mut thoughts: Vec<&str> = Vec::new();
    let mut calls = Vec::new();
    for item in &response.output {
        match item {
            Item::Message(message) => {
                for part in &message.content {
                    match part {
                        Part::Text { text, annotations: given, .. } => {
                            let content = content.get_or_insert_default();
                            let before = content.chars().count();
                            annotations.extend(given.iter().filter_map(|given| annotation(given, before)));
                            content.push_str(text);
                        }
                        Part::Refusal { text } => refusal.get_or_insert_default().push_str(text),
                        _ => {}
                    }
                }
            }
            Item::Reasoning(reasoning) => {
                let texts = reasoning.summary.iter().chain(&reasoning.content);
                thoughts.extend(texts.map(String::as_str).filter(|text| !text.is_empty()));
            }
            item => calls.extend(call(item)),
        }
    }
    if content.as_deref() == Some("") && (!calls.is_empty() || refusal.is_some()) {
        content = None;
    }
    let mut message = json!({"role": "assistant", "content": content, "refusal": refusal, "annotations": annotations});
    if !thoughts.is_empty() {
        message["reasoning_content"] = thoughts.join(BETWEEN_THOUGHTS).into();
    }
    if shape.functions && !calls.is_empty() {
        message["function_call"] = calls.remove(0)["function"].take();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

/// The call that an item is, if it is one.
pub(super) fn call(item: &Item) -> Option<Value> {
    match item {
        Item::FunctionCall(call) => Some(json!({
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })),
        Item::Other(object) if object.get("type")? == "custom_tool_call" => Some(json!({
            "id": object.get("call_id"),
            "type": "custom",
            "custom": {"name": object.get("name"), "input": object.get("input")},
        })),
        _ => None,
    }
}

/// A citation of an address, the one kind that chats have; its places are counted in the whole content,
/// of which `before` characters come before its own part.
pub(super) fn annotation(annotation: &Value, before: usize) -> Option<Value> {
    if annotation["type"] != "url_citation" {
        return None;
    }
    let place = |name: &str| annotation[name].as_u64().unwrap_or(0) + before as u64;
    let citation = json!({
        "start_index": place("start_index"), "end_index": place("end_index"),
        "url": annotation["url"], "title": annotation["title"],
    });
    Some(json!({"type": "url_citation", "url_citation": citation}))
}

pub(super) fn finish_reason(response: &Response, shape: Shape) -> &'static str {
    match response.incomplete_details.as_ref().map(|details| details.reason) {
        Some("content_filter") => "content_filter",
        Some(_) => "length",
        None if !response.output.iter().any(|item| call(item).is_some()) => "stop",
        None if shape.functions => "function_call",
        None => "tool_calls",
    }
}

pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_total(),
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write, "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}
