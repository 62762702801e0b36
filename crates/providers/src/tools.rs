//! The tools of a request, as a provider that has only functions can be told them.

use crate::anthropic::native;
use crate::encode::{Context, EncodeError};
use std::borrow::Cow;
use tokenrouter_protocol::{FunctionTool, Request, Tool, ToolChoice};

/// A function, by the name that the provider knows it by.
pub(crate) struct Named<'a> {
    pub name: Cow<'a, str>,
    pub tool: &'a FunctionTool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    Auto,
    None,
    Required,
    Function(Cow<'a, str>),
}

impl Choice<'_> {
    /// A call must be made.
    pub(crate) fn is_forced(&self) -> bool {
        matches!(self, Self::Required | Self::Function(_))
    }
}

pub(crate) struct Tools<'a> {
    pub functions: Vec<Named<'a>>,
    pub choice: Choice<'a>,
}

/// The functions, in the order given.
pub(crate) fn functions<'a>(context: &mut Context, request: &'a Request) -> Vec<Named<'a>> {
    let mut functions = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(tool) => {
                // What is under the key of Anthropic's fields is sent where they are known.
                if let Some(name) = tool.extra.keys().find(|name| *name != crate::ANTHROPIC_FIELDS) {
                    let param = format!("{}.{name}", context.tool_place(index));
                    context.losses.add(param, "this provider does not know the field; it was left out");
                }
                functions.push(Named { name: context.translation.wire_name(&tool.name), tool });
            }
            Tool::Other(object) => {
                let kind = object.get("type").and_then(serde_json::Value::as_str).unwrap_or("unknown");
                if context.target.kind == crate::Kind::Anthropic && native::is_own_tool(kind) {
                    continue;
                }
                let message = format!("this provider has no tool of type `{kind}`; it was left out");
                context.losses.add(context.tool_place(index), message);
            }
        }
    }
    functions
}

/// The functions that may be called, in the order given, and which of them must be.
pub(crate) fn plan<'a>(context: &mut Context, request: &'a Request) -> Result<Tools<'a>, EncodeError> {
    let mut functions = functions(context, request);
    let choice = match &request.tool_choice {
        ToolChoice::Auto => Choice::Auto,
        ToolChoice::None => Choice::None,
        ToolChoice::Required => Choice::Required,
        ToolChoice::Function(name) => {
            let named = functions.iter().find(|f| f.tool.name == *name).ok_or_else(|| missing(name))?;
            Choice::Function(named.name.clone())
        }
        ToolChoice::Allowed { required, names } => {
            if let Some(name) = names.iter().find(|name| !functions.iter().any(|f| f.tool.name == **name)) {
                return Err(missing(name));
            }
            functions.retain(|f| names.contains(&f.tool.name));
            context.losses.add("tool_choice", "this provider has no `allowed_tools`: the other tools were not offered");
            if *required { Choice::Required } else { Choice::Auto }
        }
        ToolChoice::Other(_) => {
            return Err(EncodeError::new("tool_choice", "this provider can be made to call functions only"));
        }
    };
    if functions.is_empty() && choice.is_forced() {
        return Err(EncodeError::new("tool_choice", "`tool_choice` asks for a call, but there is no function to call"));
    }
    Ok(Tools { functions, choice })
}

pub(crate) fn missing(name: &str) -> EncodeError {
    EncodeError::new("tool_choice", format!("`tool_choice` names `{name}`, which is not among the `tools`"))
}
