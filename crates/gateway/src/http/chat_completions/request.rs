//! A chat's body as our request.

use super::Shape;
use super::messages::Conversation;
use super::tools;
use serde_json::Value;
use tokenrouter_protocol::{
    FieldError, FieldNames, Fields, MOST_TOP_LOGPROBS, Object, ReasoningConfig, Request, RouterFields, TextConfig,
    TextFormat, check_metadata,
};

/// As OpenAI has it.
const MOST_CHOICES: u64 = 128;
/// Fields of `/v1/responses` that would mean something else here, or go past our eyes to OpenAI.
const OF_RESPONSES: [&str; 9] = [
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "background",
    "text",
    "include",
    "max_output_tokens",
    "truncation",
];

/// # Errors
/// Names the first field that is missing, wrong or not supported, as the chat calls it.
pub(super) fn parse(body: Value) -> Result<(Request, Shape), FieldError> {
    let Value::Object(map) = body else { return Err(FieldError::new("", "the body must be a JSON object")) };
    let mut f = Fields::new(map, "");
    if let Some(name) = OF_RESPONSES.into_iter().find(|name| f.peek(name).is_some()) {
        let message = format!("`{name}` is a field of /v1/responses; a chat says it in `messages`, or not at all");
        return Err(FieldError::new(name, message));
    }
    let conversation = Conversation::read(&mut f)?;
    let tools = tools::read(&mut f)?;
    refuse_what_is_not_text(&mut f)?;
    let choices = f.count_within("n", 1..=MOST_CHOICES)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let (max_output_tokens, max_name) = max_output_tokens(&mut f)?;
    let metadata = f.object("metadata")?.unwrap_or_default();
    check_metadata(&metadata)?;
    let (stream, include_usage) = stream(&mut f)?;
    let shape = Shape { functions: tools.functions, include_usage, choices };
    let mut names = FieldNames { items: conversation.places, fields: tools.names };
    let fields = [
        ("max_output_tokens", max_name),
        ("text.format", "response_format"),
        ("text.verbosity", "verbosity"),
        ("reasoning.effort", "reasoning_effort"),
        ("reasoning", "reasoning_effort"),
        ("include", "logprobs"),
        ("input", "messages"),
        // Inside a tool's message.
        (".output", ".content"),
    ];
    names.fields.extend(fields.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())));
    let logprobs = f.boolean("logprobs")? == Some(true);
    let mut request = Request {
        model: f.short_name("model")?,
        instructions: None,
        input: conversation.items,
        tools: tools.tools,
        tool_choice: tools.choice,
        // A caller of `functions` reads one call.
        parallel_tool_calls: f.boolean("parallel_tool_calls")?.or(shape.functions.then_some(false)),
        max_tool_calls: None,
        text: TextConfig { format: response_format(&mut f)?, verbosity: f.string("verbosity")? },
        reasoning: reasoning(&mut f)?,
        temperature: f.number("temperature", 0.0..=2.0)?,
        top_p: f.number("top_p", 0.0..=1.0)?,
        presence_penalty: f.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: f.number("frequency_penalty", -2.0..=2.0)?,
        top_logprobs: f.count_within("top_logprobs", 0..=MOST_TOP_LOGPROBS)?,
        max_output_tokens,
        stop: stop(&mut f)?,
        chat_only: chat_only(&mut f)?,
        truncation: None,
        include: Vec::new(),
        metadata,
        previous_response_id: None,
        conversation: None,
        background: false,
        // Unlike a response, a chat is kept only if the caller says so.
        store: f.boolean("store")?.unwrap_or(false),
        stream,
        warm_up: false,
        stream_options: None,
        service_tier: f.string("service_tier")?,
        safety_identifier: f.string("safety_identifier")?,
        prompt_cache_key: f.string("prompt_cache_key")?,
        user: f.string("user")?,
        router: RouterFields::take(&mut f)?,
        names,
        emulated: Vec::new(),
        extra: f.rest(),
    };
    if choices > 1 {
        let how = "each choice was asked for by itself, so that the prompt counts as often";
        if request.router.strict {
            return Err(FieldError::new("n", format!("`n`: {how}")));
        }
        request.emulated.push(("n".to_owned(), how.to_owned()));
    }
    if logprobs {
        request.want_logprobs();
    }
    Ok((request, shape))
}

