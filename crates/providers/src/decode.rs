//! From a provider's answer to our events.

use crate::lowering::CustomCalls;
use crate::{Kind, Translation, anthropic, chat, gemini, openai};
use serde_json::Value;
use tokenrouter_protocol::{ModelEvent, Usage};

/// An answer that is not what the provider's API promises. Never holds text of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the provider's answer is not JSON")]
    NotJson,
    #[error("the provider's answer is {0}")]
    Shape(&'static str),
    #[error("the provider's stream ended before its end")]
    Truncated,
}

impl DecodeError {
    /// `what` says what the JSON is not, as `not a chat completion`.
    pub(crate) fn of(error: &serde_json::Error, what: &'static str) -> Self {
        if error.is_data() { Self::Shape(what) } else { Self::NotJson }
    }
}

/// A provider that tells of more tokens than this in one answer tells nothing.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// A count of tokens, if it can be one.
pub(crate) fn tokens(value: &Value) -> Option<u64> {
    value.as_u64().filter(|count| *count <= MOST_TOKENS)
}

/// Takes out, from `before` on, usage that cannot be: it is unknown then, and estimated as where none is told.
fn drop_impossible_usage(out: &mut Vec<ModelEvent>, before: usize) {
    let mut at = 0;
    out.retain(|event| {
        at += 1;
        let ModelEvent::Usage(usage) = event else { return true };
        let Usage { uncached_input, cache_read, cache_write, cache_write_1h, output, reasoning } = *usage;
        let counts = [uncached_input, cache_read, cache_write, cache_write_1h, output, reasoning];
        at <= before || counts.iter().all(|count| *count <= MOST_TOKENS)
    });
}

/// The events of a plain answer (status 2xx), in the order in which a stream would have brought them.
///
/// # Errors
/// When the body is not what the provider's API promises. What the provider reports as an error is
/// a `Failed` event instead.
pub fn decode_response(kind: Kind, body: &[u8], translation: &Translation) -> Result<Vec<ModelEvent>, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::NotJson)?;
    let mut out = Vec::new();
    match kind {
        Kind::OpenAi => openai::decode(text, translation, &mut out)?,
        Kind::Anthropic => anthropic::decode(text, translation, &mut out)?,
        Kind::Gemini => gemini::decode(text, translation, &mut out)?,
        Kind::Mistral | Kind::DeepSeek | Kind::OpenAiCompatible => chat::decode(text, translation, &mut out)?,
    }
    drop_impossible_usage(&mut out, 0);
    CustomCalls::default().rewrite(&translation.lowered, &mut out, 0);
    Ok(out)
}

enum Wire {
    OpenAi(openai::Stream),
    Anthropic(anthropic::Stream),
    Gemini(gemini::Stream),
    Chat(chat::Stream),
}

/// Turns the server-sent events of one answer into model events.
pub struct StreamDecoder {
    wire: Wire,
    translation: Translation,
    custom_calls: CustomCalls,
    finished: bool,
}

impl StreamDecoder {
    #[must_use]
    pub fn new(kind: Kind, translation: Translation) -> Self {
        let wire = match kind {
            Kind::OpenAi => Wire::OpenAi(openai::Stream::default()),
            Kind::Anthropic => Wire::Anthropic(anthropic::Stream::default()),
            Kind::Gemini => Wire::Gemini(gemini::Stream::default()),
            Kind::Mistral | Kind::DeepSeek | Kind::OpenAiCompatible => Wire::Chat(chat::Stream::default()),
        };
        Self { wire, translation, custom_calls: CustomCalls::default(), finished: false }
    }

    /// Takes one server-sent event in; `name` is empty if it has none. What follows the end of the
    /// answer is ignored.
    ///
    /// # Errors
    /// When the event is not what the provider's API promises. What the provider reports as an
    /// error is a `Failed` event instead.
    pub fn event(&mut self, name: &str, data: &str, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
        if self.finished || data.is_empty() {
            return Ok(());
        }
        let before = out.len();
        match &mut self.wire {
            Wire::OpenAi(stream) => stream.event(name, data, &self.translation, out)?,
            Wire::Anthropic(stream) => stream.event(name, data, &self.translation, out)?,
            Wire::Gemini(stream) => stream.event(data, &self.translation, out)?,
            Wire::Chat(stream) => stream.event(data, &self.translation, out)?,
        }
        drop_impossible_usage(out, before);
        self.custom_calls.rewrite(&self.translation.lowered, out, before);
        self.note_end(out, before);
        Ok(())
    }

