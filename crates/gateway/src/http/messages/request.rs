//! Anthropic's request as ours.
//!
//! What has no place in our form goes along under the key of Anthropic's fields, unchanged for an
//! Anthropic provider and named as lost elsewhere.

use super::content::{self, Places};
use http::HeaderMap;
use serde_json::{Value, json};
use tokenrouter_protocol::{
    FieldError, Fields, FunctionTool, Object, ReasoningConfig, Request, RouterFields, TextConfig, TextFormat, Tool,
    ToolChoice,
};
use tokenrouter_providers::ANTHROPIC_FIELDS;

/// The names in `anthropic-beta`, of which there may be many in one header or several headers.
pub(super) fn betas(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// # Errors
/// Names the first field that is missing, of the wrong type or out of range.
pub(super) fn parse(body: Value, mut betas: Vec<String>) -> Result<(Request, Places), FieldError> {
    let mut f = fields(body)?;
    let max_tokens = f.count("max_tokens", 1)?.ok_or_else(|| f.missing("max_tokens"))?;
    let (mut request, places) = prompt(&mut f)?;
    request.max_output_tokens = Some(max_tokens);
    request.temperature = f.number("temperature", 0.0..=1.0)?;
    request.top_p = f.number("top_p", 0.0..=1.0)?;
    request.stop = strings(&mut f, "stop_sequences")?;
    request.stream = f.boolean("stream")?.unwrap_or(false);
    // Anthropic keeps no messages, and its clients expect none to be kept.
    request.store = f.boolean("store")?.unwrap_or(false);
    request.router = RouterFields::take(&mut f)?;
    request.names.fields.push(("reasoning.effort".to_owned(), "output_config.effort".to_owned()));
    let mut native = Object::new();
    request.metadata = metadata(&mut f, &mut native)?;
    reasoning(&mut f, &mut request, &mut native)?;
    if let Some(top_k) = f.count("top_k", 0)? {
        native.insert("top_k".to_owned(), top_k.into());
    }
    // `auto` is what happens without it.
    if let Some(tier) = f.string("service_tier")?.filter(|tier| tier != "auto") {
        native.insert("service_tier".to_owned(), tier.into());
    }
    for (i, beta) in strings(&mut f, "betas")?.into_iter().enumerate() {
        // It becomes a header.
        if beta.is_empty() || !beta.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(FieldError::new(format!("betas[{i}]"), format!("`betas[{i}]` is not the name of a beta")));
        }
        betas.push(beta);
    }
    if !betas.is_empty() {
        native.insert("betas".to_owned(), betas.into());
    }
    native.extend(f.rest().into_iter().filter(|(name, value)| !value.is_null() && !name.starts_with("router_")));
    request.extra.insert(ANTHROPIC_FIELDS.to_owned(), native.into());
    Ok((request, places))
}

/// What counts as input: the body of `count_tokens`, which has no `max_tokens`.
pub(super) fn parse_prompt(body: Value) -> Result<Request, FieldError> {
    prompt(&mut fields(body)?).map(|(request, _)| request)
}

fn fields(body: Value) -> Result<Fields, FieldError> {
    match body {
        Value::Object(map) => Ok(Fields::new(map, "")),
        _ => Err(FieldError::new("", "the body must be a JSON object")),
    }
}

fn prompt(f: &mut Fields) -> Result<(Request, Places), FieldError> {
    let model = f.short_name("model")?;
    let mut conversation = content::Conversation::default();
    let instructions = match f.take("system") {
        None => None,
        Some(Value::String(text)) => Some(text),
        Some(blocks) => {
            conversation.system(blocks, "system")?;
            None
        }
    };
    let messages = f.array("messages")?.ok_or_else(|| f.missing("messages"))?;
    if messages.is_empty() {
        return Err(FieldError::new("messages", "`messages` must hold at least one message"));
    }
    for (i, message) in messages.into_iter().enumerate() {
        conversation.message(message, &format!("messages[{i}]"))?;
    }
    if !conversation.has_input() {
        return Err(FieldError::new("messages", "`messages` must say something"));
    }
    let tools = f.array("tools")?.unwrap_or_default();
    let tools = tools.into_iter().enumerate().map(|(i, value)| tool(value, &format!("tools[{i}]")));
    let tools = tools.collect::<Result<Vec<Tool>, FieldError>>()?;
    let (tool_choice, parallel_tool_calls) = tool_choice(f)?;
    let text = TextConfig { format: format(f)?, verbosity: None };
    let (input, places) = conversation.finish();
    let request =
        Request { model, instructions, input, tools, tool_choice, parallel_tool_calls, text, ..Request::default() };
    Ok((request, places))
}

fn strings(f: &mut Fields, name: &str) -> Result<Vec<String>, FieldError> {
    let values = f.array(name)?.unwrap_or_default();
    values
        .into_iter()
        .enumerate()
        .map(|(i, value)| match value {
            Value::String(text) => Ok(text),
            _ => Err(FieldError::new(format!("{name}[{i}]"), format!("`{name}[{i}]` must be a string"))),
        })
        .collect()
}

