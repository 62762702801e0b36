//! Custom (free-form) tools and namespaces of tools, for providers that have only functions.
//!
//! A custom tool becomes a function of one text, `input`; a tool in a namespace one whose name begins with the
//! namespace's. What the model then calls is given back as what the caller offered, and yesterday's calls are
//! told in the same names, so that a conversation's bytes stay the same from turn to turn.

use crate::custom_call::{INPUT, InputReader};
use crate::encode::{Context, EncodeError};
use serde_json::{Value, json};
use tokenrouter_protocol::{
    Field, FunctionCall, FunctionTool, Item, ItemStart, ItemStatus, ModelEvent, Object, Request, Tool, ToolChoice,
    new_id,
};

/// A tool as the provider is offered it, and as the caller knows it.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    pub function: String,
    pub name: String,
    pub namespace: Option<String>,
    pub custom: bool,
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn is_of_type(object: &Object, kind: &str) -> bool {
    text(object, "type") == Some(kind)
}

/// The request with functions alone; `None` if it is so already.
pub(crate) fn lower(context: &mut Context, request: &Request) -> Result<Option<Request>, EncodeError> {
    if !is_there(request) {
        return Ok(None);
    }
    let mut request = request.clone();
    let tools = std::mem::take(&mut request.tools);
    for (i, tool) in tools.into_iter().enumerate() {
        let place = format!("tools[{i}]");
        match tool {
            Tool::Other(object) if is_of_type(&object, "custom") => {
                request.tools.push(custom(context, object, &place, None)?);
                context.tool_places.push(place);
            }
            Tool::Other(object) if is_of_type(&object, "namespace") => {
                namespace(context, object, &place, &mut request.tools)?;
            }
            tool => {
                request.tools.push(tool);
                context.tool_places.push(place);
            }
        }
    }
    unlike_names(&request.tools)?;
    request.tool_choice = choice(context, request.tool_choice);
    for (i, item) in request.input.iter_mut().enumerate() {
        lower_item(item, i)?;
    }
    Ok(Some(request))
}

fn is_there(request: &Request) -> bool {
    let in_tool = |tool: &Tool| match tool {
        Tool::Other(object) => is_of_type(object, "custom") || is_of_type(object, "namespace"),
        Tool::Function(_) => false,
    };
    let in_item = |item: &Item| match item {
        Item::FunctionCall(call) => call.extra.contains_key("namespace"),
        Item::Other(object) => is_of_type(object, "custom_tool_call") || is_of_type(object, "custom_tool_call_output"),
        _ => false,
    };
    request.tools.iter().any(in_tool) || request.input.iter().any(in_item)
}

fn name_in(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"))
}

fn remember(context: &mut Context, namespace: Option<&str>, name: &str, custom: bool) -> String {
    let function = name_in(namespace, name);
    context.translation.lowered.push(Lowered {
        function: function.clone(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        custom,
    });
    function
}

fn custom(
    context: &mut Context,
    mut object: Object,
    place: &str,
    namespace: Option<&str>,
) -> Result<Tool, EncodeError> {
    let name = text(&object, "name").filter(|name| !name.is_empty()).map(str::to_owned);
    let name = name.ok_or_else(|| EncodeError::new(format_args!("{place}.name"), "a custom tool must have a name"))?;
    context.losses.add(place, "this provider has only functions: the tool was offered as one that takes a text");
    let mut description = text(&object, "description").unwrap_or_default().to_owned();
    if let Some(format) = object.get("format").and_then(Value::as_object).filter(|format| is_of_type(format, "grammar"))
    {
        context.losses.add(
            format_args!("{place}.format"),
            "this provider holds no tool to a grammar: it was put into the description",
        );
        let syntax = text(format, "syntax").unwrap_or("a");
        let definition = text(format, "definition").unwrap_or_default();
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&format!("The input must follow this {syntax} grammar:\n{definition}"));
    }
    for known in ["type", "name", "description", "format"] {
        object.shift_remove(known);
    }
    Ok(Tool::Function(FunctionTool {
        name: remember(context, namespace, &name, true),
        description: (!description.is_empty()).then_some(description),
        parameters: Some(json!({
            "type": "object",
            "properties": { INPUT: {"type": "string", "description": "The whole input of the tool, as plain text."} },
            "required": [INPUT],
            "additionalProperties": false,
        })),
        strict: None,
        extra: object,
    }))
}

