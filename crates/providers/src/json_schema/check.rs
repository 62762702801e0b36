//! The keywords, one by one.

use super::{Breach, pattern};
use regex::Regex;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// Each look at a place of the answer by a schema is a step, and so is each comparison.
const MOST_STEPS: u32 = 200_000;
/// Levels of schemas within schemas, references followed among them. An answer has at most 128 itself.
const MOST_LEVELS: u32 = 256;
/// What a pattern to be compiled counts for, and each byte that it reads: it may be in a thousand states at once.
const STEPS_OF_A_PATTERN: usize = 4_000;
const STEPS_OF_A_BYTE: usize = 4;
/// So many bytes are copied or compared in a step.
const BYTES_OF_A_STEP: usize = 16;
/// Of a path that is told, in characters.
const LONGEST_PATH: usize = 200;

const TOO_LONG: &str = "the schema takes too long to check";
const TOO_DEEP: &str = "the schema is too deep, or refers to itself without an end";
pub(super) const KNOWN_LATER: &str = "it refers to what is known only later";
const FOREIGN: &str = "the schema refers to what is not in it";

/// What was found, the path from its end to its beginning.
#[derive(Debug)]
pub(super) struct Found {
    keyword: String,
    path: Vec<String>,
}

impl Found {
    pub(super) fn tell(self) -> Breach {
        let mut path = String::new();
        for name in self.path.iter().rev() {
            path.push('/');
            path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        }
        if let Some((end, _)) = path.char_indices().nth(LONGEST_PATH) {
            path.truncate(end);
            path.push('…');
        }
        Breach { path, keyword: self.keyword }
    }
}

