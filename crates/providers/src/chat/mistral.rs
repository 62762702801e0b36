//! The order in which Mistral takes messages. It refuses others with 400 before it serves, by the rules of its own
//! <https://github.com/mistralai/mistral-common> (`protocol/instruct/validator.py`): nothing of the system's follows the
//! assistant or a tool, nothing of the user's a tool, no message of the assistant's is empty, and the last one is the
//! assistant's only where it is to be gone on from.

use crate::encode::Context;
use serde_json::{Value, json};
use tokenrouter_protocol::{Item, Request, Role};

/// Stands between the results of tools and what the user says then. An empty one is refused.
const BRIDGE: &str = "OK.";

fn is(message: &Value, role: &str) -> bool {
    message["role"] == role
}

pub(super) fn in_order(context: &mut Context, request: &Request, messages: Vec<Value>) -> Vec<Value> {
    let mut ordered: Vec<Value> = Vec::with_capacity(messages.len());
    // Where the next message of the system's goes that has no place where it stands.
    let mut front = 0;
    for message in messages {
        let says_nothing = message["content"].as_str().is_none_or(str::is_empty) && message["tool_calls"].is_null();
        if is(&message, "assistant") && says_nothing {
            continue;
        }
        let after = |role| ordered.last().is_some_and(|last| is(last, role));
        if is(&message, "system") && (after("assistant") || after("tool")) {
            ordered.insert(front, message);
            front += 1;
            continue;
        }
        if is(&message, "user") && after("tool") {
            let message = "Mistral takes no message of the user's right after the results of tools: one of the \
                           assistant's was put between them";
            context.losses.add(place_after_results(request), message);
            ordered.push(json!({"role": "assistant", "content": BRIDGE}));
        }
        if is(&message, "system") && front == ordered.len() {
            front += 1;
        }
        ordered.push(message);
    }
    if let Some(last) = ordered.last_mut().filter(|last| is(last, "assistant") && last["tool_calls"].is_null()) {
        last["prefix"] = true.into();
        let message = "Mistral goes on from the assistant's last message, and begins its answer with it";
        context.losses.add(format_args!("input[{}]", request.input.len().saturating_sub(1)), message);
    }
    ordered
}

/// Of the first message of the user's that follows the result of a tool.
fn place_after_results(request: &Request) -> String {
    let follows = |pair: &[Item]| matches!(pair, [Item::FunctionCallOutput(_), Item::Message(message)] if message.role == Role::User);
    let at = request.input.windows(2).position(follows);
    at.map_or_else(|| "input".to_owned(), |at| format!("input[{}]", at + 1))
}
