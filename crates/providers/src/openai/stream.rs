//! Reading a stream of OpenAI's.
//!
//! Deltas are given out as they come; what an item's `done` holds beyond its deltas is given out
//! then, so that a host which sends few events loses nothing.

use super::decode::{Given, ItemIn, ResponseIn};
use crate::Translation;
use crate::decode::DecodeError;
use crate::failure::InlineError;
use crate::wire::{Count, Text};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenrouter_protocol::{Field, ModelEvent};

#[derive(Default)]
pub(crate) struct Stream {
    open: Vec<(u32, Given)>,
    /// Items that were given out, whole.
    done: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventIn<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    output_index: Count,
    content_index: Count,
    summary_index: Count,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    annotation: Option<Value>,
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    error: Option<InlineError<'a>>,
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
        let event: EventIn =
            serde_json::from_str(data).map_err(|e| DecodeError::of(&e, "not an event of a response"))?;
        let key = event.output_index.index();
        let kind = event.kind.non_empty().unwrap_or(name);
        let part = event.content_index.index();
        match kind {
            "response.output_text.delta" => self.delta(key, Field::Text(part), &event.delta, out),
            "response.function_call_arguments.delta" => self.delta(key, Field::Arguments, &event.delta, out),
            "response.refusal.delta" => self.delta(key, Field::Refusal(part), &event.delta, out),
            "response.reasoning_summary_text.delta" => {
                self.delta(key, Field::ReasoningSummary(event.summary_index.index()), &event.delta, out);
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.delta(key, Field::ReasoningText(part), &event.delta, out);
            }
            "response.output_text.annotation.added" => {
                if let (Some(annotation), Some(given)) = (event.annotation, self.given(key)) {
                    given.add_annotation(part);
                    out.push(ModelEvent::Annotation { key, part, annotation });
                }
            }
            "response.created" => {
                let response = ResponseIn::read(event.response.map_or("{}", RawValue::get))?;
                out.push(response.started());
            }
            "response.output_item.added" => {
                let raw = event.item.ok_or(DecodeError::Shape("an added item that is not there"))?;
                let start = ItemIn::read(raw)?.start();
                let given = Given { started: start.is_some(), ..Given::default() };
                if let Some(item) = start {
                    out.push(ModelEvent::ItemStarted { key, item });
                }
                self.open.push((key, given));
            }
            "response.output_item.done" => {
                let raw = event.item.ok_or(DecodeError::Shape("a finished item that is not there"))?;
                let at = self.open.iter().rposition(|(k, _)| *k == key);
                let given = at.map_or_else(Given::default, |at| self.open.remove(at).1);
                ItemIn::read(raw)?.finish(key, raw, &given, translation, out)?;
                self.done += 1;
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                let raw = event.response.ok_or(DecodeError::Shape("an end without its response"))?;
                let response = ResponseIn::read(raw.get())?;
                self.finish_open(&response, translation, out)?;
                response.ending(translation, out);
            }
            "error" => {
                let error = event.error.unwrap_or(InlineError { code: event.code, message: event.message, ..InlineError::default() });
                out.push(ModelEvent::Failed(error.report(translation.kind())));
            }
            _ => {}
        }
        Ok(())
    }

    fn given(&mut self, key: u32) -> Option<&mut Given> {
        self.open.iter_mut().rfind(|(k, given)| *k == key && given.started).map(|(_, given)| given)
    }

    fn delta(&mut self, key: u32, field: Field, text: &str, out: &mut Vec<ModelEvent>) {
        if let Some(given) = self.given(key).filter(|_| !text.is_empty()) {
            given.add(field, text.len());
            out.push(ModelEvent::Delta { key, field, text: text.to_owned() });
        }
    }

    /// Items that never got their `done`: ended by what the whole response says of them.
    fn finish_open(
        &mut self,
        response: &ResponseIn,
        translation: &Translation,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), DecodeError> {
        let first_unseen = if self.done == 0 && self.open.is_empty() { 0 } else { u32::MAX };
        for (raw, key) in response.output().iter().zip(0_u32..) {
            let at = self.open.iter().rposition(|(k, _)| *k == key);
            if let Some(at) = at {
                let given = self.open.remove(at).1;
                ItemIn::read(raw)?.finish(key, raw, &given, translation, out)?;
            } else if key >= first_unseen {
                ItemIn::read(raw)?.finish(key, raw, &Given::default(), translation, out)?;
            }
        }
        Ok(())
    }
}
