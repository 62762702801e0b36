//! The envelope in which a provider's reasoning travels through the caller.
//!
//! Signatures and encrypted reasoning are bound to the model and host that made them: given to
//! another they are an error. So `encrypted_content` carries ours around theirs, which says where it
//! came from: `tr1.` and, in base64url, JSON. It is no secret and is not protected: whoever changes
//! it changes what he himself sends to the provider.

use crate::Translation;
use crate::encode::Target;
use crate::translation::hash;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "tr1.";

/// What a provider must be given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(rename = "p")]
    provider: String,
    #[serde(rename = "m")]
    model: String,
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
    /// Made by this provider and model.
    Native(Sealed),
    /// Made by another one, or changed on the way; says which.
    Foreign(String),
    /// Not in an envelope of ours.
    Bare,
}

impl Sealed {
    pub(crate) fn new(translation: &Translation) -> Self {
        Self { provider: translation.provider().to_owned(), model: translation.model().to_owned(), ..Self::default() }
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
    let Some(encoded) = encrypted_content.strip_prefix(PREFIX) else { return Opened::Bare };
    let sealed = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|json| serde_json::from_slice::<Sealed>(&json).ok());
    match sealed {
        Some(sealed) if sealed.provider == target.provider && sealed.model == target.model => Opened::Native(sealed),
        Some(sealed) => Opened::Foreign(format!("it was made by {}/{}", sealed.provider, sealed.model)),
        None => Opened::Foreign("its `encrypted_content` was changed on the way".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn target<'a>(provider: &'a str, model: &'a str) -> Target<'a> {
        Target { kind: Kind::Anthropic, provider, model, max_output_tokens: None, reasoning: true, stream: false }
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
}
