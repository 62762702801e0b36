//! Items and parts as OpenAI reads them when it keeps nothing: without the ids of items that it
//! would look for.

use crate::envelope::Sealed;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use tokenrouter_protocol::{Item, ItemStatus, Object, OutputValue, Part, Role, Tool};

/// Items, and what was in the envelope of those that had one.
pub(super) type Items<'a> = Vec<(&'a Item, Option<Sealed>)>;

pub(super) struct Input<'a>(pub &'a [(&'a Item, Option<Sealed>)]);

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(item, sealed)| ItemOut { item, sealed: sealed.as_ref() }))
    }
}

struct ItemOut<'a> {
    item: &'a Item,
    sealed: Option<&'a Sealed>,
}

fn put_all<M: SerializeMap>(map: &mut M, object: &Object) -> Result<(), M::Error> {
    object.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
}

impl Serialize for ItemOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.item {
            Item::Message(m) => {
                map.serialize_entry("type", "message")?;
                map.serialize_entry("role", m.role.as_str())?;
                let output = m.role == Role::Assistant;
                map.serialize_entry("content", &Parts { parts: &m.content, output })?;
                if m.status == ItemStatus::Incomplete {
                    map.serialize_entry("status", m.status.as_str())?;
                }
                put_all(&mut map, &m.extra)?;
            }
            Item::FunctionCall(c) => {
                map.serialize_entry("type", "function_call")?;
                map.serialize_entry("call_id", &c.call_id)?;
                map.serialize_entry("name", &c.name)?;
                map.serialize_entry("arguments", &c.arguments)?;
                put_all(&mut map, &c.extra)?;
            }
            Item::FunctionCallOutput(o) => {
                map.serialize_entry("type", "function_call_output")?;
                map.serialize_entry("call_id", &o.call_id)?;
                match &o.output {
                    OutputValue::Text(text) => map.serialize_entry("output", text)?,
                    OutputValue::Parts(parts) => map.serialize_entry("output", &Parts { parts, output: false })?,
                }
                put_all(&mut map, &o.extra)?;
            }
            Item::Reasoning(r) => {
                map.serialize_entry("type", "reasoning")?;
                // The encrypted content names its item's id: with ours it would not fit.
                if let Some(id) = self.sealed.and_then(|s| s.id.as_ref()).or(r.id.as_ref()) {
                    map.serialize_entry("id", id)?;
                }
                let summary: Vec<Value> = r.summary.iter().map(|t| json!({"type": "summary_text", "text": t})).collect();
                map.serialize_entry("summary", &summary)?;
                let encrypted = self.sealed.map_or(r.encrypted_content.as_ref(), |s| s.signature.as_ref());
                map.serialize_entry("encrypted_content", &encrypted)?;
                put_all(&mut map, &r.extra)?;
            }
            Item::Reference(_) => {}
            Item::Other(object) => put_all(&mut map, object)?,
        }
        map.end()
    }
}

struct Parts<'a> {
    parts: &'a [Part],
    output: bool,
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.parts.iter().map(|part| PartOut { part, output: self.output }))
    }
}

struct PartOut<'a> {
    part: &'a Part,
    output: bool,
}

impl Serialize for PartOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut put = |name: &'static str, value: &Option<String>| match value {
            Some(value) => map.serialize_entry(name, value),
            None => Ok(()),
        };
        match self.part {
            Part::Text { text, annotations, .. } => {
                map.serialize_entry("type", if self.output { "output_text" } else { "input_text" })?;
                map.serialize_entry("text", text)?;
                if self.output {
                    map.serialize_entry("annotations", annotations)?;
                }
            }
            Part::Refusal { text } => {
                map.serialize_entry("type", "refusal")?;
                map.serialize_entry("refusal", text)?;
            }
            Part::Image { url, file_id, detail, .. } => {
                put("image_url", url)?;
                put("file_id", file_id)?;
                put("detail", detail)?;
                map.serialize_entry("type", "input_image")?;
            }
            Part::File { filename, file_data, file_url, file_id, .. } => {
                put("filename", filename)?;
                put("file_data", file_data)?;
                put("file_url", file_url)?;
                put("file_id", file_id)?;
                map.serialize_entry("type", "input_file")?;
            }
            Part::Other(_) => {}
        }
        match self.part {
            // `logprobs` of an earlier answer are output only.
            Part::Text { extra, .. } => {
                for (name, value) in extra.iter().filter(|(name, _)| *name != "logprobs") {
                    map.serialize_entry(name, value)?;
                }
            }
            Part::Image { extra, .. } | Part::File { extra, .. } | Part::Other(extra) => put_all(&mut map, extra)?,
            Part::Refusal { .. } => {}
        }
        map.end()
    }
}

pub(super) struct ToolsOut<'a>(pub &'a [Tool]);

impl Serialize for ToolsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}
