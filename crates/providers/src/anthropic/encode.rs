//! Our request as Anthropic's.
//!
//! System messages are hoisted, turns of the same role joined, the results of parallel calls stand
//! together in the one user turn after the calls. Empty texts are left out: Anthropic refuses them.

use super::thinking::{self, generation};
use super::{native, strict};
use crate::encode::{Context, EncodeError, to_json};
use crate::envelope::{Opened, open};
use crate::media;
use crate::tools::{self, Choice};
use serde_json::{Map, Value, json};
use tokenrouter_protocol::{Item, Object, OutputValue, Part, Reasoning, Request, Role, Tool};

/// What Anthropic must be told when nobody knows the model's real maximum.
const DEFAULT_MAX_TOKENS: u64 = 4_096;
/// Of `metadata.user_id`, in characters.
const LONGEST_USER_ID: usize = 256;

pub(crate) fn encode(context: &mut Context, request: &Request) -> Result<Vec<u8>, EncodeError> {
    let mut turns = Turns { system: Vec::new(), list: Vec::new() };
    turns.system(request.instructions.as_deref().unwrap_or_default(), &Object::new());
    for (i, item) in request.input.iter().enumerate() {
        turns.item(context, item, i)?;
    }
    let most = context.target.max_output_tokens;
    let mut max_tokens = request.max_output_tokens.or(most).unwrap_or(DEFAULT_MAX_TOKENS);
    if let Some(most) = most.filter(|most| *most < max_tokens) {
        context.losses.add("max_output_tokens", format!("{} puts out at most {most} tokens", context.target.model));
        max_tokens = most;
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("model", context.target.model.into());
    put("max_tokens", max_tokens.into());
    let (schema, words) = strict::format(context, request);
    turns.system(words.as_deref().unwrap_or_default(), &Object::new());
    if let Some(system) = turns.whole_system() {
        put("system", system);
    }
    put("messages", turns.list.into());
    let plan = tools::plan(context, request)?;
    let mut thinking = thinking::plan(context, request, max_tokens);
    let own_tools = request.tools.iter().filter_map(own_tool);
    if !plan.functions.is_empty() || own_tools.clone().next().is_some() {
        let mut functions: Vec<Value> =
            plan.functions.iter().map(|function| strict::tool(context, request, function)).collect();
        functions.extend(own_tools);
        put("tools", functions.into());
        let forced = plan.choice.is_forced();
        let mut choice = match &plan.choice {
            Choice::None => json!({"type": "none"}),
            _ if forced && thinking.is_on() => {
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
    let mut output_config = native::of(&request.extra)
        .and_then(|native| native.get("output_config"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    output_config.shift_remove("effort");
    if let Some(effort) = thinking.effort {
        output_config.insert("effort".to_owned(), effort.into());
    }
    if let Some(schema) = schema {
        output_config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    if !output_config.is_empty() {
        put("output_config", output_config.into());
    }
    if !request.stop.is_empty() {
        put("stop_sequences", json!(request.stop));
    }
    sampling(context, request, thinking.is_on(), &mut body);
    native_fields(context, request, &mut body);
    if let Some(thinking) = thinking.thinking.take() {
        body.insert("thinking".to_owned(), thinking);
    }
    if context.target.stream {
        body.insert("stream".to_owned(), true.into());
    }
    end_user(context, request, &mut body);
    losses(context, request);
    to_json(&body, 1_024)
}

/// A tool that Anthropic runs itself, as it came.
fn own_tool(tool: &Tool) -> Option<Value> {
    match tool {
        Tool::Other(object) => {
            let own = object.get("type").and_then(Value::as_str).is_some_and(native::is_own_tool);
            own.then(|| Value::Object(object.clone()))
        }
        Tool::Function(_) => None,
    }
}

/// What a client of Messages gave that has no place in our own form.
fn native_fields(context: &mut Context, request: &Request, body: &mut Map<String, Value>) {
    for (name, value) in native::of(&request.extra).into_iter().flatten() {
        match name.as_str() {
            // Read by `thinking`, `sampling` and `headers`.
            "thinking" | "output_config" | "top_k" | "betas" => {}
            name if native::REQUEST_FIELDS.contains(&name) => {
                body.insert(name.to_owned(), value.clone());
            }
            name => context.losses.add(name, "the field is not known; it was left out"),
        }
    }
}

/// Anthropic knows one opaque name of who uses the caller's product.
fn end_user(context: &mut Context, request: &Request, body: &mut Map<String, Value>) {
    let named = request.safety_identifier.as_ref().map(|id| ("safety_identifier", id));
    let carried = match named.or(request.user.as_ref().map(|id| ("user", id))) {
        Some((field, id)) if !body.contains_key("metadata") && id.chars().count() <= LONGEST_USER_ID => {
            body.insert("metadata".to_owned(), json!({ "user_id": id }));
            field
        }
        _ => "",
    };
    context.losses.add_hints(request, &[carried]);
}

fn sampling(context: &mut Context, request: &Request, thinking: bool, body: &mut Map<String, Value>) {
    let top_k = native::of(&request.extra).and_then(|native| native.get("top_k"));
    if generation(context.target.model) >= (4, 7) {
        let why = "this model refuses sampling parameters";
        context.losses.add_if(request.temperature.is_some_and(|t| t != 1.0), "temperature", why);
        context.losses.add_if(request.top_p.is_some_and(|p| p != 1.0), "top_p", why);
        context.losses.add_if(top_k.is_some(), "top_k", why);
        return;
    }
    if let Some(top_k) = top_k {
        if thinking {
            context.losses.add("top_k", "Anthropic takes none while it thinks");
        } else {
            body.insert("top_k".to_owned(), top_k.clone());
        }
    }
    if let Some(temperature) = request.temperature {
        if thinking {
            context.losses.add_if(temperature != 1.0, "temperature", "Anthropic takes none while it thinks");
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
    for name in request.extra.keys().filter(|name| !name.starts_with("router_") && *name != native::KEY) {
        losses.add(name, "the field is not known; it was left out");
    }
}

struct Turns {
    /// Text blocks.
    system: Vec<Value>,
    list: Vec<Value>,
}

impl Turns {
    fn system(&mut self, text: &str, extra: &Object) {
        if !text.trim().is_empty() {
            let mut block = json!({"type": "text", "text": text});
            native::put(&mut block, extra);
            self.system.push(block);
        }
    }

    /// One text, unless a block has fields of its own, such as a mark for the prompt cache.
    fn whole_system(&mut self) -> Option<Value> {
        let blocks = std::mem::take(&mut self.system);
        if blocks.is_empty() {
            return None;
        }
        if blocks.iter().any(|block| block.as_object().is_some_and(|block| block.len() > 2)) {
            return Some(blocks.into());
        }
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        Some(texts.join("\n\n").into())
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
                            Part::Text { text, extra, .. } => self.system(text, extra),
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
                let mut block = json!({"type": "tool_use", "id": id, "name": name, "input": input});
                native::put(&mut block, &call.extra);
                self.block("assistant", block);
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
                        // Nothing but empty texts is no content, which an empty list is not.
                        if !blocks.is_empty() {
                            result["content"] = blocks.into();
                        }
                    }
                }
                native::put(&mut result, &output.extra);
                self.block("user", result);
            }
            Item::Reasoning(reasoning) => self.reasoning(context, reasoning, i),
            Item::Reference(_) => {}
            Item::Other(object) => {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or("unknown");
                if native::is_own_block(kind) {
                    self.block("assistant", Value::Object(object.clone()));
                    return Ok(());
                }
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
    let mut block = match part {
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
        Part::Other(object) if object.get("type").and_then(Value::as_str).is_some_and(native::is_own_block) => {
            Value::Object(object.clone())
        }
        Part::Other(_) => return Err(EncodeError::new(path, "this provider does not know this type of content")),
    };
    if let Part::Text { extra, .. } | Part::Image { extra, .. } | Part::File { extra, .. } = part {
        native::put(&mut block, extra);
    }
    Ok(Some(block))
}
