//! Our request as Anthropic's.
//!
//! System messages are hoisted, turns of the same role joined, the results of parallel calls stand
//! together in the one user turn after the calls. Empty texts are left out: Anthropic refuses them.

use crate::encode::{Context, EncodeError, to_json};
use crate::envelope::{Opened, open};
use crate::media;
use crate::tools::{self, Choice};
use serde_json::{Map, Value, json};
use tokenrouter_protocol::{Item, OutputValue, Part, Reasoning, Request, Role, TextFormat};

/// What Anthropic must be told when nobody knows the model's real maximum.
const DEFAULT_MAX_TOKENS: u64 = 4_096;
const LEAST_THINKING: u64 = 1_024;

pub(crate) fn encode(context: &mut Context, request: &Request) -> Result<Vec<u8>, EncodeError> {
    let mut turns = Turns { system: Vec::new(), list: Vec::new() };
    turns.system(request.instructions.as_deref().unwrap_or_default());
    for (i, item) in request.input.iter().enumerate() {
        turns.item(context, item, i)?;
    }
    let most = context.target.max_output_tokens;
    let max_tokens = request.max_output_tokens.or(most).unwrap_or(DEFAULT_MAX_TOKENS);
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("model", context.target.model.into());
    put("max_tokens", max_tokens.into());
    if !turns.system.is_empty() {
        put("system", turns.system.join("\n\n").into());
    }
    put("messages", turns.list.into());
    let plan = tools::plan(context, request)?;
    let mut thinking = thinking(context, request, max_tokens);
    if !plan.functions.is_empty() {
        let functions: Vec<Value> = plan
            .functions
            .iter()
            .map(|function| {
                let mut tool = json!({ "name": function.name });
                if let Some(description) = &function.tool.description {
                    tool["description"] = description.as_str().into();
                }
                let empty = json!({"type": "object", "properties": {}});
                tool["input_schema"] = function.tool.parameters.clone().unwrap_or(empty);
                tool
            })
            .collect();
        put("tools", functions.into());
        let forced = plan.choice.is_forced();
        let mut choice = match &plan.choice {
            Choice::None => json!({"type": "none"}),
            _ if forced && thinking.is_some() => {
                context
                    .losses
                    .add("tool_choice", "Anthropic forces no tool while it thinks: the choice was left to the model");
                json!({"type": "auto"})
            }
            Choice::Auto => json!({"type": "auto"}),
            Choice::Required => json!({"type": "any"}),
            Choice::Function(name) => json!({"type": "tool", "name": name}),
        };
        if request.parallel_tool_calls == Some(false) && choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = true.into();
        }
        put("tool_choice", choice);
    }
    match &request.text.format {
        TextFormat::Text => {}
        TextFormat::JsonSchema { schema, .. } => {
            put("output_config", json!({"format": {"type": "json_schema", "schema": schema}}));
        }
        TextFormat::JsonObject => {
            let message = "Anthropic has no JSON mode without a schema: the instructions ask for JSON";
            context.losses.add("text.format", message);
            let system = body.get("system").and_then(Value::as_str).unwrap_or_default();
            let system = format!("{system}\n\nAnswer with one JSON object and nothing else.").trim().to_owned();
            body.insert("system".to_owned(), system.into());
        }
    }
    sampling(context, request, thinking.is_some(), &mut body);
    if !request.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), json!(request.stop));
    }
    if let Some(thinking) = thinking.take() {
        body.insert("thinking".to_owned(), thinking);
    }
    if context.target.stream {
        body.insert("stream".to_owned(), true.into());
    }
    losses(context, request);
    to_json(&body, 1_024)
}

fn thinking(context: &mut Context, request: &Request, max_tokens: u64) -> Option<Value> {
    let effort = request.reasoning.as_ref()?.effort.as_deref()?;
    let share = match effort {
        "none" | "minimal" => return None,
        "low" => 4,
        "medium" => 2,
        _ => 1,
    };
    if !context.target.reasoning {
        context.losses.add("reasoning", "this model cannot reason");
        return None;
    }
    // Thinking is part of the output and must leave room for the answer.
    let budget = (16_384 / share).min(max_tokens.saturating_sub(LEAST_THINKING));
    if budget < LEAST_THINKING {
        context.losses.add("reasoning", "`max_output_tokens` leaves no room for reasoning");
        return None;
    }
    Some(json!({"type": "enabled", "budget_tokens": budget}))
}

