//! From a provider's answer to our events.

use crate::lowering::CustomCalls;
use crate::{Kind, Translation, anthropic, chat, gemini, openai};
use tokenrouter_protocol::ModelEvent;

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
