//! A streamed response as Anthropic's events.
//!
//! Blocks come one after the other, as Anthropic's do: what a provider writes in two items at a time
//! waits until the first is done. A block begins with its first text, so that none is empty.

use super::content::Places;
use super::{error, response};
use crate::http::sse;
use crate::pipeline::EventCodec;
use serde_json::{Value, json};
use tokenrouter_protocol::{EventText, EventView, Item, Response, ResponseEvent};

pub(super) struct MessagesCodec {
    places: Places,
    next_index: u64,
    open: Option<Open>,
    /// The item whose events go out.
    current: Option<u32>,
    waiting: Vec<(u32, Piece)>,
}

/// The block that has begun and not ended.
struct Open {
    index: u64,
    kind: Kind,
    part: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    ToolUse,
}

enum Piece {
    Begin(Box<Item>),
    Text {
        part: u32,
        text: String,
    },
    Thought {
        text: String,
    },
    /// The parts of a summary are paragraphs of one thought.
    Summary {
        part: u32,
        text: String,
    },
    Arguments(String),
    Citation {
        part: u32,
        citation: Value,
    },
    Done(Box<Item>),
}

impl EventCodec for MessagesCodec {
    fn keep_alive(&self) -> &'static [u8] {
        b"event: ping\ndata: {\"type\": \"ping\"}\n\n"
    }

    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        let (item, piece) = match event.view() {
            EventView::Response(response) => return self.whole(event.kind(), response, bytes),
            EventView::ItemAdded { output_index, item } => (output_index, Piece::Begin(Box::new(item.clone()))),
            EventView::ItemDone { output_index, item } => (output_index, Piece::Done(Box::new(item.clone()))),
            EventView::Delta { output_index, part, text } => {
                let piece = match text {
                    EventText::Output(text) | EventText::Refusal(text) => Piece::Text { part, text: text.to_owned() },
                    EventText::Reasoning(text) => Piece::Thought { text: text.to_owned() },
                    EventText::Summary(text) => Piece::Summary { part, text: text.to_owned() },
                    EventText::Arguments(text) => Piece::Arguments(text.to_owned()),
                };
                (output_index, piece)
            }
            EventView::Annotation { output_index, part, annotation } if response::is_citation(annotation) => {
                (output_index, Piece::Citation { part, citation: annotation.clone() })
            }
            EventView::Annotation { .. } | EventView::Repeated => return,
        };
        self.take(item, piece, bytes);
    }

    /// `message_stop` or `error` has been written: nothing comes after.
    fn end(&mut self, _: &mut Vec<u8>) {}
}

impl MessagesCodec {
    pub(super) fn new(places: Places) -> Self {
        Self { places, next_index: 0, open: None, current: None, waiting: Vec::new() }
    }

    fn whole(&mut self, kind: &str, whole: &Response, bytes: &mut Vec<u8>) {
        match kind {
            "response.created" => {
                let message = response::begin(whole, &self.places);
                write(bytes, "message_start", json!({ "message": message }));
                write(bytes, "ping", json!({}));
            }
            "response.completed" | "response.incomplete" => {
                let (stop_reason, stop_sequence) = response::stop(whole);
                let fields = json!({
                    "delta": { "stop_reason": stop_reason, "stop_sequence": stop_sequence },
                    "usage": response::usage(whole.usage),
                    "tokenrouter": response::told(whole, &self.places),
                });
                write(bytes, "message_delta", fields);
                write(bytes, "message_stop", json!({}));
            }
            "response.failed" => {
                let error = whole.error.clone().unwrap_or_default();
                sse::write(bytes, "error", &error::body(&error));
            }
            _ => {}
        }
    }

    fn take(&mut self, item: u32, piece: Piece, bytes: &mut Vec<u8>) {
        if *self.current.get_or_insert(item) != item {
            self.waiting.push((item, piece));
            return;
        }
        let done = matches!(piece, Piece::Done(_));
        self.piece(piece, bytes);
        if done {
            self.current = None;
            for (item, piece) in std::mem::take(&mut self.waiting) {
                self.take(item, piece, bytes);
            }
        }
    }

    fn piece(&mut self, piece: Piece, bytes: &mut Vec<u8>) {
        match piece {
            Piece::Begin(item) => match *item {
                Item::FunctionCall(call) => {
                    let block = json!({ "type": "tool_use", "id": call.call_id, "name": call.name, "input": {} });
                    self.begin(Kind::ToolUse, 0, &block, bytes);
                }
                Item::Other(object) if response::is_own(&object) => {
                    self.begin(Kind::Text, 0, &Value::Object(object), bytes);
                }
                _ => {}
            },
            Piece::Text { part, text } => {
                self.within(Kind::Text, part, bytes);
                self.delta(&json!({ "type": "text_delta", "text": text }), bytes);
            }
            Piece::Citation { part, citation } => {
                self.within(Kind::Text, part, bytes);
                self.delta(&json!({ "type": "citations_delta", "citation": citation }), bytes);
            }
            Piece::Thought { text } => {
                self.within(Kind::Thinking, 0, bytes);
                self.delta(&json!({ "type": "thinking_delta", "thinking": text }), bytes);
            }
            Piece::Summary { part, text } => {
                let text = match &mut self.open {
                    Some(open) if open.kind == Kind::Thinking && open.part != part => {
                        open.part = part;
                        format!("\n\n{text}")
                    }
                    _ => text,
                };
                self.within(Kind::Thinking, part, bytes);
                self.delta(&json!({ "type": "thinking_delta", "thinking": text }), bytes);
            }
            Piece::Arguments(text) => self.delta(&json!({ "type": "input_json_delta", "partial_json": text }), bytes),
            Piece::Done(item) => {
                if let Item::Reasoning(reasoning) = *item
                    && let Some(sealed) = reasoning.encrypted_content
                {
                    if self.open.is_some() {
                        self.delta(&json!({ "type": "signature_delta", "signature": sealed }), bytes);
                    } else {
                        let block = json!({ "type": "redacted_thinking", "data": sealed });
                        self.begin(Kind::Thinking, 0, &block, bytes);
                    }
                }
                self.stop(bytes);
            }
        }
    }

    /// Makes sure that the open block is of this kind and part.
    fn within(&mut self, kind: Kind, part: u32, bytes: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.kind == kind && open.part == part) {
            return;
        }
        self.stop(bytes);
        let block = match kind {
            Kind::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            Kind::Text | Kind::ToolUse => json!({ "type": "text", "text": "" }),
        };
        self.begin(kind, part, &block, bytes);
    }

    fn begin(&mut self, kind: Kind, part: u32, block: &Value, bytes: &mut Vec<u8>) {
        let index = self.next_index;
        self.next_index += 1;
        self.open = Some(Open { index, kind, part });
        write(bytes, "content_block_start", json!({ "index": index, "content_block": block }));
    }

    fn delta(&mut self, delta: &Value, bytes: &mut Vec<u8>) {
        if let Some(open) = &self.open {
            write(bytes, "content_block_delta", json!({ "index": open.index, "delta": delta }));
        }
    }

    fn stop(&mut self, bytes: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            write(bytes, "content_block_stop", json!({ "index": open.index }));
        }
    }
}

/// An event whose data begins with its own name, as Anthropic writes it.
fn write(bytes: &mut Vec<u8>, kind: &str, fields: Value) {
    let mut event = json!({ "type": kind });
    if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
        event.extend(fields);
    }
    sse::write(bytes, kind, &event);
}
