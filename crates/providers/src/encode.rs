//! From our request to a provider's.

use crate::answer_check::{AnswerChecks, ToolCheck};
use crate::{Kind, Translation, anthropic, chat, gemini, lowering, openai};
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt::Display;
use tokenrouter_protocol::{Item, LOGPROBS, Request, Role, TextFormat, Tool};

/// Where a request goes, and what the catalog knows of the model.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub kind: Kind,
    /// The provider's name in the settings.
    pub provider: &'a str,
    /// The model's name at the provider.
    pub model: &'a str,
    /// The workspace's own key that the request goes out with; none: the gateway's.
    pub account: Option<i64>,
    /// The most tokens that the model can put out; `None` if unknown.
    pub max_output_tokens: Option<u64>,
    /// The model can reason.
    pub reasoning: bool,
    /// Ask the provider to stream, whatever the caller asked of us.
    pub stream: bool,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// To append to the base URL. Where it holds the model's name, that is percent-encoded.
    pub path: Cow<'static, str>,
    /// Beside `content-type` and the key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Vec<u8>,
    pub warnings: Vec<Loss>,
    /// What the answer must be held against when it has come.
    pub checks: AnswerChecks,
    /// What the decoder of this request's answer needs.
    pub translation: Translation,
}

/// A field that was emulated or dropped on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// As `input[2].content[0]`.
    pub param: String,
    pub message: String,
    /// The answer is the same without it: of interest only to a caller that wants nothing lost.
    pub harmless: bool,
}

/// The request asks for what this provider cannot be asked: the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EncodeError {
    pub param: String,
    pub message: String,
}

impl EncodeError {
    pub(crate) fn new(param: impl Display, message: impl Into<String>) -> Self {
        Self { param: param.to_string(), message: message.into() }
    }
}

/// The losses of one request, each param named once.
#[derive(Debug, Default)]
pub(crate) struct Losses(Vec<Loss>);

impl Losses {
    pub(crate) fn add(&mut self, param: impl Display, message: impl Into<String>) {
        let (param, message) = (param.to_string(), message.into());
        if !self.0.iter().any(|loss| loss.param == param) {
            self.0.push(Loss { param, message, harmless: false });
        }
    }

    /// Adds a loss that changes nothing of the answer, if the field was given.
    fn add_harmless(&mut self, given: bool, param: &str, message: &str) {
        if given && !self.0.iter().any(|loss| loss.param == param) {
            self.0.push(Loss { param: param.to_owned(), message: message.to_owned(), harmless: true });
        }
    }

    /// The fields that name the caller's user or speed things up, where the host has none like them; what was
    /// carried is passed over. `include` asks for more in the answer than other hosts than OpenAI have.
    pub(crate) fn add_hints(&mut self, request: &Request, carried: &[&str]) {
        let why = "this provider has no such field";
        self.add_if(request.user.is_some() && !carried.contains(&"user"), "user", why);
        let named = request.safety_identifier.is_some() && !carried.contains(&"safety_identifier");
        self.add_if(named, "safety_identifier", why);
        let cached = request.prompt_cache_key.is_some() && !carried.contains(&"prompt_cache_key");
        self.add_harmless(cached, "prompt_cache_key", "this provider's caches have no keys");
        let logprobs = request.wants_logprobs() && !carried.contains(&"include");
        self.add_if(logprobs, "include", "this provider does not tell how probable its tokens were");
        // Reasoning comes back sealed whether it is asked for or not.
        let known = |wanted: &str| wanted == "reasoning.encrypted_content" || wanted == LOGPROBS;
        let more = request.include.iter().any(|wanted| !known(wanted));
        self.add_harmless(more, "include", "this provider's answers hold nothing of the kind");
    }

    pub(crate) fn into_list(self) -> Vec<Loss> {
        self.0
    }

    /// Adds the loss if the field was given.
    pub(crate) fn add_if(&mut self, given: bool, param: &str, message: &str) {
        if given {
            self.add(param, message);
        }
    }
}

/// Keywords of one schema that a warning names.
const MOST_LEFT_OUT: usize = 32;

/// Remembers a keyword that was left out of a schema, once, and not more of them than a warning has use for.
pub(crate) fn leave_out(left_out: &mut Vec<String>, keyword: &str) {
    if left_out.len() < MOST_LEFT_OUT && !left_out.iter().any(|known| known == keyword) {
        left_out.push(keyword.to_owned());
    }
}

