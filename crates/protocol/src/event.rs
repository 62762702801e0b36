//! The events of a streamed response, as Open Responses writes them.

use crate::item::{Item, Part, PartIn};
use crate::response::Response;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use std::sync::Arc;

/// A content part or a part of a reasoning summary, as events carry it.
#[derive(Clone, Debug)]
pub(crate) enum EventPart {
    Content(Part),
    ReasoningText(String),
    Summary(String),
}

impl Serialize for EventPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, text) = match self {
            Self::Content(part) => return PartIn { part, output: true }.serialize(serializer),
            Self::ReasoningText(text) => ("reasoning_text", text),
            Self::Summary(text) => ("summary_text", text),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("text", text)?;
        map.end()
    }
}

/// Where in the output an event belongs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub item_id: Arc<str>,
    pub output_index: u32,
    /// `content_index` or `summary_index`.
    pub part_index: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Response(Box<Response>),
    Item { output_index: u32, item: Box<Item> },
    Part { place: Place, part: EventPart },
    Text { place: Place, name: &'static str, text: String, logprobs: Vec<Value> },
    Annotation { place: Place, annotation_index: u32, annotation: Value },
}

impl Body {
    pub(crate) fn text(place: Place, name: &'static str, text: String) -> Self {
        Self::Text { place, name, text, logprobs: Vec::new() }
    }
}

/// One event. [`ResponseEvent::kind`] is both the SSE event's name and the `type` in its data.
#[derive(Clone, Debug)]
pub struct ResponseEvent {
    pub(crate) kind: &'static str,
    pub(crate) sequence_number: u64,
    pub(crate) body: Body,
}

impl ResponseEvent {
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The response, in the events that carry it whole.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match &self.body {
            Body::Response(response) => Some(response),
            _ => None,
        }
    }

    /// The text of a delta, and the index of its item in the output.
    #[must_use]
    pub fn delta(&self) -> Option<(u32, &str)> {
        match &self.body {
            Body::Text { place, name: "delta", text, .. } => Some((place.output_index, text)),
            _ => None,
        }
    }

    /// The item of `output_item.added` and `.done`, and its index in the output.
    #[must_use]
    pub fn item(&self) -> Option<(u32, &Item)> {
        match &self.body {
            Body::Item { output_index, item } => Some((*output_index, item)),
            _ => None,
        }
    }

    /// How probable the tokens of a delta were; empty unless that was asked for.
    #[must_use]
    pub fn logprobs(&self) -> &[Value] {
        match &self.body {
            Body::Text { logprobs, .. } => logprobs,
            _ => &[],
        }
    }

    /// The annotation of `annotation.added`.
    #[must_use]
    pub fn annotation(&self) -> Option<&Value> {
        match &self.body {
            Body::Annotation { annotation, .. } => Some(annotation),
            _ => None,
        }
    }

    /// The number of the part that the event is about, among those of its item.
    #[must_use]
    pub fn part_index(&self) -> Option<u32> {
        match &self.body {
            Body::Part { place, .. } | Body::Text { place, .. } | Body::Annotation { place, .. } => {
                Some(place.part_index)
            }
            _ => None,
        }
    }

    /// Makes the last event of a response one of failure; the response says so itself.
    pub fn turn_into_failure(&mut self) {
        self.kind = "response.failed";
    }

    /// The response, to be changed before the event is written.
    pub fn response_mut(&mut self) -> Option<&mut Response> {
        match &mut self.body {
            Body::Response(response) => Some(response),
            _ => None,
        }
    }
}

/// What an event says, for a surface that says it in other words.
#[derive(Clone, Copy, Debug)]
pub enum EventView<'a> {
    /// An event of the whole response; its kind says which.
    Response(&'a Response),
    ItemAdded {
        output_index: u32,
        item: &'a Item,
    },
    ItemDone {
        output_index: u32,
        item: &'a Item,
    },
    Delta {
        output_index: u32,
        part: u32,
        text: EventText<'a>,
    },
    Annotation {
        output_index: u32,
        part: u32,
        annotation: &'a Value,
    },
    /// What deltas and items have told already.
    Repeated,
}

/// The text of a delta, by what it is a text of.
#[derive(Clone, Copy, Debug)]
pub enum EventText<'a> {
    Output(&'a str),
    Refusal(&'a str),
    Reasoning(&'a str),
    Summary(&'a str),
    Arguments(&'a str),
}

impl ResponseEvent {
    #[must_use]
    pub fn view(&self) -> EventView<'_> {
        match &self.body {
            Body::Response(response) => EventView::Response(response),
            Body::Item { output_index, item } if self.kind == "response.output_item.added" => {
                EventView::ItemAdded { output_index: *output_index, item }
            }
            Body::Item { output_index, item } => EventView::ItemDone { output_index: *output_index, item },
            Body::Text { place, text, .. } => {
                let text = match self.kind {
                    "response.output_text.delta" => EventText::Output(text),
                    "response.refusal.delta" => EventText::Refusal(text),
                    "response.reasoning.delta" => EventText::Reasoning(text),
                    "response.reasoning_summary_text.delta" => EventText::Summary(text),
                    "response.function_call_arguments.delta" => EventText::Arguments(text),
                    _ => return EventView::Repeated,
                };
                EventView::Delta { output_index: place.output_index, part: place.part_index, text }
            }
            Body::Annotation { place, annotation, .. } => {
                EventView::Annotation { output_index: place.output_index, part: place.part_index, annotation }
            }
            Body::Part { .. } => EventView::Repeated,
        }
    }
}

impl Serialize for ResponseEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("sequence_number", &self.sequence_number)?;
        match &self.body {
            Body::Response(response) => map.serialize_entry("response", response)?,
            Body::Item { output_index, item } => {
                map.serialize_entry("output_index", output_index)?;
                map.serialize_entry("item", item)?;
            }
            Body::Part { place, part } => {
                put_place(&mut map, place, self.kind)?;
                map.serialize_entry("part", part)?;
            }
            Body::Text { place, name, text, logprobs } => {
                put_place(&mut map, place, self.kind)?;
                map.serialize_entry(name, text)?;
                if self.kind.starts_with("response.output_text.") {
                    map.serialize_entry("logprobs", logprobs)?;
                }
            }
            Body::Annotation { place, annotation_index, annotation } => {
                put_place(&mut map, place, self.kind)?;
                map.serialize_entry("annotation_index", annotation_index)?;
                map.serialize_entry("annotation", annotation)?;
            }
        }
        map.end()
    }
}

fn put_place<M: SerializeMap>(map: &mut M, place: &Place, kind: &str) -> Result<(), M::Error> {
    map.serialize_entry("item_id", &*place.item_id)?;
    map.serialize_entry("output_index", &place.output_index)?;
    if kind.starts_with("response.function_call_arguments.") || kind.starts_with("response.custom_tool_call_input.") {
        return Ok(());
    }
    let name = if kind.starts_with("response.reasoning_summary") { "summary_index" } else { "content_index" };
    map.serialize_entry(name, &place.part_index)
}
