//! What Anthropic is asked to hold its answer to: a format of the text, and strict functions.

use super::thinking::generation;
use super::{native, schema};
use crate::encode::Context;
use crate::tools::Named;
use serde_json::{Value, json};
use tokenrouter_protocol::{Request, TextFormat, Tool};

/// The schema that the answer is held to, as Anthropic takes it, or the words that ask for it instead.
pub(super) fn format(context: &mut Context, request: &Request) -> (Option<Value>, Option<String>) {
    let schema = match &request.text.format {
        TextFormat::Text => return (None, None),
        TextFormat::JsonObject => {
            let message = "Anthropic has no JSON mode without a schema: the instructions ask for JSON";
            context.losses.add("text.format", message);
            return (None, Some("Answer with one JSON object and nothing else.".to_owned()));
        }
        TextFormat::JsonSchema { schema, .. } => schema,
    };
    let Some((lowered, left_out)) = schema::lower(schema) else {
        context.held.format_changed = true;
        let message = "Anthropic takes no schema that refers to itself: it was put into the instructions";
        context.losses.add("text.format", message);
        let text = format!("Answer with JSON that is valid by this JSON Schema, and nothing else:\n{schema}");
        return (None, Some(text));
    };
    context.held.format_changed = lowered != *schema;
    context.held.format = !context.held.format_changed;
    lowered_loss(context, "text.format", &left_out);
    (Some(lowered), None)
}

fn lowered_loss(context: &mut Context, param: &str, left_out: &[String]) {
    if !left_out.is_empty() {
        let message = format!("Anthropic takes no such `{}` in a schema: put into words", left_out.join("`, `"));
        context.losses.add(param, message);
    }
}

/// A function. One that is strict is held to its schema, as far as Anthropic takes that.
pub(super) fn tool(context: &mut Context, request: &Request, function: &Named) -> Value {
    let mut tool = json!({ "name": function.name });
    if let Some(description) = &function.tool.description {
        tool["description"] = description.as_str().into();
    }
    let empty = json!({"type": "object", "properties": {}});
    let parameters = function.tool.parameters.as_ref();
    let strict = function.tool.strict == Some(true) && generation(context.target.model) >= (4, 5);
    let lowered = parameters.filter(|_| strict).map(schema::lower);
    match lowered {
        Some(Some((lowered, left_out))) => {
            if parameters == Some(&lowered) {
                context.held.tools.push(function.tool.name.clone());
            }
            let param = format!("{}.parameters", place(context, request, function));
            lowered_loss(context, &param, &left_out);
            tool["input_schema"] = lowered;
            tool["strict"] = true.into();
        }
        Some(None) => {
            let param = format!("{}.strict", place(context, request, function));
            context.losses.add(param, "Anthropic holds no call to a schema that refers to itself: it was left out");
            tool["input_schema"] = parameters.cloned().unwrap_or(empty);
        }
        None => {
            tool["input_schema"] = parameters.cloned().unwrap_or(empty);
            if strict {
                tool["strict"] = true.into();
            }
        }
    }
    native::put(&mut tool, &function.tool.extra);
    tool
}

fn place(context: &Context, request: &Request, function: &Named) -> String {
    let is_it = |tool: &Tool| matches!(tool, Tool::Function(tool) if tool.name == function.tool.name);
    context.tool_place(request.tools.iter().position(is_it).unwrap_or(0))
}
