//! Anthropic's content blocks as our items and parts.

use crate::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::sync::Arc;
use tokenrouter_protocol::{
    FieldError, Fields, FunctionCall, FunctionCallOutput, Item, ItemStatus, Message, Object, OutputValue, Part,
    Reasoning, Role,
};
use tokenrouter_providers::{ANTHROPIC_FIELDS, is_anthropic_block, is_sealed};

/// What nobody took, as fields that only Anthropic knows.
pub(super) fn native(rest: Fields) -> Object {
    let native: Object = rest.rest().into_iter().filter(|(_, value)| !value.is_null()).collect();
    let mut extra = Object::new();
    if !native.is_empty() {
        extra.insert(ANTHROPIC_FIELDS.to_owned(), native.into());
    }
    extra
}

/// Where in the caller's `messages` each of our items came from, to name it in the caller's words.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<[Place]>);

enum Place {
    /// A block that is an item of its own.
    Block(String),
    /// A message of the parts from `first` on in this list.
    Parts { list: String, first: usize },
}

impl Places {
    pub(super) fn in_error(&self, mut error: ApiError) -> ApiError {
        error.param = error.param.map(|param| self.in_text(&param));
        error.message = self.in_text(&error.message);
        error
    }

    /// The text with `input[3].output` as `messages[1].content[0].content`.
    pub(super) fn in_text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("input[") {
            out.push_str(before);
            let place = index(after).and_then(|(at, tail)| Some((self.0.get(at)?, tail)));
            rest = match place {
                None => {
                    out.push_str("input[");
                    after
                }
                Some((Place::Block(path), tail)) => {
                    out.push_str(path);
                    match (tail.strip_prefix(".output"), tail.strip_prefix(".arguments")) {
                        (Some(tail), _) => {
                            out.push_str(".content");
                            tail
                        }
                        (_, Some(tail)) => {
                            out.push_str(".input");
                            tail
                        }
                        _ => tail,
                    }
                }
                Some((Place::Parts { list, first }, tail)) => {
                    out.push_str(list);
                    let tail = tail.strip_prefix(".content").unwrap_or(tail);
                    match tail.strip_prefix('[').and_then(index) {
                        Some((at, tail)) => {
                            out.push_str(&format!("[{}]", first + at));
                            tail
                        }
                        None => tail,
                    }
                }
            };
        }
        out + rest
    }
}

/// The number before the first `]`, and what comes after.
fn index(text: &str) -> Option<(usize, &str)> {
    let (digits, tail) = text.split_once(']')?;
    Some((digits.parse().ok()?, tail))
}

/// The items of a conversation, as they are read.
#[derive(Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
    places: Vec<Place>,
    system: usize,
}

impl Conversation {
    pub(super) fn finish(self) -> (Vec<Item>, Places) {
        (self.items, Places(self.places.into()))
    }

    pub(super) fn has_input(&self) -> bool {
        self.items.len() > self.system
    }

    fn push(&mut self, item: Item, place: Place) {
        self.items.push(item);
        self.places.push(place);
    }

    /// A list of text blocks: each stays one part, so that its mark for the cache stays where it was.
    pub(super) fn system(&mut self, blocks: Value, path: &str) -> Result<(), FieldError> {
        let content = blocks_of(blocks, path)?
            .into_iter()
            .enumerate()
            .map(|(i, block)| {
                let mut f = Fields::of(block, format!("{path}[{i}]"))?;
                match f.required_string("type")?.as_str() {
                    "text" => text(f),
                    other => Err(unknown(&f.path_of("type"), other)),
                }
            })
            .collect::<Result<Vec<Part>, FieldError>>()?;
        if !content.is_empty() {
            self.system += 1;
            self.push(message(Role::System, content), Place::Parts { list: path.to_owned(), first: 0 });
        }
        Ok(())
    }

