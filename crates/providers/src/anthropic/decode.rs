//! Anthropic's answers as our events.

use super::native;
use crate::decode::tokens;
use crate::envelope::Sealed;
use crate::failure::InlineError;
use crate::{DecodeError, Kind, Translation};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenrouter_protocol::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, ProviderError, StopDetail, Usage};

const WHAT: &str = "not a message";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn error(value: &Value) -> ProviderError {
    InlineError::deserialize(value).map(|error| error.report(Kind::Anthropic)).unwrap_or_default()
}

/// The inputs of calls, byte for byte.
#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    content: Vec<RawBlock<'a>>,
}

#[derive(Deserialize)]
struct RawBlock<'a> {
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

pub(crate) fn decode(body: &str, translation: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
    let message: Value = serde_json::from_str(body).map_err(|e| DecodeError::of(&e, WHAT))?;
    if message["type"] == "error" {
        out.push(ModelEvent::Failed(error(&message["error"])));
        return Ok(());
    }
    let Some(content) = message["content"].as_array() else { return Err(DecodeError::Shape(WHAT)) };
    let raw: RawMessage = serde_json::from_str(body).map_err(|e| DecodeError::of(&e, WHAT))?;
    let inputs: Vec<Option<&RawValue>> = raw.content.into_iter().map(|block| block.input).collect();
    let mut stream = Stream::default();
    stream.start(&message, out);
    for (key, block) in (0..).zip(content) {
        stream.begin(key, block, translation, out);
        // A plain block has its input whole, where a stream's comes in pieces; its bytes stay the model's.
        if block["type"] == "tool_use" {
            let input = inputs.get(key as usize).copied().flatten().map_or("", RawValue::get);
            // A stream gives no piece for no arguments.
            let empty = block["input"].as_object().is_none_or(serde_json::Map::is_empty);
            let text = if empty { String::new() } else { input.to_owned() };
            out.push(ModelEvent::Delta { key, field: Field::Arguments, text });
        }
        stream.stop(key, translation, out);
    }
    stream.note_end(&message, &message["usage"]);
    stream.end(out)
}

#[derive(Default)]
struct Block {
    key: u32,
    kind: BlockKind,
    thought: String,
    signature: Option<String>,
    redacted: Option<String>,
    /// An own block as it began, and its input as it comes.
    own: tokenrouter_protocol::Object,
    input: String,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    #[default]
    Text,
    Thinking,
    ToolUse,
    /// What Anthropic's own tools did or found; given out whole.
    Own,
    /// Of a kind that nobody knows; passed over.
    Unknown,
}

#[derive(Default)]
pub(crate) struct Stream {
    open: Vec<Block>,
    usage: Usage,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    /// The end of the last block: whether it was cut short is known only when the message ends.
    last_done: Option<(u32, ItemEnd)>,
}