fn namespace(context: &mut Context, mut object: Object, place: &str, tools: &mut Vec<Tool>) -> Result<(), EncodeError> {
    let name = text(&object, "name").filter(|name| !name.is_empty()).map(str::to_owned);
    let name = name.ok_or_else(|| EncodeError::new(format_args!("{place}.name"), "a namespace must have a name"))?;
    let about = text(&object, "description").map(str::to_owned);
    let Some(Value::Array(inner)) = object.shift_remove("tools") else {
        return Err(EncodeError::new(format_args!("{place}.tools"), "a namespace must have a list of `tools`"));
    };
    context.losses.add(place, "this provider has no namespaces: its tools were offered under names that begin with it");
    for (j, value) in inner.into_iter().enumerate() {
        let place = format!("{place}.tools[{j}]");
        let mut tool = match Tool::parse(value, &place).map_err(|e| EncodeError::new(e.param, e.message))? {
            Tool::Other(object) if is_of_type(&object, "custom") => custom(context, object, &place, Some(&name))?,
            Tool::Function(mut tool) => {
                tool.name = remember(context, Some(&name), &tool.name, false);
                Tool::Function(tool)
            }
            Tool::Other(_) => {
                let message = "a namespace holds functions and custom tools, and nothing else";
                return Err(EncodeError::new(format_args!("{place}.type"), message));
            }
        };
        if let (Tool::Function(tool), Some(about)) = (&mut tool, about.as_deref().filter(|about| !about.is_empty())) {
            let own = tool.description.take();
            tool.description = Some(own.map_or_else(|| about.to_owned(), |own| format!("{own}\n\n{name}: {about}")));
        }
        tools.push(tool);
        context.tool_places.push(place);
    }
    Ok(())
}

/// Two tools of one name could not be told apart when they are called.
fn unlike_names(tools: &[Tool]) -> Result<(), EncodeError> {
    let mut names: Vec<&str> = Vec::with_capacity(tools.len());
    for tool in tools {
        let Tool::Function(tool) = tool else { continue };
        if names.contains(&tool.name.as_str()) {
            let message = format!("two tools would be offered to this provider as `{}`", tool.name);
            return Err(EncodeError::new("tools", message));
        }
        names.push(&tool.name);
    }
    Ok(())
}

fn choice(context: &Context, choice: ToolChoice) -> ToolChoice {
    let lowered = &context.translation.lowered;
    // A name within a namespace stands for itself where nothing outside has it.
    let functions = |name: &str| -> Vec<String> {
        let of = |wanted: &dyn Fn(&Lowered) -> bool| -> Vec<String> {
            lowered.iter().filter(|tool| wanted(tool)).map(|tool| tool.function.clone()).collect()
        };
        let namespace = of(&|tool| tool.namespace.as_deref() == Some(name));
        let mut found = if namespace.is_empty() { of(&|tool| tool.name == name) } else { namespace };
        if found.is_empty() {
            found.push(name.to_owned());
        }
        found
    };
    match choice {
        ToolChoice::Function(name) => match functions(&name).as_slice() {
            [one] => ToolChoice::Function(one.clone()),
            _ => ToolChoice::Function(name),
        },
        ToolChoice::Allowed { required, names } => {
            ToolChoice::Allowed { required, names: names.iter().flat_map(|name| functions(name)).collect() }
        }
        ToolChoice::Other(Value::Object(object)) if is_of_type(&object, "custom") => {
            let name = text(&object, "name").unwrap_or_default();
            let one = functions(name).into_iter().next();
            ToolChoice::Function(one.unwrap_or_default())
        }
        other => other,
    }
}

