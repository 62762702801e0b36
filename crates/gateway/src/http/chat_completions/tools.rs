//! A chat's tools, and `functions` from before there were any.

use serde_json::{Value, json};
use tokenrouter_protocol::{FieldError, Fields, Object, Tool, ToolChoice};

pub(super) struct Tools {
    pub tools: Vec<Tool>,
    pub choice: ToolChoice,
    /// They came as `functions`.
    pub functions: bool,
    /// Our names of these fields, and the caller's, where they differ.
    pub names: Vec<(String, String)>,
}

/// Takes every field that is about tools.
pub(super) fn read(f: &mut Fields) -> Result<Tools, FieldError> {
    let mut tools = Vec::new();
    let mut names = Vec::new();
    for (i, value) in f.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        tools.push(tool(value, &format!("tools[{i}]"))?);
    }
    let mut choice = f.take("tool_choice").map_or(Ok(ToolChoice::Auto), tool_choice)?;
    let functions = f.array("functions")?;
    if let Some(functions) = &functions {
        if !tools.is_empty() {
            let message = "`functions` is the older name of `tools`: give one of them";
            return Err(FieldError::new("functions", message));
        }
        for (i, function) in functions.iter().enumerate() {
            tools.push(self::function(function.clone(), &format!("functions[{i}]"))?);
            names.push((format!("tools[{i}]"), format!("functions[{i}]")));
        }
        names.push(("tool_choice".to_owned(), "function_call".to_owned()));
    }
    if let Some(call) = f.take("function_call") {
        choice = function_call(call)?;
    }
    if let Some(options) = f.object("web_search_options")? {
        names.push((format!("tools[{}]", tools.len()), "web_search_options".to_owned()));
        tools.push(web_search(options)?);
    }
    Ok(Tools { tools, choice, functions: functions.is_some(), names })
}

fn tool(value: Value, path: &str) -> Result<Tool, FieldError> {
    let mut f = Fields::of(value, path)?;
    match f.string("type")?.as_deref() {
        None | Some("function") => {
            // The flat shape of Responses is understood as well.
            if f.peek("function").is_none() && f.peek("name").is_none() {
                return Err(f.missing("function"));
            }
            match f.object("function")? {
                Some(inner) => function(Value::Object(inner), &f.path_of("function")),
                None => function(Value::Object(f.rest()), path),
            }
        }
        Some("custom") => {
            let inner = f.object("custom")?.ok_or_else(|| f.missing("custom"))?;
            let mut inner = Fields::new(inner, f.path_of("custom"));
            let name = inner.required_string("name")?;
            let mut object = of(json!({"type": "custom", "name": name}));
            if let Some(description) = inner.string("description")? {
                object.insert("description".to_owned(), description.into());
            }
            if let Some(mut format) = inner.object("format")? {
                // A grammar stands one step deeper here than in Responses.
                if let Some(Value::Object(grammar)) = format.shift_remove("grammar") {
                    format.extend(grammar);
                }
                object.insert("format".to_owned(), Value::Object(format));
            }
            Ok(Tool::Other(object))
        }
        Some(kind) => {
            let mut object = of(json!({ "type": kind }));
            object.extend(f.rest());
            Ok(Tool::Other(object))
        }
    }
}

/// Unlike in Responses, a function of a chat is not `strict` unless it says so.
fn function(value: Value, path: &str) -> Result<Tool, FieldError> {
    let mut tool = Tool::parse(value, path)?;
    if let Tool::Function(function) = &mut tool {
        function.strict.get_or_insert(false);
    }
    Ok(tool)
}

fn tool_choice(value: Value) -> Result<ToolChoice, FieldError> {
    let Value::Object(object) = value else { return ToolChoice::parse(value) };
    let mut f = Fields::new(object, "tool_choice");
    match f.required_string("type")?.as_str() {
        "function" => named(&mut f, "function").map(ToolChoice::Function),
        "custom" => named(&mut f, "custom").map(|name| ToolChoice::Other(json!({"type": "custom", "name": name}))),
        "allowed_tools" => {
            let inner = f.object("allowed_tools")?.ok_or_else(|| f.missing("allowed_tools"))?;
            let mut inner = Fields::new(inner, f.path_of("allowed_tools"));
            let required = match inner.string("mode")?.as_deref() {
                None | Some("auto") => false,
                Some("required") => true,
                Some(other) => {
                    let param = inner.path_of("mode");
                    let message = format!("`{param}` must be auto or required, not `{other}`");
                    return Err(FieldError::new(param, message));
                }
            };
            let tools = inner.array("tools")?.filter(|tools| !tools.is_empty());
            let tools = tools.ok_or_else(|| inner.missing("tools"))?;
            let path = inner.path_of("tools");
            let names = tools.into_iter().enumerate().map(|(i, tool)| {
                let mut tool = Fields::of(tool, format!("{path}[{i}]"))?;
                named(&mut tool, "function")
            });
            Ok(ToolChoice::Allowed { required, names: names.collect::<Result<_, _>>()? })
        }
        other => {
            let message = format!("`tool_choice.type` must be function, custom or allowed_tools, not `{other}`");
            Err(FieldError::new("tool_choice.type", message))
        }
    }
}

/// `{"function": {"name": …}}`, or the name at once, as Responses have it.
fn named(f: &mut Fields, field: &str) -> Result<String, FieldError> {
    match f.object(field)? {
        Some(inner) => Fields::new(inner, f.path_of(field)).required_string("name"),
        None if f.peek("name").is_some() => f.required_string("name"),
        None => Err(f.missing(field)),
    }
}

fn function_call(value: Value) -> Result<ToolChoice, FieldError> {
    match value {
        Value::String(word) if word == "auto" => Ok(ToolChoice::Auto),
        Value::String(word) if word == "none" => Ok(ToolChoice::None),
        Value::Object(object) => Fields::new(object, "function_call").required_string("name").map(ToolChoice::Function),
        _ => {
            let message = "`function_call` must be auto, none or an object with the `name` of a function";
            Err(FieldError::new("function_call", message))
        }
    }
}

/// What Responses have as a tool, chats have as a field.
fn web_search(options: Object) -> Result<Tool, FieldError> {
    let mut f = Fields::new(options, "web_search_options");
    let mut object = of(json!({"type": "web_search"}));
    if let Some(mut location) = f.object("user_location")? {
        if let Some(Value::Object(approximate)) = location.shift_remove("approximate") {
            location.extend(approximate);
        }
        object.insert("user_location".to_owned(), Value::Object(location));
    }
    object.extend(f.rest());
    Ok(Tool::Other(object))
}

fn of(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
