//! Reading items from JSON: Open Responses, and the older shapes that TokenRouter clients send
//! (content items `text` and `image_url{url}`).

use crate::fields::{FieldError, Fields, kind_of};
use crate::item::{FunctionCall, FunctionCallOutput, Item, ItemStatus, Message, OutputValue, Part, Reasoning, Role};
use serde_json::Value;

fn status(fields: &mut Fields) -> ItemStatus {
    match fields.take("status").as_ref().and_then(Value::as_str) {
        Some("in_progress") => ItemStatus::InProgress,
        Some("incomplete") => ItemStatus::Incomplete,
        _ => ItemStatus::Completed,
    }
}

impl Item {
    /// # Errors
    /// Names the field that is missing or of the wrong type.
    pub fn parse(value: Value, path: &str) -> Result<Self, FieldError> {
        let mut fields = Fields::of(value, path)?;
        let kind = fields.string("type")?;
        match kind.as_deref() {
            Some("message") => message(fields).map(Self::Message),
            None if fields.peek("role").is_some() => message(fields).map(Self::Message),
            Some("function_call") => Ok(Self::FunctionCall(FunctionCall {
                id: fields.string("id")?,
                call_id: fields.required_string("call_id")?,
                name: fields.required_string("name")?,
                arguments: fields.required_string("arguments")?,
                status: status(&mut fields),
                extra: fields.rest(),
            })),
            Some("function_call_output") => {
                let id = fields.string("id")?;
                let call_id = fields.required_string("call_id")?;
                let output = match fields.take("output") {
                    None => return Err(fields.missing("output")),
                    Some(Value::String(text)) => OutputValue::Text(text),
                    Some(other) => OutputValue::Parts(parts(other, &fields.path_of("output"))?),
                };
                let status = status(&mut fields);
                Ok(Self::FunctionCallOutput(FunctionCallOutput { id, call_id, output, status, extra: fields.rest() }))
            }
            Some("reasoning") => Ok(Self::Reasoning(Reasoning {
                id: fields.string("id")?,
                summary: texts(&mut fields, "summary")?,
                content: texts(&mut fields, "content")?,
                encrypted_content: fields.string("encrypted_content")?,
                extra: {
                    let _ = fields.take("status");
                    fields.rest()
                },
            })),
            Some("item_reference") => fields.required_string("id").map(Self::Reference),
            Some(other) => {
                let kind = Value::String(other.to_owned());
                let mut object = crate::Object::new();
                object.insert("type".to_owned(), kind);
                object.extend(fields.rest());
                Ok(Self::Other(object))
            }
            None => Err(FieldError::new(path, format!("`{path}` must have a `type`, or a `role` and `content`"))),
        }
    }
}

fn message(mut fields: Fields) -> Result<Message, FieldError> {
    let role = match fields.required_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let param = fields.path_of("role");
            let message = format!("`{param}` must be one of user, assistant, system, developer, not `{other}`");
            return Err(FieldError::new(param, message));
        }
    };
    let id = fields.string("id")?;
    let content = match fields.take("content") {
        None => return Err(fields.missing("content")),
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(other) => parts(other, &fields.path_of("content"))?,
    };
    let status = status(&mut fields);
    Ok(Message { id, role, content, status, extra: fields.rest() })
}

fn parts(value: Value, path: &str) -> Result<Vec<Part>, FieldError> {
    match value {
        Value::Array(values) => {
            values.into_iter().enumerate().map(|(i, value)| part(value, &format!("{path}[{i}]"))).collect()
        }
        other => {
            let message = format!("`{path}` must be a string or an array of content parts, not {}", kind_of(&other));
            Err(FieldError::new(path, message))
        }
    }
}

fn part(value: Value, path: &str) -> Result<Part, FieldError> {
    if let Value::String(text) = value {
        return Ok(Part::text(text));
    }
    let mut fields = Fields::of(value, path)?;
    let kind = fields.required_string("type")?;
    match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => Ok(Part::Text {
            text: fields.required_string("text")?,
            annotations: fields.array("annotations")?.unwrap_or_default(),
            extra: {
                // Of an answer; as a turn before it is its text alone.
                let _ = fields.take("logprobs");
                fields.rest()
            },
        }),
        "refusal" => Ok(Part::Refusal { text: fields.required_string("refusal")? }),
        "input_image" | "image_url" => image(fields),
        "input_file" | "file" => {
            // Chat Completions nests the same fields under `file`.
            if let Some(inner) = fields.object("file")? {
                fields = Fields::new(inner, fields.path_of("file"));
            }
            let filename = fields.string("filename")?;
            let file_data = fields.string("file_data")?;
            let file_url = fields.string("file_url")?;
            let file_id = fields.string("file_id")?;
            if file_data.is_none() && file_url.is_none() && file_id.is_none() {
                let message = format!("`{path}` must have one of `file_data`, `file_url`, `file_id`");
                return Err(FieldError::new(path, message));
            }
            Ok(Part::File { filename, file_data, file_url, file_id, extra: fields.rest() })
        }
        other => {
            let mut object = crate::Object::new();
            object.insert("type".to_owned(), Value::String(other.to_owned()));
            object.extend(fields.rest());
            Ok(Part::Other(object))
        }
    }
}

fn image(mut fields: Fields) -> Result<Part, FieldError> {
    let mut detail = fields.string("detail")?;
    let file_id = fields.string("file_id")?;
    let url = match fields.take("image_url").or_else(|| fields.take("url")) {
        None => None,
        Some(Value::String(url)) => Some(url),
        Some(other) => {
            let mut inner = Fields::of(other, fields.path_of("image_url"))?;
            if detail.is_none() {
                detail = inner.string("detail")?;
            }
            Some(inner.required_string("url")?)
        }
    };
    if url.is_none() && file_id.is_none() {
        return Err(fields.missing("image_url"));
    }
    Ok(Part::Image { url, file_id, detail, extra: fields.rest() })
}

/// `[{"type": …, "text": …}]`, or plain strings.
fn texts(fields: &mut Fields, name: &str) -> Result<Vec<String>, FieldError> {
    let path = fields.path_of(name);
    let values = fields.array(name)?.unwrap_or_default();
    values
        .into_iter()
        .enumerate()
        .map(|(i, value)| match value {
            Value::String(text) => Ok(text),
            other => Fields::of(other, format!("{path}[{i}]"))?.required_string("text"),
        })
        .collect()
}
