//! `unevaluatedProperties` and `unevaluatedItems`: what no keyword beside them, nor a schema that they refer to and that
//! holds, has said anything of.

use super::check::{All, Checker, Fault, KNOWN_LATER, Outcome, at, breach};
use serde_json::{Map, Value};

impl<'a> Checker<'a> {
    /// Holds what is left of an object or a list against the schema of the keyword.
    pub(super) fn unevaluated(&mut self, keywords: &'a Map<String, Value>, keyword: &'a str, value: &Value) -> Outcome {
        let Some(schema) = keywords.get(keyword) else { return Ok(()) };
        let count = match (keyword, value) {
            ("unevaluatedProperties", Value::Object(object)) => object.len(),
            ("unevaluatedItems", Value::Array(list)) => list.len(),
            _ => return Ok(()),
        };
        // Before anything is made of that length.
        self.spend(count)?;
        let mut seen = vec![false; count];
        self.evaluate(keywords, value, &mut seen, Level::Own)?;
        let mut all = All::default();
        let mut hold = |value| match schema {
            Value::Bool(false) => breach(keyword),
            schema => self.schema(schema, value),
        };
        // A name is written out only where it is told.
        match value {
            Value::Object(object) => {
                for ((name, value), _) in object.iter().zip(seen).filter(|(_, seen)| !seen) {
                    all.add(at(hold(value), name))?;
                }
            }
            Value::Array(list) => {
                for ((i, value), _) in list.iter().enumerate().zip(seen).filter(|(_, seen)| !seen) {
                    all.add(at(hold(value), i))?;
                }
            }
            _ => {}
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
                ("$dynamicRef" | "$recursiveRef", _) => return Err(Fault::Unknown(KNOWN_LATER)),
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
                for (seen, name) in seen.iter_mut().zip(object.keys()) {
                    self.spend_on(name)?;
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
            // In the older drafts' `dependencies` a list says what is required, and nothing of what is there.
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                for (name, schema) in schemas {
                    self.spend_on(name)?;
                    if object.contains_key(name) {
                        self.mark(schema, value, seen)?;
                    }
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
