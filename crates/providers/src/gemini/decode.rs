//! Gemini's answers as our events. A stream's chunk and a plain answer have one shape.
//!
//! A call comes whole, its arguments as an object whose bytes are kept. A signature is carried by a
//! reasoning item: the open one, or an empty one, before the part that it signs; or after a text that
//! had begun.

use super::{NEXT_PART, OWN_PART};
use crate::envelope::Sealed;
use crate::failure;
use crate::{DecodeError, Kind, Translation};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tokenrouter_protocol::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, ProviderError, Usage, new_id};

const WHAT: &str = "not generated content";
/// Of the ids that are made here because Gemini gave none: they are not told to Gemini.
const MADE_ID: &str = "call_made";

pub(super) fn is_made_id(call_id: &str) -> bool {
    call_id.starts_with(MADE_ID)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<UsageMetadata>,
    model_version: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    thought: Option<bool>,
    thought_signature: Option<String>,
    #[serde(borrow)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageMetadata {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
}

impl UsageMetadata {
    /// The prompt includes what came from a cache; thoughts, and what tools of Google's gave, stand outside of it and
    /// of the candidates (<https://ai.google.dev/api/generate-content#UsageMetadata>).
    fn normal(&self) -> Usage {
        let count = |n: Option<u64>| n.unwrap_or(0);
        let input = count(self.prompt_token_count).saturating_add(count(self.tool_use_prompt_token_count));
        let cache_read = count(self.cached_content_token_count);
        let reasoning = count(self.thoughts_token_count);
        Usage {
            uncached_input: input.saturating_sub(cache_read),
            cache_read,
            output: count(self.candidates_token_count).saturating_add(reasoning),
            reasoning,
            ..Usage::default()
        }
    }
}

pub(crate) fn decode(body: &str, translation: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
    let mut stream = Stream::default();
    stream.event(body, translation, out)?;
    if !stream.said_something {
        return Err(DecodeError::Shape(WHAT));
    }
    stream.end(translation, out)
}

#[derive(Default)]
pub(crate) struct Stream {
    started: bool,
    /// A candidate, a refusal of the prompt or an error was there.
    said_something: bool,
    next_key: u32,
    reasoning: Option<u32>,
    message: Option<u32>,
    /// Of the text that was begun; told after it.
    late_signature: Option<String>,
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
        if self.failed {
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|e| DecodeError::of(&e, WHAT))?;
        if !data.trim_start().starts_with('{') {
            return Err(DecodeError::Shape(WHAT));
        }
        if let Some(error) = &chunk.error {
            self.fail(failure::of_value(Kind::Gemini, error), out);
            return Ok(());
        }
        if !self.started {
            self.started = true;
            out.push(ModelEvent::Started { model: chunk.model_version });
        }
        if let Some(usage) = &chunk.usage_metadata {
            self.usage = Some(usage.normal());
        }
        if chunk.prompt_feedback.and_then(|feedback| feedback.block_reason).is_some() {
            self.said_something = true;
            self.finish = Some(FinishReason::ContentFilter);
        }
        let Some(candidate) = chunk.candidates.into_iter().flatten().next() else { return Ok(()) };
        self.said_something = true;
        for part in candidate.content.and_then(|content| content.parts).into_iter().flatten() {
            self.part(part, translation, out);
        }
        if let Some(reason) = candidate.finish_reason {
            match finish(&reason) {
                Some(reason) => self.finish = Some(reason),
                None => self.fail(unfinished(reason, candidate.finish_message), out),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<ModelEvent>) {
        self.failed = true;
        self.said_something = true;
        out.push(ModelEvent::Failed(error));
    }

    fn part(&mut self, part: Part, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let signature = part.thought_signature.filter(|signature| !signature.is_empty());
        if let Some(call) = part.function_call {
            self.close_message(false, translation, out);
            self.close_reasoning(signature, translation, out);
            self.call(&call, translation, out);
            return;
        }
        // Code that it ran and the like is never asked for.
        let Some(text) = part.text else { return };
        if part.thought == Some(true) {
            self.close_message(false, translation, out);
            self.late_signature = signature;
            let key = match self.reasoning {
                Some(key) => key,
                None => self.begin(ItemStart::Reasoning, out),
            };
            self.reasoning = Some(key);
            if !text.is_empty() {
                let text = text.into_owned();
                out.push(ModelEvent::Delta { key, field: Field::ReasoningSummary(0), text });
            }
            return;
        }
        if self.message.is_none() && !text.is_empty() {
            self.close_reasoning(signature, translation, out);
        } else if signature.is_some() {
            self.late_signature = signature;
        }
        if text.is_empty() {
            return;
        }
        let key = match self.message {
            Some(key) => key,
            None => self.begin(ItemStart::Message, out),
        };
        self.message = Some(key);
        out.push(ModelEvent::Delta { key, field: Field::Text(0), text: text.into_owned() });
    }

    fn call(&mut self, call: &FunctionCall, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let given = call.id.clone().filter(|id| !id.is_empty());
        let call_id = given.unwrap_or_else(|| new_id(MADE_ID));
        let item = translation.call(call_id, call.name.as_deref().unwrap_or_default());
        let key = self.begin(item, out);
        let text = call.args.map_or("{}", RawValue::get).to_owned();
        out.push(ModelEvent::Delta { key, field: Field::Arguments, text });
        out.push(ModelEvent::ItemDone { key, end: ItemEnd::default() });
    }

    fn begin(&mut self, item: ItemStart, out: &mut Vec<ModelEvent>) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        out.push(ModelEvent::ItemStarted { key, item });
        key
    }

