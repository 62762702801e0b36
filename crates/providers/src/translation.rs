//! What changed its name on the way to the provider, for one request.
//!
//! Tool names and call ids are mapped only where the provider would refuse the original, always in
//! the same way, so that a conversation's bytes stay the same from turn to turn (prompt caches) and
//! a result still names its call.

use crate::Kind;
use crate::lowering::Lowered;
use std::borrow::Cow;
use std::collections::HashMap;
use tokenrouter_protocol::ItemStart;

/// Made by [`encode`](crate::encode), read by the decoders.
#[derive(Clone, Debug)]
pub struct Translation {
    kind: Kind,
    provider: Box<str>,
    model: Box<str>,
    /// The workspace's own key that it goes out with; none: the gateway's.
    account: Option<i64>,
    /// Tool names as the provider knows them, and as the caller does.
    names: Vec<(String, String)>,
    /// Call ids as the caller knows them → as the provider does.
    call_ids: HashMap<String, String>,
    /// Tools that were offered as functions, which they are not.
    pub(crate) lowered: Vec<Lowered>,
}

impl Translation {
    #[must_use]
    pub fn new(kind: Kind, provider: &str, model: &str) -> Self {
        Self {
            kind,
            provider: provider.into(),
            model: model.into(),
            account: None,
            names: Vec::new(),
            call_ids: HashMap::new(),
            lowered: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn of_account(self, account: Option<i64>) -> Self {
        Self { account, ..self }
    }

    pub(crate) fn account(&self) -> Option<i64> {
        self.account
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The model that the request was sent to.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The caller's name of the tool that the provider calls `wire`.
    #[must_use]
    pub fn tool_name<'a>(&'a self, wire: &'a str) -> &'a str {
        self.names.iter().find(|(w, _)| w == wire).map_or(wire, |(_, name)| name)
    }

    /// The beginning of a call of the tool that the provider calls `wire`.
    pub(crate) fn call(&self, call_id: String, wire: &str) -> ItemStart {
        let name = self.tool_name(wire);
        match self.lowered.iter().find(|tool| tool.function == name) {
            Some(tool) => {
                let (name, namespace) = (tool.name.clone(), tool.namespace.clone());
                ItemStart::FunctionCall { call_id, name, namespace }
            }
            None => ItemStart::FunctionCall { call_id, name: name.to_owned(), namespace: None },
        }
    }

    /// The provider's name of the caller's tool `name`.
    pub(crate) fn wire_name<'a>(&mut self, name: &'a str) -> Cow<'a, str> {
        const LONGEST: usize = 64;
        // Gemini's names begin as identifiers do.
        let begins_well = |byte: &u8| self.kind != Kind::Gemini || byte.is_ascii_alphabetic() || *byte == b'_';
        let is_acceptable = name.as_bytes().first().is_some_and(begins_well);
        if is_acceptable && name.len() <= LONGEST && name.bytes().all(is_plain) {
            return Cow::Borrowed(name);
        }
        if let Some((wire, _)) = self.names.iter().find(|(_, known)| known == name) {
            return Cow::Owned(wire.clone());
        }
        let readable = name.chars().map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '_' });
        let mut wire = String::with_capacity(LONGEST);
        if !is_acceptable {
            wire.push('_');
        }
        wire.extend(readable.take(LONGEST - 14));
        wire.push('_');
        wire.push_str(&base62(hash(name.as_bytes()), 12));
        self.names.push((wire.clone(), name.to_owned()));
        Cow::Owned(wire)
    }

    /// The provider's id of the call that the caller knows as `call_id`.
    pub(crate) fn wire_call_id<'a>(&mut self, call_id: &'a str) -> Cow<'a, str> {
        let (acceptable, length) = match self.kind {
            Kind::Mistral => (call_id.len() == 9 && call_id.bytes().all(|b| b.is_ascii_alphanumeric()), 9),
            Kind::Anthropic => (!call_id.is_empty() && call_id.bytes().all(is_plain), 12),
            Kind::OpenAi | Kind::Gemini | Kind::DeepSeek | Kind::OpenAiCompatible => (true, 0),
        };
        if acceptable {
            return Cow::Borrowed(call_id);
        }
        if let Some(wire) = self.call_ids.get(call_id) {
            return Cow::Owned(wire.clone());
        }
        let mut seed = hash(call_id.as_bytes());
        let wire = loop {
            let wire = base62(seed, length);
            if !self.call_ids.values().any(|taken| *taken == wire) {
                break wire;
            }
            seed = hash(&seed.to_le_bytes());
        };
        self.call_ids.insert(call_id.to_owned(), wire.clone());
        Cow::Owned(wire)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// FNV-1a: the same on every machine and in every version.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn base62(mut number: u64, length: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..length)
        .map(|_| {
            let digit = DIGITS[usize::try_from(number % 62).unwrap_or(0)];
            number /= 62;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_4_call_ids_are_mapped_only_where_the_provider_would_refuse_them_and_always_alike() {
        let mut mistral = Translation::new(Kind::Mistral, "mistral", "m");
        let first = mistral.wire_call_id("call_abc").into_owned();
        assert_eq!(first.len(), 9);
        assert!(first.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(mistral.wire_call_id("call_abc"), first);
        assert_ne!(mistral.wire_call_id("call_abd"), first);
        assert_eq!(mistral.wire_call_id("aB3dE6gH9"), "aB3dE6gH9");
        assert_eq!(Translation::new(Kind::Mistral, "other", "n").wire_call_id("call_abc"), first);

        let mut anthropic = Translation::new(Kind::Anthropic, "anthropic", "m");
        assert_eq!(anthropic.wire_call_id("toolu_01-x"), "toolu_01-x");
        assert_eq!(anthropic.wire_call_id("functions.f:0").len(), 12);
        let mut compatible = Translation::new(Kind::OpenAiCompatible, "vllm", "m");
        assert_eq!(compatible.wire_call_id("functions.f:0"), "functions.f:0");
    }

    #[test]
    fn trap_20_tool_names_that_a_provider_refuses_are_mapped_and_read_back() {
        let mut translation = Translation::new(Kind::Anthropic, "anthropic", "m");
        assert_eq!(translation.wire_name("get_weather"), "get_weather");
        for name in ["files/read.all", "wetter_für_morgen", &"x".repeat(90), "files.read/all"] {
            let wire = translation.wire_name(name).into_owned();
            assert!(wire.len() <= 64 && wire.bytes().all(is_plain), "{wire}");
            assert_eq!(translation.wire_name(name), wire);
            assert_eq!(translation.tool_name(&wire), name);
        }
        assert_eq!(translation.tool_name("never_sent"), "never_sent");

        let mut gemini = Translation::new(Kind::Gemini, "gemini", "m");
        assert_eq!(gemini.wire_name("get-weather"), "get-weather");
        for name in ["2nd_tool", "-x", "über", ""] {
            let wire = gemini.wire_name(name).into_owned();
            assert!(wire.len() <= 64 && wire.starts_with('_'), "{wire}");
            assert_eq!(gemini.tool_name(&wire), name);
        }
    }
}
