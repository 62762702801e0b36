//! OpenAI's answers as our events.

use crate::envelope::Sealed;
use crate::failure::InlineError;
use crate::{DecodeError, Kind, Translation, logprobs};
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
        content(key, item, &Given::default(), out);
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
        cache_write_1h: 0,
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
            Value::Object(object) => {
                let mut object = object.clone();
                if is_custom_call(item) {
                    object.shift_remove("input");
                }
                ItemStart::Other(object)
            }
            _ => return,
        },
    };
    out.push(ModelEvent::ItemStarted { key, item });
}

fn is_custom_call(item: &Value) -> bool {
    item["type"] == "custom_tool_call"
}

/// What of an item has been given out: of each text how many bytes, and where annotations stood.
#[derive(Default)]
struct Given {
    texts: Vec<(Field, usize)>,
    annotations: Vec<u32>,
}

impl Given {
    fn add(&mut self, field: Field, bytes: usize) {
        match self.texts.iter_mut().find(|(known, _)| *known == field) {
            Some((_, given)) => *given += bytes,
            None => self.texts.push((field, bytes)),
        }
    }

    /// What is left of a whole text. Of one that is not longer than what was given out, nothing.
    fn rest<'a>(&self, field: Field, whole: &'a str) -> &'a str {
        let given = self.texts.iter().find(|(known, _)| *known == field).map_or(0, |(_, bytes)| *bytes);
        whole.get(given..).unwrap_or_default()
    }
}

/// How probable the tokens were of the text that comes next, where that is told.
fn tell_logprobs(key: u32, part: u32, value: &Value, out: &mut Vec<ModelEvent>) {
    let logprobs = logprobs::of(&value["logprobs"]);
    if !logprobs.is_empty() {
        out.push(ModelEvent::Logprobs { key, part, logprobs });
    }
}

