//! Items: the turns, tool calls and results that a conversation is made of.
//!
//! The same form serves input and output, so that yesterday's output can be today's input. Fields
//! that we do not read are kept (`extra`) and written back.

use crate::Object;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
    System,
    Developer,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Developer => "developer",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemStatus {
    InProgress,
    #[default]
    Completed,
    Incomplete,
}

impl ItemStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A piece of content.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// `input_text` or `output_text`, by the role of the message it stands in.
    Text {
        text: String,
        annotations: Vec<Value>,
        extra: Object,
    },
    Refusal {
        text: String,
    },
    /// `url` may be a `data:` URL. Exactly one of `url` and `file_id` is there.
    Image {
        url: Option<String>,
        file_id: Option<String>,
        detail: Option<String>,
        extra: Object,
    },
    /// At least one of the three sources is there; `file_data` is base64, with or without `data:…,`.
    File {
        filename: Option<String>,
        file_data: Option<String>,
        file_url: Option<String>,
        file_id: Option<String>,
        extra: Object,
    },
    /// A kind that only the provider may know; kept as it came.
    Other(Object),
}

impl Part {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), annotations: Vec::new(), extra: Object::new() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: Option<String>,
    pub role: Role,
    pub content: Vec<Part>,
    pub status: ItemStatus,
    pub extra: Object,
}

impl Message {
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { id: None, role, content: vec![Part::text(text)], status: ItemStatus::Completed, extra: Object::new() }
    }
}

/// `call_id` is the identity of a call, `id` only that of the item.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionCall {
    pub id: Option<String>,
    pub call_id: String,
    pub name: String,
    /// JSON as the model wrote it, byte for byte.
    pub arguments: String,
    pub status: ItemStatus,
    pub extra: Object,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OutputValue {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct FunctionCallOutput {
    pub id: Option<String>,
    pub call_id: String,
    pub output: OutputValue,
    pub status: ItemStatus,
    pub extra: Object,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    pub id: Option<String>,
    pub summary: Vec<String>,
    pub content: Vec<String>,
    pub encrypted_content: Option<String>,
    pub extra: Object,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Message(Message),
    FunctionCall(FunctionCall),
    FunctionCallOutput(FunctionCallOutput),
    Reasoning(Reasoning),
    /// `item_reference`: an item of an earlier response, by its id.
    Reference(String),
    /// A kind that only the provider may know; kept as it came.
    Other(Object),
}

impl Item {
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Message(m) => m.id.as_deref(),
            Self::FunctionCall(c) => c.id.as_deref(),
            Self::FunctionCallOutput(o) => o.id.as_deref(),
            Self::Reasoning(r) => r.id.as_deref(),
            Self::Reference(id) => Some(id),
            Self::Other(o) => o.get("id").and_then(Value::as_str),
        }
    }

    /// Gives the item an id if it has none.
    pub fn ensure_id(&mut self) {
        let (slot, prefix) = match self {
            Self::Message(m) => (&mut m.id, "msg"),
            Self::FunctionCall(c) => (&mut c.id, "fc"),
            Self::FunctionCallOutput(o) => (&mut o.id, "fco"),
            Self::Reasoning(r) => (&mut r.id, "rs"),
            Self::Reference(_) | Self::Other(_) => return,
        };
        if slot.is_none() {
            *slot = Some(crate::new_id(prefix));
        }
    }
}

fn put_extra<M: SerializeMap>(map: &mut M, extra: &Object) -> Result<(), M::Error> {
    extra.iter().try_for_each(|(k, v)| map.serialize_entry(k, v))
}

fn put_id<M: SerializeMap>(map: &mut M, id: Option<&String>) -> Result<(), M::Error> {
    id.map_or(Ok(()), |id| map.serialize_entry("id", id))
}

/// A part as it stands in a message of the assistant (`output`) or of anybody else.
pub(crate) struct PartIn<'a> {
    pub part: &'a Part,
    pub output: bool,
}

