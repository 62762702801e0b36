//! A response as Anthropic's message.

use super::content::Places;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokenrouter_protocol::{
    FunctionCall, Item, ItemStatus, Part, Reasoning, Response, ResponseStatus, StopDetail, Usage,
};
use tokenrouter_providers::is_anthropic_block;

/// The body of a plain answer.
#[derive(serde::Serialize)]
pub(super) struct MessageOut {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: String,
    content: Vec<Block>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<String>,
    usage: Value,
    tokenrouter: Value,
}

/// JSON, or a call, whose input keeps the bytes that the model wrote.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Block {
    Json(Value),
    ToolUse(ToolUse),
}

#[derive(serde::Serialize)]
struct ToolUse {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: String,
    input: Box<RawValue>,
}

pub(super) fn message(response: &Response, places: &Places) -> MessageOut {
    let (stop_reason, stop_sequence) = stop(response);
    MessageOut {
        content: response.output.iter().flat_map(blocks).collect(),
        stop_reason: Some(stop_reason),
        stop_sequence,
        usage: usage(response.usage),
        ..begin(response, places)
    }
}

/// The message as a stream's first event has it.
pub(super) fn begin(response: &Response, places: &Places) -> MessageOut {
    MessageOut {
        id: id(response),
        kind: "message",
        role: "assistant",
        model: response.model.clone(),
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        usage: usage(response.usage),
        tokenrouter: told(response, places),
    }
}

/// The digits of the response's id, under which a stored one is found.
fn id(response: &Response) -> String {
    format!("msg_{}", response.id.strip_prefix("resp_").unwrap_or(&response.id))
}

/// What the router did; its warnings name fields by the caller's names.
pub(super) fn told(response: &Response, places: &Places) -> Value {
    let mut told = response.tokenrouter.clone();
    for warning in told["warnings"].as_array_mut().into_iter().flatten() {
        if let Some(text) = warning["message"].as_str() {
            warning["message"] = places.in_text(text).into();
        }
    }
    told
}

/// Input without what came from a cache or went into one, as Anthropic counts.
pub(super) fn usage(usage: Option<Usage>) -> Value {
    let usage = usage.unwrap_or_default();
    json!({
        "input_tokens": usage.uncached_input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        "output_tokens_details": { "thinking_tokens": usage.reasoning },
    })
}

/// `stop_reason` and `stop_sequence`.
pub(super) fn stop(response: &Response) -> (&'static str, Option<String>) {
    if response.status == ResponseStatus::Incomplete {
        let filtered = response.incomplete_details.as_ref().is_some_and(|d| d.reason == "content_filter");
        let reason = match &response.stop_detail {
            _ if filtered => "refusal",
            Some(StopDetail::ContextWindow) => "model_context_window_exceeded",
            _ => "max_tokens",
        };
        return (reason, None);
    }
    let refused = |item: &Item| {
        matches!(item, Item::Message(message)
            if message.content.iter().any(|part| matches!(part, Part::Refusal { text } if !text.is_empty())))
    };
    match &response.stop_detail {
        Some(StopDetail::Sequence(text)) => ("stop_sequence", Some(text.clone())),
        Some(StopDetail::Paused) => ("pause_turn", None),
        _ if response.output.iter().any(|item| matches!(item, Item::FunctionCall(_))) => ("tool_use", None),
        _ if response.output.iter().any(refused) => ("refusal", None),
        _ => ("end_turn", None),
    }
}

fn blocks(item: &Item) -> Vec<Block> {
    match item {
        Item::Message(message) => message.content.iter().filter_map(text).map(Block::Json).collect(),
        Item::FunctionCall(call) => tool_use(call).map(Block::ToolUse).into_iter().collect(),
        Item::Reasoning(reasoning) => thinking(reasoning).map(Block::Json).into_iter().collect(),
        Item::Other(object) if is_own(object) => vec![Block::Json(Value::Object(object.clone()))],
        Item::FunctionCallOutput(_) | Item::Reference(_) | Item::Other(_) => Vec::new(),
    }
}

pub(super) fn is_own(object: &tokenrouter_protocol::Object) -> bool {
    object.get("type").and_then(Value::as_str).is_some_and(is_anthropic_block)
}

/// None for a text without a letter, which Anthropic would not take back.
fn text(part: &Part) -> Option<Value> {
    let (text, annotations) = match part {
        Part::Text { text, annotations, .. } => (text, annotations.as_slice()),
        Part::Refusal { text } => (text, [].as_slice()),
        Part::Image { .. } | Part::File { .. } | Part::Other(_) => return None,
    };
    let citations: Vec<&Value> = annotations.iter().filter(|annotation| is_citation(annotation)).collect();
    let mut block = json!({ "type": "text", "text": text });
    if !citations.is_empty() {
        block["citations"] = json!(citations);
    }
    (!text.is_empty()).then_some(block)
}

/// Other providers' annotations are made otherwise, and a typed client could not read them.
pub(super) fn is_citation(annotation: &Value) -> bool {
    annotation["type"].as_str().is_some_and(|kind| kind.ends_with("_location"))
}

/// None for a call that was cut short: what is left of its input is no call.
fn tool_use(call: &FunctionCall) -> Option<ToolUse> {
    if call.status != ItemStatus::Completed {
        return None;
    }
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { call.arguments.as_str() };
    let input = match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => RawValue::from_string(arguments.to_owned()).ok()?,
        // The API has only objects here; what the model wrote instead is put into one.
        _ => RawValue::from_string(json!({ "arguments": arguments }).to_string()).ok()?,
    };
    Some(ToolUse { kind: "tool_use", id: call.call_id.clone(), name: call.name.clone(), input })
}

/// The envelope is the signature: the client gives it back as it is, and only the provider and model that
/// made it get it. Thoughts that cannot be read are `redacted_thinking`.
fn thinking(reasoning: &Reasoning) -> Option<Value> {
    let text = if reasoning.content.is_empty() { reasoning.summary.join("\n\n") } else { reasoning.content.concat() };
    match (&reasoning.encrypted_content, text.is_empty()) {
        (None, true) => None,
        (Some(sealed), true) => Some(json!({ "type": "redacted_thinking", "data": sealed })),
        (sealed, false) => {
            Some(json!({ "type": "thinking", "thinking": text, "signature": sealed.as_deref().unwrap_or_default() }))
        }
    }
}
