//! A JSON Schema in the keywords that Gemini takes.
//!
//! `responseJsonSchema` and `parametersJsonSchema` refuse keywords outside a list, and a `$ref` that
//! has company but for keywords with a `$` (<https://ai.google.dev/api/generate-content#GenerationConfig>). What can be said in other words is; what cannot is named, for a warning. The caller
//! goes on seeing the schema as it was given.

use crate::encode::leave_out;
use serde_json::{Map, Value, json};

/// Taken as they are.
const PLAIN: [&str; 13] = [
    "$id",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "required",
    "propertyOrdering",
    "$ref",
];

/// The lowered schema, and the keywords that were left out, each once.
pub(super) fn lower(schema: &Value) -> (Value, Vec<String>) {
    let mut left_out = Vec::new();
    let lowered = any(schema, &mut left_out);
    (lowered, left_out)
}

fn any(schema: &Value, left_out: &mut Vec<String>) -> Value {
    match schema {
        Value::Object(object) => Value::Object(of_object(object, left_out)),
        Value::Bool(true) => json!({}),
        _ => {
            leave_out(left_out, "false");
            json!({})
        }
    }
}

fn list(schemas: &Value, left_out: &mut Vec<String>) -> Value {
    schemas.as_array().into_iter().flatten().map(|schema| any(schema, left_out)).collect()
}

fn map(schemas: &Value, left_out: &mut Vec<String>) -> Value {
    let entries = schemas.as_object().into_iter().flatten();
    Value::Object(entries.map(|(name, schema)| (name.clone(), any(schema, left_out))).collect())
}

fn of_object(schema: &Map<String, Value>, left_out: &mut Vec<String>) -> Map<String, Value> {
    let mut out = Map::new();
    for (keyword, value) in schema {
        match keyword.as_str() {
            "$schema" | "$comment" => {}
            "$defs" | "definitions" => {
                out.insert("$defs".to_owned(), map(value, left_out));
            }
            "$ref" => {
                let target = value.as_str().unwrap_or_default().replace("#/definitions/", "#/$defs/");
                out.insert("$ref".to_owned(), target.into());
            }
            "properties" => {
                out.insert(keyword.clone(), map(value, left_out));
            }
            "items" if value.is_array() => {
                out.insert("prefixItems".to_owned(), list(value, left_out));
            }
            "items" => {
                out.insert(keyword.clone(), any(value, left_out));
            }
            "additionalProperties" if value.is_boolean() => {
                out.insert(keyword.clone(), value.clone());
            }
            "additionalProperties" => {
                out.insert(keyword.clone(), any(value, left_out));
            }
            "prefixItems" | "anyOf" => {
                out.insert(keyword.clone(), list(value, left_out));
            }
            // Read as `anyOf` by Gemini.
            "oneOf" => {
                out.insert("anyOf".to_owned(), list(value, left_out));
            }
            "allOf" => all_of(value, &mut out, left_out),
            "enum" => choices(value.as_array().map_or(&[], Vec::as_slice), keyword, &mut out, left_out),
            "const" => choices(std::slice::from_ref(value), keyword, &mut out, left_out),
            "nullable" => {
                if value == true {
                    nullable(schema, &mut out);
                }
            }
            "exclusiveMinimum" | "exclusiveMaximum" => exclusive(schema, keyword, value, &mut out, left_out),
            plain if PLAIN.contains(&plain) => {
                // `nullable` and exclusive bounds may have set it already, to the narrower value.
                out.entry(keyword.clone()).or_insert_with(|| value.clone());
            }
            other => leave_out(left_out, other),
        }
    }
    // A reference stands alone, or Gemini refuses it.
    if out.contains_key("$ref") && out.keys().any(|keyword| !keyword.starts_with('$')) {
        let reference = out.remove("$ref").unwrap_or_default();
        if out.contains_key("anyOf") {
            leave_out(left_out, "$ref");
        } else {
            out.insert("anyOf".to_owned(), json!([{ "$ref": reference }]));
        }
    }
    out
}

/// One schema is the same as itself. Several are joined where they do not speak of the same keyword.
fn all_of(value: &Value, out: &mut Map<String, Value>, left_out: &mut Vec<String>) {
    for schema in value.as_array().into_iter().flatten() {
        let Value::Object(lowered) = any(schema, left_out) else { continue };
        for (keyword, value) in lowered {
            match (out.get_mut(&keyword), value) {
                (None, value) => {
                    out.insert(keyword, value);
                }
                (Some(Value::Object(known)), Value::Object(more)) if keyword == "properties" => known.extend(more),
                (Some(Value::Array(known)), Value::Array(more)) if keyword == "required" => known.extend(more),
                (Some(known), value) if *known == value => {}
                _ => leave_out(left_out, "allOf"),
            }
        }
    }
}

