//! Stages 6 and 8: the firewall over every text that would reach the provider, and over every text
//! that would reach the caller.
//!
//! Fields are screened apart, so that two of them never join into a match; the deltas of one field
//! are screened as the one text that they are.

use crate::error::{ApiError, ApiResult, Code};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use tokenrouter_firewall::{Blocked, Guard, RuleSet, Scope, Tally};
use tokenrouter_protocol::{Field, Item, ItemStart, ModelEvent, Object, OutputValue, Part, Request, Tool};

pub(crate) fn blocked_error(blocked: &Blocked) -> ApiError {
    let why = if blocked.exhausted { " (it ran out of its time budget, and fails closed)" } else { "" };
    let message = format!("blocked by firewall rule {} \"{}\"{why}", blocked.rule_id, blocked.rule_name);
    ApiError::new(Code::FirewallBlocked, message)
}

struct PromptScreen<'a> {
    rules: &'a RuleSet,
    tally: &'a mut Tally,
}

/// Screens the request in place: instructions, messages, tool calls and outputs, file text.
pub(crate) fn prompt(rules: &RuleSet, request: &mut Request, tally: &mut Tally) -> ApiResult<()> {
    if rules.is_empty(Scope::Prompt) {
        return Ok(());
    }
    let mut screen = PromptScreen { rules, tally };
    screen.request(request).map_err(|blocked| blocked_error(&blocked))
}