fn lower_item(item: &mut Item, i: usize) -> Result<(), EncodeError> {
    match item {
        Item::FunctionCall(call) => {
            if let Some(Value::String(namespace)) = call.extra.shift_remove("namespace") {
                call.name = name_in(Some(&namespace), &call.name);
            }
        }
        Item::FunctionCallOutput(output) => {
            output.extra.shift_remove("namespace");
        }
        Item::Other(object) if is_of_type(object, "custom_tool_call") => {
            let field = |name: &str| {
                text(object, name).map(str::to_owned).ok_or_else(|| {
                    EncodeError::new(format_args!("input[{i}].{name}"), format!("`input[{i}].{name}` must be a string"))
                })
            };
            let name = field("name")?;
            *item = Item::FunctionCall(FunctionCall {
                id: None,
                call_id: field("call_id")?,
                name: name_in(text(object, "namespace"), &name),
                arguments: json!({ INPUT: field("input")? }).to_string(),
                status: ItemStatus::Completed,
                extra: Object::new(),
            });
        }
        Item::Other(object) if is_of_type(object, "custom_tool_call_output") => {
            let mut as_function = object.clone();
            as_function.insert("type".to_owned(), "function_call_output".into());
            as_function.shift_remove("namespace");
            *item = Item::parse(Value::Object(as_function), &format!("input[{i}]"))
                .map_err(|e| EncodeError::new(e.param, e.message))?;
        }
        _ => {}
    }
    Ok(())
}

/// Gives the calls of custom tools back as what they are.
#[derive(Default)]
pub(crate) struct CustomCalls {
    open: Vec<(u32, InputReader)>,
}

impl CustomCalls {
    /// Rewrites the events from `from` on.
    pub(crate) fn rewrite(&mut self, lowered: &[Lowered], out: &mut Vec<ModelEvent>, from: usize) {
        if !lowered.iter().any(|tool| tool.custom) {
            return;
        }
        for event in out.split_off(from) {
            match event {
                ModelEvent::ItemStarted { key, item: ItemStart::FunctionCall { call_id, name, namespace } }
                    if lowered.iter().any(|tool| tool.custom && tool.name == name && tool.namespace == namespace) =>
                {
                    let mut object = Object::new();
                    object.insert("type".to_owned(), "custom_tool_call".into());
                    object.insert("id".to_owned(), new_id("ctc").into());
                    object.insert("call_id".to_owned(), call_id.into());
                    object.insert("name".to_owned(), name.into());
                    if let Some(namespace) = namespace {
                        object.insert("namespace".to_owned(), namespace.into());
                    }
                    self.open.push((key, InputReader::default()));
                    out.push(ModelEvent::ItemStarted { key, item: ItemStart::Other(object) });
                }
                ModelEvent::Delta { key, field, text } => match self.open.iter_mut().find(|(open, _)| *open == key) {
                    Some((_, reader)) => add(key, out, |input| reader.push(&text, input)),
                    None => out.push(ModelEvent::Delta { key, field, text }),
                },
                ModelEvent::ItemDone { key, end } => {
                    if let Some(at) = self.open.iter().position(|(open, _)| *open == key) {
                        let (_, reader) = self.open.remove(at);
                        add(key, out, |input| reader.finish(end.incomplete, input));
                    }
                    out.push(ModelEvent::ItemDone { key, end });
                }
                event => out.push(event),
            }
        }
    }
}

/// Gives what is added to a call's input, if anything is.
fn add(key: u32, out: &mut Vec<ModelEvent>, read: impl FnOnce(&mut String)) {
    let mut text = String::new();
    read(&mut text);
    if !text.is_empty() {
        out.push(ModelEvent::Delta { key, field: Field::Input, text });
    }
}
