//! A chat's messages as items.

use serde_json::{Value, json};
use tokenrouter_protocol::{
    FieldError, Fields, FunctionCall, FunctionCallOutput, Item, ItemStatus, Object, OutputValue, Part, Reasoning,
};

#[derive(Default)]
pub(super) struct Conversation {
    pub items: Vec<Item>,
    /// Where each item stood.
    pub places: Vec<String>,
    /// Calls of functions from before there were ids, not answered yet: name, and the id we gave.
    unanswered: Vec<(String, String)>,
    /// The ids of calls of custom tools.
    custom: Vec<String>,
}

impl Conversation {
    /// Takes `messages`.
    pub fn read(f: &mut Fields) -> Result<Self, FieldError> {
        let messages = f.array("messages")?.ok_or_else(|| f.missing("messages"))?;
        if messages.is_empty() {
            return Err(FieldError::new("messages", "`messages` must hold at least one message"));
        }
        let mut conversation = Self::default();
        for (i, message) in messages.into_iter().enumerate() {
            conversation.message(message, format!("messages[{i}]"), i)?;
        }
        Ok(conversation)
    }

    fn push(&mut self, item: Item, place: String) {
        self.items.push(item);
        self.places.push(place);
    }

    fn message(&mut self, message: Value, path: String, number: usize) -> Result<(), FieldError> {
        let mut f = Fields::of(message, &*path)?;
        match f.required_string("role")?.as_str() {
            role @ ("user" | "system" | "developer") => {
                let item = plain(role, f, &path)?;
                self.push(item, path);
                Ok(())
            }
            "assistant" => self.assistant(f, path, number),
            "tool" => self.tool(f, path),
            "function" => self.function(f, path),
            other => {
                let param = f.path_of("role");
                let roles = "developer, system, user, assistant, tool, function";
                Err(FieldError::new(param.clone(), format!("`{param}` must be one of {roles}, not `{other}`")))
            }
        }
    }

    fn assistant(&mut self, mut f: Fields, path: String, number: usize) -> Result<(), FieldError> {
        if f.take("audio").is_some() {
            let param = f.path_of("audio");
            let message = format!("`{param}` names a sound that OpenAI keeps, which no other provider knows");
            return Err(FieldError::new(param, message));
        }
        // Of output only.
        let _ = f.take("annotations");
        let refusal = f.string("refusal")?;
        let thought = f.string("reasoning_content")?;
        let calls = f.array("tool_calls")?.unwrap_or_default();
        let function_call = f.object("function_call")?;
        let calls_something = !calls.is_empty() || function_call.is_some();
        let says_something = match f.peek("content") {
            None => refusal.is_some(),
            Some(Value::String(text)) => !text.is_empty() || !calls_something,
            Some(_) => true,
        };
        if !says_something && !calls_something {
            return Err(f.missing("content"));
        }
        if let Some(thought) = thought.filter(|text| !text.is_empty()) {
            let item = Item::Reasoning(Reasoning { content: vec![thought], ..Reasoning::default() });
            self.push(item, f.path_of("reasoning_content"));
        }
        if says_something {
            let mut rest = f.rest();
            if rest.get("content").is_none_or(Value::is_null) {
                rest.insert("content".to_owned(), json!([]));
            }
            let mut item = plain("assistant", Fields::new(rest, &*path), &path)?;
            if let (Item::Message(message), Some(text)) = (&mut item, refusal) {
                message.content.push(Part::Refusal { text });
            }
            self.push(item, path.clone());
        }
        for (i, call) in calls.into_iter().enumerate() {
            self.call(call, format!("{path}.tool_calls[{i}]"))?;
        }
        if let Some(call) = function_call {
            let mut call = Fields::new(call, format!("{path}.function_call"));
            let name = call.required_string("name")?;
            let arguments = call.required_string("arguments")?;
            let call_id = format!("call_function_{number}");
            self.unanswered.push((name.clone(), call_id.clone()));
            self.push(function(call_id, name, arguments), path + ".function_call");
        }
        Ok(())
    }

