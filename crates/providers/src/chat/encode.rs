//! Our request as a chat.

use super::mistral;
use crate::encode::{Context, EncodeError, to_json};
use crate::envelope::{Opened, open};
use crate::tools::{self, Choice};
use crate::{Kind, media};
use serde_json::{Map, Value, json};
use tokenrouter_protocol::{Item, Message, OutputValue, Part, Request, Role, TextFormat};

pub(crate) fn encode(context: &mut Context, request: &Request) -> Result<Vec<u8>, EncodeError> {
    let kind = context.target.kind;
    let mut body = Map::new();
    body.insert("model".into(), context.target.model.into());
    // DeepSeek's models of this kind think unless they are told not to
    // (<https://api-docs.deepseek.com/guides/thinking_mode>).
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    let thinks = kind == Kind::DeepSeek && context.target.reasoning && effort != Some("none");
    let mut messages = Messages { thinks, ..Messages::default() };
    if let Some(instructions) = request.instructions.as_deref().filter(|text| !text.is_empty()) {
        messages.list.push(json!({"role": "system", "content": instructions}));
    }
    let format = response_format(context, request, &mut messages);
    for (i, item) in request.input.iter().enumerate() {
        messages.item(context, item, i)?;
    }
    messages.put_what_stands_beside();
    let list = match kind {
        Kind::Mistral => mistral::in_order(context, request, messages.list),
        _ => messages.list,
    };
    body.insert("messages".into(), list.into());
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("response_format", format);
    let plan = tools::plan(context, request)?;
    if !plan.functions.is_empty() {
        let functions: Vec<Value> = plan
            .functions
            .iter()
            .map(|function| {
                let empty = json!({"type": "object", "properties": {}});
                let mut inner = json!({
                    "name": function.name,
                    "parameters": function.tool.parameters.clone().unwrap_or(empty),
                });
                if let Some(description) = &function.tool.description {
                    inner["description"] = description.as_str().into();
                }
                if let Some(strict) = function.tool.strict.filter(|strict| *strict && kind != Kind::DeepSeek) {
                    inner["strict"] = strict.into();
                }
                json!({"type": "function", "function": inner})
            })
            .collect();
        put("tools", functions.into());
        match &plan.choice {
            Choice::Auto => {}
            Choice::None => put("tool_choice", "none".into()),
            Choice::Required => put("tool_choice", if kind == Kind::Mistral { "any" } else { "required" }.into()),
            Choice::Function(name) => put("tool_choice", json!({"type": "function", "function": {"name": name}})),
        }
        if kind == Kind::DeepSeek {
            context.losses.add_if(
                request.parallel_tool_calls == Some(false),
                "parallel_tool_calls",
                "DeepSeek has no such field",
            );
        } else {
            put("parallel_tool_calls", json!(request.parallel_tool_calls));
        }
    }
    for (name, value) in [
        ("temperature", request.temperature),
        ("presence_penalty", request.presence_penalty),
        ("frequency_penalty", request.frequency_penalty),
    ] {
        if thinks {
            context.losses.add_if(value.is_some(), name, "DeepSeek takes none while it thinks");
        } else {
            put(name, json!(value));
        }
    }
    put("top_p", json!(request.top_p));
    put("max_tokens", json!(request.max_output_tokens));
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    for (name, value) in &request.chat_only {
        match only_here(kind, name) {
            Some(name) => put(name, value.clone()),
            None => context.losses.add(name, "this provider has no such field, or its answer is not carried"),
        }
    }
    if context.target.stream {
        put("stream", true.into());
        if kind != Kind::Mistral {
            put("stream_options", json!({"include_usage": true}));
        }
    }
    match effort {
        None => {}
        Some("none") if kind == Kind::DeepSeek && context.target.reasoning => {
            put("thinking", json!({"type": "disabled"}));
        }
        // DeepSeek makes of every word the nearest that it has.
        Some(effort) if kind != Kind::Mistral && context.target.reasoning => put("reasoning_effort", effort.into()),
        Some(_) => context.losses.add("reasoning", "this model reasons or does not: it has no such field"),
    }
    let top = request.top_logprobs.filter(|count| *count > 0);
    // While DeepSeek thinks it is refused (<https://api-docs.deepseek.com/guides/reasoning_model>).
    let tells = kind == Kind::OpenAiCompatible || kind == Kind::DeepSeek && !thinks;
    if tells && (top.is_some() || request.wants_logprobs()) {
        put("logprobs", true.into());
        put("top_logprobs", json!(top));
    }
    let carried: &[&str] = match kind {
        Kind::OpenAiCompatible => &["user", "include"],
        _ if tells => &["include"],
        _ => &[],
    };
    if kind == Kind::OpenAiCompatible {
        put("user", json!(request.user));
    }
    let losses = &mut context.losses;
    losses.add_hints(request, carried);
    losses.add_if(!tells && top.is_some(), "top_logprobs", "this provider has no such field");
    losses.add_if(request.max_tool_calls.is_some(), "max_tool_calls", "this provider has no such field");
    losses.add_if(request.truncation.as_deref() == Some("auto"), "truncation", "this provider does not truncate");
    losses.add_if(request.service_tier.is_some(), "service_tier", "this provider has no such field");
    losses.add_if(request.text.verbosity.is_some(), "text.verbosity", "this provider has no such field");
    for name in request.extra.keys().filter(|name| !name.starts_with("router_")) {
        losses.add(name, "the field is not known; it was left out");
    }
    to_json(&body, 1_024)
}

