//! A request to create a response.

use crate::Object;
use crate::field_names::FieldNames;
use crate::fields::{FieldError, Fields, kind_of};
use crate::item::{Item, Message, Role};
use crate::tool::{Tool, ToolChoice};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

#[derive(Clone, Debug, Default, PartialEq)]
pub enum TextFormat {
    #[default]
    Text,
    JsonObject,
    JsonSchema {
        name: String,
        description: Option<String>,
        schema: Value,
        strict: Option<bool>,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextConfig {
    pub format: TextFormat,
    pub verbosity: Option<String>,
}

impl Serialize for TextConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.format {
            TextFormat::Text => map.serialize_entry("format", &json!({"type": "text"}))?,
            TextFormat::JsonObject => map.serialize_entry("format", &json!({"type": "json_object"}))?,
            TextFormat::JsonSchema { name, description, schema, strict } => map.serialize_entry(
                "format",
                &json!({"type": "json_schema", "name": name, "description": description,
                        "schema": schema, "strict": strict.unwrap_or(false)}),
            )?,
        }
        if let Some(verbosity) = &self.verbosity {
            map.serialize_entry("verbosity", verbosity)?;
        }
        map.end()
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReasoningConfig {
    pub effort: Option<String>,
    pub summary: Option<String>,
    pub extra: Object,
}

impl Serialize for ReasoningConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("effort", &self.effort)?;
        map.serialize_entry("summary", &self.summary)?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// `router_mode`, `router_model`, `router_provider`, `router_strict`: for the router alone, never
/// sent on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterFields {
    pub mode: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub strict: bool,
}

impl RouterFields {
    /// Takes them out of a body, whichever surface it came to.
    ///
    /// # Errors
    /// When one is not of its type.
    pub fn take(f: &mut Fields) -> Result<Self, FieldError> {
        Ok(Self {
            mode: f.string("router_mode")?,
            model: f.short_name("router_model")?,
            provider: f.short_name("router_provider")?,
            strict: f.boolean("router_strict")?.unwrap_or(false),
        })
    }
}

/// What the caller asked for, in typed fields; what we do not read is in `extra`.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub model: Option<String>,
    pub instructions: Option<String>,
    pub input: Vec<Item>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: Option<bool>,
    pub max_tool_calls: Option<u64>,
    pub text: TextConfig,
    pub reasoning: Option<ReasoningConfig>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub top_logprobs: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// Texts at which the answer stops. Responses have no such field: only other surfaces set it.
    pub stop: Vec<String>,
    /// Fields that only Chat Completions have (`seed`, `logit_bias`, …), as they came: sent to hosts that
    /// know them, a loss elsewhere.
    pub chat_only: Object,
    pub truncation: Option<String>,
    pub include: Vec<String>,
    pub metadata: Object,
    pub previous_response_id: Option<String>,
    /// The conversation's id, which may come as `{"id": …}` too.
    pub conversation: Option<String>,
    pub background: bool,
    /// Whether the response is to be retrievable later. On by default, as in OpenAI's API.
    pub store: bool,
    pub stream: bool,
    /// Only what is there before an answer is wanted, to go on from: `generate: false` over a WebSocket.
    pub warm_up: bool,
    pub stream_options: Option<Value>,
    pub service_tier: Option<String>,
    pub safety_identifier: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub user: Option<String>,
    pub router: RouterFields,
    /// What the caller calls these fields, where its surface has other names for them.
    pub names: FieldNames,
    /// Fields that the surface gives by other means: the caller's name, and how.
    pub emulated: Vec<(String, String)>,
    pub extra: Object,
}

/// Of [`Request::include`]: how probable the tokens of the answer's text were.
pub const LOGPROBS: &str = "message.output_text.logprobs";
/// Of the tokens that might have stood in one's place, so many are told, as with OpenAI.
pub const MOST_TOP_LOGPROBS: u64 = 20;

