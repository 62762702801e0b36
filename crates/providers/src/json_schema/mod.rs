//! Whether an answer keeps to the JSON Schema that its caller gave, for where the provider does not see to it.
//!
//! Draft 2020-12, and what older drafts write otherwise. **No schema and no answer take more than a fixed number
//! of steps, and of levels of the stack**: schemas come from callers, and one may refer to itself for ever, or
//! try two branches at each of a hundred levels. What was not found out within them, and what is not read here
//! (an address to fetch a schema from, `$dynamicRef`, a pattern that looks around), is *unknown*,
//! never passed off as kept. `format` is a note and checks nothing, as the draft has it.
//!
//! Not a crate's: those that there are count no steps.

mod check;
mod pattern;
mod unevaluated;

use check::{Checker, Fault};
use serde_json::Value;

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keeps,
    Breaks(Breach),
    /// Why it could not be found out.
    Unknown(&'static str),
}

/// Where an answer breaks its schema. Holds names of the answer, none of its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// A JSON Pointer into the answer; empty for the whole.
    pub path: String,
    /// The keyword of the schema that it breaks; empty if it is no JSON.
    pub keyword: String,
}

/// Holds a text of JSON against a schema.
#[must_use]
pub fn check(schema: &Value, text: &str) -> Verdict {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        // Its parser's bound on levels is no mistake of the answer's.
        Err(error) if error.to_string().starts_with("recursion limit") => {
            return Verdict::Unknown("the answer is too deep");
        }
        Err(_) => return Verdict::Breaks(Breach { path: String::new(), keyword: String::new() }),
    };
    match Checker::new(schema).check(&value) {
        Ok(()) => Verdict::Keeps,
        Err(Fault::Unknown(why)) => Verdict::Unknown(why),
        Err(Fault::Breach(found)) => Verdict::Breaks(found.tell()),
    }
}

#[cfg(test)]
mod tests;
