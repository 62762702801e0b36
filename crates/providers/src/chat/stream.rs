//! A streamed chat completion as our events.

use crate::envelope::Sealed;
use crate::failure::InlineError;
use crate::{DecodeError, Translation, logprobs};
use serde::Deserialize;
use serde_json::Value;
use tokenrouter_protocol::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, Usage, new_id};

/// The items of the answer, in the order in which they began.
#[derive(Default)]
pub(crate) struct Stream {
    started: bool,
    next_key: u32,
    message: Option<u32>,
    reasoning: Option<u32>,
    /// Index of the call in the chunks, and its key.
    calls: Vec<(u64, u32)>,
    /// What says whose the reasoning is, so that it is given back to nobody else.
    sealed: Option<String>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    failed: bool,
}

impl Stream {
    pub(crate) fn event(
        &mut self,
        data: &str,
        translation: &Translation,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), DecodeError> {
        if data.trim() == "[DONE]" {
            return self.end(translation, out);
        }
        let chunk: Value =
            serde_json::from_str(data).map_err(|e| DecodeError::of(&e, "not a chunk of a chat completion"))?;
        if !chunk.is_object() {
            return Err(DecodeError::Shape("not a chunk of a chat completion"));
        }
        self.chunk(&chunk, translation, out);
        Ok(())
    }

    pub(super) fn chunk(&mut self, chunk: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
        if self.failed {
            return;
        }
        if chunk["error"].is_object() || chunk["object"] == "error" {
            let inner = if chunk["error"].is_object() { &chunk["error"] } else { chunk };
            let error = InlineError::deserialize(inner).map(|e| e.report(translation.kind())).unwrap_or_default();
            self.failed = true;
            out.push(ModelEvent::Failed(error));
            return;
        }
        if !self.started {
            self.started = true;
            out.push(ModelEvent::Started { model: chunk["model"].as_str().map(str::to_owned) });
        }
        if let Some(usage) = usage(&chunk["usage"]).or_else(|| usage(&chunk["choices"][0]["usage"])) {
            self.usage = Some(usage);
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        let reasoning = delta["reasoning_content"].as_str().or_else(|| delta["reasoning"].as_str());
        self.reasoning(reasoning.unwrap_or_default(), translation, out);
        match &delta["content"] {
            Value::String(text) => {
                // Beside an empty text, the tokens are those of the thought or of the call.
                let of_others = text.is_empty()
                    && (reasoning.is_some_and(|text| !text.is_empty())
                        || delta["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty()));
                let tokens = if of_others { Vec::new() } else { logprobs::of(&choice["logprobs"]["content"]) };
                self.text(Field::Text(0), text, tokens, out);
            }
            // Mistral's reasoning models give a list of parts.
            Value::Array(parts) => {
                for part in parts {
                    if part["type"] == "thinking" {
                        for thought in part["thinking"].as_array().into_iter().flatten() {
                            self.reasoning(thought["text"].as_str().unwrap_or_default(), translation, out);
                        }
                    } else {
                        self.text(Field::Text(0), part["text"].as_str().unwrap_or_default(), Vec::new(), out);
                    }
                }
            }
            _ => {}
        }
        self.text(Field::Refusal(1), delta["refusal"].as_str().unwrap_or_default(), Vec::new(), out);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call, translation, out);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish = Some(match reason {
                "length" | "model_length" => FinishReason::MaxOutputTokens,
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Completed,
            });
        }
    }

    fn begin(&mut self, item: ItemStart, out: &mut Vec<ModelEvent>) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        out.push(ModelEvent::ItemStarted { key, item });
        key
    }

    fn close_reasoning(&mut self, incomplete: bool, out: &mut Vec<ModelEvent>) {
        if let Some(key) = self.reasoning.take() {
            let encrypted_content = self.sealed.clone();
            out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete, encrypted_content } });
        }
    }

    fn close(key: Option<u32>, incomplete: bool, out: &mut Vec<ModelEvent>) {
        if let Some(key) = key {
            out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete, encrypted_content: None } });
        }
    }

    fn reasoning(&mut self, text: &str, translation: &Translation, out: &mut Vec<ModelEvent>) {
        if text.is_empty() {
            return;
        }
        let key = match self.reasoning {
            Some(key) => key,
            None => {
                self.sealed = Sealed::new(translation).seal();
                self.begin(ItemStart::Reasoning, out)
            }
        };
        self.reasoning = Some(key);
        out.push(ModelEvent::Delta { key, field: Field::ReasoningText(0), text: text.to_owned() });
    }

    fn text(&mut self, field: Field, text: &str, logprobs: Vec<Value>, out: &mut Vec<ModelEvent>) {
        // A token that is a part of a character has no text yet, or the text no token.
        if text.is_empty() && logprobs.is_empty() {
            return;
        }
        self.close_reasoning(false, out);
        let key = match self.message {
            Some(key) => key,
            None => self.begin(ItemStart::Message, out),
        };
        self.message = Some(key);
        if !logprobs.is_empty() {
            out.push(ModelEvent::Logprobs { key, part: 0, logprobs });
        }
        if !text.is_empty() {
            out.push(ModelEvent::Delta { key, field, text: text.to_owned() });
        }
    }

    fn call(&mut self, call: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let index = call["index"].as_u64().unwrap_or(self.calls.len() as u64);
        let function = &call["function"];
        let key = match self.calls.iter().find(|(known, _)| *known == index) {
            Some((_, key)) => *key,
            None => {
                self.close_reasoning(false, out);
                Self::close(self.message.take(), false, out);
                let call_id = call["id"].as_str().filter(|id| !id.is_empty() && *id != "null");
                let call_id = call_id.map_or_else(|| new_id("call"), str::to_owned);
                let item = translation.call(call_id, function["name"].as_str().unwrap_or_default());
                let key = self.begin(item, out);
                self.calls.push((index, key));
                key
            }
        };
        let text = match &function["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => return,
            object => object.to_string(),
        };
        out.push(ModelEvent::Delta { key, field: Field::Arguments, text });
    }

    /// The end: everything open is ended, then usage and the reason.
    pub(crate) fn end(&mut self, _: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
        if self.failed {
            return Ok(());
        }
        let Some(reason) = self.finish else { return Err(DecodeError::Truncated) };
        let cut = reason != FinishReason::Completed;
        self.close_reasoning(cut, out);
        Self::close(self.message.take(), cut, out);
        let last = self.calls.len().saturating_sub(1);
        for (i, (_, key)) in self.calls.drain(..).enumerate() {
            // Only the call that was being written when the answer was cut is cut.
            Self::close(Some(key), cut && i == last, out);
        }
        if let Some(usage) = self.usage {
            out.push(ModelEvent::Usage(usage));
        }
        out.push(ModelEvent::Finished(reason));
        self.failed = true;
        Ok(())
    }
}

/// OpenAI's way of counting: the input includes what came from a cache.
fn usage(value: &Value) -> Option<Usage> {
    value.as_object()?;
    let count = |value: &Value| value.as_u64();
    let cache_read = count(&value["prompt_tokens_details"]["cached_tokens"])
        .or_else(|| count(&value["prompt_cache_hit_tokens"]))
        .unwrap_or(0);
    Some(Usage {
        uncached_input: count(&value["prompt_tokens"]).unwrap_or(0).saturating_sub(cache_read),
        cache_read,
        output: count(&value["completion_tokens"]).unwrap_or(0),
        reasoning: count(&value["completion_tokens_details"]["reasoning_tokens"]).unwrap_or(0),
        ..Usage::default()
    })
}