    /// Ends the thoughts before a part with this signature; an item is made for it if there is none.
    fn close_reasoning(&mut self, signature: Option<String>, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let key = match self.reasoning.take() {
            Some(key) => key,
            None if signature.is_some() => self.begin(ItemStart::Reasoning, out),
            None => return,
        };
        let mut sealed = Sealed::new(translation);
        sealed.field = signature.is_some().then(|| NEXT_PART.to_owned());
        sealed.signature = signature;
        out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete: false, encrypted_content: sealed.seal() } });
    }

    /// Ends the text, and gives the signature that came when it had begun.
    fn close_message(&mut self, incomplete: bool, translation: &Translation, out: &mut Vec<ModelEvent>) {
        if let Some(key) = self.message.take() {
            out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete, encrypted_content: None } });
        }
        if let Some(signature) = self.late_signature.take() {
            let key = match self.reasoning.take() {
                Some(key) => key,
                None => self.begin(ItemStart::Reasoning, out),
            };
            let mut sealed = Sealed::new(translation);
            sealed.field = Some(OWN_PART.to_owned());
            sealed.signature = Some(signature);
            let end = ItemEnd { incomplete: false, encrypted_content: sealed.seal() };
            out.push(ModelEvent::ItemDone { key, end });
        }
    }

    /// The stream ended: everything open is ended, then usage and the reason.
    pub(crate) fn end(&mut self, translation: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
        if self.failed {
            return Ok(());
        }
        let Some(reason) = self.finish else { return Err(DecodeError::Truncated) };
        let cut = reason != FinishReason::Completed;
        self.close_message(cut, translation, out);
        if let Some(key) = self.reasoning.take() {
            let encrypted_content = Sealed::new(translation).seal();
            out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete: cut, encrypted_content } });
        }
        if let Some(usage) = self.usage {
            out.push(ModelEvent::Usage(usage));
        }
        out.push(ModelEvent::Finished(reason));
        self.failed = true;
        Ok(())
    }
}

/// None if the model did not come to an end that an answer can have. The words are those of
/// <https://ai.google.dev/api/generate-content#FinishReason>, and of Vertex AI beside them.
fn finish(reason: &str) -> Option<FinishReason> {
    Some(match reason {
        "STOP" => FinishReason::Completed,
        "MAX_TOKENS" | "CONTINUATION" => FinishReason::MaxOutputTokens,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => FinishReason::ContentFilter,
        _ => return None,
    })
}

/// `MALFORMED_FUNCTION_CALL`, `TOO_MANY_TOOL_CALLS`, `OTHER` and the like: the model failed, and may do better another
/// time. A missing signature is a mistake in what it was sent; an account that is limited stays so.
fn unfinished(reason: String, message: Option<String>) -> ProviderError {
    let status = match reason.as_str() {
        "MISSING_THOUGHT_SIGNATURE" => 400,
        "PUP_LIMITED_DISABLED" => 403,
        _ => 500,
    };
    let message = message.unwrap_or_else(|| format!("the model ended with {reason}"));
    ProviderError { kind: reason.to_ascii_lowercase(), message, status }
}
