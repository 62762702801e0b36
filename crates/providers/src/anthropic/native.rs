//! What only Anthropic's Messages have: it travels in the `extra` of a request, an item, a part or a
//! tool, under [`KEY`], and leaves for a provider that speaks Messages alone.
//!
//! For every other provider it is taken off before anything is encoded, and named as lost where it
//! would have changed the answer.

use crate::Target;
use crate::encode::Losses;
use serde_json::Value;
use tokenrouter_protocol::{Item, Object, OutputValue, Part, Request, Tool};

/// Where in an `extra` the fields are.
pub const KEY: &str = "anthropic";

/// Losing these changes no answer: prompts are cached without being asked elsewhere, and metadata is the
/// gateway's own to read.
const HARMLESS: [&str; 2] = ["cache_control", "metadata"];

/// Fields of a block or a tool that are sent on as they came.
const BLOCK_FIELDS: [&str; 11] = [
    "cache_control",
    "citations",
    "context",
    "title",
    "is_error",
    "caller",
    "toolset_name",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
    "allowed_callers",
];

/// Fields of the request that are sent on as they came.
pub(super) const REQUEST_FIELDS: [&str; 10] = [
    "metadata",
    "service_tier",
    "cache_control",
    "context_management",
    "compaction",
    "container",
    "mcp_servers",
    "inference_geo",
    "speed",
    "diagnostics",
];

pub(crate) fn of(extra: &Object) -> Option<&Object> {
    extra.get(KEY).and_then(Value::as_object)
}

/// Puts the fields of a block that are Anthropic's own back where they came from.
pub(super) fn put(block: &mut Value, extra: &Object) {
    for (name, value) in of(extra).into_iter().flatten() {
        if BLOCK_FIELDS.contains(&name.as_str()) && block.get(name).is_none() {
            block[name] = value.clone();
        }
    }
}

/// Whether a content block of this type is one that only Anthropic makes and reads: what its own tools
/// did and found.
#[must_use]
pub fn is_own_block(kind: &str) -> bool {
    matches!(kind, "server_tool_use" | "mcp_tool_use" | "container_upload" | "compaction" | "search_result")
        || kind.ends_with("_tool_result")
}

/// Whether a tool of this type is one that Anthropic runs or defines: `web_search_20250305` and the like.
pub(crate) fn is_own_tool(kind: &str) -> bool {
    let dated =
        kind.rsplit_once('_').is_some_and(|(_, date)| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()));
    dated || kind == "mcp_toolset"
}

/// The request as a provider of another wire format can read it; `None` if it is so already.
pub(crate) fn taken_off(target: &Target, request: &Request, losses: &mut Losses) -> Option<Request> {
    if !is_there(request) {
        return None;
    }
    let mut request = request.clone();
    // A wish: no model was left out because it cannot.
    if !target.reasoning && wishes_to_think(&request) {
        losses.add_if(request.reasoning.is_some(), "thinking", "this model cannot reason");
        request.reasoning = None;
        request.include.retain(|name| name != "reasoning.encrypted_content");
    }
    // The limit must be given in Messages, so it is no more than a ceiling.
    if let Some(most) = target.max_output_tokens.filter(|most| request.max_output_tokens > Some(*most)) {
        losses.add("max_tokens", format!("{} puts out at most {most} tokens", target.model));
        request.max_output_tokens = Some(most);
    }
    let config = of(&request.extra).and_then(|native| native.get("output_config")).and_then(Value::as_object);
    for name in config.into_iter().flat_map(Object::keys).filter(|name| *name != "effort") {
        losses.add(format_args!("output_config.{name}"), "only Anthropic has this field; it was left out");
    }
    for name in take(&mut request.extra) {
        // Carried as `reasoning`.
        if name != "thinking" && name != "output_config" {
            losses.add(&name, "only Anthropic has this field; it was left out");
        }
    }
    for (i, item) in request.input.iter_mut().enumerate() {
        let (extra, list, parts) = match item {
            Item::Message(message) => (&mut message.extra, "content", Some(&mut message.content)),
            Item::FunctionCall(call) => (&mut call.extra, "", None),
            Item::FunctionCallOutput(output) => match &mut output.output {
                OutputValue::Parts(parts) => (&mut output.extra, "output", Some(parts)),
                OutputValue::Text(_) => (&mut output.extra, "", None),
            },
            Item::Reasoning(_) | Item::Reference(_) | Item::Other(_) => continue,
        };
        for name in take(extra) {
            losses.add(format_args!("input[{i}].{name}"), "only Anthropic has this field; it was left out");
        }
        for (j, part) in parts.into_iter().flatten().enumerate() {
            for name in part_extra(part).map(take).unwrap_or_default() {
                losses.add(
                    format_args!("input[{i}].{list}[{j}].{name}"),
                    "only Anthropic has this field; it was left out",
                );
            }
        }
    }
    for (i, tool) in request.tools.iter_mut().enumerate() {
        let Tool::Function(tool) = tool else { continue };
        for name in take(&mut tool.extra) {
            losses.add(format_args!("tools[{i}].{name}"), "only Anthropic has this field; it was left out");
        }
    }
    request.tools.retain(|tool| match tool {
        Tool::Function(_) => true,
        Tool::Other(object) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            let own = is_own_tool(kind);
            losses.add_if(own, "tools", &format!("only Anthropic has the tool `{kind}`; it was left out"));
            !own
        }
    });
    Some(request)
}

/// Whether the request came in the words of Messages: the key is then there, if with nothing under it. A
/// limit is a ceiling there, and thinking a wish, which a model need not be able to fulfil.
#[must_use]
pub fn is_in_messages_words(request: &Request) -> bool {
    request.extra.contains_key(KEY)
}

/// Whether reasoning was asked for in the words of Messages.
pub(super) fn wishes_to_think(request: &Request) -> bool {
    of(&request.extra).is_some_and(|native| native.contains_key("thinking") || native.contains_key("output_config"))
}

fn part_extra(part: &mut Part) -> Option<&mut Object> {
    match part {
        Part::Text { extra, .. } | Part::Image { extra, .. } | Part::File { extra, .. } => Some(extra),
        Part::Refusal { .. } | Part::Other(_) => None,
    }
}

fn is_there(request: &Request) -> bool {
    let in_part = |part: &Part| match part {
        Part::Text { extra, .. } | Part::Image { extra, .. } | Part::File { extra, .. } => extra.contains_key(KEY),
        Part::Refusal { .. } | Part::Other(_) => false,
    };
    let in_item = |item: &Item| match item {
        Item::Message(message) => message.extra.contains_key(KEY) || message.content.iter().any(in_part),
        Item::FunctionCall(call) => call.extra.contains_key(KEY),
        Item::FunctionCallOutput(output) => {
            output.extra.contains_key(KEY)
                || matches!(&output.output, OutputValue::Parts(parts) if parts.iter().any(in_part))
        }
        Item::Reasoning(_) | Item::Reference(_) | Item::Other(_) => false,
    };
    request.extra.contains_key(KEY)
        || request.input.iter().any(in_item)
        || request.tools.iter().any(|tool| match tool {
            Tool::Function(tool) => tool.extra.contains_key(KEY),
            Tool::Other(object) => object.get("type").and_then(Value::as_str).is_some_and(is_own_tool),
        })
}

/// Takes the fields out; gives the names of those that are missed.
fn take(extra: &mut Object) -> Vec<String> {
    match extra.shift_remove(KEY) {
        Some(Value::Object(native)) => {
            native.into_iter().map(|(name, _)| name).filter(|name| !HARMLESS.contains(&name.as_str())).collect()
        }
        _ => Vec::new(),
    }
}
