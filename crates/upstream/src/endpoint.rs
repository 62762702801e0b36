//! Where a provider is, and the key for it. **A key never leaves with another host.**

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use tokenrouter_providers::{Auth, Kind, normalise_base_url};

#[derive(Clone)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    /// Without a trailing slash; empty for the root.
    base_path: String,
    auth: Option<(HeaderName, HeaderValue)>,
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
        let auth = key.map(|key| auth_header(auth, key)).transpose()?;
        Ok(Self { scheme, authority, base_path, auth })
    }

    #[must_use]
    pub fn has_key(&self) -> bool {
        self.auth.is_some()
    }

    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let mut full = String::with_capacity(self.base_path.len() + path.len());
        full.push_str(&self.base_path);
        full.push_str(path);
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(full).build()
    }

    pub(crate) fn auth(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.auth.as_ref()
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
