//! What the caller is told of a provider's failure.
//!
//! A refusal of the request itself is the caller's to mend, so the provider's own words are passed
//! on. Everything else is between us and the provider: its words can name accounts, hosts and keys,
//! and stay here.

use super::{ApiError, Code};
use tokenrouter_upstream::{Class, Failure};

impl ApiError {
    /// The error for the failure that ended the last attempt, which went out with the key of `owner`: the gateway,
    /// or the workspace.
    #[must_use]
    pub fn provider(provider: &str, owner: &str, failure: &Failure) -> Self {
        let (code, message) = match failure.class {
            Class::Caller | Class::Policy => caller(provider, failure),
            Class::Auth => (Code::UpstreamError, format!("{provider} refused {owner}'s key for it")),
            Class::ModelMissing => {
                (Code::UpstreamError, format!("{provider} does not serve this model to {owner}'s key"))
            }
            Class::Spent => (Code::RateLimitExceeded, format!("{owner}'s account at {provider} has nothing left")),
            Class::Quota => (Code::RateLimitExceeded, format!("{provider} is limiting {owner}'s requests")),
            Class::Unreachable => (Code::ProviderUnavailable, format!("{provider} cannot be reached")),
            Class::Timeout => (Code::UpstreamTimeout, format!("{provider} did not answer in time")),
            Class::Garbage => (Code::UpstreamError, format!("{provider} gave an answer that is not of its API")),
            Class::Transient if matches!(failure.error.status, 503 | 529) => {
                (Code::ProviderUnavailable, format!("{provider} is overloaded or down"))
            }
            Class::Transient => (Code::UpstreamError, format!("{provider} failed to answer")),
        };
        let mut error = Self { provider: Some(provider.to_owned()), ..Self::new(code, message) };
        error.retry_after_seconds = match (code, failure.retry_after) {
            (_, Some(after)) => Some(after.as_secs_f64().ceil().clamp(0.0, 86_400.0) as u64),
            (Code::RateLimitExceeded | Code::ProviderUnavailable, None) => Some(1),
            _ => None,
        };
        error
    }
}

fn caller(provider: &str, failure: &Failure) -> (Code, String) {
    let said = &failure.error.message;
    let code = if failure.error.kind == "context_length_exceeded" || said.contains("maximum context length") {
        Code::ContextLengthExceeded
    } else {
        Code::InvalidParameter
    };
    let message = if said.is_empty() {
        format!("{provider} refused the request")
    } else {
        format!("{provider} refused the request: {said}")
    };
    (code, message)
}
