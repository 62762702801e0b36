//! From a model's events to the response and the events that the caller sees.
//!
//! **Every item that starts is done, every part that is added is done, in order**, whatever the
//! provider left out; what the `done` events and the final response hold is exactly what the
//! deltas held, joined.

use crate::event::{Body, EventPart, Place, ResponseEvent};
use crate::item::{FunctionCall, Item, ItemStatus, Message, Part, Reasoning, Role};
use crate::model_event::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent};
use crate::response::{IncompleteDetails, Response, ResponseError, ResponseStatus};
use crate::{Usage, new_id};
use serde_json::Value;
use std::sync::Arc;

const NO_ARGUMENTS: &str = "{}";

/// How the response ended.
#[derive(Clone, Debug)]
pub enum Ending {
    Finished(FinishReason),
    /// By the caller, with what there was by then.
    Cancelled,
    /// Also for a firewall's block in mid-stream.
    Failed(Box<ResponseError>),
}

struct OpenItem {
    key: u32,
    id: Arc<str>,
    output_index: u32,
    content: Content,
    done: bool,
}

enum Content {
    Message(Vec<OpenPart>),
    Reasoning {
        summary: Vec<OpenPart>,
        text: Vec<OpenPart>,
    },
    FunctionCall {
        call_id: String,
        name: String,
        extra: crate::Object,
        arguments: String,
    },
    /// A custom tool's call, without its input.
    Custom {
        object: crate::Object,
        input: String,
    },
    Other,
}

struct OpenPart {
    number: u32,
    refusal: bool,
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    done: bool,
}

impl OpenPart {
    fn new(number: u32, refusal: bool) -> Self {
        Self { number, refusal, text: String::new(), annotations: Vec::new(), logprobs: Vec::new(), done: false }
    }

    fn content(&self) -> Part {
        if self.refusal {
            Part::Refusal { text: self.text.clone() }
        } else {
            let mut extra = crate::Object::new();
            if !self.logprobs.is_empty() {
                extra.insert("logprobs".to_owned(), self.logprobs.clone().into());
            }
            Part::Text { text: self.text.clone(), annotations: self.annotations.clone(), extra }
        }
    }
}

/// Which list of parts a field belongs to, and what its events are called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Text,
    Refusal,
    Summary,
    Reasoning,
}

impl PartKind {
    fn names(self) -> PartNames {
        match self {
            Self::Text => PartNames {
                added: "response.content_part.added",
                delta: "response.output_text.delta",
                text_done: "response.output_text.done",
                done: "response.content_part.done",
                field: "text",
            },
            Self::Refusal => PartNames {
                delta: "response.refusal.delta",
                text_done: "response.refusal.done",
                field: "refusal",
                ..Self::Text.names()
            },
            Self::Summary => PartNames {
                added: "response.reasoning_summary_part.added",
                delta: "response.reasoning_summary_text.delta",
                text_done: "response.reasoning_summary_text.done",
                done: "response.reasoning_summary_part.done",
                field: "text",
            },
            Self::Reasoning => PartNames {
                delta: "response.reasoning.delta",
                text_done: "response.reasoning.done",
                ..Self::Text.names()
            },
        }
    }

    fn event_part(self, part: &OpenPart) -> EventPart {
        match self {
            Self::Text | Self::Refusal => EventPart::Content(part.content()),
            Self::Summary => EventPart::Summary(part.text.clone()),
            Self::Reasoning => EventPart::ReasoningText(part.text.clone()),
        }
    }
}

struct PartNames {
    added: &'static str,
    delta: &'static str,
    text_done: &'static str,
    done: &'static str,
    field: &'static str,
}

/// Builds one response.
pub struct Assembler {
    response: Response,
    items: Vec<OpenItem>,
    /// Of a delta that is to come: its item's key, its part's number.
    logprobs: Vec<(u32, u32, Vec<Value>)>,
    sequence_number: u64,
    keep_events: bool,
    queued: bool,
}

impl Assembler {
    #[must_use]
    pub fn new(response: Response) -> Self {
        Self { response, items: Vec::new(), logprobs: Vec::new(), sequence_number: 0, keep_events: true, queued: false }
    }

    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    pub fn response_mut(&mut self) -> &mut Response {
        &mut self.response
    }

    /// Whether events are wanted. Without, only the response is built, which is all that a plain
    /// answer needs.
    pub fn keep_events(&mut self, keep: bool) {
        self.keep_events = keep;
    }

    #[must_use]
    pub fn into_response(self) -> Response {
        self.response
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.response.usage
    }

    /// `response.created` and `response.queued`, for a response that begins later.
    pub fn queue(&mut self, out: &mut Vec<ResponseEvent>) {
        self.queued = true;
        for kind in ["response.created", "response.queued"] {
            let body = Body::Response(Box::new(self.response.clone()));
            self.emit(kind, body, out);
        }
    }