#[derive(Debug)]
pub(super) enum Fault {
    Breach(Box<Found>),
    Unknown(&'static str),
}

pub(super) type Outcome = Result<(), Fault>;

pub(super) fn breach(keyword: &str) -> Outcome {
    Err(Fault::Breach(Box::new(Found { keyword: keyword.to_owned(), path: Vec::new() })))
}

fn hold(kept: bool, keyword: &str) -> Outcome {
    if kept { Ok(()) } else { breach(keyword) }
}

/// A breach within is one at this place.
pub(super) fn at(outcome: Outcome, name: impl ToString) -> Outcome {
    outcome.map_err(|fault| match fault {
        Fault::Breach(mut found) => {
            found.path.push(name.to_string());
            Fault::Breach(found)
        }
        unknown @ Fault::Unknown(_) => unknown,
    })
}

/// All must hold: the first breach is one of the whole, whatever of the rest is unknown.
#[derive(Default)]
pub(super) struct All(Option<&'static str>);

impl All {
    pub(super) fn add(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(Fault::Unknown(why)) => {
                self.0.get_or_insert(why);
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn end(self) -> Outcome {
        self.0.map_or(Ok(()), |why| Err(Fault::Unknown(why)))
    }
}

pub(super) struct Checker<'a> {
    root: &'a Value,
    steps: u32,
    level: u32,
    patterns: HashMap<&'a str, Option<Regex>>,
    /// Places of the schema by their names; none for a name that two have. Found when they are first asked for.
    anchors: Option<HashMap<&'a str, Option<&'a Value>>>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, steps: 0, level: 0, patterns: HashMap::new(), anchors: None }
    }

    pub(super) fn check(&mut self, value: &Value) -> Outcome {
        self.schema(self.root, value)
    }

    pub(super) fn spend(&mut self, steps: usize) -> Outcome {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        if self.steps > MOST_STEPS { Err(Fault::Unknown(TOO_LONG)) } else { Ok(()) }
    }

    pub(super) fn spend_on(&mut self, text: &str) -> Outcome {
        self.spend(1 + text.len() / BYTES_OF_A_STEP)
    }

    pub(super) fn schema(&mut self, schema: &'a Value, value: &Value) -> Outcome {
        self.spend(1)?;
        let Value::Object(keywords) = schema else { return hold(schema != &Value::Bool(false), "false") };
        self.deeper(|checker| checker.keywords(keywords, value))
    }

    /// One level deeper, if there is another.
    pub(super) fn deeper(&mut self, look: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        if self.level >= MOST_LEVELS {
            return Err(Fault::Unknown(TOO_DEEP));
        }
        self.level += 1;
        let outcome = look(self);
        self.level -= 1;
        outcome
    }

    fn keywords(&mut self, keywords: &'a Map<String, Value>, value: &Value) -> Outcome {
        let mut all = All::default();
        for (keyword, wanted) in keywords {
            self.spend(1)?;
            let outcome = match value {
                Value::Object(object) => self.of_object(keywords, keyword, wanted, object),
                Value::Array(list) => self.of_array(keywords, keyword, wanted, list),
                Value::String(text) => self.of_text(keyword, wanted, text),
                Value::Number(number) => of_number(keyword, wanted, number),
                Value::Null | Value::Bool(_) => None,
            };
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => self.of_any(keywords, keyword, wanted, value),
            };
            all.add(outcome)?;
        }
        // What the others have left.
        for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
            let outcome = self.unevaluated(keywords, keyword, value);
            all.add(outcome)?;
        }
        all.end()
    }

    fn of_any(
        &mut self,
        keywords: &'a Map<String, Value>,
        keyword: &'a str,
        wanted: &'a Value,
        value: &Value,
    ) -> Outcome {
        match (keyword, wanted) {
            // OpenAPI's way to say it.
            ("type" | "enum", _) if value.is_null() && keywords.get("nullable") == Some(&Value::Bool(true)) => Ok(()),
            ("type", Value::String(kind)) => hold(is_of_type(value, kind), keyword),
            ("type", Value::Array(kinds)) => {
                self.spend(kinds.len())?;
                hold(kinds.iter().filter_map(Value::as_str).any(|kind| is_of_type(value, kind)), keyword)
            }
            ("enum", Value::Array(choices)) => {
                for choice in choices {
                    if self.same(choice, value)? {
                        return Ok(());
                    }
                }
                breach(keyword)
            }
            ("const", wanted) => hold(self.same(wanted, value)?, keyword),
            ("$ref", Value::String(reference)) => {
                let schema = self.resolve(reference)?;
                self.schema(schema, value)
            }
            ("dependentRequired" | "dependentSchemas" | "dependencies", Value::Object(dependencies)) => {
                self.dependent(keyword, dependencies, value)
            }
            ("$dynamicRef" | "$recursiveRef", _) => Err(Fault::Unknown(KNOWN_LATER)),
            ("allOf", Value::Array(schemas)) => {
                let mut all = All::default();
                for schema in schemas {
                    let outcome = self.schema(schema, value);
                    all.add(outcome)?;
                }
                all.end()
            }
            ("anyOf", Value::Array(schemas)) => self.one_of(schemas, value, usize::MAX, keyword),
            ("oneOf", Value::Array(schemas)) => self.one_of(schemas, value, 1, keyword),
            ("not", schema) => match self.schema(schema, value) {
                Ok(()) => breach(keyword),
                Err(Fault::Breach(_)) => Ok(()),
                unknown => unknown,
            },
            ("if", schema) => {
                let branch = match self.schema(schema, value) {
                    Ok(()) => keywords.get("then"),
                    Err(Fault::Breach(_)) => keywords.get("else"),
                    unknown => return unknown,
                };
                branch.map_or(Ok(()), |branch| self.schema(branch, value))
            }
            _ => Ok(()),
        }
    }

    /// At least one of the schemas holds, and at most so many.
    fn one_of(&mut self, schemas: &'a [Value], value: &Value, most: usize, keyword: &str) -> Outcome {
        let (mut held, mut unknown) = (0, None);
        for schema in schemas {
            match self.schema(schema, value) {
                Ok(()) => held += 1,
                Err(Fault::Breach(_)) => {}
                Err(Fault::Unknown(why)) => unknown = Some(why),
            }
            if held > most {
                return breach(keyword);
            }
            if held > 0 && most > schemas.len() {
                return Ok(());
            }
        }
        match unknown {
            Some(why) => Err(Fault::Unknown(why)),
            None => hold(held > 0, keyword),
        }
    }

    /// None: the keyword says nothing of objects alone.
    fn of_object(
        &mut self,
        keywords: &'a Map<String, Value>,
        keyword: &'a str,
        wanted: &'a Value,
        object: &Map<String, Value>,
    ) -> Option<Outcome> {
        Some(match (keyword, wanted) {
            ("properties", Value::Object(schemas)) => self.named(schemas, object),
            ("patternProperties", Value::Object(schemas)) => self.patterned(schemas, object),
            ("additionalProperties", schema) => self.additional(keywords, schema, object),
            ("propertyNames", schema) => self.names(schema, object),
            ("required", Value::Array(names)) => self.required(names, object, keyword),
            ("minProperties", _) => at_least(object.len(), wanted, keyword),
            ("maxProperties", _) => at_most(object.len(), wanted, keyword),
            _ => return None,
        })
    }

    fn names(&mut self, schema: &'a Value, object: &Map<String, Value>) -> Outcome {
        let mut all = All::default();
        for name in object.keys() {
            self.spend_on(name)?;
            let outcome = at(self.schema(schema, &Value::from(name.as_str())), name);
            all.add(outcome)?;
        }
        all.end()
    }

    fn named(&mut self, schemas: &'a Map<String, Value>, object: &Map<String, Value>) -> Outcome {
        let mut all = All::default();
        for (name, schema) in schemas {
            self.spend_on(name)?;
            if let Some(value) = object.get(name) {
                let outcome = at(self.schema(schema, value), name);
                all.add(outcome)?;
            }
        }
        all.end()
    }

    fn patterned(&mut self, schemas: &'a Map<String, Value>, object: &Map<String, Value>) -> Outcome {
        let mut all = All::default();
        for (pattern, schema) in schemas {
            for (name, value) in object {
                self.spend(1)?;
                let outcome = match self.matches(pattern, name) {
                    Ok(true) => at(self.schema(schema, value), name),
                    Ok(false) => Ok(()),
                    Err(fault) => Err(fault),
                };
                all.add(outcome)?;
            }
        }
        all.end()
    }

    fn additional(
        &mut self,
        keywords: &'a Map<String, Value>,
        schema: &'a Value,
        object: &Map<String, Value>,
    ) -> Outcome {
        if schema == &Value::Bool(true) {
            return Ok(());
        }
        let named = keywords.get("properties").and_then(Value::as_object);
        let patterns = keywords.get("patternProperties").and_then(Value::as_object);
        let mut all = All::default();
        for (name, value) in object {
            self.spend_on(name)?;
            if named.is_some_and(|named| named.contains_key(name)) {
                continue;
            }
            let mut known = Ok(false);
            for pattern in patterns.into_iter().flat_map(Map::keys) {
                match self.matches(pattern, name) {
                    Ok(false) => {}
                    other => known = other,
                }
            }
            let outcome = match known {
                Ok(true) => Ok(()),
                Ok(false) if schema == &Value::Bool(false) => at(breach("additionalProperties"), name),
                Ok(false) => at(self.schema(schema, value), name),
                Err(fault) => Err(fault),
            };
            all.add(outcome)?;
        }
        all.end()
    }

    fn dependent(&mut self, keyword: &str, dependencies: &'a Map<String, Value>, value: &Value) -> Outcome {
        let Value::Object(object) = value else { return Ok(()) };
        let mut all = All::default();
        for (name, wanted) in dependencies {
            self.spend_on(name)?;
            if !object.contains_key(name) {
                continue;
            }
            let outcome = match wanted {
                Value::Array(names) => self.required(names, object, keyword),
                schema => self.schema(schema, value),
            };
            all.add(outcome)?;
        }
        all.end()
    }

    fn required(&mut self, names: &[Value], object: &Map<String, Value>, keyword: &str) -> Outcome {
        for name in names.iter().filter_map(Value::as_str) {
            self.spend_on(name)?;
            hold(object.contains_key(name), keyword)?;
        }
        Ok(())
    }

    fn of_array(
        &mut self,
        keywords: &'a Map<String, Value>,
        keyword: &'a str,
        wanted: &'a Value,
        list: &[Value],
    ) -> Option<Outcome> {
        Some(match (keyword, wanted) {
            // The older drafts' `items` is the newer one's `prefixItems`.
            ("prefixItems" | "items", Value::Array(schemas)) => {
                let mut all = All::default();
                for (i, (schema, value)) in schemas.iter().zip(list).enumerate() {
                    let outcome = at(self.schema(schema, value), i);
                    if let broken @ Err(_) = all.add(outcome) {
                        return Some(broken);
                    }
                }
                all.end()
            }
            ("items" | "additionalItems", schema) => {
                let first = if keyword == "items" { "prefixItems" } else { "items" };
                let skipped = match (keywords.get(first), keyword) {
                    (Some(Value::Array(first)), _) => first.len(),
                    (_, "items") => 0,
                    _ => return Some(Ok(())),
                };
                let mut all = All::default();
                for (i, value) in list.iter().enumerate().skip(skipped) {
                    let outcome = at(self.schema(schema, value), i);
                    if let broken @ Err(_) = all.add(outcome) {
                        return Some(broken);
                    }
                }
                all.end()
            }
            ("minItems", _) => at_least(list.len(), wanted, keyword),
            ("maxItems", _) => at_most(list.len(), wanted, keyword),
            ("uniqueItems", Value::Bool(true)) => self.unique(list),
            ("contains", schema) => self.contains(keywords, schema, list),
            _ => return None,
        })
    }

    fn unique(&mut self, list: &[Value]) -> Outcome {
        for (i, value) in list.iter().enumerate() {
            for other in &list[..i] {
                if self.same(other, value)? {
                    return at(breach("uniqueItems"), i);
                }
            }
        }
        Ok(())
    }

    fn contains(&mut self, keywords: &Map<String, Value>, schema: &'a Value, list: &[Value]) -> Outcome {
        let mut held = 0;
        for value in list {
            match self.schema(schema, value) {
                Ok(()) => held += 1,
                Err(Fault::Breach(_)) => {}
                unknown => return unknown,
            }
        }
        match keywords.get("minContains") {
            Some(least) => at_least(held, least, "minContains")?,
            None => hold(held > 0, "contains")?,
        }
        keywords.get("maxContains").map_or(Ok(()), |most| at_most(held, most, "maxContains"))
    }

    fn of_text(&mut self, keyword: &'a str, wanted: &'a Value, text: &str) -> Option<Outcome> {
        Some(match (keyword, wanted) {
            ("minLength", _) => self.spend_on(text).and_then(|()| at_least(text.chars().count(), wanted, keyword)),
            ("maxLength", _) => self.spend_on(text).and_then(|()| at_most(text.chars().count(), wanted, keyword)),
            ("pattern", Value::String(pattern)) => {
                self.matches(pattern, text).and_then(|matches| hold(matches, keyword))
            }
            _ => return None,
        })
    }

    pub(super) fn matches(&mut self, pattern: &'a str, text: &str) -> Result<bool, Fault> {
        self.spend(text.len().saturating_mul(STEPS_OF_A_BYTE))?;
        if !self.patterns.contains_key(pattern) {
            self.spend(STEPS_OF_A_PATTERN)?;
        }
        let compiled = self.patterns.entry(pattern).or_insert_with(|| pattern::compile(pattern));
        compiled.as_ref().map(|pattern| pattern.is_match(text)).ok_or(Fault::Unknown("a `pattern` of it is not read"))
    }

    /// Whether two values are the same in JSON, where 1 and 1.0 are.
    fn same(&mut self, a: &Value, b: &Value) -> Result<bool, Fault> {
        self.spend(1)?;
        Ok(match (a, b) {
            (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && is_float(a, b),
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b) {
                    if !self.same(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(a), Value::Object(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (name, a) in a {
                    self.spend_on(name)?;
                    let Some(b) = b.get(name) else { return Ok(false) };
                    if !self.same(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::String(a), Value::String(b)) => {
                self.spend(a.len().min(b.len()) / BYTES_OF_A_STEP)?;
                a == b
            }
            (a, b) => a == b,
        })
    }

    /// A place within the schema: `#`, `#/$defs/Town`, or the name of an anchor, as `#town`.
    pub(super) fn resolve(&mut self, reference: &str) -> Result<&'a Value, Fault> {
        self.spend_on(reference)?;
        let found = match reference.strip_prefix('#') {
            None => None,
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
                let found = self.root.pointer(pointer);
                found.or_else(|| percent_decoded(pointer).and_then(|pointer| self.root.pointer(&pointer)))
            }
            Some(name) => self.anchor(name)?,
        };
        found.ok_or(Fault::Unknown(FOREIGN))
    }

    fn anchor(&mut self, name: &str) -> Result<Option<&'a Value>, Fault> {
        if self.anchors.is_none() {
            let mut anchors = HashMap::new();
            self.find_anchors(self.root, &mut anchors)?;
            self.anchors = Some(anchors);
        }
        Ok(self.anchors.as_ref().and_then(|anchors| *anchors.get(name)?))
    }

    /// As deep as JSON may be.
    fn find_anchors(&mut self, schema: &'a Value, found: &mut HashMap<&'a str, Option<&'a Value>>) -> Outcome {
        self.spend(1)?;
        match schema {
            Value::Array(list) => list.iter().try_for_each(|schema| self.find_anchors(schema, found)),
            Value::Object(keywords) => {
                for (keyword, wanted) in keywords {
                    match (keyword.as_str(), wanted) {
                        ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                            let is_known = found.contains_key(name.as_str());
                            found.insert(name, (!is_known).then_some(schema));
                        }
                        // Values of answers, and no schemas.
                        ("enum" | "const" | "default" | "examples", _) => {}
                        _ => self.find_anchors(wanted, found)?,
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

fn is_float(a: &Number, b: &Number) -> bool {
    a.is_f64() || b.is_f64()
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
        Value::Number(number) => {
            let whole = || !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            kind == "number" || kind == "integer" && whole()
        }
    }
}

fn count(wanted: &Value) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    wanted.as_u64().or_else(|| wanted.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64))
}

fn at_least(found: usize, wanted: &Value, keyword: &str) -> Outcome {
    hold(count(wanted).is_none_or(|wanted| found as u64 >= wanted), keyword)
}

fn at_most(found: usize, wanted: &Value, keyword: &str) -> Outcome {
    hold(count(wanted).is_none_or(|wanted| found as u64 <= wanted), keyword)
}

/// How two numbers compare, whole ones exactly.
fn compare(a: &Number, b: &Number) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return Some(a.cmp(&b));
    }
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}

fn of_number(keyword: &str, wanted: &Value, number: &Number) -> Option<Outcome> {
    let Value::Number(bound) = wanted else { return None };
    let order = compare(number, bound);
    Some(match keyword {
        "minimum" => hold(order.is_none_or(std::cmp::Ordering::is_ge), keyword),
        "maximum" => hold(order.is_none_or(std::cmp::Ordering::is_le), keyword),
        "exclusiveMinimum" => hold(order.is_none_or(std::cmp::Ordering::is_gt), keyword),
        "exclusiveMaximum" => hold(order.is_none_or(std::cmp::Ordering::is_lt), keyword),
        "multipleOf" => hold(is_multiple(number, bound), keyword),
        _ => return None,
    })
}

/// Decimals have no exact form as floats: 0.3 counts as a multiple of 0.1.
fn is_multiple(number: &Number, of: &Number) -> bool {
    if let (Some(number), Some(of)) = (number.as_i128(), of.as_i128()) {
        return of == 0 || number % of == 0;
    }
    let (Some(number), Some(of)) = (number.as_f64(), of.as_f64()) else { return true };
    let quotient = number / of;
    of == 0.0 || (quotient - quotient.round()).abs() <= 1e-9 * quotient.abs().max(1.0)
}
