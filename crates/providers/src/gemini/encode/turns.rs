//! The conversation as Gemini's turns.
//!
//! Two roles, consecutive turns of one joined; system messages hoisted. All results of parallel calls
//! stand together, in the order of the calls, in the user turn after them: a result names its function,
//! and its call only where Gemini gave that an id.

use super::super::decode::is_made_id;
use super::super::{NEXT_PART, NO_SIGNATURE, OWN_PART, is_third_generation};
use crate::encode::{Context, EncodeError};
use crate::envelope::{Opened, open};
use crate::media;
use serde_json::{Value, json};
use tokenrouter_protocol::{FunctionCall, FunctionCallOutput, Item, Message, OutputValue, Part, Reasoning, Role};

#[derive(Default)]
pub(super) struct Turns {
    system: Vec<String>,
    list: Vec<Value>,
    /// Of the calls so far: id, and name as Gemini knows it.
    calls: Vec<(String, String)>,
    /// Which calls the results in the last turn are of, ascending.
    answered: Vec<usize>,
    /// Of the part that comes next in the model's turn.
    signature: Option<String>,
}

impl Turns {
    pub(super) fn system(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.system.push(text.to_owned());
        }
    }

    /// The system's texts and the turns.
    pub(super) fn finish(self) -> Result<(Vec<String>, Vec<Value>), EncodeError> {
        if self.list.is_empty() {
            return Err(EncodeError::new("input", "Gemini needs a message that is not the system's and not empty"));
        }
        Ok((self.system, self.list))
    }

    /// The parts of the last turn, which is begun if it is another role's.
    fn parts(&mut self, role: &str) -> Option<&mut Vec<Value>> {
        if self.list.last().is_none_or(|last| last["role"] != role) {
            self.answered.clear();
            self.list.push(json!({"role": role, "parts": []}));
        }
        self.list.last_mut()?["parts"].as_array_mut()
    }

    fn push(&mut self, role: &str, mut part: Value) {
        let signature = self.signature.take();
        if role == "model"
            && let Some(signature) = signature
        {
            part["thoughtSignature"] = signature.into();
        }
        if let Some(parts) = self.parts(role) {
            parts.push(part);
        }
    }

    pub(super) fn item(&mut self, context: &mut Context, item: &Item, i: usize) -> Result<(), EncodeError> {
        match item {
            Item::Message(message) => self.message(message, i)?,
            Item::FunctionCall(call) => self.call(context, call, i),
            Item::FunctionCallOutput(output) => self.result(context, output, i)?,
            Item::Reasoning(reasoning) => self.reasoning(context, reasoning, i),
            Item::Reference(_) => {}
            Item::Other(object) => {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or("unknown");
                let message = format!("this provider knows no item of type `{kind}`");
                return Err(EncodeError::new(format_args!("input[{i}]"), message));
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, i: usize) -> Result<(), EncodeError> {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "model",
            Role::System | Role::Developer => {
                for part in &message.content {
                    let Part::Text { text, .. } = part else {
                        let message = "Gemini takes only text as a system message";
                        return Err(EncodeError::new(format_args!("input[{i}].content"), message));
                    };
                    self.system(text);
                }
                return Ok(());
            }
        };
        for (j, part) in message.content.iter().enumerate() {
            if let Some(part) = part_of(part, &format!("input[{i}].content[{j}]"))? {
                self.push(role, part);
            }
        }
        Ok(())
    }

    fn call(&mut self, context: &mut Context, call: &FunctionCall, i: usize) {
        let args = match serde_json::from_str::<Value>(&call.arguments) {
            Ok(Value::Object(args)) => Value::Object(args),
            Err(_) if call.arguments.trim().is_empty() => json!({}),
            _ => {
                let message = "the arguments are no JSON object, which Gemini asks for: they were put into one";
                context.losses.add(format_args!("input[{i}].arguments"), message);
                json!({ "arguments": call.arguments })
            }
        };
        let name = context.translation.wire_name(&call.name).into_owned();
        let mut part = json!({"functionCall": {"name": name, "args": args}});
        if !is_made_id(&call.call_id) {
            part["functionCall"]["id"] = call.call_id.as_str().into();
        }
        // The first call of a turn must be signed; one that another model made has no signature.
        let is_first = self.list.last().is_none_or(|last| {
            last["role"] != "model"
                || !last["parts"].as_array().into_iter().flatten().any(|part| part["functionCall"].is_object())
        });
        if is_first && self.signature.is_none() && is_third_generation(context.target.model) {
            self.signature = Some(NO_SIGNATURE.to_owned());
        }
        self.calls.push((call.call_id.clone(), name));
        self.push("model", part);
    }

    fn result(&mut self, context: &mut Context, output: &FunctionCallOutput, i: usize) -> Result<(), EncodeError> {
        let at = self.calls.iter().rposition(|(id, _)| *id == output.call_id).ok_or_else(|| {
            let message = format!("no call `{}` comes before its result: Gemini needs its name", output.call_id);
            EncodeError::new(format_args!("input[{i}].call_id"), message)
        })?;
        let name = self.calls.get(at).map(|(_, name)| name.clone());
        let mut response = json!({ "name": name });
        if !is_made_id(&output.call_id) {
            response["id"] = output.call_id.as_str().into();
        }
        let mut beside = Vec::new();
        match &output.output {
            OutputValue::Text(text) => response["response"] = json!({ "output": text }),
            OutputValue::Parts(parts) => {
                let mut texts = Vec::new();
                for (j, part) in parts.iter().enumerate() {
                    match part {
                        Part::Text { text, .. } => texts.push(text.as_str()),
                        other => beside.extend(part_of(other, &format!("input[{i}].output[{j}]"))?),
                    }
                }
                response["response"] = json!({ "output": texts.join("\n") });
                if is_third_generation(context.target.model) && beside.iter().all(|part| part["inlineData"].is_object())
                {
                    if !beside.is_empty() {
                        response["parts"] = std::mem::take(&mut beside).into();
                    }
                } else if !beside.is_empty() {
                    let message = "Gemini takes no such content in a tool's output here: it stands beside it";
                    context.losses.add(format_args!("input[{i}].output"), message);
                }
            }
        }
        self.signature = None;
        self.parts("user");
        let place = self.answered.partition_point(|answered| *answered < at);
        self.answered.insert(place, at);
        if let Some(parts) = self.parts("user") {
            parts.insert(place.min(parts.len()), json!({ "functionResponse": response }));
            parts.extend(beside);
        }
        Ok(())
    }

    /// Gemini takes its thoughts back as their signature, at the part that it signed.
    fn reasoning(&mut self, context: &mut Context, reasoning: &Reasoning, i: usize) {
        let why = match reasoning.encrypted_content.as_deref().map(|sealed| open(sealed, context.target)) {
            Some(Opened::Native(sealed)) => {
                match (sealed.signature, sealed.field.as_deref()) {
                    (Some(signature), Some(NEXT_PART)) => self.signature = Some(signature),
                    (Some(signature), Some(OWN_PART)) => {
                        self.signature = Some(signature);
                        self.push("model", json!({"text": ""}));
                    }
                    // What it did not sign it does not want back.
                    _ => {}
                }
                return;
            }
            Some(Opened::Foreign(why)) => why,
            Some(Opened::Bare) => "it was not made by this provider".to_owned(),
            None => "it has no `encrypted_content`".to_owned(),
        };
        context.losses.add(format_args!("input[{i}]"), format!("the reasoning was left out: {why}"));
    }
}