/// What a wire format's encoder works with and fills.
pub(crate) struct Context<'a> {
    pub target: &'a Target<'a>,
    pub losses: Losses,
    pub translation: Translation,
    /// Where the tools stand in what the caller gave, if not where they stand now.
    pub tool_places: Vec<String>,
    pub held: Held,
}

/// Which schemas the provider holds its answer to, as they were given.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub format: bool,
    /// It was given the schema of the text in other words.
    pub format_changed: bool,
    /// Strict functions, by the names that they were encoded under.
    pub tools: Vec<String>,
}

impl Context<'_> {
    pub(crate) fn tool_place(&self, index: usize) -> String {
        self.tool_places.get(index).cloned().unwrap_or_else(|| format!("tools[{index}]"))
    }
}

/// # Errors
/// When the request holds what this provider cannot be given; names the field.
pub fn encode(target: &Target, request: &Request) -> Result<Encoded, EncodeError> {
    let translation = Translation::new(target.kind, target.provider, target.model).of_account(target.account);
    let mut context =
        Context { target, losses: Losses::default(), translation, tool_places: Vec::new(), held: Held::default() };
    let stripped = (target.kind != Kind::Anthropic)
        .then(|| anthropic::native::taken_off(target, request, &mut context.losses))
        .flatten();
    let request = stripped.as_ref().unwrap_or(request);
    let lowered = if target.kind == Kind::OpenAi { None } else { lowering::lower(&mut context, request)? };
    let request = lowered.as_ref().unwrap_or(request);
    let spoken = spoken_by_a_user(&mut context, request);
    let request = spoken.as_ref().unwrap_or(request);
    let (path, headers, body) = match target.kind {
        Kind::OpenAi => ("/responses".into(), Vec::new(), openai::encode(&mut context, request)?),
        Kind::Anthropic => ("/messages".into(), anthropic::headers(request), anthropic::encode(&mut context, request)?),
        Kind::Gemini => (gemini::path(target).into(), Vec::new(), gemini::encode(&mut context, request)?),
        Kind::Mistral | Kind::DeepSeek | Kind::OpenAiCompatible => {
            ("/chat/completions".into(), Vec::new(), chat::encode(&mut context, request)?)
        }
    };
    let checks = if target.kind == Kind::OpenAi { AnswerChecks::default() } else { checks(&context, request) };
    Ok(Encoded { path, headers, body, warnings: context.losses.0, checks, translation: context.translation })
}

/// Anthropic and Gemini answer nobody but a user. Where the system alone speaks, which OpenAI answers, its last message is
/// given as the user's.
fn spoken_by_a_user(context: &mut Context, request: &Request) -> Option<Request> {
    let is_systems =
        |item: &Item| matches!(item, Item::Message(message) if matches!(message.role, Role::System | Role::Developer));
    if !matches!(context.target.kind, Kind::Anthropic | Kind::Gemini) || !request.input.iter().all(is_systems) {
        return None;
    }
    let mut request = request.clone();
    let Some(Item::Message(last)) = request.input.last_mut() else { return None };
    last.role = Role::User;
    let message = "this provider answers no message of the system's alone: it was given as the user's";
    context.losses.add(format_args!("input[{}]", request.input.len() - 1), message);
    Some(request)
}

/// What the provider does not hold its answer to. Of a schema that is not strict the caller is promised nothing,
/// unless it was changed on the way.
fn checks(context: &Context, request: &Request) -> AnswerChecks {
    let text = match &request.text.format {
        TextFormat::JsonSchema { schema, strict, .. }
            if !context.held.format && (*strict == Some(true) || context.held.format_changed) =>
        {
            Some(schema.clone())
        }
        _ => None,
    };
    let strict = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function(tool) if tool.strict == Some(true) && !context.held.tools.contains(&tool.name) => Some(tool),
        _ => None,
    });
    let tools = strict.filter_map(|tool| {
        let lowered = context.translation.lowered.iter().find(|lowered| lowered.function == tool.name);
        let (name, namespace) = match lowered {
            Some(lowered) => (lowered.name.clone(), lowered.namespace.clone()),
            None => (tool.name.clone(), None),
        };
        Some(ToolCheck { name, namespace, schema: tool.parameters.clone()? })
    });
    AnswerChecks { text, tools: tools.collect() }
}