    pub(super) fn message(&mut self, value: Value, path: &str) -> Result<(), FieldError> {
        let mut f = Fields::of(value, path)?;
        let role = f.required_string("role")?;
        let content = f.take("content").ok_or_else(|| f.missing("content"))?;
        let path = f.path_of("content");
        match role.as_str() {
            "user" => self.turn(Role::User, content, &path),
            "assistant" => self.turn(Role::Assistant, content, &path),
            "system" => match content {
                Value::String(text) => {
                    self.push(message(Role::System, vec![Part::text(text)]), Place::Parts { list: path, first: 0 });
                    Ok(())
                }
                blocks => self.system(blocks, &path),
            },
            other => {
                let param = f.path_of("role");
                let message = format!("`{param}` must be user, assistant or system, not `{other}`");
                Err(FieldError::new(param, message))
            }
        }
    }

    /// Parts that stand side by side make one message; calls, results and thoughts are items of their own.
    fn turn(&mut self, role: Role, content: Value, path: &str) -> Result<(), FieldError> {
        if let Value::String(text) = content {
            self.push(message(role, vec![Part::text(text)]), Place::Parts { list: path.to_owned(), first: 0 });
            return Ok(());
        }
        let mut parts = Vec::new();
        let mut next = 0;
        for (i, value) in blocks_of(content, path)?.into_iter().enumerate() {
            let place = format!("{path}[{i}]");
            match block(value, role, &place)? {
                Block::Part(part) => parts.push(part),
                Block::Item(item) => {
                    self.flush(role, &mut parts, path, i);
                    self.push(item, Place::Block(place));
                }
            }
            next = i + 1;
        }
        self.flush(role, &mut parts, path, next);
        Ok(())
    }

    /// The parts that end before block `end`.
    fn flush(&mut self, role: Role, parts: &mut Vec<Part>, path: &str, end: usize) {
        if !parts.is_empty() {
            let place = Place::Parts { list: path.to_owned(), first: end.saturating_sub(parts.len()) };
            self.push(message(role, std::mem::take(parts)), place);
        }
    }
}

fn message(role: Role, content: Vec<Part>) -> Item {
    Item::Message(Message { id: None, role, content, status: ItemStatus::Completed, extra: Object::new() })
}

fn blocks_of(value: Value, path: &str) -> Result<Vec<Value>, FieldError> {
    match value {
        Value::Array(blocks) => Ok(blocks),
        _ => Err(FieldError::new(path, format!("`{path}` must be a string or an array of content blocks"))),
    }
}

fn unknown(path: &str, kind: &str) -> FieldError {
    FieldError::new(path, format!("`{path}`: a block of type `{kind}` cannot stand here"))
}

enum Block {
    Part(Part),
    Item(Item),
}

fn block(value: Value, role: Role, path: &str) -> Result<Block, FieldError> {
    let mut f = Fields::of(value, path)?;
    let kind = f.required_string("type")?;
    let assistant = role == Role::Assistant;
    Ok(match kind.as_str() {
        "text" => Block::Part(text(f)?),
        "image" if !assistant => Block::Part(image(f)?),
        "document" if !assistant => Block::Part(document(f)?),
        "tool_use" if assistant => Block::Item(tool_use(f)?),
        "tool_result" if !assistant => Block::Item(tool_result(f)?),
        // A signature that is none of ours was made for somebody else, by nobody knows whom: the encoders
        // leave such a thought out and say so.
        "thinking" if assistant => {
            let thought = f.required_string("thinking")?;
            let content = if thought.is_empty() { Vec::new() } else { vec![thought] };
            let encrypted_content = f.string("signature")?.filter(|sealed| is_sealed(sealed));
            Block::Item(Item::Reasoning(Reasoning { content, encrypted_content, ..Reasoning::default() }))
        }
        "redacted_thinking" if assistant => {
            let encrypted_content = Some(f.required_string("data")?).filter(|sealed| is_sealed(sealed));
            Block::Item(Item::Reasoning(Reasoning { encrypted_content, ..Reasoning::default() }))
        }
        own if is_anthropic_block(own) => {
            let object = whole(kind, f);
            if assistant { Block::Item(Item::Other(object)) } else { Block::Part(Part::Other(object)) }
        }
        other => return Err(unknown(&f.path_of("type"), other)),
    })
}

