//! A response's events as `chat.completion.chunk`s.
//!
//! A response that fails in mid-stream ends in `data: {"error": …}` and nothing after it: the official
//! clients raise on that, and would take a `[DONE]` for a whole answer.

use super::Shape;
use super::choices::Together;
use super::response::{BETWEEN_THOUGHTS, annotation, call, finish_reason, logprobs, told_of_one, usage};
use crate::pipeline::EventCodec;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_protocol::{Item, Response, ResponseEvent, Usage};

pub(super) struct ChunkCodec {
    shape: Shape,
    /// Of its choice.
    index: usize,
    /// With the other choices.
    together: Option<Arc<Together>>,
    /// What every chunk begins with, up to its choices.
    head: Vec<u8>,
    /// The output index of each call, in the order in which they began.
    calls: Vec<u32>,
    /// The thought under way: the item's index, whether it is a summary, the part's number.
    thought: Option<(u32, bool, u32)>,
    /// The text part under way, and how many characters of content came before it.
    part: Option<(u32, u32)>,
    before_part: usize,
    written: usize,
    introduced: bool,
    failed: bool,
}

impl ChunkCodec {
    pub fn new(shape: Shape, index: usize, together: Option<Arc<Together>>) -> Self {
        Self {
            shape,
            index,
            together,
            head: Vec::new(),
            calls: Vec::new(),
            thought: None,
            part: None,
            before_part: 0,
            written: 0,
            introduced: false,
            failed: false,
        }
    }

    fn begin(&mut self, response: &Response) {
        let head = json!({
            "id": response.id,
            "object": "chat.completion.chunk",
            "created": response.created_at,
            "model": response.model,
            "service_tier": response.service_tier,
            "system_fingerprint": null,
        });
        write(&mut self.head, &head);
        // The object goes on.
        self.head.pop();
        if let Some(together) = &self.together {
            self.head = together.head(std::mem::take(&mut self.head));
        }
    }

    fn delta(&mut self, delta: &Value, bytes: &mut Vec<u8>) {
        let content = if delta.get("content").is_some() { Some("") } else { None };
        self.introduce(content, bytes);
        self.chunk(delta, &[], None, None, bytes);
    }

    /// The first chunk says who speaks. Its content is null where no text is the first to come, as in
    /// a message that only calls tools.
    fn introduce(&mut self, content: Option<&str>, bytes: &mut Vec<u8>) {
        if !self.introduced {
            self.introduced = true;
            self.chunk(&json!({"role": "assistant", "content": content, "refusal": null}), &[], None, None, bytes);
        }
    }

    /// A chunk with the one choice. The last one also tells what the router did.
    fn chunk(
        &self,
        delta: &Value,
        tokens: &[Value],
        finish: Option<&str>,
        told: Option<&Response>,
        bytes: &mut Vec<u8>,
    ) {
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(b",\"choices\":[{\"index\":");
        write(bytes, &self.index);
        bytes.extend_from_slice(b",\"delta\":");
        write(bytes, delta);
        bytes.extend_from_slice(b",\"logprobs\":");
        write(bytes, &logprobs(tokens));
        bytes.extend_from_slice(b",\"finish_reason\":");
        write(bytes, &finish);
        bytes.extend_from_slice(b"}]");
        if self.shape.include_usage {
            bytes.extend_from_slice(b",\"usage\":null");
        }
        if let Some(response) = told {
            bytes.extend_from_slice(b",\"metadata\":");
            write(bytes, &response.metadata);
            bytes.extend_from_slice(b",\"tokenrouter\":");
            match self.together {
                Some(_) => write(bytes, &told_of_one(response)),
                None => write(bytes, &response.tokenrouter),
            }
        }
        bytes.extend_from_slice(b"}\n\n");
    }

    fn text(&mut self, index: u32, part: u32, text: &str, tokens: &[Value], bytes: &mut Vec<u8>) {
        self.at_part(index, part);
        self.written += text.chars().count();
        self.introduce(Some(""), bytes);
        self.chunk(&json!({ "content": text }), tokens, None, None, bytes);
    }

    fn at_part(&mut self, index: u32, part: u32) {
        if self.part != Some((index, part)) {
            self.part = Some((index, part));
            self.before_part = self.written;
        }
    }

    fn think(&mut self, place: (u32, bool, u32), text: &str, bytes: &mut Vec<u8>) {
        let another = self.thought.replace(place).is_some_and(|before| before != place);
        let text = if another { format!("{BETWEEN_THOUGHTS}{text}") } else { text.to_owned() };
        self.delta(&json!({ "reasoning_content": text }), bytes);
    }

