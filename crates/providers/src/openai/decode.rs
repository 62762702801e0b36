//! OpenAI's answers as our events.

use crate::envelope::Sealed;
use crate::failure::InlineError;
use crate::{DecodeError, Kind, Translation};
use serde::Deserialize;
use serde_json::Value;
use tokenrouter_protocol::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, ProviderError, Usage};

const WHAT: &str = "not a response";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn error(value: &Value) -> ProviderError {
    InlineError::deserialize(value).map(|error| error.report(Kind::OpenAi)).unwrap_or_default()
}

pub(crate) fn decode(body: &str, translation: &Translation, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
    let response: Value = serde_json::from_str(body).map_err(|e| DecodeError::of(&e, WHAT))?;
    let Some(output) = response["output"].as_array() else {
        if response["error"].is_object() {
            out.push(ModelEvent::Failed(error(&response["error"])));
            return Ok(());
        }
        return Err(DecodeError::Shape(WHAT));
    };
    out.push(ModelEvent::Started { model: response["model"].as_str().map(str::to_owned) });
    for (key, item) in (0..).zip(output) {
        start(key, item, translation, out);
        content(key, item, out);
        finish(key, item, translation, out);
    }
    end(&response, out)
}

/// Usage, and how the response ended.
fn end(response: &Value, out: &mut Vec<ModelEvent>) -> Result<(), DecodeError> {
    if let Some(usage) = usage(&response["usage"]) {
        out.push(ModelEvent::Usage(usage));
    }
    out.push(match text(&response["status"]) {
        "completed" => ModelEvent::Finished(FinishReason::Completed),
        "incomplete" => ModelEvent::Finished(match text(&response["incomplete_details"]["reason"]) {
            "content_filter" => FinishReason::ContentFilter,
            _ => FinishReason::MaxOutputTokens,
        }),
        "failed" | "cancelled" => ModelEvent::Failed(error(&response["error"])),
        _ => return Err(DecodeError::Shape("a response that has not ended")),
    });
    Ok(())
}

fn usage(value: &Value) -> Option<Usage> {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    value.as_object()?;
    let cache_read = count(&value["input_tokens_details"]["cached_tokens"]);
    let cache_write = count(&value["input_tokens_details"]["cache_write_tokens"]);
    Some(Usage {
        uncached_input: count(&value["input_tokens"]).saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: count(&value["output_tokens"]),
        reasoning: count(&value["output_tokens_details"]["reasoning_tokens"]),
    })
}

fn start(key: u32, item: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
    let item = match text(&item["type"]) {
        "message" => ItemStart::Message,
        "reasoning" => ItemStart::Reasoning,
        "function_call" => ItemStart::FunctionCall {
            call_id: text(&item["call_id"]).to_owned(),
            name: translation.tool_name(text(&item["name"])).to_owned(),
            namespace: item["namespace"].as_str().map(str::to_owned),
        },
        _ => match item {
            Value::Object(object) => ItemStart::Other(object.clone()),
            _ => return,
        },
    };
    out.push(ModelEvent::ItemStarted { key, item });
}

/// All text of an item, as if it had been streamed in one piece each.
fn content(key: u32, item: &Value, out: &mut Vec<ModelEvent>) {
    let mut delta = |field, text: &str| out.push(ModelEvent::Delta { key, field, text: text.to_owned() });
    for (i, part) in (0..).zip(item["summary"].as_array().into_iter().flatten()) {
        delta(Field::ReasoningSummary(i), text(&part["text"]));
    }
    for (i, part) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
        match text(&part["type"]) {
            "output_text" => delta(Field::Text(i), text(&part["text"])),
            "refusal" => delta(Field::Refusal(i), text(&part["refusal"])),
            "reasoning_text" => delta(Field::ReasoningText(i), text(&part["text"])),
            _ => {}
        }
    }
    if item["type"] == "function_call" {
        delta(Field::Arguments, text(&item["arguments"]));
    }
    for (part, value) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
        for annotation in value["annotations"].as_array().into_iter().flatten() {
            out.push(ModelEvent::Annotation { key, part, annotation: annotation.clone() });
        }
    }
}

fn finish(key: u32, item: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
    let encrypted_content = item["encrypted_content"].as_str().and_then(|encrypted| {
        let mut sealed = Sealed::new(translation);
        sealed.id = item["id"].as_str().map(str::to_owned);
        sealed.signature = Some(encrypted.to_owned());
        sealed.seal()
    });
    let incomplete = item["status"] == "incomplete";
    out.push(ModelEvent::ItemDone { key, end: ItemEnd { incomplete, encrypted_content } });
}

#[derive(Default)]
pub(crate) struct Stream {
    /// The items under way: output index, and whether any of its text has been streamed.
    open: Vec<(u32, bool)>,
}

impl Stream {
    pub(crate) fn event(
        &mut self,
        name: &str,
        data: &str,
        translation: &Translation,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), DecodeError> {
        if data == "[DONE]" {
            return Ok(());
        }
        let event: Value = serde_json::from_str(data).map_err(|e| DecodeError::of(&e, "not a response's event"))?;
        let kind = event["type"].as_str().unwrap_or(name);
        let key = number(&event["output_index"]);
        match kind {
            "response.created" => {
                out.push(ModelEvent::Started { model: event["response"]["model"].as_str().map(str::to_owned) });
            }
            "response.output_item.added" => {
                // What only OpenAI knows is given on when it is whole.
                if matches!(text(&event["item"]["type"]), "message" | "reasoning" | "function_call") {
                    self.open.push((key, false));
                    start(key, &event["item"], translation, out);
                }
            }
            "response.output_text.delta" => self.delta(key, Field::Text(number(&event["content_index"])), &event, out),
            "response.refusal.delta" => self.delta(key, Field::Refusal(number(&event["content_index"])), &event, out),
            "response.reasoning_summary_text.delta" => {
                self.delta(key, Field::ReasoningSummary(number(&event["summary_index"])), &event, out);
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.delta(key, Field::ReasoningText(number(&event["content_index"])), &event, out);
            }
            "response.function_call_arguments.delta" => self.delta(key, Field::Arguments, &event, out),
            "response.output_text.annotation.added" => out.push(ModelEvent::Annotation {
                key,
                part: number(&event["content_index"]),
                annotation: event["annotation"].clone(),
            }),
            "response.output_item.done" => {
                let item = &event["item"];
                match self.open.iter().position(|(open, _)| *open == key) {
                    Some(at) => {
                        let (_, streamed) = self.open.remove(at);
                        if !streamed {
                            content(key, item, out);
                        }
                    }
                    None => start(key, item, translation, out),
                }
                finish(key, item, translation, out);
            }
            "response.completed" | "response.incomplete" | "response.failed" => end(&event["response"], out)?,
            "error" => {
                let inner = if event["error"].is_object() { &event["error"] } else { &event };
                let mut failed = error(inner);
                if failed.kind == "error" {
                    failed.kind.clear();
                }
                out.push(ModelEvent::Failed(failed));
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, key: u32, field: Field, event: &Value, out: &mut Vec<ModelEvent>) {
        if let Some((_, streamed)) = self.open.iter_mut().find(|(open, _)| *open == key) {
            *streamed = true;
        }
        out.push(ModelEvent::Delta { key, field, text: text(&event["delta"]).to_owned() });
    }
}