fn sampling(context: &mut Context, request: &Request, thinking: bool, body: &mut Map<String, Value>) {
    if let Some(temperature) = request.temperature {
        if thinking {
            context.losses.add("temperature", "Anthropic takes none while it thinks");
        } else {
            if temperature > 1.0 {
                context.losses.add("temperature", "Anthropic's highest is 1, which was sent");
            }
            body.insert("temperature".to_owned(), temperature.min(1.0).into());
        }
    }
    if let Some(top_p) = request.top_p {
        if thinking || request.temperature.is_some() {
            context.losses.add("top_p", "Anthropic takes it neither with `temperature` nor while it thinks");
        } else {
            body.insert("top_p".to_owned(), top_p.into());
        }
    }
}

fn losses(context: &mut Context, request: &Request) {
    let losses = &mut context.losses;
    losses.add_if(request.presence_penalty.is_some(), "presence_penalty", "Anthropic has no such field");
    losses.add_if(request.frequency_penalty.is_some(), "frequency_penalty", "Anthropic has no such field");
    losses.add_if(request.top_logprobs.is_some(), "top_logprobs", "Anthropic has no such field");
    losses.add_if(request.max_tool_calls.is_some(), "max_tool_calls", "Anthropic has no such field");
    losses.add_if(request.truncation.as_deref() == Some("auto"), "truncation", "Anthropic does not truncate");
    losses.add_if(request.service_tier.is_some(), "service_tier", "Anthropic's tiers are others");
    losses.add_if(request.text.verbosity.is_some(), "text.verbosity", "Anthropic has no such field");
    for name in request.chat_only.keys() {
        losses.add(name, "Anthropic has no such field");
    }
    for (i, item) in request.input.iter().enumerate() {
        let named = matches!(item, Item::Message(message) if message.extra.contains_key("name"));
        losses.add_if(named, &format!("input[{i}].name"), "Anthropic has no such field");
    }
    for name in request.extra.keys().filter(|name| !name.starts_with("router_")) {
        losses.add(name, "the field is not known; it was left out");
    }
}

struct Turns {
    system: Vec<String>,
    list: Vec<Value>,
}