impl Request {
    #[must_use]
    pub fn wants_logprobs(&self) -> bool {
        self.include.iter().any(|wanted| wanted == LOGPROBS)
    }

    pub fn want_logprobs(&mut self) {
        self.include.push(LOGPROBS.to_owned());
    }

    /// Reads a body. Unknown fields are kept in `extra`.
    ///
    /// # Errors
    /// Names the first field that is missing, of the wrong type or out of range.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let Value::Object(map) = body else {
            return Err(FieldError::new("", format!("the body must be a JSON object, not {}", kind_of(&body))));
        };
        let mut f = Fields::new(map, "");
        let input = input(&mut f)?;
        let metadata = f.object("metadata")?.unwrap_or_default();
        check_metadata(&metadata)?;
        Ok(Self {
            model: f.short_name("model")?,
            instructions: f.string("instructions")?,
            input,
            tools: tools(&mut f)?,
            tool_choice: f.take("tool_choice").map_or(Ok(ToolChoice::Auto), ToolChoice::parse)?,
            parallel_tool_calls: f.boolean("parallel_tool_calls")?,
            max_tool_calls: f.count("max_tool_calls", 1)?,
            text: text(&mut f)?,
            reasoning: reasoning(&mut f)?,
            temperature: f.number("temperature", 0.0..=2.0)?,
            top_p: f.number("top_p", 0.0..=1.0)?,
            presence_penalty: f.number("presence_penalty", -2.0..=2.0)?,
            frequency_penalty: f.number("frequency_penalty", -2.0..=2.0)?,
            top_logprobs: f.count_within("top_logprobs", 0..=MOST_TOP_LOGPROBS)?,
            max_output_tokens: f.count("max_output_tokens", 1)?,
            stop: Vec::new(),
            chat_only: Object::new(),
            truncation: truncation(&mut f)?,
            include: include(&mut f)?,
            metadata,
            previous_response_id: f.string("previous_response_id")?,
            conversation: conversation(&mut f)?,
            background: f.boolean("background")?.unwrap_or(false),
            store: f.boolean("store")?.unwrap_or(true),
            stream: f.boolean("stream")?.unwrap_or(false),
            warm_up: false,
            stream_options: f.object("stream_options")?.map(Value::Object),
            service_tier: f.string("service_tier")?,
            safety_identifier: f.string("safety_identifier")?,
            prompt_cache_key: f.string("prompt_cache_key")?,
            user: f.string("user")?,
            router: RouterFields::take(&mut f)?,
            names: FieldNames::default(),
            emulated: Vec::new(),
            extra: f.rest(),
        })
    }
}

fn input(f: &mut Fields) -> Result<Vec<Item>, FieldError> {
    match f.take("input") {
        None => Err(FieldError::new("input", "`input` is required: a string or an array of items")),
        Some(Value::String(text)) => Ok(vec![Item::Message(Message::new(Role::User, text))]),
        Some(Value::Array(values)) => {
            if values.is_empty() {
                return Err(FieldError::new("input", "`input` must hold at least one item"));
            }
            values.into_iter().enumerate().map(|(i, v)| Item::parse(v, &format!("input[{i}]"))).collect()
        }
        Some(other) => {
            let message = format!("`input` must be a string or an array of items, not {}", kind_of(&other));
            Err(FieldError::new("input", message))
        }
    }
}

fn conversation(f: &mut Fields) -> Result<Option<String>, FieldError> {
    match f.take("conversation") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id)),
        Some(Value::Object(object)) => Fields::new(object, "conversation").required_string("id").map(Some),
        Some(other) => {
            let message = format!("`conversation` must be an id or an object with one, not {}", kind_of(&other));
            Err(FieldError::new("conversation", message))
        }
    }
}

fn tools(f: &mut Fields) -> Result<Vec<Tool>, FieldError> {
    let values = f.array("tools")?.unwrap_or_default();
    values.into_iter().enumerate().map(|(i, v)| Tool::parse(v, &format!("tools[{i}]"))).collect()
}