    /// The provider's stream ended.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ended before the answer did.
    pub fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
        if self.finished {
            return Ok(());
        }
        let before = out.len();
        match &mut self.wire {
            Wire::Chat(stream) => stream.end(&self.translation, out)?,
            Wire::Gemini(stream) => stream.end(&self.translation, out)?,
            Wire::OpenAi(_) | Wire::Anthropic(_) => {}
        }
        drop_impossible_usage(out, before);
        self.custom_calls.rewrite(&self.translation.lowered, out, before);
        self.note_end(out, before);
        if self.finished { Ok(()) } else { Err(DecodeError::Truncated) }
    }

    /// Whether `Finished` or `Failed` was given out.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    fn note_end(&mut self, out: &[ModelEvent], before: usize) {
        self.finished =
            out[before..].iter().any(|event| matches!(event, ModelEvent::Finished(_) | ModelEvent::Failed(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokenrouter_protocol::{Assembler, Ending, FinishReason, Item, Request, Response};

    /// The arguments of the call in an answer, as the caller gets them.
    fn arguments(events: Vec<ModelEvent>) -> String {
        let request = Request::parse(json!({"input": "hi"})).unwrap();
        let mut assembler = Assembler::new(Response::begin(&request, "resp_1".into(), "m".into(), 0));
        let mut out = Vec::new();
        events.into_iter().for_each(|event| assembler.push(event, &mut out));
        assembler.end(Ending::Finished(FinishReason::Completed), 0, &mut out);
        match assembler.into_response().output.as_slice() {
            [Item::FunctionCall(call)] => call.arguments.clone(),
            other => panic!("not one call: {other:?}"),
        }
    }

    fn streamed(kind: Kind, events: &[Value]) -> Vec<ModelEvent> {
        let mut decoder = StreamDecoder::new(kind, Translation::new(kind, "p", "m"));
        let mut out = Vec::new();
        for event in events {
            decoder.event(event["type"].as_str().unwrap_or_default(), &event.to_string(), &mut out).unwrap();
        }
        decoder.end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_call_without_arguments_is_the_same_plain_and_streamed_in_every_dialect() {
        let function = json!({"name": "f", "arguments": ""});
        let call = json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "", "status": "completed"});
        let response = json!({"model": "m", "status": "completed", "output": [call]});
        let part = json!({"functionCall": {"name": "f"}});
        let gemini = json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
        let block = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let chat = |message: &str| {
            let calls = json!([{"index": 0, "id": "c", "type": "function", "function": function}]);
            json!({"model": "m", "choices": [{message: {"tool_calls": calls}, "finish_reason": "tool_calls"}]})
        };
        let anthropic = [
            json!({"type": "message_start", "message": {"model": "m", "content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
            json!({"type": "message_stop"}),
        ];
        let openai = [
            json!({"type": "response.output_item.added", "output_index": 0, "item": call}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": call}),
            json!({"type": "response.completed", "response": response}),
        ];
        for (kind, plain, stream) in [
            (Kind::Anthropic, json!({"model": "m", "content": [block], "stop_reason": "tool_use"}), anthropic.to_vec()),
            (Kind::OpenAi, response.clone(), openai.to_vec()),
            (Kind::Gemini, gemini.clone(), vec![gemini.clone()]),
            (Kind::OpenAiCompatible, chat("message"), vec![chat("delta")]),
            (Kind::Mistral, chat("message"), vec![chat("delta")]),
        ] {
            let plain = decode_response(kind, plain.to_string().as_bytes(), &Translation::new(kind, "p", "m")).unwrap();
            assert_eq!(arguments(plain), "{}", "{kind:?}, plain");
            assert_eq!(arguments(streamed(kind, &stream)), "{}", "{kind:?}, streamed");
        }
    }

    #[test]
    fn counts_that_cannot_be_are_unknown() {
        let chat = |prompt: Value| {
            json!({
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": prompt, "completion_tokens": 1},
            })
        };
        let anthropic = |hour: Value| {
            json!({
                "type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn",
                "usage": {"input_tokens": 2, "output_tokens": 1, "cache_creation": {
                    "ephemeral_5m_input_tokens": u64::MAX, "ephemeral_1h_input_tokens": hour,
                }},
            })
        };
        let is_told = |kind, body: Value| {
            let events = decode_response(kind, body.to_string().as_bytes(), &Translation::new(kind, "p", "m")).unwrap();
            events.iter().any(|event| matches!(event, ModelEvent::Usage(_)))
        };
        assert!(is_told(Kind::Mistral, chat(json!(3))));
        assert!(!is_told(Kind::Mistral, chat(json!(MOST_TOKENS + 1))));
        assert!(!is_told(Kind::Mistral, chat(json!(u64::MAX))));
        assert!(is_told(Kind::Anthropic, anthropic(json!(5))));
        assert!(!is_told(Kind::Anthropic, anthropic(json!(u64::MAX))));
    }
}
