//! The schemas that an answer is held against when it has come, because its provider does not see to them.

use crate::json_schema::{self, Verdict};
use serde_json::Value;
use tokenrouter_protocol::{Item, ItemStatus, Part};

/// Made by [`encode`](crate::encode) for one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerChecks {
    /// `text.format`'s.
    pub text: Option<Value>,
    /// Of the functions that are strict.
    pub tools: Vec<ToolCheck>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ToolCheck {
    pub name: String,
    pub namespace: Option<String>,
    pub schema: Value,
}

/// What an answer breaks, or what could not be found out of it. Says nothing of the answer's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field of the request that has the schema.
    pub param: &'static str,
    pub message: String,
    /// The answer does not keep to the schema; otherwise it is not known whether it does.
    pub broken: bool,
}

impl AnswerChecks {
    /// Holds the output of a response that is complete against the schemas. What is incomplete is passed over, and
    /// so are the texts beside a call, which are no answer yet.
    #[must_use]
    pub fn findings(&self, output: &[Item]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut called = false;
        for item in output {
            match item {
                Item::FunctionCall(call) if call.status == ItemStatus::Completed => {
                    called = true;
                    let namespace = call.extra.get("namespace").and_then(Value::as_str);
                    let of_it = |tool: &&ToolCheck| tool.name == call.name && tool.namespace.as_deref() == namespace;
                    if let Some(tool) = self.tools.iter().find(of_it) {
                        let what = format!("a call of `{}`", call.name);
                        findings.extend(finding("tools", &what, &tool.schema, &call.arguments));
                    }
                }
                Item::FunctionCall(_) | Item::Other(_) => called = true,
                _ => {}
            }
        }
        if let Some(schema) = self.text.as_ref().filter(|_| !called) {
            let texts = output.iter().filter_map(text_of);
            findings.extend(texts.filter_map(|text| finding("text.format", "the answer", schema, &text)));
        }
        findings
    }
}

/// The text of a message that is whole and no refusal.
fn text_of(item: &Item) -> Option<String> {
    let Item::Message(message) = item else { return None };
    let refused = message.content.iter().any(|part| matches!(part, Part::Refusal { .. }));
    if refused || message.status != ItemStatus::Completed {
        return None;
    }
    let texts = message.content.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    Some(texts.collect())
}

fn finding(param: &'static str, what: &str, schema: &Value, text: &str) -> Option<Finding> {
    let (message, broken) = match json_schema::check(schema, text) {
        Verdict::Keeps => return None,
        Verdict::Breaks(breach) if breach.keyword.is_empty() => (format!("{what}: it is no JSON"), true),
        Verdict::Breaks(breach) => {
            let place = if breach.path.is_empty() { "its top" } else { &breach.path };
            (format!("{what} does not keep to the schema: `{}` at {place}", breach.keyword), true)
        }
        Verdict::Unknown(why) => (format!("whether {what} keeps to the schema was not found out: {why}"), false),
    };
    Some(Finding { param, message, broken })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_whole_and_an_answer_is_held_to_a_schema() {
        let schema = json!({"type": "object", "required": ["a"]});
        let tools = vec![ToolCheck { name: "f".to_owned(), namespace: Some("n".to_owned()), schema: schema.clone() }];
        let checks = AnswerChecks { text: Some(schema), tools };
        let found = |items: &[Value]| -> Vec<&'static str> {
            let items: Vec<Item> = items.iter().map(|item| Item::parse(item.clone(), "item").unwrap()).collect();
            checks.findings(&items).into_iter().map(|finding| finding.param).collect()
        };
        let message = |status: &str, part: Value| json!({"type": "message", "role": "assistant", "status": status, "content": [part]});
        let text = |text: &str| json!({"type": "output_text", "text": text});
        let call = |namespace: &str, status: &str| {
            json!({"type": "function_call", "call_id": "c", "name": "f",
            "arguments": "{}", "namespace": namespace, "status": status})
        };
        assert_eq!(found(&[message("completed", text("{}"))]), ["text.format"]);
        assert_eq!(found(&[message("completed", text("{\"a\":1}"))]), [""; 0]);
        assert_eq!(found(&[message("incomplete", text("{"))]), [""; 0]);
        assert_eq!(found(&[message("completed", json!({"type": "refusal", "refusal": "No."}))]), [""; 0]);
        assert_eq!(found(&[message("completed", text("I call it.")), call("n", "completed")]), ["tools"]);
        assert_eq!(found(&[call("other", "completed")]), [""; 0]);
        assert_eq!(found(&[call("n", "incomplete")]), [""; 0]);
    }
}