    /// The beginning of a call: its id and name go out once.
    fn start_call(&mut self, index: u32, item: &Item, bytes: &mut Vec<u8>) {
        let Some(mut call) = call(item) else { return };
        let number = self.calls.len();
        self.calls.push(index);
        if self.shape.functions && number == 0 {
            return self.delta(&json!({"function_call": call["function"]}), bytes);
        }
        call["index"] = self.number(number).into();
        self.delta(&json!({"tool_calls": [call]}), bytes);
    }

    fn arguments(&mut self, index: u32, text: &str, bytes: &mut Vec<u8>) {
        let Some(number) = self.calls.iter().position(|known| *known == index) else { return };
        let function = json!({ "arguments": text });
        if self.shape.functions && number == 0 {
            return self.delta(&json!({ "function_call": function }), bytes);
        }
        self.delta(&json!({"tool_calls": [{"index": self.number(number), "function": function}]}), bytes);
    }

    /// What a custom tool is called with.
    fn input(&mut self, index: u32, text: &str, bytes: &mut Vec<u8>) {
        let Some(number) = self.calls.iter().position(|known| *known == index) else { return };
        let call = json!({"index": self.number(number), "custom": {"input": text}});
        self.delta(&json!({ "tool_calls": [call] }), bytes);
    }

    /// A call's place in `tool_calls`, of which one that went out as `function_call` is none.
    fn number(&self, number: usize) -> usize {
        if self.shape.functions { number - 1 } else { number }
    }

    fn finish(&mut self, response: &Response, bytes: &mut Vec<u8>) {
        self.introduce(Some(""), bytes);
        self.chunk(&json!({}), &[], Some(finish_reason(response, self.shape)), Some(response), bytes);
        match &self.together {
            Some(together) => together.used(response.usage),
            None if self.shape.include_usage => usage_chunk(&self.head, response.usage.as_ref(), bytes),
            None => {}
        }
    }

    fn fail(&mut self, response: &Response, bytes: &mut Vec<u8>) {
        self.failed = true;
        if let Some(together) = &self.together {
            together.fail();
        }
        bytes.extend_from_slice(b"data: ");
        write(bytes, &json!({ "error": response.error }));
        bytes.extend_from_slice(b"\n\n");
    }
}

impl EventCodec for ChunkCodec {
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        let part = event.part_index().unwrap_or(0);
        match (event.kind(), event.delta()) {
            ("response.output_text.delta", Some((index, text))) => {
                self.text(index, part, text, event.logprobs(), bytes)
            }
            ("response.refusal.delta", Some((_, text))) => self.delta(&json!({ "refusal": text }), bytes),
            ("response.reasoning_summary_text.delta", Some((index, text))) => {
                self.think((index, true, part), text, bytes);
            }
            ("response.reasoning.delta", Some((index, text))) => self.think((index, false, part), text, bytes),
            ("response.function_call_arguments.delta", Some((index, text))) => self.arguments(index, text, bytes),
            ("response.custom_tool_call_input.delta", Some((index, text))) => self.input(index, text, bytes),
            ("response.output_item.added", _) => {
                if let Some((index, item)) = event.item() {
                    self.start_call(index, item, bytes);
                }
            }
            ("response.output_text.annotation.added", _) => {
                if let Some(annotation) = event.annotation().and_then(|given| annotation(given, self.before_part)) {
                    self.delta(&json!({"annotations": [annotation]}), bytes);
                }
            }
            (kind, _) => match (kind, event.response()) {
                ("response.created", Some(response)) => self.begin(response),
                ("response.completed" | "response.incomplete", Some(response)) => self.finish(response, bytes),
                ("response.failed", Some(response)) => self.fail(response, bytes),
                _ => {}
            },
        }
    }

    fn end(&mut self, bytes: &mut Vec<u8>) {
        if !self.failed && self.together.is_none() {
            bytes.extend_from_slice(DONE);
        }
    }
}

pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// The last chunk, where the caller wants one.
pub(super) fn usage_chunk(head: &[u8], used: Option<&Usage>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"data: ");
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(b",\"choices\":[],\"usage\":");
    write(bytes, &used.map(usage));
    bytes.extend_from_slice(b"}\n\n");
}

fn write(bytes: &mut Vec<u8>, value: &impl Serialize) {
    if let Err(error) = serde_json::to_writer(&mut *bytes, value) {
        tracing::error!(%error, "a chunk could not be written");
    }
}
