//! Stages 6 and 8: the firewall over every text that would reach the provider, and over every text
//! that would reach the caller.
//!
//! Fields are screened apart, so that two of them never join into a match; the deltas of one field
//! are screened as the one text that they are.

use super::walk::{self, Place};
use crate::error::{ApiError, ApiResult, Code};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use tokenrouter_firewall::{Action, Blocked, Guard, JsonGuard, RuleSet, Scope, Tally};
use tokenrouter_protocol::{
    Field, Item, ItemStart, ModelEvent, Object, OutputValue, Part, Request, Role, TextFormat, Tool, ToolChoice,
};

pub(crate) fn blocked_error(blocked: &Blocked) -> ApiError {
    let why = if blocked.exhausted { " (it ran out of its time budget, and fails closed)" } else { "" };
    let message = format!("blocked by firewall rule {} \"{}\"{why}", blocked.rule_id, blocked.rule_name);
    ApiError::new(Code::FirewallBlocked, message)
}

struct PromptScreen<'a> {
    rules: &'a Arc<RuleSet>,
    tally: &'a mut Tally,
}

/// Screens the request in place: every text of it that may reach a provider, in whichever dialect. Ids are
/// not text, nor are pictures, recordings and PDFs.
pub(crate) fn prompt(rules: &Arc<RuleSet>, request: &mut Request, tally: &mut Tally) -> ApiResult<()> {
    if rules.is_empty(Scope::Prompt) {
        return Ok(());
    }
    let mut screen = PromptScreen { rules, tally };
    screen.request(request).map_err(|blocked| blocked_error(&blocked))
}

impl PromptScreen<'_> {
    fn request(&mut self, request: &mut Request) -> Result<(), Blocked> {
        for text in [
            &mut request.instructions,
            &mut request.user,
            &mut request.safety_identifier,
            &mut request.prompt_cache_key,
            &mut request.service_tier,
            &mut request.truncation,
            &mut request.text.verbosity,
        ] {
            self.optional(text)?;
        }
        request.include.iter_mut().try_for_each(|text| self.text(text))?;
        request.input.iter_mut().try_for_each(|item| self.item(item))?;
        request.tools.iter_mut().try_for_each(|tool| self.tool(tool))?;
        match &mut request.tool_choice {
            ToolChoice::Function(name) => self.name(name)?,
            ToolChoice::Allowed { names, .. } => names.iter().try_for_each(|name| self.name(name))?,
            ToolChoice::Other(value) => self.value(value)?,
            ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => {}
        }
        request.stop.iter_mut().try_for_each(|text| self.text(text))?;
        self.object(&mut request.chat_only)?;
        if let TextFormat::JsonSchema { name, description, schema, .. } = &mut request.text.format {
            self.name(name)?;
            self.optional(description)?;
            self.value(schema)?;
        }
        if let Some(reasoning) = &mut request.reasoning {
            self.optional(&mut reasoning.effort)?;
            self.optional(&mut reasoning.summary)?;
            self.object(&mut reasoning.extra)?;
        }
        self.object(&mut request.extra)
    }

    fn text(&mut self, text: &mut String) -> Result<(), Blocked> {
        if let Cow::Owned(masked) = self.rules.screen(Scope::Prompt, text, self.tally)? {
            *text = masked;
        }
        Ok(())
    }

    fn optional(&mut self, text: &mut Option<String>) -> Result<(), Blocked> {
        text.as_mut().map_or(Ok(()), |text| self.text(text))
    }

    fn name(&mut self, name: &str) -> Result<(), Blocked> {
        screen_name(self.rules, Scope::Prompt, name, self.tally)
    }

    fn visit(&mut self, place: Place, text: &mut String) -> Result<(), Blocked> {
        match place {
            Place::Text => self.text(text),
            Place::Name => self.name(text),
        }
    }

    fn object(&mut self, object: &mut Object) -> Result<(), Blocked> {
        walk::object(object, &mut |place, text| self.visit(place, text))
    }

    fn value(&mut self, value: &mut Value) -> Result<(), Blocked> {
        walk::value(value, &mut |place, text| self.visit(place, text))
    }

    fn data(&mut self, data: &mut String) -> Result<(), Blocked> {
        walk::data(data, &mut |place, text| self.visit(place, text))
    }

    fn tool(&mut self, tool: &mut Tool) -> Result<(), Blocked> {
        match tool {
            Tool::Function(function) => {
                self.name(&function.name)?;
                self.optional(&mut function.description)?;
                if let Some(parameters) = &mut function.parameters {
                    self.value(parameters)?;
                }
                self.object(&mut function.extra)
            }
            Tool::Other(object) => self.object(object),
        }
    }

    fn item(&mut self, item: &mut Item) -> Result<(), Blocked> {
        match item {
            Item::Message(message) => {
                if message.role == Role::Assistant {
                    join_texts(&mut message.content);
                }
                self.parts(&mut message.content)?;
                self.object(&mut message.extra)
            }
            Item::FunctionCall(call) => {
                self.name(&call.name)?;
                call.arguments = self.rules.screen_json(Scope::Prompt, &call.arguments, self.tally)?;
                self.object(&mut call.extra)
            }
            Item::FunctionCallOutput(output) => {
                match &mut output.output {
                    OutputValue::Text(text) => self.text(text)?,
                    OutputValue::Parts(parts) => self.parts(parts)?,
                }
                self.object(&mut output.extra)
            }
            Item::Reasoning(reasoning) => {
                // Encoders put the pieces of a thought together.
                if reasoning.content.len() > 1 {
                    reasoning.content = vec![reasoning.content.concat()];
                }
                reasoning.summary.iter_mut().chain(&mut reasoning.content).try_for_each(|text| self.text(text))?;
                self.object(&mut reasoning.extra)
            }
            Item::Reference(_) => Ok(()),
            Item::Other(object) => self.object(object),
        }
    }

    fn parts(&mut self, parts: &mut [Part]) -> Result<(), Blocked> {
        parts.iter_mut().try_for_each(|part| match part {
            Part::Text { text, annotations, extra } => {
                self.text(text)?;
                annotations.iter_mut().try_for_each(|annotation| self.value(annotation))?;
                self.object(extra)
            }
            Part::Refusal { text } => self.text(text),
            Part::Image { url, extra, .. } => {
                if let Some(url) = url {
                    self.data(url)?;
                }
                self.object(extra)
            }
            Part::File { filename, file_data, file_url, extra, .. } => {
                self.optional(filename)?;
                [file_data, file_url].into_iter().flatten().try_for_each(|data| self.data(data))?;
                self.object(extra)
            }
            Part::Other(object) => self.object(object),
        })
    }
}