impl Turns {
    fn system(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.system.push(text.to_owned());
        }
    }

    /// Adds a block to the turn of this role, which is begun if the last turn is another's.
    fn block(&mut self, role: &str, block: Value) {
        if let Some(last) = self.list.last_mut().filter(|last| last["role"] == role)
            && let Some(content) = last["content"].as_array_mut()
        {
            // Results come before what the user says beside them.
            let results = content.iter().take_while(|b| b["type"] == "tool_result").count();
            let at = if block["type"] == "tool_result" { results } else { content.len() };
            content.insert(at, block);
            return;
        }
        self.list.push(json!({"role": role, "content": [block]}));
    }

    fn item(&mut self, context: &mut Context, item: &Item, i: usize) -> Result<(), EncodeError> {
        match item {
            Item::Message(message) => match message.role {
                Role::System | Role::Developer => {
                    for part in &message.content {
                        match part {
                            Part::Text { text, .. } => self.system(text),
                            _ => {
                                let message = "Anthropic takes only text as a system message";
                                return Err(EncodeError::new(format_args!("input[{i}].content"), message));
                            }
                        }
                    }
                }
                Role::User | Role::Assistant => {
                    let role = message.role.as_str();
                    for (j, part) in message.content.iter().enumerate() {
                        if let Some(block) = block(part, &format!("input[{i}].content[{j}]"))? {
                            self.block(role, block);
                        }
                    }
                }
            },
            Item::FunctionCall(call) => {
                let input = match serde_json::from_str::<Value>(&call.arguments) {
                    Ok(Value::Object(input)) => Value::Object(input),
                    Err(_) if call.arguments.trim().is_empty() => json!({}),
                    _ => {
                        let message =
                            "the arguments are no JSON object, which Anthropic asks for: they were put into one";
                        context.losses.add(format_args!("input[{i}].arguments"), message);
                        json!({ "arguments": call.arguments })
                    }
                };
                let id = context.translation.wire_call_id(&call.call_id).into_owned();
                let name = context.translation.wire_name(&call.name).into_owned();
                self.block("assistant", json!({"type": "tool_use", "id": id, "name": name, "input": input}));
            }
            Item::FunctionCallOutput(output) => {
                let id = context.translation.wire_call_id(&output.call_id).into_owned();
                let mut result = json!({"type": "tool_result", "tool_use_id": id});
                match &output.output {
                    OutputValue::Text(text) if text.trim().is_empty() => {}
                    OutputValue::Text(text) => result["content"] = text.as_str().into(),
                    OutputValue::Parts(parts) => {
                        let mut blocks = Vec::new();
                        for (j, part) in parts.iter().enumerate() {
                            blocks.extend(block(part, &format!("input[{i}].output[{j}]"))?);
                        }
                        result["content"] = blocks.into();
                    }
                }
                self.block("user", result);
            }
            Item::Reasoning(reasoning) => self.reasoning(context, reasoning, i),
            Item::Reference(_) => {}
            Item::Other(object) => {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or("unknown");
                let message = format!("this provider knows no item of type `{kind}`");
                return Err(EncodeError::new(format_args!("input[{i}]"), message));
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, context: &mut Context, reasoning: &Reasoning, i: usize) {
        let text: String = reasoning.content.concat();
        let why = match reasoning.encrypted_content.as_deref().map(|sealed| open(sealed, context.target)) {
            Some(Opened::Native(sealed)) if sealed.redacted.is_some() => {
                self.block("assistant", json!({"type": "redacted_thinking", "data": sealed.redacted}));
                return;
            }
            Some(Opened::Native(sealed)) if sealed.signs(&text) && sealed.signature.is_some() => {
                let block = json!({"type": "thinking", "thinking": text, "signature": sealed.signature});
                self.block("assistant", block);
                return;
            }
            Some(Opened::Native(_)) => "its text was changed on the way".to_owned(),
            Some(Opened::Foreign(why)) => why,
            Some(Opened::Bare) => "it was not made by this provider".to_owned(),
            None => "it has no `encrypted_content`".to_owned(),
        };
        context.losses.add(format_args!("input[{i}]"), format!("the reasoning was left out: {why}"));
    }
}

/// None for a text without a word.
fn block(part: &Part, path: &str) -> Result<Option<Value>, EncodeError> {
    let base64 =
        |inline: media::Inline| json!({"type": "base64", "media_type": inline.media_type, "data": inline.base64});
    Ok(Some(match part {
        Part::Text { text, .. } | Part::Refusal { text } => {
            if text.trim().is_empty() {
                return Ok(None);
            }
            json!({"type": "text", "text": text})
        }
        Part::Image { url: Some(url), .. } => match media::data_url(url) {
            Some(inline) => json!({"type": "image", "source": base64(inline)}),
            None if url.starts_with("https://") || url.starts_with("http://") => {
                json!({"type": "image", "source": {"type": "url", "url": url}})
            }
            None => return Err(EncodeError::new(path, "the image must be an http(s) address or a base64 `data:` URL")),
        },
        Part::File { file_data: Some(data), filename, .. } => {
            let inline = media::file(data, filename.as_deref());
            let source = match media::text(inline) {
                Some(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
                None if inline.media_type == "application/pdf" => base64(inline),
                None => return Err(EncodeError::new(path, "Anthropic takes only PDF and text files")),
            };
            let mut document = json!({"type": "document", "source": source});
            if let Some(filename) = filename {
                document["title"] = filename.as_str().into();
            }
            document
        }
        Part::File { file_url: Some(url), .. } => json!({"type": "document", "source": {"type": "url", "url": url}}),
        Part::Image { .. } | Part::File { .. } => {
            return Err(EncodeError::new(
                format!("{path}.file_id"),
                "this provider knows no files of OpenAI's by `file_id`",
            ));
        }
        Part::Other(_) => return Err(EncodeError::new(path, "this provider does not know this type of content")),
    }))
}
