//! `unevaluatedProperties` and `unevaluatedItems`: what no keyword beside them, nor a schema that they refer to and that
//! holds, has said anything of.

use super::check::{All, Checker, Fault, Outcome, at, breach};
use serde_json::{Map, Value};

impl<'a> Checker<'a> {
    /// Holds what is left of an object or a list against the schema of the keyword.
    pub(super) fn unevaluated(&mut self, keywords: &'a Map<String, Value>, keyword: &'a str, value: &Value) -> Outcome {
        let Some(schema) = keywords.get(keyword) else { return Ok(()) };
        let names: Vec<String> = match (keyword, value) {
            ("unevaluatedProperties", Value::Object(object)) => object.keys().cloned().collect(),
            ("unevaluatedItems", Value::Array(list)) => (0..list.len()).map(|i| i.to_string()).collect(),
            _ => return Ok(()),
        };
        self.spend(names.len())?;
        let mut seen = vec![false; names.len()];
        self.evaluate(keywords, value, &mut seen, Level::Own)?;
        let mut all = All::default();
        for ((name, value), _) in names.iter().zip(children(value)).zip(seen).filter(|(_, seen)| !seen) {
            let outcome = match schema {
                Value::Bool(false) => breach(keyword),
                schema => self.schema(schema, value),
            };
            all.add(at(outcome, name))?;
        }
        all.end()
    }

    /// Marks what a schema that holds says something of.
    fn mark(&mut self, schema: &'a Value, value: &Value, seen: &mut [bool]) -> Outcome {
        let Value::Object(keywords) = schema else { return Ok(()) };
        self.deeper(|checker| checker.evaluate(keywords, value, seen, Level::Within))
    }

    /// The same, if it holds.
    fn mark_if(&mut self, schema: &'a Value, value: &Value, seen: &mut [bool]) -> Result<bool, Fault> {
        match self.schema(schema, value) {
            Ok(()) => self.mark(schema, value, seen).map(|()| true),
            Err(Fault::Breach(_)) => Ok(false),
            Err(unknown) => Err(unknown),
        }
    }

    fn evaluate(
        &mut self,
        keywords: &'a Map<String, Value>,
        value: &Value,
        seen: &mut [bool],
        level: Level,
    ) -> Outcome {
        for (keyword, wanted) in keywords {
            self.spend(1)?;
            match (keyword.as_str(), wanted) {
                ("$ref", Value::String(reference)) => {
                    let schema = self.resolve(reference)?;
                    self.mark(schema, value, seen)?;
                }
                ("allOf", Value::Array(schemas)) => {
                    for schema in schemas {
                        self.mark(schema, value, seen)?;
                    }
                }
                ("anyOf" | "oneOf", Value::Array(schemas)) => {
                    for schema in schemas {
                        self.mark_if(schema, value, seen)?;
                    }
                }
                ("if", schema) => {
                    let branch = if self.mark_if(schema, value, seen)? { "then" } else { "else" };
                    if let Some(schema) = keywords.get(branch) {
                        self.mark(schema, value, seen)?;
                    }
                }
                (keyword, wanted) => match value {
                    Value::Object(object) => self.of_names(keyword, wanted, value, object, seen, level)?,
                    Value::Array(list) => self.of_items(keyword, wanted, list, seen, level)?,
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn of_names(
        &mut self,
        keyword: &'a str,
        wanted: &'a Value,
        value: &Value,
        object: &Map<String, Value>,
        seen: &mut [bool],
        level: Level,
    ) -> Outcome {
        match (keyword, wanted) {
            ("properties", Value::Object(schemas)) => {
                self.spend(object.len())?;
                for (seen, name) in seen.iter_mut().zip(object.keys()) {
                    *seen |= schemas.contains_key(name);
                }
            }
            ("patternProperties", Value::Object(schemas)) => {
                for pattern in schemas.keys() {
                    for (seen, name) in seen.iter_mut().zip(object.keys()) {
                        self.spend(1)?;
                        *seen |= self.matches(pattern, name)?;
                    }
                }
            }
            ("additionalProperties", _) => seen.fill(true),
            ("unevaluatedProperties", _) if level == Level::Within => seen.fill(true),
            ("dependentSchemas", Value::Object(schemas)) => {
                for (_, schema) in schemas.iter().filter(|(name, _)| object.contains_key(*name)) {
                    self.mark(schema, value, seen)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn of_items(
        &mut self,
        keyword: &str,
        wanted: &'a Value,
        list: &[Value],
        seen: &mut [bool],
        level: Level,
    ) -> Outcome {
        match (keyword, wanted) {
            // The older drafts' `items` is the newer one's `prefixItems`.
            ("prefixItems" | "items", Value::Array(schemas)) => {
                seen.iter_mut().take(schemas.len()).for_each(|seen| *seen = true);
            }
            ("items" | "additionalItems", _) => seen.fill(true),
            ("unevaluatedItems", _) if level == Level::Within => seen.fill(true),
            ("contains", schema) => {
                for (seen, value) in seen.iter_mut().zip(list) {
                    match self.schema(schema, value) {
                        Ok(()) => *seen = true,
                        Err(Fault::Breach(_)) => {}
                        unknown => return unknown,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a schema has the keyword itself, or is one that such a schema refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Own,
    Within,
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    }
}