/// Only texts and numbers can be chosen from.
fn choices(values: &[Value], keyword: &str, out: &mut Map<String, Value>, left_out: &mut Vec<String>) {
    if values.iter().all(|value| value.is_string() || value.is_number()) && !values.is_empty() {
        out.insert("enum".to_owned(), values.into());
    } else {
        leave_out(left_out, keyword);
    }
}

fn nullable(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    if let Some(Value::String(kind)) = schema.get("type") {
        out.insert("type".to_owned(), json!([kind, "null"]));
    }
}

/// A bound of whole numbers is moved by one; another becomes its inclusive neighbour, which is wider.
fn exclusive(
    schema: &Map<String, Value>,
    keyword: &str,
    value: &Value,
    out: &mut Map<String, Value>,
    left_out: &mut Vec<String>,
) {
    let (name, step) = if keyword == "exclusiveMinimum" { ("minimum", 1) } else { ("maximum", -1) };
    let whole = schema.get("type").is_some_and(|kind| kind == "integer");
    match value.as_i64().filter(|_| whole).and_then(|bound| bound.checked_add(step)) {
        Some(bound) if !schema.contains_key(name) => {
            out.insert(name.to_owned(), bound.into());
        }
        _ => {
            if value.is_number() && !schema.contains_key(name) {
                out.insert(name.to_owned(), value.clone());
            }
            leave_out(left_out, keyword);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, wanted: Value, left_out: &[&str]) {
        let (lowered, named) = lower(&schema);
        assert_eq!(lowered, wanted);
        assert_eq!(named, left_out);
    }

    #[test]
    fn trap_14_what_gemini_takes_goes_as_it_is_in_its_order() {
        let schema = json!({"type": "object", "properties": {"z": {"type": "string", "description": "Last first"},
            "a": {"type": ["integer", "null"], "minimum": 1}}, "required": ["z"], "additionalProperties": false});
        let (lowered, left_out) = lower(&schema);
        assert_eq!(lowered.to_string(), schema.to_string());
        assert!(left_out.is_empty());
    }

    #[test]
    fn trap_14_what_can_be_said_otherwise_is() {
        check(json!({"const": "x"}), json!({"enum": ["x"]}), &[]);
        check(
            json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}),
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
            &[],
        );
        check(json!({"oneOf": [{"type": "string"}]}), json!({"anyOf": [{"type": "string"}]}), &[]);
        check(json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]}), &[]);
        check(json!({"nullable": true, "type": "string"}), json!({"type": ["string", "null"]}), &[]);
        check(
            json!({"allOf": [{"type": "object", "properties": {"a": true}}, {"properties": {"b": {}}}]}),
            json!({"type": "object", "properties": {"a": {}, "b": {}}}),
            &[],
        );
        check(
            json!({"$schema": "x", "definitions": {"P": {"type": "string"}}, "$ref": "#/definitions/P", "title": "T"}),
            json!({"$defs": {"P": {"type": "string"}}, "title": "T", "anyOf": [{"$ref": "#/$defs/P"}]}),
            &[],
        );
        check(
            json!({"properties": {"p": {"$ref": "#/$defs/P", "description": "d"}, "q": {"$ref": "#/$defs/P"}}}),
            json!({"properties": {"p": {"description": "d", "anyOf": [{"$ref": "#/$defs/P"}]}, "q": {"$ref": "#/$defs/P"}}}),
            &[],
        );
    }

    #[test]
    fn trap_14_what_cannot_is_named_once() {
        check(
            json!({"type": "object", "patternProperties": {}, "properties": {
                "a": {"type": "string", "pattern": "x", "minLength": 1}, "b": {"type": "string", "pattern": "y"}}}),
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
            &["patternProperties", "pattern", "minLength"],
        );
        check(json!({"enum": [true, "x"]}), json!({}), &["enum"]);
        check(
            json!({"type": "number", "exclusiveMinimum": 0.5}),
            json!({"type": "number", "minimum": 0.5}),
            &["exclusiveMinimum"],
        );
        check(json!({"items": false}), json!({"items": {}}), &["false"]);
        check(json!({"allOf": [{"minimum": 1}, {"minimum": 2}]}), json!({"minimum": 1}), &["allOf"]);
    }
}
