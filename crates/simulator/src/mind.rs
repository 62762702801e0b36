//! What the model says: enough like a model that one can tell what reached it.

use serde_json::{Map, Value, json};

/// A request, whichever dialect it came in.
#[derive(Default)]
pub(crate) struct Prompt {
    pub provider: String,
    pub model: String,
    pub instructions: String,
    /// Role and text of each message before the last of the user's.
    pub history: Vec<(String, String)>,
    pub last_user: String,
    /// The results of tools that came after the last message, if any: name or id, and text.
    pub tool_results: Vec<String>,
    pub images: usize,
    pub files: usize,
    /// Name and JSON Schema.
    pub tools: Vec<(String, Value)>,
    /// The names of those that take text as it is.
    pub custom: Vec<String>,
    /// Names of tools, and the namespace of each.
    pub namespaces: Vec<(String, String)>,
    /// `none`, `auto`, `required`, or a tool's name.
    pub tool_choice: String,
    pub schema: Option<Value>,
    pub json: bool,
    pub max_tokens: Option<usize>,
    pub reasoning: bool,
    /// How probable the tokens were is asked for, and those that might have stood in their place, so many of each.
    pub logprobs: Option<u64>,
    /// Of Gemini's: whether thoughts are told, or only counted.
    pub shows_thoughts: bool,
}

pub(crate) struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

pub(crate) struct Reply {
    pub seed: u64,
    pub thought: Option<String>,
    pub text: String,
    pub calls: Vec<Call>,
    /// The answer was cut at the limit.
    pub cut: bool,
    /// The model would not; `text` says so, where the dialect has a place for it.
    pub refused: bool,
    pub input_tokens: usize,
    pub output_tokens: usize,
    pub reasoning_tokens: usize,
}

impl Prompt {
    /// Adds a message of the conversation, in order.
    pub fn message(&mut self, role: &str, text: String) {
        if role == "system" || role == "developer" {
            if !self.instructions.is_empty() {
                self.instructions.push(' ');
            }
            self.instructions.push_str(&text);
            return;
        }
        self.tool_results.clear();
        if role == "user" {
            if !self.last_user.is_empty() {
                let last = std::mem::take(&mut self.last_user);
                self.history.push(("user".to_owned(), last));
            }
            self.last_user = text;
        } else if !text.is_empty() {
            if !self.last_user.is_empty() {
                let last = std::mem::take(&mut self.last_user);
                self.history.push(("user".to_owned(), last));
            }
            self.history.push((role.to_owned(), text));
        }
    }
}

/// A token is a word with the white space after it.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    text.split_inclusive(char::is_whitespace).collect()
}

/// How probable each token of a text was, as OpenAI writes it, if that is asked for.
pub(crate) fn logprobs(prompt: &Prompt, text: &str) -> Value {
    let Some(top) = prompt.logprobs else { return Value::Null };
    let token =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes().to_vec()});
    let list = tokens(text).into_iter().map(|text| {
        let mut told = token(text, -0.25);
        let others = ["", " or", " so"].into_iter().zip([-0.25, -2.0, -3.5]);
        told["top_logprobs"] = (0..top).zip(others).map(|(_, (end, p))| token(&format!("{text}{end}"), p)).collect();
        told
    });
    list.collect()
}

/// What a prompt says that wants to see a refusal.
const REFUSE: &str = "please refuse";
const REFUSAL: &str = "I cannot help with that.";

const STORY: &str = "Once upon a time a small gateway stood at the edge of a wide network. Every morning it \
listened for requests, and every request asked it the same question: which way? The gateway looked at the price of \
each road, at its length, and at how good the view was from it. Then it chose, and it wrote down why. One evening a \
storm closed the shortest road. The gateway did not stop; it took the next one, and nobody who travelled noticed. The end.";

pub(crate) fn think(prompt: &Prompt, seed: u64) -> Reply {
    let refused = prompt.last_user.to_ascii_lowercase().contains(REFUSE);
    let calls = if refused { Vec::new() } else { calls(prompt, seed) };
    let mut text = match (refused, calls.is_empty()) {
        (true, _) => REFUSAL.to_owned(),
        (false, true) => say(prompt),
        (false, false) => String::new(),
    };
    let thought =
        prompt.reasoning.then(|| format!("The user wrote {} characters; I answer them.", prompt.last_user.len()));
    let mut cut = false;
    let mut calls = calls;
    if let Some(most) = prompt.max_tokens.filter(|_| !refused) {
        let all = tokens(&text);
        if all.len() > most {
            text = all.into_iter().take(most).collect();
            cut = true;
        }
        if let Some(call) = calls.last_mut().filter(|call| call.arguments.len() / 4 > most) {
            call.arguments.truncate(most);
            cut = true;
        }
    }
    let heard: usize = prompt.history.iter().map(|(_, text)| tokens(text).len()).sum();
    let input_tokens =
        heard + tokens(&prompt.instructions).len() + tokens(&prompt.last_user).len() + 85 * prompt.images + 3;
    let reasoning_tokens = thought.as_deref().map_or(0, |thought| tokens(thought).len());
    let said = tokens(&text).len() + calls.iter().map(|call| call.arguments.len() / 4 + 5).sum::<usize>();
    Reply {
        seed,
        thought,
        text,
        calls,
        cut,
        refused,
        input_tokens,
        output_tokens: said + reasoning_tokens,
        reasoning_tokens,
    }
}