fn tool(value: Value, path: &str) -> Result<Tool, FieldError> {
    let mut f = Fields::of(value, path)?;
    match f.string("type")? {
        None => {}
        Some(kind) if kind == "custom" => {}
        // Run or defined by Anthropic.
        Some(kind) => {
            let mut object = Object::new();
            object.insert("type".to_owned(), kind.into());
            object.extend(f.rest());
            return Ok(Tool::Other(object));
        }
    }
    let name = f.required_string("name")?;
    if name.is_empty() {
        return Err(FieldError::new(f.path_of("name"), "a tool's name must not be empty"));
    }
    let description = f.string("description")?;
    let parameters = f.object("input_schema")?.ok_or_else(|| f.missing("input_schema"))?;
    // Not strict unless asked: other providers would hold the schema to rules that it was not written for.
    let strict = Some(f.boolean("strict")?.unwrap_or(false));
    let extra = content::native(f);
    Ok(Tool::Function(FunctionTool { name, description, parameters: Some(parameters.into()), strict, extra }))
}

fn tool_choice(f: &mut Fields) -> Result<(ToolChoice, Option<bool>), FieldError> {
    let Some(object) = f.object("tool_choice")? else { return Ok((ToolChoice::Auto, None)) };
    let mut f = Fields::new(object, "tool_choice");
    let kind = f.required_string("type")?;
    let choice = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(f.required_string("name")?),
        other => {
            let message = format!("`tool_choice.type` must be auto, any, tool or none, not `{other}`");
            return Err(FieldError::new("tool_choice.type", message));
        }
    };
    let one_at_a_time = f.boolean("disable_parallel_tool_use")?.unwrap_or(false);
    Ok((choice, one_at_a_time.then_some(false)))
}

/// `output_config.format`, and `output_format`, which it was called in beta.
fn format(f: &mut Fields) -> Result<TextFormat, FieldError> {
    let older = f.object("output_format")?.map(|object| (object, "output_format"));
    let newer = match f.peek("output_config") {
        Some(Value::Object(config)) => match config.get("format") {
            None | Some(Value::Null) => None,
            Some(Value::Object(object)) => Some((object.clone(), "output_config.format")),
            Some(_) => {
                return Err(FieldError::new("output_config.format", "`output_config.format` must be an object"));
            }
        },
        Some(_) => return Err(FieldError::new("output_config", "`output_config` must be an object")),
        None => None,
    };
    let Some((object, path)) = newer.or(older) else { return Ok(TextFormat::Text) };
    let mut f = Fields::new(object, path);
    let kind = f.required_string("type")?;
    if kind != "json_schema" {
        let path = f.path_of("type");
        return Err(FieldError::new(path.clone(), format!("`{path}` must be json_schema, not `{kind}`")));
    }
    let schema = Value::Object(f.object("schema")?.ok_or_else(|| f.missing("schema"))?);
    let strict = Some(is_closed(&schema));
    Ok(TextFormat::JsonSchema { name: "response".to_owned(), description: None, schema, strict })
}

/// Whether every object of the schema names all it may hold and must hold all of it, as providers that are
/// strict about schemas ask; Anthropic does not.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => {
            let whole = object.get("properties").and_then(Value::as_object).is_none_or(|properties| {
                let required = object.get("required").and_then(Value::as_array);
                object.get("additionalProperties") == Some(&Value::Bool(false))
                    && properties.keys().all(|name| required.is_some_and(|all| all.iter().any(|n| n == name.as_str())))
            });
            whole && object.values().all(is_closed)
        }
        Value::Array(values) => values.iter().all(is_closed),
        _ => true,
    }
}

/// The caller's pairs, for routing rules and the response; only `user_id` is known to Anthropic.
fn metadata(f: &mut Fields, native: &mut Object) -> Result<Object, FieldError> {
    let metadata = f.object("metadata")?.unwrap_or_default();
    for (name, value) in &metadata {
        if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null) {
            let param = format!("metadata.{name}");
            return Err(FieldError::new(param.clone(), format!("`{param}` must be a string")));
        }
    }
    if let Some(user_id) = metadata.get("user_id").filter(|user_id| !user_id.is_null()) {
        native.insert("metadata".to_owned(), json!({ "user_id": user_id }));
    }
    Ok(metadata.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

/// `thinking` and `output_config.effort`: both as they are, for Anthropic, and as an effort for others.
fn reasoning(f: &mut Fields, request: &mut Request, native: &mut Object) -> Result<(), FieldError> {
    let mut effort = None;
    if let Some(thinking) = f.object("thinking")? {
        let mut inner = Fields::new(thinking.clone(), "thinking");
        match inner.required_string("type")?.as_str() {
            "enabled" => {
                let budget = inner.count("budget_tokens", 1)?.ok_or_else(|| inner.missing("budget_tokens"))?;
                effort = Some(match budget {
                    0..=4_096 => "low",
                    4_097..=16_384 => "medium",
                    _ => "high",
                });
            }
            "adaptive" => effort = Some("high"),
            "disabled" => {}
            other => {
                let message = format!("`thinking.type` must be enabled, adaptive or disabled, not `{other}`");
                return Err(FieldError::new("thinking.type", message));
            }
        }
        native.insert("thinking".to_owned(), thinking.into());
    }
    let thinks = effort.is_some();
    let mut effort = effort.map(str::to_owned);
    if let Some(config) = f.object("output_config")? {
        let mut own = config.clone();
        let mut inner = Fields::new(config, "output_config");
        if let Some(asked) = inner.string("effort")? {
            effort = Some(asked);
        }
        // Carried as `text.format`.
        own.shift_remove("format");
        if !own.is_empty() {
            native.insert("output_config".to_owned(), own.into());
        }
    }
    if effort.is_some() {
        let summary = thinks.then(|| "auto".to_owned());
        request.reasoning = Some(ReasoningConfig { effort, summary, extra: Object::new() });
    }
    if thinks {
        // What comes back as a thinking block can be given back.
        request.include.push("reasoning.encrypted_content".to_owned());
    }
    Ok(())
}
