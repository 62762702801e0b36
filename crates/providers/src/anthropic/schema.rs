//! A JSON Schema in the keywords that Anthropic holds an answer to.
//!
//! It refuses bounds of numbers, texts and lists, objects that are open, and schemas that refer to themselves
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, "JSON Schema limitations").
//! What it refuses is told in the description instead, where the model may heed it, and named for a warning; the
//! answer is then held against the schema as it was given.

use crate::encode::leave_out;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Levels of a schema that are followed, references among them. A body of JSON has at most 128 itself.
const MOST_LEVELS: usize = 256;

/// The lowered schema, and the keywords that were left out, each once. None if it refers to itself or to what is
/// not in it, or has no end within its levels.
pub(super) fn lower(schema: &Value) -> Option<(Value, Vec<String>)> {
    if !Finite::new(schema).schema(schema, 0) {
        return None;
    }
    let mut left_out = Vec::new();
    let lowered = any(schema, &mut left_out);
    Some((lowered, left_out))
}

/// Whether what a schema refers to is there, and comes to an end. Each place is looked at once.
struct Finite<'a> {
    root: &'a Value,
    /// The places that are being looked at.
    open: Vec<&'a str>,
    known: HashSet<&'a str>,
}

impl<'a> Finite<'a> {
    fn new(root: &'a Value) -> Self {
        Self { root, open: vec!["#"], known: HashSet::new() }
    }

    fn schema(&mut self, schema: &'a Value, level: usize) -> bool {
        if level >= MOST_LEVELS {
            return false;
        }
        match schema {
            Value::Object(object) => object.iter().all(|(keyword, value)| match (keyword.as_str(), value) {
                ("$ref", Value::String(place)) => self.reference(place, level + 1),
                // Texts and values, no schemas.
                ("enum" | "const" | "default" | "examples", _) => true,
                // Names, which may be those of keywords.
                ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(named)) => {
                    named.values().all(|schema| self.schema(schema, level + 1))
                }
                (_, value) => self.schema(value, level + 1),
            }),
            Value::Array(list) => list.iter().all(|value| self.schema(value, level + 1)),
            _ => true,
        }
    }

    fn reference(&mut self, place: &'a str, level: usize) -> bool {
        if self.open.contains(&place) {
            return false;
        }
        if self.known.contains(place) {
            return true;
        }
        let Some(target) = place.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else {
            return false;
        };
        self.open.push(place);
        let finite = self.schema(target, level);
        self.known.extend(self.open.pop());
        finite
    }
}

fn any(schema: &Value, left_out: &mut Vec<String>) -> Value {
    match schema {
        Value::Object(object) => Value::Object(of_object(object, left_out)),
        other => other.clone(),
    }
}

fn list(schemas: &[Value], left_out: &mut Vec<String>) -> Value {
    schemas.iter().map(|schema| any(schema, left_out)).collect()
}

fn map(schemas: &Map<String, Value>, left_out: &mut Vec<String>) -> Value {
    Value::Object(schemas.iter().map(|(name, schema)| (name.clone(), any(schema, left_out))).collect())
}

fn of_object(schema: &Map<String, Value>, left_out: &mut Vec<String>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut told = Map::new();
    for (keyword, value) in schema {
        let taken = match (keyword.as_str(), value) {
            ("$schema" | "$comment" | "$id", _) => continue,
            ("nullable", _) => {
                if value == true
                    && let Some(Value::String(kind)) = schema.get("type")
                {
                    out.insert("type".to_owned(), json!([kind, "null"]));
                }
                continue;
            }
            ("type", _) => {
                out.entry("type").or_insert_with(|| value.clone());
                continue;
            }
            ("$ref" | "title" | "description" | "required" | "default", _) => Some(value.clone()),
            ("enum", Value::Array(choices)) if choices.iter().all(is_plain) => Some(value.clone()),
            ("const", value) if is_plain(value) => Some(value.clone()),
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => Some(map(schemas, left_out)),
            ("items", Value::Object(_)) => Some(any(value, left_out)),
            ("anyOf" | "allOf", Value::Array(schemas)) => Some(list(schemas, left_out)),
            // Of one, it is the other; of several it is the wider.
            ("oneOf", Value::Array(schemas)) if !schema.contains_key("anyOf") => {
                out.insert("anyOf".to_owned(), list(schemas, left_out));
                continue;
            }
            ("additionalProperties", Value::Bool(false)) => Some(value.clone()),
            ("minItems", Value::Number(least)) if matches!(least.as_u64(), Some(0 | 1)) => Some(value.clone()),
            ("format", Value::String(format)) if FORMATS.contains(&format.as_str()) => Some(value.clone()),
            ("pattern", Value::String(pattern)) if !looks_around(pattern) => Some(value.clone()),
            _ => None,
        };
        match taken {
            Some(taken) => {
                out.insert(keyword.clone(), taken);
            }
            None => {
                leave_out(left_out, keyword);
                told.insert(keyword.clone(), value.clone());
            }
        }
    }
    // An object that is not said to be closed is refused.
    if out.get("type").is_some_and(is_object) && !out.contains_key("additionalProperties") {
        out.insert("additionalProperties".to_owned(), false.into());
    }
    if !told.is_empty() {
        let told = Value::Object(told).to_string();
        let text = match out.get("description").and_then(Value::as_str) {
            Some(description) => format!("{description}\n\n{told}"),
            None => told,
        };
        out.insert("description".to_owned(), text.into());
    }
    out
}