impl Serialize for PartIn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.part {
            Part::Text { text, annotations, extra } => {
                map.serialize_entry("type", if self.output { "output_text" } else { "input_text" })?;
                map.serialize_entry("text", text)?;
                if self.output {
                    map.serialize_entry("annotations", annotations)?;
                    if !extra.contains_key("logprobs") {
                        map.serialize_entry::<str, [Value; 0]>("logprobs", &[])?;
                    }
                }
                put_extra(&mut map, extra)?;
            }
            Part::Refusal { text } => {
                map.serialize_entry("type", "refusal")?;
                map.serialize_entry("refusal", text)?;
            }
            Part::Image { url, file_id, detail, extra } => {
                map.serialize_entry("type", "input_image")?;
                map.serialize_entry("image_url", url)?;
                if let Some(file_id) = file_id {
                    map.serialize_entry("file_id", file_id)?;
                }
                map.serialize_entry("detail", detail.as_deref().unwrap_or("auto"))?;
                put_extra(&mut map, extra)?;
            }
            Part::File { filename, file_data, file_url, file_id, extra } => {
                map.serialize_entry("type", "input_file")?;
                let sources =
                    [("filename", filename), ("file_data", file_data), ("file_url", file_url), ("file_id", file_id)];
                for (name, value) in sources {
                    if let Some(value) = value {
                        map.serialize_entry(name, value)?;
                    }
                }
                put_extra(&mut map, extra)?;
            }
            Part::Other(object) => put_extra(&mut map, object)?,
        }
        map.end()
    }
}

struct PartsIn<'a> {
    parts: &'a [Part],
    output: bool,
}

impl Serialize for PartsIn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.parts.iter().map(|part| PartIn { part, output: self.output }))
    }
}

struct Typed<'a> {
    kind: &'static str,
    text: &'a str,
}

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("text", self.text)?;
        map.end()
    }
}

fn typed<'a>(kind: &'static str, texts: &'a [String]) -> Vec<Typed<'a>> {
    texts.iter().map(|text| Typed { kind, text }).collect()
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Message(m) => {
                map.serialize_entry("type", "message")?;
                put_id(&mut map, m.id.as_ref())?;
                map.serialize_entry("status", m.status.as_str())?;
                map.serialize_entry("role", m.role.as_str())?;
                let output = m.role == Role::Assistant;
                map.serialize_entry("content", &PartsIn { parts: &m.content, output })?;
                put_extra(&mut map, &m.extra)?;
            }
            Self::FunctionCall(c) => {
                map.serialize_entry("type", "function_call")?;
                put_id(&mut map, c.id.as_ref())?;
                map.serialize_entry("call_id", &c.call_id)?;
                map.serialize_entry("name", &c.name)?;
                map.serialize_entry("arguments", &c.arguments)?;
                map.serialize_entry("status", c.status.as_str())?;
                put_extra(&mut map, &c.extra)?;
            }
            Self::FunctionCallOutput(o) => {
                map.serialize_entry("type", "function_call_output")?;
                put_id(&mut map, o.id.as_ref())?;
                map.serialize_entry("call_id", &o.call_id)?;
                match &o.output {
                    OutputValue::Text(text) => map.serialize_entry("output", text)?,
                    OutputValue::Parts(parts) => map.serialize_entry("output", &PartsIn { parts, output: false })?,
                }
                map.serialize_entry("status", o.status.as_str())?;
                put_extra(&mut map, &o.extra)?;
            }
            Self::Reasoning(r) => {
                map.serialize_entry("type", "reasoning")?;
                put_id(&mut map, r.id.as_ref())?;
                map.serialize_entry("summary", &typed("summary_text", &r.summary))?;
                if !r.content.is_empty() {
                    map.serialize_entry("content", &typed("reasoning_text", &r.content))?;
                }
                if let Some(encrypted) = &r.encrypted_content {
                    map.serialize_entry("encrypted_content", encrypted)?;
                }
                put_extra(&mut map, &r.extra)?;
            }
            Self::Reference(id) => {
                map.serialize_entry("type", "item_reference")?;
                map.serialize_entry("id", id)?;
            }
            Self::Other(object) => put_extra(&mut map, object)?,
        }
        map.end()
    }
}