fn whole(kind: String, f: Fields) -> Object {
    let mut object = Object::new();
    object.insert("type".to_owned(), kind.into());
    object.extend(f.rest());
    object
}

fn text(mut f: Fields) -> Result<Part, FieldError> {
    Ok(Part::Text { text: f.required_string("text")?, annotations: Vec::new(), extra: native(f) })
}

fn source(f: &mut Fields) -> Result<(String, Fields), FieldError> {
    let object = f.object("source")?.ok_or_else(|| f.missing("source"))?;
    let mut source = Fields::new(object, f.path_of("source"));
    Ok((source.required_string("type")?, source))
}

fn image(mut f: Fields) -> Result<Part, FieldError> {
    let (kind, mut source) = source(&mut f)?;
    let url = match kind.as_str() {
        "base64" => {
            format!("data:{};base64,{}", source.required_string("media_type")?, source.required_string("data")?)
        }
        "url" => source.required_string("url")?,
        other => return Err(unknown_source(&source, other)),
    };
    Ok(Part::Image { url: Some(url), file_id: None, detail: None, extra: native(f) })
}

fn unknown_source(source: &Fields, kind: &str) -> FieldError {
    let path = source.path_of("type");
    FieldError::new(path.clone(), format!("`{path}`: a source of type `{kind}` is not supported"))
}

fn document(mut f: Fields) -> Result<Part, FieldError> {
    let (kind, mut source) = source(&mut f)?;
    let filename = f.string("title")?;
    let (mut file_data, mut file_url) = (None, None);
    match kind.as_str() {
        "base64" => {
            let media_type = source.string("media_type")?.unwrap_or_else(|| "application/pdf".to_owned());
            file_data = Some(format!("data:{media_type};base64,{}", source.required_string("data")?));
        }
        "text" => {
            let text = source.required_string("data")?;
            file_data = Some(format!("data:text/plain;base64,{}", STANDARD.encode(text)));
        }
        "url" => file_url = Some(source.required_string("url")?),
        other => return Err(unknown_source(&source, other)),
    }
    Ok(Part::File { filename, file_data, file_url, file_id: None, extra: native(f) })
}

fn tool_use(mut f: Fields) -> Result<Item, FieldError> {
    let (call_id, name) = (f.required_string("id")?, f.required_string("name")?);
    let input = f.object("input")?.ok_or_else(|| f.missing("input"))?;
    Ok(Item::FunctionCall(FunctionCall {
        id: None,
        call_id,
        name,
        arguments: Value::Object(input).to_string(),
        status: ItemStatus::Completed,
        extra: native(f),
    }))
}

fn tool_result(mut f: Fields) -> Result<Item, FieldError> {
    let call_id = f.required_string("tool_use_id")?;
    let path = f.path_of("content");
    let output = match f.take("content") {
        None => OutputValue::Text(String::new()),
        Some(Value::String(text)) => OutputValue::Text(text),
        Some(blocks) => {
            let parts = blocks_of(blocks, &path)?.into_iter().enumerate().map(|(i, value)| {
                match block(value, Role::User, &format!("{path}[{i}]"))? {
                    Block::Part(part) => Ok(part),
                    Block::Item(_) => Err(unknown(&format!("{path}[{i}].type"), "tool_result")),
                }
            });
            parts_or_text(parts.collect::<Result<Vec<Part>, FieldError>>()?)
        }
    };
    // That it went well is what is meant without the field.
    if f.peek("is_error") == Some(&Value::Bool(false)) {
        let _ = f.take("is_error");
    }
    let extra = native(f);
    Ok(Item::FunctionCallOutput(FunctionCallOutput { id: None, call_id, output, status: ItemStatus::Completed, extra }))
}

/// One plain text is given as such, which every provider takes.
fn parts_or_text(mut parts: Vec<Part>) -> OutputValue {
    match parts.as_mut_slice() {
        [] => OutputValue::Text(String::new()),
        [Part::Text { text, extra, .. }] if extra.is_empty() => OutputValue::Text(std::mem::take(text)),
        _ => OutputValue::Parts(parts),
    }
}