/// What this kind of host calls a field that only chats have; none where it has no such field.
fn only_here(kind: Kind, name: &str) -> Option<&str> {
    match (kind, name) {
        (Kind::OpenAiCompatible, "seed" | "logit_bias" | "prediction") | (Kind::Mistral, "prediction") => Some(name),
        (Kind::Mistral, "seed") => Some("random_seed"),
        _ => None,
    }
}

fn response_format(context: &mut Context, request: &Request, messages: &mut Messages) -> Value {
    match &request.text.format {
        TextFormat::Text => Value::Null,
        TextFormat::JsonObject => json!({"type": "json_object"}),
        TextFormat::JsonSchema { schema, .. } if context.target.kind == Kind::DeepSeek => {
            context.held.format_changed = true;
            context.losses.add("text.format", "DeepSeek has no schemas: the schema was put into the instructions");
            let text = format!("Answer with JSON that is valid by this JSON Schema, and nothing else:\n{schema}");
            messages.list.push(json!({"role": "system", "content": text}));
            json!({"type": "json_object"})
        }
        TextFormat::JsonSchema { name, description, schema, strict } => {
            let mut inner = json!({"name": name, "schema": schema});
            if let Some(description) = description {
                inner["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                inner["strict"] = (*strict).into();
            }
            json!({"type": "json_schema", "json_schema": inner})
        }
    }
}

#[derive(Default)]
struct Messages {
    list: Vec<Value>,
    /// What the results of tools hold that is no text, until the last of the results.
    beside: Vec<Value>,
    /// DeepSeek wants what it thought before it called tools back with the calls, be it nothing.
    thinks: bool,
    /// What it thought in the turn under way.
    thought: String,
}

impl Messages {
    /// All results come right after their calls; what they may not hold the user shows after them.
    fn put_what_stands_beside(&mut self) {
        if !self.beside.is_empty() {
            let content = std::mem::take(&mut self.beside);
            self.list.push(json!({"role": "user", "content": content}));
        }
    }

    /// The output of a tool, which most hosts take as text alone.
    fn output(&mut self, context: &mut Context, parts: &[Part], path: &str) -> Result<Value, EncodeError> {
        let is_text = |part: &Part| matches!(part, Part::Text { .. } | Part::Refusal { .. });
        if context.target.kind == Kind::Mistral || parts.iter().all(is_text) {
            return content(context, parts, path);
        }
        let mut texts = Vec::new();
        for (j, part) in parts.iter().enumerate() {
            match self::part(context, part, &format!("{path}[{j}]"))? {
                Value::Object(mut text) if text.get("type").is_some_and(|kind| kind == "text") => {
                    texts.extend(text.remove("text"));
                }
                other => {
                    let message = "this provider takes only text as the output of a tool: the rest was put into a \
                                   message of the user's after it";
                    context.losses.add(path, message);
                    self.beside.push(other);
                }
            }
        }
        let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
        Ok(texts.join("\n").into())
    }

    /// The name of who speaks, beside the message that was put last.
    fn name(&mut self, context: &mut Context, message: &Message, i: usize) {
        let Some(name) = message.extra.get("name") else { return };
        if context.target.kind == Kind::Mistral {
            context.losses.add(format_args!("input[{i}].name"), "Mistral has no such field");
        } else if let Some(last) = self.list.last_mut() {
            last["name"] = name.clone();
        }
    }

    fn item(&mut self, context: &mut Context, item: &Item, i: usize) -> Result<(), EncodeError> {
        if !matches!(item, Item::FunctionCallOutput(_) | Item::Reference(_)) {
            self.put_what_stands_beside();
        }
        if matches!(item, Item::FunctionCallOutput(_)) || matches!(item, Item::Message(m) if m.role != Role::Assistant)
        {
            self.thought.clear();
        }
        match item {
            Item::Message(message) if message.role == Role::Assistant => {
                let text = assistant_text(context, message, i);
                // Text after calls of the same turn joins them.
                self.list.push(json!({"role": "assistant", "content": text}));
                self.name(context, message, i);
            }
            Item::Message(message) => {
                let role = if message.role == Role::User { "user" } else { "system" };
                let content = content(context, &message.content, &format!("input[{i}].content"))?;
                self.list.push(json!({"role": role, "content": content}));
                self.name(context, message, i);
            }
            Item::FunctionCall(call) => {
                let call = json!({
                    "id": context.translation.wire_call_id(&call.call_id),
                    "type": "function",
                    "function": {
                        "name": context.translation.wire_name(&call.name),
                        "arguments": if call.arguments.is_empty() { "{}" } else { &call.arguments },
                    },
                });
                match self.list.last_mut().filter(|last| last["role"] == "assistant") {
                    Some(last) => match last["tool_calls"].as_array_mut() {
                        Some(calls) => calls.push(call),
                        None => last["tool_calls"] = json!([call]),
                    },
                    None => self.list.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
                }
                if let Some(last) =
                    self.list.last_mut().filter(|last| self.thinks && last["reasoning_content"].is_null())
                {
                    last["reasoning_content"] = std::mem::take(&mut self.thought).into();
                }
            }
            Item::FunctionCallOutput(output) => {
                let content = match &output.output {
                    OutputValue::Text(text) => Value::from(text.as_str()),
                    OutputValue::Parts(parts) => self.output(context, parts, &format!("input[{i}].output"))?,
                };
                let id = context.translation.wire_call_id(&output.call_id);
                self.list.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
            }
            Item::Reasoning(reasoning) if self.thinks => {
                let why = match reasoning.encrypted_content.as_deref().map(|sealed| open(sealed, context.target)) {
                    // Without calls of tools it is passed over by the provider itself.
                    Some(Opened::Native(_)) => {
                        self.think(&reasoning.content);
                        return Ok(());
                    }
                    Some(Opened::Foreign(why)) => why,
                    Some(Opened::Bare) => "it was not made by this provider".to_owned(),
                    // As a client of chats gives it back. It is plain text, which DeepSeek binds to nobody.
                    None if reasoning.content.iter().any(|text| !text.is_empty()) => {
                        self.think(&reasoning.content);
                        return Ok(());
                    }
                    None => "it has no `encrypted_content`".to_owned(),
                };
                context.losses.add(format_args!("input[{i}]"), format!("the reasoning was left out: {why}"));
            }
            Item::Reasoning(_) => {
                context.losses.add(
                    format_args!("input[{i}]"),
                    "earlier reasoning was left out: this provider does not take it back",
                );
            }
            Item::Reference(_) => {}
            Item::Other(object) => {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or("unknown");
                let message = format!("this provider knows no item of type `{kind}`");
                return Err(EncodeError::new(format_args!("input[{i}]"), message));
            }
        }
        Ok(())
    }

    /// Thoughts that stand one after the other; the firewall has screened each apart.
    fn think(&mut self, thought: &[String]) {
        if !self.thought.is_empty() {
            self.thought.push_str("\n\n");
        }
        thought.iter().for_each(|text| self.thought.push_str(text));
    }
}

/// The texts of an earlier answer as one. Pieces of one text stand without anything between them; the firewall has
/// screened those as one. It has screened a refusal, and a text with notes, apart: a line ends between them, so that no
/// match comes of what is put together here, but for a rule that itself matches the end of a line.
fn assistant_text(context: &mut Context, message: &Message, i: usize) -> String {
    let mut all = String::new();
    let mut goes_on = false;
    for (j, part) in message.content.iter().enumerate() {
        let (text, is_piece) = match part {
            Part::Text { text, annotations, extra } => (text, annotations.is_empty() && extra.is_empty()),
            Part::Refusal { text } => (text, false),
            _ => {
                let why = "of what a model has said, this provider is given the text only";
                context.losses.add(format_args!("input[{i}].content[{j}]"), why);
                goes_on = false;
                continue;
            }
        };
        if !(all.is_empty() || goes_on && is_piece) {
            all.push('\n');
        }
        all.push_str(text);
        goes_on = is_piece;
    }
    all
}

/// A text alone is a string, which every host understands; otherwise a list of parts.
fn content(context: &mut Context, parts: &[Part], path: &str) -> Result<Value, EncodeError> {
    if let [Part::Text { text, .. }] = parts {
        return Ok(text.as_str().into());
    }
    let parts = parts.iter().enumerate().map(|(i, part)| self::part(context, part, &format!("{path}[{i}]")));
    Ok(Value::Array(parts.collect::<Result<_, _>>()?))
}

fn part(context: &mut Context, part: &Part, path: &str) -> Result<Value, EncodeError> {
    Ok(match part {
        Part::Text { text, .. } | Part::Refusal { text } => json!({"type": "text", "text": text}),
        Part::Image { url: Some(url), detail, .. } => {
            if context.target.kind == Kind::Mistral {
                json!({"type": "image_url", "image_url": url})
            } else if let Some(detail) = detail {
                json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
            } else {
                json!({"type": "image_url", "image_url": {"url": url}})
            }
        }
        Part::Image { .. } => {
            return Err(EncodeError::new(
                format!("{path}.file_id"),
                "this provider knows no files of OpenAI's by `file_id`",
            ));
        }
        Part::File { file_data: Some(data), filename, .. } => {
            match media::text(media::file(data, filename.as_deref())) {
                Some(text) => {
                    context.losses.add(path, "the file was given as text: this provider takes no files");
                    json!({"type": "text", "text": text})
                }
                None => return Err(EncodeError::new(path, "this provider takes no files other than text")),
            }
        }
        Part::File { .. } => return Err(EncodeError::new(path, "this provider takes files only as `file_data`")),
        // Sound, which many hosts of this format take as OpenAI's chats do.
        Part::Other(object)
            if context.target.kind == Kind::OpenAiCompatible
                && object.get("type").is_some_and(|kind| kind == "input_audio") =>
        {
            Value::Object(object.clone())
        }
        Part::Other(_) => return Err(EncodeError::new(path, "this provider does not know this type of content")),
    })
}