fn say(prompt: &Prompt) -> String {
    if let Some(schema) = &prompt.schema {
        return example(schema, &prompt.last_user, 0).to_string();
    }
    if prompt.json {
        if let Some(schema) = told_schema(&prompt.instructions) {
            return example(&schema, &prompt.last_user, 0).to_string();
        }
        return json!({ "answer": format!("[simulated] {}", prompt.last_user) }).to_string();
    }
    let lower = prompt.last_user.to_ascii_lowercase();
    if let Some(at) = lower.find("say exactly: ") {
        return prompt.last_user[at + "say exactly: ".len()..].to_owned();
    }
    let mut text = format!("[simulated {}/{}] ", prompt.provider, prompt.model);
    if !prompt.tool_results.is_empty() {
        let quoted: Vec<String> = prompt.tool_results.iter().map(|result| format!("\"{result}\"")).collect();
        text.push_str(&format!("The tools answered: {}.", quoted.join(", ")));
        if prompt.images > 0 {
            text.push_str(&format!(" Images: {}.", prompt.images));
        }
        return text;
    }
    text.push_str(&format!("You said: \"{}\"", prompt.last_user));
    if lower.contains("story") {
        text.push_str(". ");
        text.push_str(STORY);
    }
    if !prompt.instructions.is_empty() {
        text.push_str(&format!(" Instructions: \"{}\".", prompt.instructions));
    }
    if let Some((role, last)) = prompt.history.last() {
        text.push_str(&format!(" History: {} earlier messages, the last by {role}: \"{last}\".", prompt.history.len()));
    }
    if !prompt.tools.is_empty() {
        let names: Vec<&str> = prompt.tools.iter().map(|(name, _)| name.as_str()).collect();
        text.push_str(&format!(" Tools offered: {}.", names.join(", ")));
    }
    if prompt.images > 0 {
        text.push_str(&format!(" Images: {}.", prompt.images));
    }
    if prompt.files > 0 {
        text.push_str(&format!(" Files: {}.", prompt.files));
    }
    text
}

/// The JSON Schema that the instructions hold, where a provider has no other place for one.
fn told_schema(instructions: &str) -> Option<Value> {
    let after = instructions.get(instructions.find("JSON Schema")?..)?;
    let object = after.get(after.find('{')?..)?;
    serde_json::Deserializer::from_str(object).into_iter::<Value>().next()?.ok()
}

fn calls(prompt: &Prompt, seed: u64) -> Vec<Call> {
    if prompt.tools.is_empty() || prompt.tool_choice == "none" || !prompt.tool_results.is_empty() {
        return Vec::new();
    }
    let lower = prompt.last_user.to_ascii_lowercase();
    let all = lower.contains("call all tools") || lower.contains("in parallel");
    let asked = |name: &str| {
        let name = name.to_ascii_lowercase();
        lower.contains(&name)
            || lower.contains(&name.replace('_', " "))
            || lower.contains("weather") && name.contains("weather")
    };
    let forced = prompt.tools.iter().any(|(name, _)| *name == prompt.tool_choice);
    let chosen: Vec<&(String, Value)> = prompt
        .tools
        .iter()
        .filter(|(name, _)| if forced { *name == prompt.tool_choice } else { all || asked(name) })
        .collect();
    let generic = prompt.tool_choice == "required" || lower.contains("use the tool") || lower.contains("call a tool");
    let chosen = if chosen.is_empty() && generic { prompt.tools.iter().take(1).collect() } else { chosen };
    (0_u64..)
        .zip(chosen)
        .map(|(i, (name, schema))| Call {
            id: if prompt.provider == "mistral" {
                format!("{:09}", (seed.wrapping_add(i)) % 1_000_000_000)
            } else if prompt.provider == "anthropic" {
                format!("toolu_{:016x}", seed.wrapping_add(i))
            } else {
                format!("call_{:016x}", seed.wrapping_add(i))
            },
            name: name.clone(),
            // A function without a schema takes nothing.
            arguments: match schema {
                Value::Null if !prompt.custom.contains(name) => "{}".to_owned(),
                schema => example(schema, &prompt.last_user, 0).to_string(),
            },
        })
        .collect()
}

/// A value that is valid by the schema, out of the prompt's words.
fn example(schema: &Value, words: &str, depth: usize) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if let Some(first) = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array()?.first()) {
        return example(first, words, depth);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or(if schema["properties"].is_object() { "object" } else { "string" }) {
        "object" if depth < 8 => {
            let mut object = Map::new();
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                object.insert(name.clone(), example(inner, words, depth + 1));
            }
            Value::Object(object)
        }
        "array" if depth < 8 => json!([example(&schema["items"], words, depth + 1)]),
        "integer" | "number" => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        "boolean" => true.into(),
        "null" => Value::Null,
        _ => words.split_whitespace().last().unwrap_or("word").trim_matches(|c: char| !c.is_alphanumeric()).into(),
    }
}

/// Models that think before they speak, by their names.
pub(crate) fn reasons(model: &str) -> bool {
    ["o1", "o3", "o4"].iter().any(|name| model.starts_with(name))
        || model.contains("reasoner")
        || model.contains("magistral")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_prompt_gets_the_same_answer() {
        let prompt =
            || Prompt { provider: "p".into(), model: "m".into(), last_user: "hello".into(), ..Prompt::default() };
        let (a, b) = (think(&prompt(), 7), think(&prompt(), 7));
        assert_eq!(a.text, b.text);
        assert_eq!(a.text, "[simulated p/m] You said: \"hello\"");
    }

    #[test]
    fn a_limit_cuts_the_answer() {
        let prompt = Prompt { last_user: "tell a story".into(), max_tokens: Some(5), ..Prompt::default() };
        let reply = think(&prompt, 1);
        assert!(reply.cut && tokens(&reply.text).len() == 5);
    }

    #[test]
    fn arguments_fit_the_schema() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}}});
        assert_eq!(example(&schema, "weather in Paris?", 0), json!({"city": "Paris", "days": 1, "unit": "c"}));
    }
}
