//! How many tokens a prompt comes to, roughly.

use serde_json::json;
use tokenrouter_protocol::{Item, OutputValue, Part, Request};

/// English text comes to about four bytes a token, whoever counts.
const BYTES_A_TOKEN: usize = 4;
/// A middling figure between what providers count for a small and for a large picture.
const IMAGE_TOKENS: usize = 800;
/// What frames a message.
const ITEM_TOKENS: usize = 4;

pub(super) fn estimate(request: &Request) -> usize {
    let mut bytes = request.instructions.as_deref().map_or(0, str::len);
    bytes += request.tools.iter().map(|tool| json!(tool).to_string().len()).sum::<usize>();
    let mut images = 0;
    let mut count = |parts: &[Part]| {
        for part in parts {
            match part {
                Part::Text { text, .. } | Part::Refusal { text } => bytes += text.len(),
                Part::Image { .. } => images += 1,
                // Base64 is a third longer than what it holds, and a PDF is mostly not its text.
                Part::File { file_data, .. } => bytes += file_data.as_deref().map_or(0, str::len) / 2,
                Part::Other(object) => bytes += json!(object).to_string().len(),
            }
        }
    };
    let mut other = 0;
    for item in &request.input {
        match item {
            Item::Message(message) => count(&message.content),
            Item::FunctionCallOutput(output) => match &output.output {
                OutputValue::Text(text) => other += text.len(),
                OutputValue::Parts(parts) => count(parts),
            },
            Item::FunctionCall(call) => other += call.name.len() + call.arguments.len(),
            Item::Reasoning(reasoning) => other += reasoning.content.iter().map(String::len).sum::<usize>(),
            Item::Reference(_) => {}
            Item::Other(object) => other += json!(object).to_string().len(),
        }
    }
    (bytes + other).div_ceil(BYTES_A_TOKEN) + images * IMAGE_TOKENS + request.input.len() * ITEM_TOKENS
}