    fn call(&mut self, call: Value, path: String) -> Result<(), FieldError> {
        let mut f = Fields::of(call, &*path)?;
        let kind = f.string("type")?;
        let call_id = f.required_string("id")?;
        if kind.as_deref() == Some("custom") {
            let inner = f.object("custom")?.ok_or_else(|| f.missing("custom"))?;
            let mut inner = Fields::new(inner, f.path_of("custom"));
            let (name, input) = (inner.required_string("name")?, inner.required_string("input")?);
            self.custom.push(call_id.clone());
            let call = json!({"type": "custom_tool_call", "call_id": call_id, "name": name, "input": input});
            self.push(other(call), path);
            return Ok(());
        }
        let inner = f.object("function")?.ok_or_else(|| f.missing("function"))?;
        let mut inner = Fields::new(inner, f.path_of("function"));
        let (name, arguments) = (inner.required_string("name")?, inner.required_string("arguments")?);
        self.push(function(call_id, name, arguments), path + ".function");
        Ok(())
    }

    fn tool(&mut self, mut f: Fields, path: String) -> Result<(), FieldError> {
        let call_id = f.required_string("tool_call_id")?;
        let content = f.take("content").ok_or_else(|| f.missing("content"))?;
        if self.custom.contains(&call_id) {
            let output = json!({"type": "custom_tool_call_output", "call_id": call_id, "output": content});
            self.push(other(output), path);
            return Ok(());
        }
        // Read as a message's content is, so that a mistake in it is named by its place there.
        let Item::Message(message) = plain("user", with_content(content, &path), &path)? else { return Ok(()) };
        let output = match <[Part; 1]>::try_from(message.content) {
            Ok([Part::Text { text, .. }]) => OutputValue::Text(text),
            Ok([part]) => OutputValue::Parts(vec![part]),
            Err(parts) => OutputValue::Parts(parts),
        };
        self.push(answer(call_id, output), path);
        Ok(())
    }

    fn function(&mut self, mut f: Fields, path: String) -> Result<(), FieldError> {
        let name = f.required_string("name")?;
        let content = f.string("content")?.unwrap_or_default();
        let Some(at) = self.unanswered.iter().position(|(called, _)| *called == name) else {
            let param = f.path_of("name");
            let message = format!("`{param}`: no message before calls the function `{name}`");
            return Err(FieldError::new(param, message));
        };
        let (_, call_id) = self.unanswered.remove(at);
        self.push(answer(call_id, OutputValue::Text(content)), path);
        Ok(())
    }
}

/// A message of text and the like, which reads as one of Responses does.
fn plain(role: &str, f: Fields, path: &str) -> Result<Item, FieldError> {
    let mut object = Object::new();
    object.insert("type".to_owned(), "message".into());
    object.insert("role".to_owned(), role.into());
    object.extend(f.rest().into_iter().filter(|(name, _)| name != "type" && name != "role"));
    Item::parse(Value::Object(object), path)
}

fn with_content(content: Value, path: &str) -> Fields {
    let mut object = Object::new();
    object.insert("content".to_owned(), content);
    Fields::new(object, path)
}

fn function(call_id: String, name: String, arguments: String) -> Item {
    let (status, extra) = (ItemStatus::Completed, Object::new());
    Item::FunctionCall(FunctionCall { id: None, call_id, name, arguments, status, extra })
}

fn answer(call_id: String, output: OutputValue) -> Item {
    let (status, extra) = (ItemStatus::Completed, Object::new());
    Item::FunctionCallOutput(FunctionCallOutput { id: None, call_id, output, status, extra })
}

fn other(value: Value) -> Item {
    match value {
        Value::Object(object) => Item::Other(object),
        _ => Item::Other(Object::new()),
    }
}