impl Stream {
    pub(crate) fn event(
        &mut self,
        name: &str,
        data: &str,
        translation: &Translation,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), DecodeError> {
        let event: Value = serde_json::from_str(data).map_err(|e| DecodeError::of(&e, "not a message's event"))?;
        let key = event["index"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        match event["type"].as_str().unwrap_or(name) {
            "message_start" => {
                self.start(&event["message"], out);
                // What the prompt cost is known from here on, whatever becomes of the answer.
                out.push(ModelEvent::Usage(self.usage));
            }
            "content_block_start" => self.begin(key, &event["content_block"], translation, out),
            "content_block_delta" => self.delta(key, &event["delta"], out),
            "content_block_stop" => self.stop(key, translation, out),
            "message_delta" => self.note_end(&event["delta"], &event["usage"]),
            "message_stop" => return self.end(out),
            "error" => out.push(ModelEvent::Failed(error(&event["error"]))),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: &Value, out: &mut Vec<ModelEvent>) {
        out.push(ModelEvent::Started { model: message["model"].as_str().map(str::to_owned) });
        self.count(&message["usage"]);
    }

    /// The last figure of each counts.
    fn count(&mut self, usage: &Value) {
        let set = |slot: &mut u64, value: &Value| {
            if let Some(n) = value.as_u64() {
                *slot = n;
            }
        };
        set(&mut self.usage.uncached_input, &usage["input_tokens"]);
        set(&mut self.usage.cache_read, &usage["cache_read_input_tokens"]);
        // By how long they are kept, for hosts that give no sum.
        let kept = &usage["cache_creation"];
        set(&mut self.usage.cache_write_1h, &kept["ephemeral_1h_input_tokens"]);
        let sum =
            ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"].iter().filter_map(|n| tokens(&kept[n])).sum();
        set(&mut self.usage.cache_write, &Some(sum).filter(|n: &u64| *n > 0).map_or(Value::Null, Value::from));
        set(&mut self.usage.cache_write, &usage["cache_creation_input_tokens"]);
        set(&mut self.usage.output, &usage["output_tokens"]);
        set(&mut self.usage.reasoning, &usage["output_tokens_details"]["thinking_tokens"]);
    }

    fn begin(&mut self, key: u32, block: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
        self.let_go(out);
        let mut open = Block { key, ..Block::default() };
        let item = match text(&block["type"]) {
            "text" => Some(ItemStart::Message),
            "thinking" => {
                open.kind = BlockKind::Thinking;
                Some(ItemStart::Reasoning)
            }
            "redacted_thinking" => {
                open.kind = BlockKind::Thinking;
                open.redacted = block["data"].as_str().map(str::to_owned);
                Some(ItemStart::Reasoning)
            }
            "tool_use" => {
                open.kind = BlockKind::ToolUse;
                Some(translation.call(text(&block["id"]).to_owned(), text(&block["name"])))
            }
            kind => {
                open.kind = if native::is_own_block(kind) { BlockKind::Own } else { BlockKind::Unknown };
                open.own = block.as_object().cloned().unwrap_or_default();
                None
            }
        };
        if let Some(item) = item {
            out.push(ModelEvent::ItemStarted { key, item });
        }
        if open.kind == BlockKind::Text && !text(&block["text"]).is_empty() {
            out.push(ModelEvent::Delta { key, field: Field::Text(0), text: text(&block["text"]).to_owned() });
        }
        for citation in block["citations"].as_array().into_iter().flatten() {
            out.push(ModelEvent::Annotation { key, part: 0, annotation: citation.clone() });
        }
        if let Some(thought) = block["thinking"].as_str().filter(|thought| !thought.is_empty()) {
            open.thought.push_str(thought);
            out.push(ModelEvent::Delta { key, field: Field::ReasoningText(0), text: thought.to_owned() });
        }
        open.signature = block["signature"].as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        self.open.push(open);
    }

    fn delta(&mut self, key: u32, delta: &Value, out: &mut Vec<ModelEvent>) {
        let Some(block) = self.open.iter_mut().find(|block| block.key == key) else { return };
        let (field, piece) = match text(&delta["type"]) {
            "text_delta" => (Field::Text(0), text(&delta["text"])),
            "input_json_delta" if block.kind == BlockKind::Own => {
                block.input.push_str(text(&delta["partial_json"]));
                return;
            }
            "citations_delta" if block.kind == BlockKind::Text => {
                out.push(ModelEvent::Annotation { key, part: 0, annotation: delta["citation"].clone() });
                return;
            }
            "input_json_delta" => (Field::Arguments, text(&delta["partial_json"])),
            "thinking_delta" => {
                block.thought.push_str(text(&delta["thinking"]));
                (Field::ReasoningText(0), text(&delta["thinking"]))
            }
            "signature_delta" => {
                block.signature.get_or_insert_default().push_str(text(&delta["signature"]));
                return;
            }
            _ => return,
        };
        if !matches!(block.kind, BlockKind::Own | BlockKind::Unknown) {
            out.push(ModelEvent::Delta { key, field, text: piece.to_owned() });
        }
    }

    fn stop(&mut self, key: u32, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let Some(at) = self.open.iter().position(|block| block.key == key) else { return };
        let mut block = self.open.remove(at);
        if block.kind == BlockKind::Own {
            if let Ok(input) = serde_json::from_str(&block.input) {
                block.own.insert("input".to_owned(), input);
            }
            out.push(ModelEvent::ItemStarted { key, item: ItemStart::Other(block.own) });
            self.last_done = Some((key, ItemEnd::default()));
            return;
        }
        let encrypted_content = (block.signature.is_some() || block.redacted.is_some())
            .then(|| {
                let mut sealed = Sealed::new(translation).signing(&block.thought);
                sealed.signature = block.signature;
                sealed.redacted = block.redacted;
                sealed.seal()
            })
            .flatten();
        self.let_go(out);
        if block.kind != BlockKind::Unknown {
            self.last_done = Some((key, ItemEnd { incomplete: false, encrypted_content }));
        }
    }

    fn let_go(&mut self, out: &mut Vec<ModelEvent>) {
        if let Some((key, end)) = self.last_done.take() {
            out.push(ModelEvent::ItemDone { key, end });
        }
    }

    fn note_end(&mut self, delta: &Value, usage: &Value) {
        if let Some(reason) = delta["stop_reason"].as_str() {
            self.stop_reason = Some(reason.to_owned());
            self.stop_sequence = delta["stop_sequence"].as_str().map(str::to_owned);
        }
        self.count(usage);
    }

    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
        let reason = match self.stop_reason.as_deref() {
            None => return Err(DecodeError::Truncated),
            Some("max_tokens" | "model_context_window_exceeded") => FinishReason::MaxOutputTokens,
            // Filtered or refused: not a clean stop, whatever text came before.
            Some("refusal") => FinishReason::ContentFilter,
            Some(_) => FinishReason::Completed,
        };
        if let Some((_, end)) = &mut self.last_done {
            end.incomplete = reason != FinishReason::Completed;
        }
        self.let_go(out);
        out.push(ModelEvent::Usage(self.usage));
        let detail = match self.stop_reason.as_deref() {
            Some("stop_sequence") => self.stop_sequence.take().map(StopDetail::Sequence),
            Some("pause_turn") => Some(StopDetail::Paused),
            Some("model_context_window_exceeded") => Some(StopDetail::ContextWindow),
            _ => None,
        };
        out.extend(detail.map(ModelEvent::Stopped));
        out.push(ModelEvent::Finished(reason));
        Ok(())
    }
}
