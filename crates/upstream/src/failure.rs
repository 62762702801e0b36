//! What went wrong with an attempt, and whether another target may do better.

use std::time::Duration;
use tokenrouter_providers::ProviderError;

/// The class decides what the caller is told and what may be tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The provider refused the request itself (400, 413, 422): no other target will like it better.
    Caller,
    /// The provider's policy forbids the content: the same model will not answer it anywhere.
    Policy,
    /// The provider has no such model for this key (404).
    ModelMissing,
    /// The provider refused our key (401, 403).
    Auth,
    /// Too many requests (429).
    Quota,
    /// The account has nothing left (402, or a 429 that says so): waiting a second does not help.
    Spent,
    /// 5xx, overload, a connection that broke.
    Transient,
    /// No connection was made.
    Unreachable,
    Timeout,
    /// An answer that is not what the provider's API promises.
    Garbage,
}

impl Class {
    /// Whether the next target may be tried.
    #[must_use]
    pub fn try_next(self) -> bool {
        self != Self::Caller
    }

    /// Whether another model of the same provider is likely to fail the same way.
    #[must_use]
    pub fn concerns_provider(self) -> bool {
        !matches!(self, Self::Caller | Self::Policy | Self::ModelMissing)
    }

    /// Whether another key of the same provider may do better.
    #[must_use]
    pub fn concerns_key(self) -> bool {
        matches!(self, Self::Auth | Self::ModelMissing | Self::Quota | Self::Spent)
    }

    /// The word for it in `attempts[].outcome`.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Caller => "refused",
            Self::Policy => "content_policy",
            Self::ModelMissing => "model_missing",
            Self::Auth => "auth_failed",
            Self::Quota => "rate_limited",
            Self::Spent => "quota_used_up",
            Self::Transient => "failed",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timed_out",
            Self::Garbage => "bad_answer",
        }
    }
}

/// The words of providers for content that they do not take.
const POLICY: [&str; 6] = [
    "content_policy_violation",
    "content_filter",
    "content_filter_error",
    "responsible_ai_policy_violation",
    "moderation_blocked",
    "cyber_policy_violation",
];
/// And for an account that is used up.
const SPENT: [&str; 3] = ["insufficient_quota", "billing_hard_limit_reached", "billing_error"];

#[derive(Clone, Debug, thiserror::Error)]
#[error("{class:?}: {}", error.kind)]
pub struct Failure {
    pub class: Class,
    /// What the provider said, where it said something. Its message is for the caller only in the
    /// classes `Caller` and `Policy`: in others it can name accounts and keys.
    pub error: ProviderError,
    pub retry_after: Option<Duration>,
}

impl Failure {
    #[must_use]
    pub fn new(class: Class, kind: &str) -> Self {
        Self { class, error: ProviderError { kind: kind.to_owned(), ..ProviderError::default() }, retry_after: None }
    }

    /// Whether the account will be let in for no other model either. A 403 may be about the one model.
    #[must_use]
    pub fn concerns_account(&self) -> bool {
        self.class == Class::Spent || (self.class == Class::Auth && self.error.status != 403)
    }

    /// The class of an error that the provider reported with this status (0: unknown).
    #[must_use]
    pub fn reported(error: ProviderError, retry_after: Option<Duration>) -> Self {
        let class = match error.status {
            400 | 403 | 422 if POLICY.contains(&error.kind.as_str()) => Class::Policy,
            400 | 405 | 413 | 415 | 422 => Class::Caller,
            401 | 403 => Class::Auth,
            404 => Class::ModelMissing,
            402 => Class::Spent,
            429 if SPENT.contains(&error.kind.as_str()) => Class::Spent,
            429 => Class::Quota,
            408 | 504 => Class::Timeout,
            _ => Class::Transient,
        };
        Self { class, error, retry_after }
    }
}