impl PromptScreen<'_> {
    fn request(&mut self, request: &mut Request) -> Result<(), Blocked> {
        if let Some(instructions) = &mut request.instructions {
            self.text(instructions)?;
        }
        for item in &mut request.input {
            self.item(item)?;
        }
        if let Some(Value::Object(native)) = request.extra.get_mut(tokenrouter_providers::ANTHROPIC_FIELDS) {
            self.object(native)?;
        }
        for tool in &mut request.tools {
            match tool {
                Tool::Function(function) => {
                    if let Some(description) = &mut function.description {
                        self.text(description)?;
                    }
                    if let Some(parameters) = &mut function.parameters {
                        self.described(parameters)?;
                    }
                }
                Tool::Other(object) => self.object(object)?,
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &mut String) -> Result<(), Blocked> {
        if let Cow::Owned(masked) = self.rules.screen(Scope::Prompt, text, self.tally)? {
            *text = masked;
        }
        Ok(())
    }

    fn item(&mut self, item: &mut Item) -> Result<(), Blocked> {
        match item {
            Item::Message(message) => self.parts(&mut message.content),
            Item::FunctionCall(call) => self.text(&mut call.arguments),
            Item::FunctionCallOutput(output) => match &mut output.output {
                OutputValue::Text(text) => self.text(text),
                OutputValue::Parts(parts) => self.parts(parts),
            },
            Item::Reasoning(reasoning) => {
                reasoning.summary.iter_mut().chain(&mut reasoning.content).try_for_each(|text| self.text(text))
            }
            Item::Reference(_) => Ok(()),
            Item::Other(object) => self.object(object),
        }
    }

    fn parts(&mut self, parts: &mut [Part]) -> Result<(), Blocked> {
        parts.iter_mut().try_for_each(|part| match part {
            Part::Text { text, .. } | Part::Refusal { text } => self.text(text),
            Part::Image { .. } => Ok(()),
            Part::File { filename, file_data, extra, .. } => {
                // A provider's own fields of a file can hold text: Anthropic's `context`.
                self.object(extra)?;
                if let Some(filename) = filename {
                    self.text(filename)?;
                }
                match file_data {
                    Some(data) => self.file(data),
                    None => Ok(()),
                }
            }
            Part::Other(object) => self.object(object),
        })
    }

    /// The text of a file that is text; a picture or a PDF is not looked into.
    fn file(&mut self, data: &mut String) -> Result<(), Blocked> {
        let (head, encoded) = match data.strip_prefix("data:").and_then(|_| data.split_once(',')) {
            Some((head, encoded)) => (format!("{head},"), encoded),
            None => (String::new(), data.as_str()),
        };
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(mut text) = decoded else { return Ok(()) };
        let before = text.clone();
        self.text(&mut text)?;
        if text != before {
            *data = head + &STANDARD.encode(text);
        }
        Ok(())
    }

    fn object(&mut self, object: &mut Object) -> Result<(), Blocked> {
        screen_strings(object, &mut |text| self.text(text))
    }

    /// The descriptions inside a JSON Schema, which the model reads too.
    fn described(&mut self, schema: &mut Value) -> Result<(), Blocked> {
        match schema {
            Value::Object(object) => object.iter_mut().try_for_each(|(name, value)| match value {
                Value::String(text) if matches!(name.as_str(), "description" | "title") => self.text(text),
                other => self.described(other),
            }),
            Value::Array(values) => values.iter_mut().try_for_each(|value| self.described(value)),
            _ => Ok(()),
        }
    }
}

type Screen<'a> = dyn FnMut(&mut String) -> Result<(), Blocked> + 'a;

/// Every string of an object that is text, which is all but ids and words that steer.
fn screen_strings(object: &mut Object, screen: &mut Screen<'_>) -> Result<(), Blocked> {
    const STEERING: [&str; 6] = ["id", "type", "status", "call_id", "role", "encrypted_content"];
    object
        .iter_mut()
        .filter(|(name, _)| !STEERING.contains(&name.as_str()))
        .try_for_each(|(_, value)| screen_value(value, screen))
}

fn screen_value(value: &mut Value, screen: &mut Screen<'_>) -> Result<(), Blocked> {
    match value {
        Value::String(text) => screen(text),
        Value::Array(values) => values.iter_mut().try_for_each(|value| screen_value(value, screen)),
        Value::Object(object) => screen_strings(object, screen),
        _ => Ok(()),
    }
}

/// Screens an answer's events, plain or streamed alike.
pub(crate) struct ResponseScreen {
    rules: Arc<RuleSet>,
    idle: bool,
    guards: Vec<(u32, Field, Guard)>,
}

impl ResponseScreen {
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let idle = rules.is_empty(Scope::Response);
        Self { rules, idle, guards: Vec::new() }
    }

    /// Passes an event on, its text screened; text that may yet become part of a match stays here.
    pub fn pass(&mut self, event: ModelEvent, tally: &mut Tally, out: &mut Vec<ModelEvent>) -> Result<(), Blocked> {
        if self.idle {
            out.push(event);
            return Ok(());
        }
        match event {
            ModelEvent::Delta { key, field, text } => self.delta(key, field, &text, tally, out),
            ModelEvent::ItemDone { key, .. } => {
                self.flush(tally, out, |k, _| k == key)?;
                out.push(event);
                Ok(())
            }
            ModelEvent::Finished(_) | ModelEvent::Failed(_) => {
                self.flush(tally, out, |_, _| true)?;
                out.push(event);
                Ok(())
            }
            ModelEvent::ItemStarted { key, item: ItemStart::Other(mut object) } => {
                self.object(&mut object, tally)?;
                out.push(ModelEvent::ItemStarted { key, item: ItemStart::Other(object) });
                Ok(())
            }
            ModelEvent::Annotation { key, part, annotation: Value::Object(mut object) } => {
                self.object(&mut object, tally)?;
                out.push(ModelEvent::Annotation { key, part, annotation: Value::Object(object) });
                Ok(())
            }
            other => {
                out.push(other);
                Ok(())
            }
        }
    }

    /// All events of a plain answer. Each field is screened as the whole text that it is, which one pass
    /// over all patterns clears in most cases; the text is what [`ResponseScreen::pass`] would give.
    pub fn whole(&mut self, events: Vec<ModelEvent>, tally: &mut Tally) -> Result<Vec<ModelEvent>, Blocked> {
        if self.idle {
            return Ok(events);
        }
        let mut joined: Vec<ModelEvent> = Vec::with_capacity(events.len());
        let mut places: Vec<(u32, Field, usize)> = Vec::new();
        for event in events {
            let ModelEvent::Delta { key, field, text } = event else {
                joined.push(event);
                continue;
            };
            match places.iter().find(|(k, f, _)| *k == key && *f == field) {
                Some((_, _, at)) => {
                    if let ModelEvent::Delta { text: before, .. } = &mut joined[*at] {
                        before.push_str(&text);
                    }
                }
                None => {
                    places.push((key, field, joined.len()));
                    joined.push(ModelEvent::Delta { key, field, text });
                }
            }
        }
        let mut screened = Vec::with_capacity(joined.len());
        for event in joined {
            match event {
                ModelEvent::Delta { key, field, mut text } => {
                    if let Cow::Owned(masked) = self.rules.screen(Scope::Response, &text, tally)? {
                        text = masked;
                    }
                    screened.push(ModelEvent::Delta { key, field, text });
                }
                other => self.pass(other, tally, &mut screened)?,
            }
        }
        Ok(screened)
    }

    fn object(&mut self, object: &mut Object, tally: &mut Tally) -> Result<(), Blocked> {
        let rules = &self.rules;
        screen_strings(object, &mut |text| {
            if let Cow::Owned(masked) = rules.screen(Scope::Response, text, tally)? {
                *text = masked;
            }
            Ok(())
        })
    }

    fn delta(
        &mut self,
        key: u32,
        field: Field,
        text: &str,
        tally: &mut Tally,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Blocked> {
        let fresh = !self.guards.iter().any(|(k, f, _)| *k == key && *f == field);
        if fresh {
            // A new part of an item ends the part before it.
            self.flush(tally, out, |k, f| k == key && same_list(f, field))?;
            self.guards.push((key, field, self.rules.guard(Scope::Response)));
        }
        let mut released = String::new();
        if let Some((_, _, guard)) = self.guards.iter_mut().find(|(k, f, _)| *k == key && *f == field) {
            guard.push(text, &mut released, tally)?;
        }
        // The first of a field begins its part, though all of its text be held or masked away: the parts
        // are then those of the unstreamed answer.
        if fresh || !released.is_empty() {
            out.push(ModelEvent::Delta { key, field, text: released });
        }
        Ok(())
    }

    fn flush(
        &mut self,
        tally: &mut Tally,
        out: &mut Vec<ModelEvent>,
        which: impl Fn(u32, Field) -> bool,
    ) -> Result<(), Blocked> {
        let mut at = 0;
        while at < self.guards.len() {
            if !which(self.guards[at].0, self.guards[at].1) {
                at += 1;
                continue;
            }
            let (key, field, mut guard) = self.guards.remove(at);
            let mut text = String::new();
            guard.finish(&mut text, tally)?;
            if !text.is_empty() {
                out.push(ModelEvent::Delta { key, field, text });
            }
        }
        Ok(())
    }
}

/// Whether two fields are parts of the same list of parts.
fn same_list(a: Field, b: Field) -> bool {
    let list = |field| match field {
        Field::Text(_) | Field::Refusal(_) => 0,
        Field::ReasoningSummary(_) => 1,
        Field::ReasoningText(_) => 2,
        Field::Arguments => 3,
    };
    list(a) == list(b)
}
