//! The tools a request offers, and which of them the model must or may use.

use crate::Object;
use crate::fields::{FieldError, Fields};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub struct FunctionTool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema.
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
    pub extra: Object,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    Function(FunctionTool),
    /// A kind that only the provider may know (`web_search`, `custom`, …); kept as it came.
    Other(Object),
}

impl Tool {
    /// # Errors
    /// Names the field that is missing or of the wrong type.
    pub fn parse(value: Value, path: &str) -> Result<Self, FieldError> {
        let mut fields = Fields::of(value, path)?;
        let kind = fields.string("type")?;
        if kind.as_deref().is_some_and(|kind| kind != "function") {
            let mut object = Object::new();
            object.insert("type".to_owned(), kind.into());
            object.extend(fields.rest());
            return Ok(Self::Other(object));
        }
        if let Some(inner) = fields.object("function")? {
            fields = Fields::new(inner, fields.path_of("function"));
        }
        let name = fields.required_string("name")?;
        if name.is_empty() {
            return Err(FieldError::new(fields.path_of("name"), "a tool's name must not be empty"));
        }
        Ok(Self::Function(FunctionTool {
            name,
            description: fields.string("description")?,
            parameters: fields.object("parameters")?.map(Value::Object),
            strict: fields.boolean("strict")?,
            extra: fields.rest(),
        }))
    }
}

impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Function(tool) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("type", "function")?;
                map.serialize_entry("name", &tool.name)?;
                map.serialize_entry("description", &tool.description)?;
                map.serialize_entry("parameters", &tool.parameters)?;
                map.serialize_entry("strict", &tool.strict)?;
                for (name, value) in &tool.extra {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Self::Other(object) => object.serialize(serializer),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Function(String),
    /// Only these functions; with `required`, one of them.
    Allowed {
        required: bool,
        names: Vec<String>,
    },
    Other(Value),
}

impl ToolChoice {
    /// # Errors
    /// When it is neither a known word nor an object with a `type`.
    pub fn parse(value: Value) -> Result<Self, FieldError> {
        const PARAM: &str = "tool_choice";
        match &value {
            Value::String(word) => match word.as_str() {
                "auto" => Ok(Self::Auto),
                "none" => Ok(Self::None),
                "required" | "any" => Ok(Self::Required),
                other => Err(FieldError::new(
                    PARAM,
                    format!("`tool_choice` must be auto, none, required or an object, not `{other}`"),
                )),
            },
            Value::Object(object) => match object.get("type").and_then(Value::as_str) {
                Some("function") => object
                    .get("name")
                    .or_else(|| object.get("function").and_then(|f| f.get("name")))
                    .and_then(Value::as_str)
                    .map(|name| Self::Function(name.to_owned()))
                    .ok_or_else(|| FieldError::new("tool_choice.name", "`tool_choice.name` is required")),
                Some("allowed_tools") => {
                    let names = object
                        .get("tools")
                        .and_then(Value::as_array)
                        .map(|tools| {
                            tools.iter().filter_map(|t| t.get("name")?.as_str().map(str::to_owned)).collect::<Vec<_>>()
                        })
                        .filter(|names| !names.is_empty())
                        .ok_or_else(|| {
                            FieldError::new("tool_choice.tools", "`tool_choice.tools` must name at least one function")
                        })?;
                    let required = object.get("mode").and_then(Value::as_str) == Some("required");
                    Ok(Self::Allowed { required, names })
                }
                Some(_) => Ok(Self::Other(value)),
                None => Err(FieldError::new("tool_choice.type", "`tool_choice.type` is required")),
            },
            _ => Err(FieldError::new(PARAM, "`tool_choice` must be a string or an object")),
        }
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::None => serializer.serialize_str("none"),
            Self::Required => serializer.serialize_str("required"),
            Self::Function(name) => json!({"type": "function", "name": name}).serialize(serializer),
            Self::Allowed { required, names } => {
                let tools: Vec<Value> = names.iter().map(|n| json!({"type": "function", "name": n})).collect();
                let mode = if *required { "required" } else { "auto" };
                json!({"type": "allowed_tools", "mode": mode, "tools": tools}).serialize(serializer)
            }
            Self::Other(value) => value.serialize(serializer),
        }
    }
}
