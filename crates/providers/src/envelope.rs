//! The envelope in which a provider's reasoning travels through the caller.
//!
//! Signatures and encrypted reasoning are bound to the model and host that made them, with some also to
//! the account: given to another they are an error. So `encrypted_content` carries ours around theirs,
//! which says where it came from: `tr1.` and, in base64url, JSON. It is no secret and is not protected: whoever changes
//! it changes what he himself sends to the provider.

use crate::Translation;
use crate::encode::Target;
use crate::translation::hash;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokenrouter_protocol::{Item, Request};

const PREFIX: &str = "tr1.";

/// What a provider must be given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(rename = "p")]
    provider: String,
    #[serde(rename = "m")]
    model: String,
    /// The workspace's own key that it was made with; none: the gateway's, which is what there was before
    /// envelopes named one.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    account: Option<i64>,
    /// The item's id at the provider.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Anthropic's signature, or OpenAI's encrypted content.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Anthropic's redacted thinking.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// The field of Chat Completions in which the reasoning came.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Of the text that the signature signs: a text that somebody changed is not given back.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    text_hash: Option<u64>,
}

/// What an item's `encrypted_content` turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Made by this provider and model, with an account that may be given it.
    Native(Sealed),
    /// Made by another one, or changed on the way; says which.
    Foreign(String),
    /// Not in an envelope of ours.
    Bare,
}

impl Sealed {
    pub(crate) fn new(translation: &Translation) -> Self {
        Self {
            provider: translation.provider().to_owned(),
            model: translation.model().to_owned(),
            account: translation.account(),
            ..Self::default()
        }
    }

    #[must_use]
    pub(crate) fn signing(mut self, text: &str) -> Self {
        self.text_hash = Some(hash(text.as_bytes()));
        self
    }

    /// Whether this is the text that was signed.
    pub(crate) fn signs(&self, text: &str) -> bool {
        self.text_hash.is_none_or(|wanted| wanted == hash(text.as_bytes()))
    }

    fn is_of(&self, provider: &str, model: &str) -> bool {
        self.provider == provider && self.model == model
    }

    pub(crate) fn seal(&self) -> Option<String> {
        let json = serde_json::to_vec(self).ok()?;
        let mut sealed = String::with_capacity(PREFIX.len() + json.len() * 4 / 3 + 3);
        sealed.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&json, &mut sealed);
        Some(sealed)
    }
}

/// Whether this is an envelope of ours, rather than what a provider gave to somebody without us.
#[must_use]
pub fn is_sealed(encrypted_content: &str) -> bool {
    encrypted_content.starts_with(PREFIX)
}

pub(crate) fn open(encrypted_content: &str, target: &Target) -> Opened {
    if !is_sealed(encrypted_content) {
        return Opened::Bare;
    }
    match read(encrypted_content) {
        Some(sealed) if sealed.is_of(target.provider, target.model) => {
            if sealed.account == target.account || !target.kind.binds_reasoning_to_account() {
                Opened::Native(sealed)
            } else {
                Opened::Foreign(format!("it was made with another key for {}", sealed.provider))
            }
        }
        Some(sealed) => Opened::Foreign(format!("it was made by {}/{}", sealed.provider, sealed.model)),
        None => Opened::Foreign("its `encrypted_content` was changed on the way".to_owned()),
    }
}

fn read(encrypted_content: &str) -> Option<Sealed> {
    let json = URL_SAFE_NO_PAD.decode(encrypted_content.strip_prefix(PREFIX)?).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The workspace's own key that the newest reasoning of this provider and model was made with: the one to go on
/// with. None where there is no such reasoning, or the gateway's key made it.
#[must_use]
pub fn reasoning_account(request: &Request, provider: &str, model: &str) -> Option<i64> {
    let sealed = request.input.iter().rev().filter_map(|item| match item {
        Item::Reasoning(reasoning) => read(reasoning.encrypted_content.as_deref()?),
        _ => None,
    });
    sealed.into_iter().find(|sealed| sealed.is_of(provider, model))?.account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use tokenrouter_protocol::{Message, Reasoning, Role};

    fn target<'a>(provider: &'a str, model: &'a str) -> Target<'a> {
        let kind = Kind::Anthropic;
        Target { kind, provider, model, account: None, max_output_tokens: None, reasoning: true, stream: false }
    }

    #[test]
    fn trap_8_reasoning_is_given_back_only_to_the_provider_and_model_that_made_it() {
        let translation = Translation::new(Kind::Anthropic, "anthropic", "claude-a");
        let mut sealed = Sealed::new(&translation).signing("thought");
        sealed.signature = Some("Sig+/=".to_owned());
        let text = sealed.seal().unwrap();
        assert!(text.starts_with("tr1."));
        assert_eq!(open(&text, &target("anthropic", "claude-a")), Opened::Native(sealed.clone()));
        assert!(sealed.signs("thought") && !sealed.signs("thoughts"));
        for (provider, model) in [("anthropic", "claude-b"), ("eu", "claude-a")] {
            let Opened::Foreign(why) = open(&text, &target(provider, model)) else { panic!("given to a stranger") };
            assert_eq!(why, "it was made by anthropic/claude-a");
        }
        assert!(matches!(open("tr1.%%%", &target("anthropic", "claude-a")), Opened::Foreign(_)));
        assert_eq!(open("gAAAAAB", &target("anthropic", "claude-a")), Opened::Bare);
    }

    #[test]
    fn what_is_bound_to_an_account_is_given_back_to_no_other() {
        let sealed = |account| {
            let translation = Translation::new(Kind::OpenAi, "openai", "m").of_account(account);
            Sealed::new(&translation).seal().unwrap()
        };
        let is_native = |text: &str, kind, account| {
            let target = Target { kind, account, ..target("openai", "m") };
            matches!(open(text, &target), Opened::Native(_))
        };
        for made_with in [None, Some(1)] {
            for account in [None, Some(1), Some(2)] {
                assert_eq!(is_native(&sealed(made_with), Kind::OpenAi, account), made_with == account);
                assert!(is_native(&sealed(made_with), Kind::Anthropic, account));
            }
        }
        let Opened::Foreign(why) = open(&sealed(Some(1)), &Target { kind: Kind::OpenAi, ..target("openai", "m") })
        else {
            panic!("given to a stranger")
        };
        assert_eq!(why, "it was made with another key for openai");
        // As envelopes were before they named an account.
        let old = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(r#"{"p":"openai","m":"m"}"#));
        assert_eq!(sealed(None), old);
    }

    #[test]
    fn the_newest_reasoning_of_a_model_names_the_key_to_go_on_with() {
        let reasoning = |provider: &str, model: &str, account| {
            let translation = Translation::new(Kind::OpenAi, provider, model).of_account(account);
            let encrypted_content = Sealed::new(&translation).seal();
            Item::Reasoning(Reasoning { encrypted_content, ..Reasoning::default() })
        };
        let input = vec![
            reasoning("openai", "m", Some(1)),
            reasoning("openai", "m", Some(2)),
            reasoning("openai", "n", Some(3)),
            reasoning("openai", "o", None),
            Item::Message(Message::new(Role::User, "hi")),
        ];
        let request = Request { input, ..Request::default() };
        let of = |provider, model| reasoning_account(&request, provider, model);
        assert_eq!((of("openai", "m"), of("openai", "n")), (Some(2), Some(3)));
        assert_eq!((of("openai", "o"), of("openai", "p"), of("azure", "m")), (None, None, None));
    }
}