fn is_plain(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn is_object(kind: &Value) -> bool {
    kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

/// Anthropic's grammars have no look-around, no back-references and no word boundaries.
fn looks_around(pattern: &str) -> bool {
    let refers = |pair: &[u8]| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9' | b'b' | b'B' | b'k');
    ["(?=", "(?!", "(?<"].iter().any(|group| pattern.contains(group)) || pattern.as_bytes().windows(2).any(refers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, wanted: Value, left_out: &[&str]) {
        let (lowered, named) = lower(&schema).unwrap();
        assert_eq!(lowered.to_string(), wanted.to_string());
        assert_eq!(named, left_out);
    }

    #[test]
    fn trap_14_what_anthropic_takes_goes_as_it_is_in_its_order() {
        let schema = json!({"type": "object", "properties": {"z": {"type": "string", "format": "date"},
            "a": {"type": ["integer", "null"]}, "l": {"type": "array", "items": {"$ref": "#/$defs/P"}, "minItems": 1}},
            "required": ["z"], "additionalProperties": false, "$defs": {"P": {"enum": ["x", 1, null]}}});
        check(schema.clone(), schema, &[]);
    }

    #[test]
    fn trap_14_what_anthropic_refuses_is_told_in_words_and_named_once() {
        check(
            json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many"},
                   "m": {"type": "number", "minimum": 2, "format": "money"}}}),
            json!({"type": "object", "properties": {
                "n": {"type": "integer", "description": "How many\n\n{\"minimum\":1}"},
                "m": {"type": "number", "description": "{\"minimum\":2,\"format\":\"money\"}"}},
                "additionalProperties": false}),
            &["minimum", "format"],
        );
        check(
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "additionalProperties": false,
                   "description": "{\"additionalProperties\":{\"type\":\"string\"}}"}),
            &["additionalProperties"],
        );
        check(
            json!({"oneOf": [{"type": "string", "nullable": true, "pattern": "^\\d$"}, {"type": "string", "pattern": "(?=a)"}]}),
            json!({"anyOf": [{"type": ["string", "null"], "pattern": "^\\d$"},
                   {"type": "string", "description": "{\"pattern\":\"(?=a)\"}"}]}),
            &["pattern"],
        );
    }

    #[test]
    fn trap_14_a_schema_without_an_end_is_not_sent_to_anthropic() {
        for endless in [
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"$ref": "https://example.org/s"}),
            // A property of a keyword's name is a schema all the same.
            json!({"type": "object", "properties": {"default": {"$ref": "#"}}}),
            // One place after the other, more of them than the stack could take.
            json!({"$ref": "#/$defs/0", "$defs": chain(50_000)}),
        ] {
            assert_eq!(lower(&endless), None);
        }
        let twice = json!({"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "null"}},
                           "default": {"$ref": "#"}});
        assert!(lower(&twice).is_some());
        assert!(lower(&json!({"$ref": "#/$defs/0", "$defs": chain(100)})).is_some());
    }

    fn chain(length: usize) -> Value {
        let link = |n: usize| (n.to_string(), json!({"$ref": format!("#/$defs/{}", n + 1)}));
        (0..length).map(link).chain([(length.to_string(), json!({"type": "null"}))]).collect()
    }

    #[test]
    fn a_schema_of_many_keywords_has_some_of_them_named() {
        let many: Value = (0..200_000).map(|n| (format!("k{n}"), Value::Null)).collect();
        assert_eq!(lower(&many).unwrap().1.len(), 32);
    }
}
