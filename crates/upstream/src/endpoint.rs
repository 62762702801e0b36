//! Where a provider is, and the key for it. **A key never leaves with another host.**

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use tokenrouter_providers::{Auth, Kind, ProviderError, normalise_base_url};

const SHORTEST_SECRET: usize = 8;
const LONGEST_WORD: usize = 64;

#[derive(Clone)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    /// Without a trailing slash; empty for the root.
    base_path: String,
    /// Wiped when it is dropped; a header is made of it for each request.
    key: Option<(Auth, SecretString)>,
}

/// Shows the address, never the key.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({}://{}{})", self.scheme, self.authority, self.base_path)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is not an address: it must be http:// or https:// with a host")]
    BaseUrl(String),
    #[error("the key holds characters that no HTTP header can carry")]
    Key,
}

impl Endpoint {
    /// Where a connection to it goes.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        let usual = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        (self.authority.host().trim_matches(['[', ']']), self.authority.port_u16().unwrap_or(usual))
    }

    /// # Errors
    /// When `base_url` is not an `http` or `https` address, or the key cannot stand in a header.
    pub fn new(kind: Kind, base_url: &str, key: Option<&SecretString>) -> Result<Self, EndpointError> {
        Self::with_auth(kind, kind.auth(), base_url, key)
    }

    /// As [`new`](Self::new), for a host that wants its key in another way than others of its kind.
    ///
    /// # Errors
    /// As there.
    pub fn with_auth(
        kind: Kind,
        auth: Auth,
        base_url: &str,
        key: Option<&SecretString>,
    ) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::BaseUrl(base_url.to_owned());
        let uri: Uri = normalise_base_url(kind, base_url).parse().map_err(|_| wrong())?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(wrong()) };
        if (scheme != Scheme::HTTP && scheme != Scheme::HTTPS) || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let base_path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path).trim_end_matches('/').to_owned();
        let endpoint = Self { scheme, authority, base_path, key: None };
        key.map_or(Ok(endpoint.clone()), |key| endpoint.with_key(auth, key))
    }

    /// The same address, with this key.
    ///
    /// # Errors
    /// When the key cannot stand in a header.
    pub fn with_key(&self, auth: Auth, key: &SecretString) -> Result<Self, EndpointError> {
        auth_header(auth, key)?;
        Ok(Self { key: Some((auth, key.clone())), ..self.clone() })
    }

    /// Scheme, host and port, such as `https://api.openai.com:443`.
    #[must_use]
    pub fn origin(&self) -> String {
        let port = self.host_and_port().1;
        format!("{}://{}:{port}", self.scheme, self.authority.host().to_ascii_lowercase())
    }

    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// A provider may repeat the key that it was sent in what it says of it, and the prompt in what should be a word of
    /// its API: that stays here. Its kind is for the log, its message for the caller.
    pub fn redact(&self, error: &mut ProviderError) {
        if !is_word(&error.kind) {
            "not_a_word".clone_into(&mut error.kind);
        }
        self.redact_text(&mut error.kind);
        self.redact_text(&mut error.message);
    }

    fn redact_text(&self, text: &mut String) {
        let Some((_, key)) = &self.key else { return };
        let key = key.expose_secret();
        // What is shorter is no secret, and could be a part of any word.
        if key.len() >= SHORTEST_SECRET && text.contains(key) {
            *text = text.replace(key, "[redacted]");
        }
    }

    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let mut full = String::with_capacity(self.base_path.len() + path.len());
        full.push_str(&self.base_path);
        full.push_str(path);
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(full).build()
    }

    pub(crate) fn auth(&self) -> Result<Option<(HeaderName, HeaderValue)>, EndpointError> {
        self.key.as_ref().map(|(auth, key)| auth_header(*auth, key)).transpose()
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_WORD && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Whether an address is of this very machine. What is no address is not.
#[must_use]
pub fn is_loopback(base_url: &str) -> bool {
    let Ok(uri) = base_url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn auth_header(auth: Auth, key: &SecretString) -> Result<(HeaderName, HeaderValue), EndpointError> {
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
        Auth::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), key.expose_secret().to_owned()),
        Auth::ApiKey => (HeaderName::from_static("api-key"), key.expose_secret().to_owned()),
        Auth::XApiKey => (HeaderName::from_static("x-api-key"), key.expose_secret().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| EndpointError::Key)?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for here in ["http://127.0.0.1:1/v1", "http://127.9.9.9", "http://localhost:11434/v1", "http://[::1]:8080/v1"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "https://api.openai.com/v1",
            "http://127.0.0.1.evil.com",
            "http://10.0.0.1",
            "http://localhost.evil",
            "",
            "x",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn an_origin_names_the_port_and_no_path() {
        for (base_url, origin) in [
            ("https://API.openai.com/v1", "https://api.openai.com:443"),
            ("http://127.0.0.1:9/openai/v1", "http://127.0.0.1:9"),
            ("http://[::1]/v1", "http://[::1]:80"),
        ] {
            assert_eq!(Endpoint::new(Kind::OpenAi, base_url, None).unwrap().origin(), origin);
        }
    }

    #[test]
    fn a_key_is_taken_out_of_what_a_provider_says() {
        let endpoint = |kind| Endpoint::new(kind, "https://host.test/v1", Some(&"sk-secret-12345".into())).unwrap();
        for kind in [Kind::OpenAi, Kind::Anthropic, Kind::Gemini, Kind::Mistral] {
            let mut text = "no such key: sk-secret-12345, Bearer sk-secret-12345".to_owned();
            endpoint(kind).redact_text(&mut text);
            assert_eq!(text, "no such key: [redacted], Bearer [redacted]");
        }
        let mut text = "nothing of it".to_owned();
        Endpoint::new(Kind::OpenAi, "https://host.test/v1", None).unwrap().redact_text(&mut text);
        assert_eq!(text, "nothing of it");
        for (kind, kept) in [
            ("rate_limit_error", "rate_limit_error"),
            ("", ""),
            ("sk-secret-12345", "[redacted]"),
            ("words of a prompt", "not_a_word"),
            (&"x".repeat(65), "not_a_word"),
        ] {
            let mut error = ProviderError { kind: kind.to_owned(), ..ProviderError::default() };
            endpoint(Kind::OpenAi).redact(&mut error);
            assert_eq!(error.kind, kept);
        }
    }
}