/// None for an empty text.
fn part_of(part: &Part, path: &str) -> Result<Option<Value>, EncodeError> {
    let inline = |media_type: &str, base64: &str| json!({"inlineData": {"mimeType": media_type, "data": base64}});
    Ok(Some(match part {
        Part::Text { text, .. } | Part::Refusal { text } => {
            if text.is_empty() {
                return Ok(None);
            }
            json!({ "text": text })
        }
        Part::Image { url: Some(url), .. } => match media::data_url(url) {
            Some(data) if !data.media_type.is_empty() => inline(data.media_type, data.base64),
            Some(_) => return Err(EncodeError::new(path, "the image's `data:` URL must say its media type")),
            None => linked(url, path)?,
        },
        Part::File { file_data: Some(data), filename, .. } => {
            let file = media::file(data, filename.as_deref());
            let is_text = media::text(file).is_some();
            match file.media_type {
                "" => {
                    return Err(EncodeError::new(path, "what kind of file it is can be told by nothing: give a name"));
                }
                kind if is_text && !kind.starts_with("text/") => inline("text/plain", file.base64),
                kind if is_text
                    || kind == "application/pdf"
                    || ["image/", "audio/", "video/"].iter().any(|family| kind.starts_with(family)) =>
                {
                    inline(kind, file.base64)
                }
                _ => {
                    return Err(EncodeError::new(path, "Gemini takes only PDF, text, image, audio and video files"));
                }
            }
        }
        Part::File { file_url: Some(url), .. } => linked(url, path)?,
        Part::Image { .. } | Part::File { .. } => {
            return Err(EncodeError::new(
                format!("{path}.file_id"),
                "this provider knows no files of OpenAI's by `file_id`",
            ));
        }
        Part::Other(_) => return Err(EncodeError::new(path, "this provider does not know this type of content")),
    }))
}

/// What Gemini fetches itself: its own files, videos of YouTube's, and public `https` addresses.
fn linked(url: &str, path: &str) -> Result<Value, EncodeError> {
    if !url.starts_with("https://") {
        let message = "Gemini takes a base64 `data:` URL, or fetches from an https address; no other";
        return Err(EncodeError::new(path, message));
    }
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let mut data = json!({ "fileUri": url });
    let media_type = media::file("", place.rsplit('/').next()).media_type;
    if !media_type.is_empty() {
        data["mimeType"] = media_type.into();
    }
    Ok(json!({ "fileData": data }))
}