/// JSON of a value that cannot fail to be written, but for a number that is not finite.
pub(crate) fn to_json<T: serde::Serialize>(value: &T, capacity: usize) -> Result<Vec<u8>, EncodeError> {
    let mut body = Vec::with_capacity(capacity);
    serde_json::to_writer(&mut body, value)
        .map_err(|_| EncodeError::new("", "the request cannot be written as JSON"))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const HINTS: [&str; 4] = ["user", "safety_identifier", "prompt_cache_key", "include"];

    fn sent(kind: Kind, body: Value) -> (Value, Vec<(String, bool)>) {
        let (provider, model) = ("p", "m");
        let target =
            Target { kind, provider, model, account: None, max_output_tokens: None, reasoning: true, stream: false };
        let encoded = encode(&target, &Request::parse(body).unwrap()).unwrap();
        let lost = encoded.warnings.into_iter().map(|loss| (loss.param, loss.harmless)).collect();
        (serde_json::from_slice(&encoded.body).unwrap(), lost)
    }

    #[test]
    fn what_names_the_user_or_asks_for_more_is_carried_or_named() {
        let body = json!({"input": "hi", "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
                          "include": ["file_search_call.results"]});
        let (openai, lost) = sent(Kind::OpenAi, body.clone());
        assert!(HINTS[..3].iter().all(|name| openai[*name] == body[*name]) && lost.is_empty(), "{lost:?}");
        assert_eq!(openai["include"], json!(["file_search_call.results", "reasoning.encrypted_content"]));
        let hints = [("prompt_cache_key".to_owned(), true), ("include".to_owned(), true)];
        for (kind, named) in [
            (Kind::Anthropic, vec!["user"]),
            (Kind::OpenAiCompatible, vec!["safety_identifier"]),
            (Kind::Mistral, vec!["user", "safety_identifier"]),
            (Kind::DeepSeek, vec!["user", "safety_identifier"]),
            (Kind::Gemini, vec!["user", "safety_identifier"]),
        ] {
            let (sent, lost) = sent(kind, body.clone());
            let wanted: Vec<_> = named.into_iter().map(|name| (name.to_owned(), false)).chain(hints.clone()).collect();
            assert_eq!(lost, wanted, "{kind:?}");
            let carried = match kind {
                Kind::Anthropic => sent["metadata"] == json!({"user_id": "s"}),
                Kind::OpenAiCompatible => sent["user"] == "u",
                _ => true,
            };
            assert!(carried, "{sent}");
        }
    }

    #[test]
    fn how_probable_tokens_were_is_asked_of_chats_that_tell_it_and_named_elsewhere() {
        let body = json!({"input": "hi", "top_logprobs": 2, "include": ["message.output_text.logprobs"]});
        for kind in [Kind::OpenAiCompatible, Kind::OpenAi] {
            let (sent, lost) = sent(kind, body.clone());
            assert_eq!((&sent["top_logprobs"], lost), (&json!(2), vec![]), "{kind:?}");
            assert_eq!(sent["logprobs"] == true, kind == Kind::OpenAiCompatible);
        }
        // The target of these tests reasons, and then DeepSeek refuses it.
        for kind in [Kind::Anthropic, Kind::Gemini, Kind::Mistral, Kind::DeepSeek] {
            let (sent, mut lost) = sent(kind, body.clone());
            lost.sort();
            assert_eq!(lost, [("include".to_owned(), false), ("top_logprobs".to_owned(), false)], "{kind:?}");
            assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&Value::Null, &Value::Null), "{kind:?}");
        }
    }

    #[test]
    fn openais_reasoning_is_asked_for_sealed_where_there_is_any() {
        for (reasoning, asked, wanted) in [
            (true, json!([]), json!(["reasoning.encrypted_content"])),
            (true, json!(["reasoning.encrypted_content"]), json!(["reasoning.encrypted_content"])),
            (false, json!([]), Value::Null),
            (false, json!(["reasoning.encrypted_content"]), json!(["reasoning.encrypted_content"])),
        ] {
            let (kind, provider, model) = (Kind::OpenAi, "p", "m");
            let target =
                Target { kind, provider, model, account: None, max_output_tokens: None, reasoning, stream: false };
            let request = Request::parse(json!({"input": "hi", "include": asked})).unwrap();
            let sent: Value = serde_json::from_slice(&encode(&target, &request).unwrap().body).unwrap();
            assert_eq!(sent["include"], wanted);
        }
    }

    #[test]
    fn reasoning_that_is_asked_for_sealed_is_no_loss() {
        for kind in [Kind::Anthropic, Kind::Gemini, Kind::Mistral] {
            let body = json!({"input": "hi", "include": ["reasoning.encrypted_content"]});
            assert_eq!(sent(kind, body).1, []);
        }
    }
}
