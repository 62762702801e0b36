//! The kinds of provider that we can speak to, and where each is found.

/// Which wire format a provider speaks, and in which dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    OpenAi,
    Anthropic,
    Gemini,
    Mistral,
    DeepSeek,
    OpenAiCompatible,
}

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// `x-goog-api-key: …`
    XGoogApiKey,
    /// `api-key: …`, as Azure has it.
    ApiKey,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of provider: it must be openai, anthropic, gemini, mistral, deepseek or openai-compatible")]
pub struct UnknownKind(String);

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Mistral, Self::DeepSeek, Self::OpenAiCompatible];

    /// The name that settings use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::DeepSeek => "deepseek",
            Self::OpenAiCompatible => "openai-compatible",
        }
    }

    /// # Errors
    /// When there is no such kind.
    pub fn parse(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }

    /// Where the provider is when nobody says otherwise.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Mistral => Some("https://api.mistral.ai/v1"),
            Self::DeepSeek => Some("https://api.deepseek.com"),
            Self::OpenAiCompatible => None,
        }
    }

    /// `OPENAI` for `OPENAI_API_KEY` and `OPENAI_BASE_URL`: the environment that the provider's own
    /// SDK reads.
    #[must_use]
    pub fn env_prefix(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI"),
            Self::Anthropic => Some("ANTHROPIC"),
            Self::Gemini => Some("GEMINI"),
            Self::Mistral => Some("MISTRAL"),
            Self::DeepSeek => Some("DEEPSEEK"),
            Self::OpenAiCompatible => None,
        }
    }

    /// Whether reasoning may go back only to the account that made it. Anthropic says that its signatures are good
    /// on every platform, and Google names no bound; OpenAI encrypts for the organisation, and answers 400 to
    /// another one.
    pub(crate) fn binds_reasoning_to_account(self) -> bool {
        self == Self::OpenAi
    }

    #[must_use]
    pub fn auth(self) -> Auth {
        match self {
            Self::Anthropic => Auth::XApiKey,
            Self::Gemini => Auth::XGoogApiKey,
            Self::OpenAi | Self::Mistral | Self::DeepSeek | Self::OpenAiCompatible => Auth::Bearer,
        }
    }
}

/// A base URL to which [`Encoded::path`](crate::Encoded) can be appended: no trailing slash, and
/// with the version that the SDKs of Anthropic, Google and Mistral leave to themselves.
#[must_use]
pub fn normalise_base_url(kind: Kind, base_url: &str) -> String {
    let trimmed = base_url.trim().trim_end_matches('/');
    let has_path = trimmed.split_once("://").map_or(trimmed, |(_, rest)| rest).contains('/');
    match kind {
        Kind::Anthropic | Kind::Mistral if !has_path && !trimmed.is_empty() => format!("{trimmed}/v1"),
        Kind::Gemini if !has_path && !trimmed.is_empty() => format!("{trimmed}/v1beta"),
        _ => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Ok(kind));
        }
        assert!(Kind::parse("OpenAI").unwrap_err().to_string().contains("OpenAI"));
    }

    #[test]
    fn base_urls_get_the_version_that_their_sdks_leave_out() {
        let cases = [
            (Kind::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com/v1"),
            (Kind::Anthropic, "https://api.anthropic.com/", "https://api.anthropic.com/v1"),
            (Kind::Anthropic, "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1"),
            (Kind::Anthropic, "https://host/claude", "https://host/claude"),
            (Kind::Gemini, "https://host", "https://host/v1beta"),
            (Kind::Gemini, "https://host/gemini/v1beta/", "https://host/gemini/v1beta"),
            (Kind::Mistral, "https://api.mistral.ai", "https://api.mistral.ai/v1"),
            (Kind::DeepSeek, "https://api.deepseek.com/", "https://api.deepseek.com"),
            (Kind::OpenAi, "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1"),
            (Kind::OpenAiCompatible, "http://localhost:11434/v1", "http://localhost:11434/v1"),
        ];
        for (kind, given, wanted) in cases {
            assert_eq!(normalise_base_url(kind, given), wanted);
        }
    }
}