/// What the pipeline gives is text.
fn refuse_what_is_not_text(f: &mut Fields) -> Result<(), FieldError> {
    let modalities = f.array("modalities")?.unwrap_or_default();
    if modalities.iter().any(|modality| modality != "text") {
        return Err(FieldError::new("modalities", "`modalities` must be [\"text\"]: answers are given in text only"));
    }
    match f.take("audio") {
        Some(_) => Err(FieldError::new("audio", "`audio` is not supported: answers are given in text only")),
        None => Ok(()),
    }
}

/// The limit, and which of its two names the caller gave it.
fn max_output_tokens(f: &mut Fields) -> Result<(Option<u64>, &'static str), FieldError> {
    let old = f.count("max_tokens", 1)?;
    let new = f.count("max_completion_tokens", 1)?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => {
            let message = "`max_tokens` is the older name of `max_completion_tokens`: give one of them";
            Err(FieldError::new("max_tokens", message))
        }
        (Some(old), None) => Ok((Some(old), "max_tokens")),
        (_, new) => Ok((new, "max_completion_tokens")),
    }
}

fn stream(f: &mut Fields) -> Result<(bool, bool), FieldError> {
    let stream = f.boolean("stream")?.unwrap_or(false);
    let Some(options) = f.object("stream_options")? else { return Ok((stream, false)) };
    let include_usage = Fields::new(options, "stream_options").boolean("include_usage")?.unwrap_or(false);
    Ok((stream, include_usage))
}

fn response_format(f: &mut Fields) -> Result<TextFormat, FieldError> {
    let Some(format) = f.object("response_format")? else { return Ok(TextFormat::Text) };
    let mut format = Fields::new(format, "response_format");
    match format.required_string("type")?.as_str() {
        "text" => Ok(TextFormat::Text),
        "json_object" => Ok(TextFormat::JsonObject),
        "json_schema" => {
            let inner = format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
            let mut inner = Fields::new(inner, "response_format.json_schema");
            Ok(TextFormat::JsonSchema {
                name: inner.required_string("name")?,
                description: inner.string("description")?,
                schema: inner.object("schema")?.map(Value::Object).ok_or_else(|| inner.missing("schema"))?,
                strict: inner.boolean("strict")?,
            })
        }
        other => {
            let message = format!("`response_format.type` must be text, json_object or json_schema, not `{other}`");
            Err(FieldError::new("response_format.type", message))
        }
    }
}

/// `reasoning_effort`, or the object that some clients send in its place.
fn reasoning(f: &mut Fields) -> Result<Option<ReasoningConfig>, FieldError> {
    let effort = f.string("reasoning_effort")?;
    let mut config = match f.object("reasoning")? {
        None => return Ok(effort.map(|effort| ReasoningConfig { effort: Some(effort), ..ReasoningConfig::default() })),
        Some(object) => {
            let mut inner = Fields::new(object, "reasoning");
            ReasoningConfig { effort: inner.string("effort")?, summary: inner.string("summary")?, extra: inner.rest() }
        }
    };
    if effort.is_some() {
        config.effort = effort;
    }
    Ok(Some(config))
}

fn stop(f: &mut Fields) -> Result<Vec<String>, FieldError> {
    let wrong = |param: &str| FieldError::new(param, format!("`{param}` must be a text that is not empty"));
    let text = |value: Value, param: &str| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(wrong(param)),
    };
    match f.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            values.into_iter().enumerate().map(|(i, value)| text(value, &format!("stop[{i}]"))).collect()
        }
        Some(value) => Ok(vec![text(value, "stop")?]),
    }
}

/// What Responses have no word for: checked here, carried by the providers that know it.
fn chat_only(f: &mut Fields) -> Result<Object, FieldError> {
    let mut only = Object::new();
    if let Some(seed) = f.take("seed") {
        if !seed.is_i64() && !seed.is_u64() {
            return Err(FieldError::new("seed", "`seed` must be a whole number"));
        }
        only.insert("seed".to_owned(), seed);
    }
    if let Some(bias) = f.object("logit_bias")? {
        if let Some((token, _)) = bias.iter().find(|(_, value)| !value.is_number()) {
            let param = format!("logit_bias.{token}");
            return Err(FieldError::new(param.clone(), format!("`{param}` must be a number")));
        }
        only.insert("logit_bias".to_owned(), Value::Object(bias));
    }
    if let Some(prediction) = f.object("prediction")? {
        only.insert("prediction".to_owned(), Value::Object(prediction));
    }
    Ok(only)
}