    /// `response.created`, unless that has been said, and `response.in_progress`.
    pub fn begin(&mut self, out: &mut Vec<ResponseEvent>) {
        let kinds: &[&'static str] = &["response.created", "response.in_progress"];
        for kind in kinds.iter().skip(usize::from(self.queued)) {
            let body = Body::Response(Box::new(self.response.clone()));
            self.emit(kind, body, out);
        }
    }

    /// Takes one event in. `Finished` and `Failed` only end what is open: the caller then decides
    /// how the response ends and calls [`Assembler::end`].
    pub fn push(&mut self, event: ModelEvent, out: &mut Vec<ResponseEvent>) {
        match event {
            ModelEvent::Started { model } => {
                if let Some(model) = model.filter(|m| !m.is_empty()) {
                    self.response.model = model;
                }
            }
            ModelEvent::ItemStarted { key, item } => self.start_item(key, item, out),
            ModelEvent::Delta { key, field, text } => self.delta(key, field, text, out),
            ModelEvent::Logprobs { key, part, logprobs } => self.logprobs.push((key, part, logprobs)),
            ModelEvent::Annotation { key, part, annotation } => self.annotate(key, part, annotation, out),
            ModelEvent::ItemDone { key, end } => {
                if let Some(index) = self.index_of(key) {
                    self.finish_item(index, end, out);
                }
            }
            ModelEvent::Usage(usage) => self.response.usage = Some(usage),
            ModelEvent::Stopped(detail) => self.response.stop_detail = Some(detail),
            ModelEvent::Finished(_) | ModelEvent::Failed(_) => {}
        }
    }

    /// Ends every open item and the response; `completed_at` in seconds since 1970. The last event
    /// pushed to `out` carries the whole response.
    pub fn end(&mut self, ending: Ending, completed_at: i64, out: &mut Vec<ResponseEvent>) {
        let incomplete = !matches!(ending, Ending::Finished(FinishReason::Completed));
        for index in 0..self.items.len() {
            if !self.items[index].done {
                self.finish_item(index, ItemEnd { incomplete, encrypted_content: None }, out);
            }
        }
        let kind = match ending {
            // There is no event of that name.
            Ending::Cancelled => {
                self.response.status = ResponseStatus::Cancelled;
                "response.incomplete"
            }
            Ending::Failed(error) => {
                self.response.status = ResponseStatus::Failed;
                self.response.error = Some(*error);
                "response.failed"
            }
            Ending::Finished(reason) => match reason.incomplete() {
                Some(reason) => {
                    self.response.status = ResponseStatus::Incomplete;
                    self.response.incomplete_details = Some(IncompleteDetails { reason });
                    "response.incomplete"
                }
                None => {
                    self.response.status = ResponseStatus::Completed;
                    self.response.completed_at = Some(completed_at);
                    "response.completed"
                }
            },
        };
        if self.keep_events {
            let body = Body::Response(Box::new(self.response.clone()));
            self.emit(kind, body, out);
        }
    }

    fn emit(&mut self, kind: &'static str, body: Body, out: &mut Vec<ResponseEvent>) {
        if !self.keep_events {
            return;
        }
        out.push(ResponseEvent { kind, sequence_number: self.sequence_number, body });
        self.sequence_number += 1;
    }

    fn index_of(&self, key: u32) -> Option<usize> {
        self.items.iter().rposition(|item| item.key == key && !item.done)
    }

    fn start_item(&mut self, key: u32, start: ItemStart, out: &mut Vec<ResponseEvent>) {
        let output_index = u32::try_from(self.response.output.len()).unwrap_or(u32::MAX);
        let (id, item, content) = match start {
            ItemStart::Message => {
                let id = new_id("msg");
                let item = Item::Message(Message {
                    id: Some(id.clone()),
                    role: Role::Assistant,
                    content: Vec::new(),
                    status: ItemStatus::InProgress,
                    extra: crate::Object::new(),
                });
                (id, item, Content::Message(Vec::new()))
            }
            ItemStart::Reasoning => {
                let id = new_id("rs");
                let item = Item::Reasoning(Reasoning { id: Some(id.clone()), ..Reasoning::default() });
                (id, item, Content::Reasoning { summary: Vec::new(), text: Vec::new() })
            }
            ItemStart::FunctionCall { call_id, name, namespace } => {
                let id = new_id("fc");
                let namespace = namespace.map(|namespace| ("namespace".to_owned(), Value::from(namespace)));
                let extra: crate::Object = namespace.into_iter().collect();
                let item = Item::FunctionCall(FunctionCall {
                    id: Some(id.clone()),
                    call_id: call_id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    status: ItemStatus::InProgress,
                    extra: extra.clone(),
                });
                (id, item, Content::FunctionCall { call_id, name, extra, arguments: String::new() })
            }
            ItemStart::Other(mut object) => {
                let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                if object.get("type").is_some_and(|kind| kind == "custom_tool_call") {
                    object.insert("input".to_owned(), "".into());
                    object.insert("status".to_owned(), ItemStatus::InProgress.as_str().into());
                    (id, Item::Other(object.clone()), Content::Custom { object, input: String::new() })
                } else {
                    (id, Item::Other(object), Content::Other)
                }
            }
        };
        self.response.output.push(item.clone());
        self.items.push(OpenItem { key, id: id.into(), output_index, content, done: false });
        self.emit("response.output_item.added", Body::Item { output_index, item: Box::new(item) }, out);
    }

    fn delta(&mut self, key: u32, field: Field, text: String, out: &mut Vec<ResponseEvent>) {
        let Some(index) = self.index_of(key) else { return };
        let (kind, number) = match field {
            Field::Arguments => {
                let item = &mut self.items[index];
                let place = place(item, 0);
                if let Content::FunctionCall { arguments, .. } = &mut item.content {
                    arguments.push_str(&text);
                    if !text.is_empty() {
                        let body = Body::text(place, "delta", text);
                        self.emit("response.function_call_arguments.delta", body, out);
                    }
                }
                return;
            }
            Field::Input => {
                let item = &mut self.items[index];
                let place = place(item, 0);
                if let Content::Custom { input, .. } = &mut item.content {
                    input.push_str(&text);
                    if !text.is_empty() {
                        let body = Body::text(place, "delta", text);
                        self.emit("response.custom_tool_call_input.delta", body, out);
                    }
                }
                return;
            }
            Field::Text(n) => (PartKind::Text, n),
            Field::Refusal(n) => (PartKind::Refusal, n),
            Field::ReasoningSummary(n) => (PartKind::Summary, n),
            Field::ReasoningText(n) => (PartKind::Reasoning, n),
        };
        let Some(at) = self.open_part(index, kind, number, out) else { return };
        let logprobs = if kind == PartKind::Text { self.take_logprobs(key, number) } else { Vec::new() };
        let item = &mut self.items[index];
        let place = place(item, at);
        if let Some(part) = parts_of(item, kind).and_then(|parts| parts.get_mut(at)) {
            part.text.push_str(&text);
            part.logprobs.extend(logprobs.iter().cloned());
        }
        if !text.is_empty() {
            self.emit(kind.names().delta, Body::Text { place, name: "delta", text, logprobs }, out);
        }
    }

    fn take_logprobs(&mut self, key: u32, number: u32) -> Vec<Value> {
        let mut taken = Vec::new();
        self.logprobs.retain_mut(|(of, part, logprobs)| {
            let is_it = (*of, *part) == (key, number);
            if is_it {
                taken.append(logprobs);
            }
            !is_it
        });
        taken
    }

    /// Finds the part, or ends the one before and adds it.
    fn open_part(&mut self, index: usize, kind: PartKind, number: u32, out: &mut Vec<ResponseEvent>) -> Option<usize> {
        let refusal = kind == PartKind::Refusal;
        let parts = parts_of(&mut self.items[index], kind)?;
        if let Some(at) = parts.iter().rposition(|p| p.number == number && p.refusal == refusal && !p.done) {
            return Some(at);
        }
        for at in 0..parts.len() {
            self.finish_part(index, kind, at, out);
        }
        let item = &mut self.items[index];
        let parts = parts_of(item, kind)?;
        parts.push(OpenPart::new(number, refusal));
        let at = parts.len() - 1;
        let part = kind.event_part(&parts[at]);
        let place = place(item, at);
        self.emit(kind.names().added, Body::Part { place, part }, out);
        Some(at)
    }

    fn finish_part(&mut self, index: usize, kind: PartKind, at: usize, out: &mut Vec<ResponseEvent>) {
        let item = &mut self.items[index];
        let (place, key) = (place(item, at), item.key);
        let Some(part) = parts_of(item, kind).and_then(|parts| parts.get_mut(at)) else { return };
        if part.done {
            return;
        }
        part.done = true;
        let number = part.number;
        let logprobs = self.take_logprobs(key, number);
        let Some(part) = parts_of(&mut self.items[index], kind).and_then(|parts| parts.get_mut(at)) else { return };
        part.logprobs.extend(logprobs);
        let kind = match kind {
            PartKind::Text | PartKind::Refusal if part.refusal => PartKind::Refusal,
            PartKind::Text | PartKind::Refusal => PartKind::Text,
            other => other,
        };
        let (text, event_part) = (part.text.clone(), kind.event_part(part));
        let (names, logprobs) = (kind.names(), part.logprobs.clone());
        self.emit(names.text_done, Body::Text { place: place.clone(), name: names.field, text, logprobs }, out);
        self.emit(names.done, Body::Part { place, part: event_part }, out);
    }

    fn annotate(&mut self, key: u32, number: u32, annotation: Value, out: &mut Vec<ResponseEvent>) {
        let Some(index) = self.index_of(key) else { return };
        let Some(at) = self.open_part(index, PartKind::Text, number, out) else { return };
        let item = &mut self.items[index];
        let place = place(item, at);
        let Some(part) = parts_of(item, PartKind::Text).and_then(|parts| parts.get_mut(at)) else { return };
        let annotation_index = u32::try_from(part.annotations.len()).unwrap_or(u32::MAX);
        part.annotations.push(annotation.clone());
        let body = Body::Annotation { place, annotation_index, annotation };
        self.emit("response.output_text.annotation.added", body, out);
    }

    fn finish_item(&mut self, index: usize, end: ItemEnd, out: &mut Vec<ResponseEvent>) {
        let kinds: &[PartKind] = match &self.items[index].content {
            Content::Message(parts) => {
                // A message without a word still has its one, empty part: official clients count on it.
                if parts.is_empty() && !end.incomplete {
                    self.open_part(index, PartKind::Text, 0, out);
                }
                &[PartKind::Text]
            }
            Content::Reasoning { .. } => &[PartKind::Summary, PartKind::Reasoning],
            Content::FunctionCall { arguments, .. } => {
                let (mut arguments, place) = (arguments.clone(), place(&self.items[index], 0));
                if !end.incomplete {
                    // Many providers send not a byte where there are no arguments; ours are JSON.
                    if arguments.is_empty() {
                        arguments.push_str(NO_ARGUMENTS);
                        if let Content::FunctionCall { arguments, .. } = &mut self.items[index].content {
                            arguments.push_str(NO_ARGUMENTS);
                        }
                        let body = Body::text(place.clone(), "delta", arguments.clone());
                        self.emit("response.function_call_arguments.delta", body, out);
                    }
                    let body = Body::text(place, "arguments", arguments);
                    self.emit("response.function_call_arguments.done", body, out);
                }
                &[]
            }
            Content::Custom { input, .. } => {
                if !end.incomplete {
                    let (text, place) = (input.clone(), place(&self.items[index], 0));
                    let body = Body::text(place, "input", text);
                    self.emit("response.custom_tool_call_input.done", body, out);
                }
                &[]
            }
            Content::Other => &[],
        };
        for kind in kinds {
            let count = parts_of(&mut self.items[index], *kind).map_or(0, |parts| parts.len());
            for at in 0..count {
                self.finish_part(index, *kind, at, out);
            }
        }
        let status = if end.incomplete { ItemStatus::Incomplete } else { ItemStatus::Completed };
        let item = &mut self.items[index];
        item.done = true;
        let output_index = item.output_index;
        let id = Some(item.id.to_string());
        let finished = match &item.content {
            Content::Message(parts) => Item::Message(Message {
                id,
                role: Role::Assistant,
                content: parts.iter().map(OpenPart::content).collect(),
                status,
                extra: crate::Object::new(),
            }),
            Content::Reasoning { summary, text } => Item::Reasoning(Reasoning {
                id,
                summary: summary.iter().map(|p| p.text.clone()).collect(),
                content: text.iter().map(|p| p.text.clone()).collect(),
                encrypted_content: end.encrypted_content,
                extra: crate::Object::new(),
            }),
            Content::FunctionCall { call_id, name, extra, arguments } => Item::FunctionCall(FunctionCall {
                id,
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
                status,
                extra: extra.clone(),
            }),
            Content::Custom { object, input } => {
                let mut object = object.clone();
                object.insert("input".to_owned(), input.as_str().into());
                object.insert("status".to_owned(), status.as_str().into());
                Item::Other(object)
            }
            Content::Other => self.response.output[output_index as usize].clone(),
        };
        self.response.output[output_index as usize] = finished.clone();
        self.emit("response.output_item.done", Body::Item { output_index, item: Box::new(finished) }, out);
    }
}

fn place(item: &OpenItem, at: usize) -> Place {
    Place {
        item_id: Arc::clone(&item.id),
        output_index: item.output_index,
        part_index: u32::try_from(at).unwrap_or(u32::MAX),
    }
}

fn parts_of(item: &mut OpenItem, kind: PartKind) -> Option<&mut Vec<OpenPart>> {
    match (&mut item.content, kind) {
        (Content::Message(parts), PartKind::Text | PartKind::Refusal) => Some(parts),
        (Content::Reasoning { summary, .. }, PartKind::Summary) => Some(summary),
        (Content::Reasoning { text, .. }, PartKind::Reasoning) => Some(text),
        _ => None,
    }
}