/// The text of an item that has not been given out, in one piece each.
fn content(key: u32, item: &Value, given: &Given, out: &mut Vec<ModelEvent>) {
    let delta = |field, text: &str, out: &mut Vec<ModelEvent>| {
        let rest = given.rest(field, text);
        // A part that is empty is there all the same.
        if !rest.is_empty() || !given.texts.iter().any(|(known, _)| *known == field) {
            out.push(ModelEvent::Delta { key, field, text: rest.to_owned() });
        }
    };
    for (i, part) in (0..).zip(item["summary"].as_array().into_iter().flatten()) {
        delta(Field::ReasoningSummary(i), text(&part["text"]), out);
    }
    for (i, part) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
        match text(&part["type"]) {
            "output_text" => {
                if !given.texts.iter().any(|(known, _)| *known == Field::Text(i)) {
                    tell_logprobs(key, i, part, out);
                }
                delta(Field::Text(i), text(&part["text"]), out);
            }
            "refusal" => delta(Field::Refusal(i), text(&part["refusal"]), out),
            "reasoning_text" => delta(Field::ReasoningText(i), text(&part["text"]), out),
            _ => {}
        }
    }
    if item["type"] == "function_call" {
        delta(Field::Arguments, text(&item["arguments"]), out);
    }
    if is_custom_call(item) {
        delta(Field::Input, text(&item["input"]), out);
    }
    for (part, value) in (0..).zip(item["content"].as_array().into_iter().flatten()) {
        let told = given.annotations.iter().filter(|known| **known == part).count();
        for annotation in value["annotations"].as_array().into_iter().flatten().skip(told) {
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

/// An item that has begun.
struct Open {
    key: u32,
    given: Given,
}

/// A host may send few events: what an item's `done` and the response at the end hold beyond what was
/// streamed is given out then.
#[derive(Default)]
pub(crate) struct Stream {
    open: Vec<Open>,
    /// The items that are done: output index and id.
    done: Vec<(u32, String)>,
    /// A host that numbers no items: which of those at the end were given out cannot be told.
    unnumbered: bool,
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
                self.unnumbered |= !event["output_index"].is_u64();
                // What only OpenAI knows is given on when it is whole.
                if matches!(
                    text(&event["item"]["type"]),
                    "message" | "reasoning" | "function_call" | "custom_tool_call"
                ) {
                    self.open.push(Open { key, given: Given::default() });
                    start(key, &event["item"], translation, out);
                }
            }
            "response.output_text.delta" => {
                let part = number(&event["content_index"]);
                if self.given(key).is_some() {
                    tell_logprobs(key, part, &event, out);
                }
                self.delta(key, Field::Text(part), &event, out);
            }
            "response.refusal.delta" => self.delta(key, Field::Refusal(number(&event["content_index"])), &event, out),
            "response.reasoning_summary_text.delta" => {
                self.delta(key, Field::ReasoningSummary(number(&event["summary_index"])), &event, out);
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.delta(key, Field::ReasoningText(number(&event["content_index"])), &event, out);
            }
            "response.function_call_arguments.delta" => self.delta(key, Field::Arguments, &event, out),
            "response.custom_tool_call_input.delta" => self.delta(key, Field::Input, &event, out),
            "response.output_text.annotation.added" => {
                let part = number(&event["content_index"]);
                if let Some(given) = self.given(key) {
                    given.annotations.push(part);
                    out.push(ModelEvent::Annotation { key, part, annotation: event["annotation"].clone() });
                }
            }
            "response.output_item.done" => {
                self.unnumbered |= !event["output_index"].is_u64();
                self.item_done(key, &event["item"], translation, out);
            }
            "response.completed" | "response.incomplete" => {
                self.response_done(&event["response"], translation, out);
                end(&event["response"], out)?;
            }
            "response.failed" => end(&event["response"], out)?,
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

    fn given(&mut self, key: u32) -> Option<&mut Given> {
        self.open.iter_mut().rfind(|open| open.key == key).map(|open| &mut open.given)
    }

    /// A text of an item that was not announced comes with the item, when that is whole.
    fn delta(&mut self, key: u32, field: Field, event: &Value, out: &mut Vec<ModelEvent>) {
        let text = text(&event["delta"]);
        if let Some(given) = self.given(key) {
            given.add(field, text.len());
            out.push(ModelEvent::Delta { key, field, text: text.to_owned() });
        }
    }

    fn item_done(&mut self, key: u32, item: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
        let given = match self.open.iter().rposition(|open| open.key == key) {
            Some(at) => self.open.remove(at).given,
            None => {
                start(key, item, translation, out);
                Given::default()
            }
        };
        content(key, item, &given, out);
        finish(key, item, translation, out);
        self.done.push((key, text(&item["id"]).to_owned()));
    }

    /// Gives what the whole response holds and was not given out yet, and ends what is open.
    fn response_done(&mut self, response: &Value, translation: &Translation, out: &mut Vec<ModelEvent>) {
        for (key, item) in (0..).zip(response["output"].as_array().into_iter().flatten()) {
            let id = text(&item["id"]);
            let is_done = self.done.iter().any(|(index, known)| *index == key || !id.is_empty() && known == id);
            let is_open = self.open.iter().any(|open| open.key == key);
            let unseen = !is_done && (!self.unnumbered || self.done.is_empty() && self.open.is_empty());
            if is_open || unseen {
                self.item_done(key, item, translation, out);
            }
        }
        let incomplete = response["status"] != "completed";
        for open in self.open.drain(..) {
            out.push(ModelEvent::ItemDone { key: open.key, end: ItemEnd { incomplete, encrypted_content: None } });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(events: &[Value]) -> Vec<ModelEvent> {
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        let translation = Translation::new(Kind::OpenAi, "openai", "m");
        for event in events {
            stream.event("", &event.to_string(), &translation, &mut out).unwrap();
        }
        out
    }

    fn text_of(events: &[ModelEvent]) -> String {
        let texts = events.iter().filter_map(|event| match event {
            ModelEvent::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn count(events: &[ModelEvent]) -> (usize, usize) {
        let of = |is: fn(&ModelEvent) -> bool| events.iter().filter(|event| is(event)).count();
        (of(|e| matches!(e, ModelEvent::ItemStarted { .. })), of(|e| matches!(e, ModelEvent::ItemDone { .. })))
    }

    fn message(id: &str, text: &str) -> Value {
        json!({"type": "message", "id": id, "role": "assistant", "status": "completed",
               "content": [{"type": "output_text", "text": text, "annotations": [{"type": "url_citation", "url": "u"}]}]})
    }

    fn call() -> Value {
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{\"a\":1}",
               "status": "completed"})
    }

    fn completed(output: &[Value]) -> Value {
        json!({"type": "response.completed", "response": {"status": "completed", "output": output}})
    }

    #[test]
    fn items_that_stand_only_in_the_end_are_what_a_plain_answer_gives() {
        let output = [message("msg_1", "Hello"), call()];
        let streamed = read(&[completed(&output)]);
        let mut plain = Vec::new();
        let body = json!({"model": "m", "status": "completed", "output": output}).to_string();
        decode(&body, &Translation::new(Kind::OpenAi, "openai", "m"), &mut plain).unwrap();
        assert_eq!(streamed, plain[1..]);
        assert_eq!(text_of(&streamed), "Hello{\"a\":1}");
    }

    #[test]
    fn only_what_was_not_given_out_yet_is_given_at_the_end_and_every_item_is_done() {
        let added = |index: u32, item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
        let delta = |index: u32, text: &str| json!({"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text});
        let whole = message("msg_1", "Hello");
        let done = json!({"type": "response.output_item.done", "output_index": 0, "item": whole});
        let all = completed(&[whole.clone(), call()]);
        for events in [
            vec![all.clone()],
            vec![added(0, json!({"type": "message"})), all.clone()],
            vec![added(0, json!({"type": "message"})), delta(0, "Hel"), all.clone()],
            vec![added(0, json!({"type": "message"})), delta(0, "Hel"), done.clone(), all.clone()],
            // Texts of an item that was never announced.
            vec![delta(0, "Hel"), delta(0, "lo"), done.clone(), all.clone()],
            vec![done, all],
        ] {
            let read = read(&events);
            assert_eq!(text_of(&read), "Hello{\"a\":1}", "{events:?}");
            assert_eq!(count(&read), (2, 2), "{events:?}");
            assert_eq!(read.iter().filter(|event| matches!(event, ModelEvent::Annotation { .. })).count(), 1);
            assert_eq!(read.last(), Some(&ModelEvent::Finished(FinishReason::Completed)));
        }
    }

    #[test]
    fn an_item_that_the_end_does_not_hold_is_done_as_it_stands() {
        let added = json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}});
        let delta = json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"});
        let read = read(&[added, delta, completed(&[])]);
        assert_eq!((text_of(&read).as_str(), count(&read)), ("Hi", (1, 1)));
    }
}