fn include(f: &mut Fields) -> Result<Vec<String>, FieldError> {
    let values = f.array("include")?.unwrap_or_default();
    values
        .into_iter()
        .map(|v| match v {
            Value::String(s) => Ok(s),
            other => Err(FieldError::new("include", format!("`include` must hold strings, not {}", kind_of(&other)))),
        })
        .collect()
}

fn truncation(f: &mut Fields) -> Result<Option<String>, FieldError> {
    match f.string("truncation")? {
        Some(word) if word != "auto" && word != "disabled" => {
            Err(FieldError::new("truncation", format!("`truncation` must be auto or disabled, not `{word}`")))
        }
        word => Ok(word),
    }
}

fn reasoning(f: &mut Fields) -> Result<Option<ReasoningConfig>, FieldError> {
    let Some(object) = f.object("reasoning")? else { return Ok(None) };
    let mut inner = Fields::new(object, "reasoning");
    let effort = inner.string("effort")?;
    let summary = inner.string("summary")?;
    Ok(Some(ReasoningConfig { effort, summary, extra: inner.rest() }))
}

fn text(f: &mut Fields) -> Result<TextConfig, FieldError> {
    let Some(object) = f.object("text")? else { return Ok(TextConfig::default()) };
    let mut inner = Fields::new(object, "text");
    let verbosity = inner.string("verbosity")?;
    // The older shape put the schema itself under `text.json_schema`.
    if let Some(old) = inner.object("json_schema")? {
        return Ok(TextConfig { format: json_schema(Fields::new(old, "text.json_schema"))?, verbosity });
    }
    let Some(format) = inner.object("format")? else { return Ok(TextConfig { verbosity, ..TextConfig::default() }) };
    let mut format = Fields::new(format, "text.format");
    let kind = format.required_string("type")?;
    let format = match kind.as_str() {
        "text" => TextFormat::Text,
        "json_object" => TextFormat::JsonObject,
        "json_schema" => {
            if let Some(nested) = format.object("json_schema")? {
                format = Fields::new(nested, "text.format.json_schema");
            }
            json_schema(format)?
        }
        other => {
            let message = format!("`text.format.type` must be text, json_object or json_schema, not `{other}`");
            return Err(FieldError::new("text.format.type", message));
        }
    };
    Ok(TextConfig { format, verbosity })
}

fn json_schema(mut f: Fields) -> Result<TextFormat, FieldError> {
    let name = f.string("name")?.unwrap_or_else(|| "response".to_owned());
    let description = f.string("description")?;
    let strict = f.boolean("strict")?;
    let schema = match f.object("schema")? {
        Some(schema) => Value::Object(schema),
        // A bare schema in the older shape.
        None if f.peek("type").is_some() || f.peek("properties").is_some() => Value::Object(f.rest()),
        None => return Err(f.missing("schema")),
    };
    Ok(TextFormat::JsonSchema { name, description, schema, strict })
}

/// At most 16 pairs, keys of at most 64 characters; values are strings of at most 512 characters,
/// numbers or booleans.
///
/// # Errors
/// Names the pair that is not so.
pub fn check_metadata(metadata: &Object) -> Result<(), FieldError> {
    if metadata.len() > 16 {
        return Err(FieldError::new("metadata", "`metadata` holds at most 16 pairs"));
    }
    for (key, value) in metadata {
        let param = format!("metadata.{key}");
        if key.chars().count() > 64 {
            return Err(FieldError::new("metadata", "a key of `metadata` has at most 64 characters"));
        }
        match value {
            Value::String(s) if s.chars().count() > 512 => {
                return Err(FieldError::new(param.clone(), format!("`{param}` has at most 512 characters")));
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
            other => {
                return Err(FieldError::new(
                    param.clone(),
                    format!("`{param}` must be a string, not {}", kind_of(other)),
                ));
            }
        }
    }
    Ok(())
}