/// A name cannot be masked: it would name something else. What would be masked there goes no further.
fn screen_name(rules: &RuleSet, scope: Scope, name: &str, tally: &mut Tally) -> Result<(), Blocked> {
    let mut local = Tally::default();
    let screened = rules.screen(scope, name, &mut local)?;
    match local.iter().find(|hit| hit.action == Action::Mask) {
        Some(hit) if screened != name => {
            Err(Blocked { rule_id: hit.rule_id, rule_name: hit.name.to_string(), exhausted: false })
        }
        _ => {
            tally.merge(&local);
            Ok(())
        }
    }
}

/// Some providers are given the texts of an earlier answer as one; so it is screened as one.
fn join_texts(parts: &mut Vec<Part>) {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        match (joined.last_mut(), part) {
            (
                Some(Part::Text { text: before, annotations: notes, extra: more }),
                Part::Text { text, annotations, extra },
            ) if notes.is_empty() && annotations.is_empty() && more.is_empty() && extra.is_empty() => {
                before.push_str(&text);
            }
            (_, part) => joined.push(part),
        }
    }
    *parts = joined;
}

enum FieldGuard {
    Text(Box<Guard>),
    Json(Box<JsonGuard>),
}

impl FieldGuard {
    fn push(&mut self, piece: &str, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        match self {
            Self::Text(guard) => guard.push(piece, out, tally),
            Self::Json(guard) => guard.push(piece, out, tally),
        }
    }

    fn finish(&mut self, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        match self {
            Self::Text(guard) => guard.finish(out, tally),
            Self::Json(guard) => guard.finish(out, tally),
        }
    }
}

/// Screens an answer's events, plain or streamed alike.
pub(crate) struct ResponseScreen {
    rules: Arc<RuleSet>,
    idle: bool,
    /// Nobody asked for them; or tokens, and those that might have stood in their place, would tell what a rule takes
    /// out of the text.
    hides_logprobs: bool,
    /// The answer's text is JSON, as was asked for.
    json_text: bool,
    guards: Vec<(u32, Field, FieldGuard)>,
}

impl ResponseScreen {
    pub fn new(rules: Arc<RuleSet>, request: &Request) -> Self {
        let idle = rules.is_empty(Scope::Response);
        let json_text = request.text.format != TextFormat::Text;
        let asked = request.wants_logprobs() || request.top_logprobs.is_some_and(|count| count > 0);
        let hides_logprobs = !asked || rules.guards(Scope::Response);
        Self { rules, idle, hides_logprobs, json_text, guards: Vec::new() }
    }

    fn is_json(&self, field: Field) -> bool {
        matches!(field, Field::Arguments) || self.json_text && matches!(field, Field::Text(_))
    }

    /// What a provider says of its refusal is the answer's text too.
    pub fn message(&self, message: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        if let Cow::Owned(masked) = self.rules.screen(Scope::Response, message, tally)? {
            *message = masked;
        }
        Ok(())
    }

    /// Passes an event on, its text screened; text that may yet become part of a match stays here.
    pub fn pass(&mut self, event: ModelEvent, tally: &mut Tally, out: &mut Vec<ModelEvent>) -> Result<(), Blocked> {
        if self.hides_logprobs && matches!(event, ModelEvent::Logprobs { .. }) {
            return Ok(());
        }
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
            ModelEvent::ItemStarted { item: ItemStart::FunctionCall { ref name, ref namespace, .. }, .. } => {
                for name in [Some(name), namespace.as_ref()].into_iter().flatten() {
                    screen_name(&self.rules, Scope::Response, name, tally)?;
                }
                out.push(event);
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
    pub fn whole(&mut self, mut events: Vec<ModelEvent>, tally: &mut Tally) -> Result<Vec<ModelEvent>, Blocked> {
        if self.hides_logprobs {
            events.retain(|event| !matches!(event, ModelEvent::Logprobs { .. }));
        }
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
                    if self.is_json(field) {
                        text = self.rules.screen_json(Scope::Response, &text, tally)?;
                    } else if let Cow::Owned(masked) = self.rules.screen(Scope::Response, &text, tally)? {
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
        walk::object(object, &mut |place, text| {
            if place == Place::Name {
                return screen_name(rules, Scope::Response, text, tally);
            }
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
            let guard = if self.is_json(field) {
                FieldGuard::Json(Box::new(JsonGuard::new(Arc::clone(&self.rules), Scope::Response)))
            } else {
                FieldGuard::Text(Box::new(self.rules.guard(Scope::Response)))
            };
            self.guards.push((key, field, guard));
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
        Field::Input => 4,
    };
    list(a) == list(b)
}
