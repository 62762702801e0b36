//! What is known of the targets from how they have answered: which are worth asking now.
//!
//! A target (a provider's model) has a circuit breaker, and waits out a `Retry-After`. A provider whose
//! key is refused, or whose account is out of money, is left alone as a whole for a while. Whether the
//! candidates that remain are enough is judged by [`too_many`]: **health alone never leaves a request
//! without a provider.** Every step is told the time.

use crate::breaker::{Breaker, BreakerOptions, Verdict};
use crate::budget::{BudgetOptions, RetryBudget};
use crate::failure::{Class, Failure};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct HealthOptions {
    pub breaker: BreakerOptions,
    pub budget: BudgetOptions,
    /// How long a provider is left alone that refused the key, or whose quota is used up.
    pub refused: Duration,
}

/// The longest `Retry-After` that is waited out.
const LONGEST_PARKED: Duration = Duration::from_secs(3_600);
/// A name that a caller made up must not stay: the settings let any model name through.
const MOST_TARGETS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It failed too often of late.
    CircuitOpen,
    /// It asked to be left alone for a while (`Retry-After`).
    RateLimited,
    /// The provider refused the key.
    KeyRefused,
    /// The provider's account has nothing left.
    QuotaUsedUp,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited => "rate_limited",
            Self::KeyRefused => "key_refused",
            Self::QuotaUsedUp => "quota_used_up",
        }
    }

    /// Whether all models of the provider are concerned.
    #[must_use]
    pub fn concerns_provider(self) -> bool {
        matches!(self, Self::KeyRefused | Self::QuotaUsedUp)
    }
}

/// Why a target is not to be asked, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    pub reason: Reason,
    pub retry_in: Duration,
}

/// More than half of the candidates: then it is likelier that we are wrong, or that all is lost, than that
/// the few that are left can carry everything.
#[must_use]
pub fn too_many(ejected: usize, candidates: usize) -> bool {
    ejected * 2 > candidates
}

struct TargetHealth {
    breaker: Breaker,
    parked: Option<(Instant, Reason)>,
}

struct Inner {
    targets: HashMap<String, HashMap<String, TargetHealth>>,
    providers: HashMap<String, (Instant, Reason)>,
    count: usize,
    budget: RetryBudget,
}

pub struct Health {
    options: HealthOptions,
    inner: Mutex<Inner>,
}

impl Health {
    #[must_use]
    pub fn new(options: HealthOptions, now: Instant) -> Self {
        let budget = RetryBudget::new(options.budget, now);
        let inner = Inner { targets: HashMap::new(), providers: HashMap::new(), count: 0, budget };
        Self { options, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this target should not be asked now; none if it may be. Changes nothing.
    #[must_use]
    pub fn ejected(&self, provider: &str, model: &str, now: Instant) -> Option<Ejection> {
        let inner = self.inner();
        if let Some((until, reason)) = inner.providers.get(provider)
            && *until > now
        {
            return Some(Ejection { reason: *reason, retry_in: *until - now });
        }
        let target = inner.targets.get(provider)?.get(model)?;
        if let Some((until, reason)) = target.parked.filter(|(until, _)| *until > now) {
            return Some(Ejection { reason, retry_in: until - now });
        }
        match target.breaker.verdict(now) {
            Verdict::Ask => None,
            Verdict::Wait(retry_in) => Some(Ejection { reason: Reason::CircuitOpen, retry_in }),
        }
    }

    /// A request has come, which gives to the budget of further attempts.
    pub fn request(&self, now: Instant) {
        self.inner().budget.request(now);
    }

    /// Takes a further attempt out of the budget; false if there is none left.
    pub fn retry(&self, now: Instant) -> bool {
        self.inner().budget.retry(now)
    }

    /// The target is about to be asked. What is given must be told how that went; if it is dropped, the
    /// caller has left and nothing is learnt.
    #[must_use]
    pub fn ask<'a>(&'a self, provider: &'a str, model: &'a str, now: Instant) -> Asked<'a> {
        let probe = self
            .inner()
            .targets
            .get_mut(provider)
            .and_then(|models| models.get_mut(model))
            .is_some_and(|target| target.breaker.ask(now));
        Asked { health: self, provider, model, probe, told: false }
    }

    /// Takes in a failure.
    pub fn failed(&self, provider: &str, model: &str, failure: &Failure, now: Instant) {
        let mut inner = self.inner();
        match failure.class {
            // The provider did its work: it is the request that was wrong.
            Class::Caller | Class::Policy | Class::ModelMissing => {
                if let Some(target) = inner.known(provider, model) {
                    target.breaker.succeeded(now);
                }
            }
            // What a key may not do at all, and what it may not do with one model, look the same.
            Class::Auth if failure.error.status == 403 => {
                let Some(target) = inner.target(provider, model, self.options.breaker, now) else { return };
                target.parked = Some((now + self.options.refused, Reason::KeyRefused));
                target.breaker.left(now);
            }
            Class::Auth | Class::Spent => {
                let reason = if failure.class == Class::Auth { Reason::KeyRefused } else { Reason::QuotaUsedUp };
                inner.providers.insert(provider.to_owned(), (now + self.options.refused, reason));
                if let Some(target) = inner.known(provider, model) {
                    target.breaker.left(now);
                }
            }
            Class::Quota | Class::Transient | Class::Unreachable | Class::Timeout | Class::Garbage => {
                let Some(target) = inner.target(provider, model, self.options.breaker, now) else { return };
                if let Some(after) = failure.retry_after.filter(|after| !after.is_zero()) {
                    target.parked = Some((now + after.min(LONGEST_PARKED), Reason::RateLimited));
                    // It told us what it wants: nothing more is to be guessed.
                    target.breaker.left(now);
                } else {
                    target.breaker.failed(now);
                }
            }
        }
    }

    /// Takes in that the target answered.
    pub fn succeeded(&self, provider: &str, model: &str, now: Instant) {
        let mut inner = self.inner();
        inner.providers.remove(provider);
        if let Some(target) = inner.target(provider, model, self.options.breaker, now) {
            target.breaker.succeeded(now);
            target.parked = None;
        }
    }
}

impl Inner {
    fn known(&mut self, provider: &str, model: &str) -> Option<&mut TargetHealth> {
        self.targets.get_mut(provider)?.get_mut(model)
    }

    fn target(
        &mut self,
        provider: &str,
        model: &str,
        options: BreakerOptions,
        now: Instant,
    ) -> Option<&mut TargetHealth> {
        if !self.targets.contains_key(provider) {
            self.targets.insert(provider.to_owned(), HashMap::new());
        }
        let models = self.targets.get_mut(provider)?;
        if !models.contains_key(model) {
            if self.count >= MOST_TARGETS {
                return None;
            }
            self.count += 1;
            let health = TargetHealth { breaker: Breaker::new(options, now), parked: None };
            models.insert(model.to_owned(), health);
        }
        models.get_mut(model)
    }
}

/// A target that is being asked.
pub struct Asked<'a> {
    health: &'a Health,
    provider: &'a str,
    model: &'a str,
    probe: bool,
    told: bool,
}

impl Asked<'_> {
    pub fn succeeded(mut self, now: Instant) {
        self.told = true;
        self.health.succeeded(self.provider, self.model, now);
    }

    pub fn failed(mut self, failure: &Failure, now: Instant) {
        self.told = true;
        self.health.failed(self.provider, self.model, failure, now);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.probe
            && !self.told
            && let Some(target) = self.health.inner().known(self.provider, self.model)
        {
            target.breaker.left(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn health(now: Instant) -> Health {
        let breaker = BreakerOptions { window: seconds(10), min_requests: 5, failure_percent: 50, open: seconds(5) };
        let budget = BudgetOptions { percent: 20, floor: 10 };
        Health::new(HealthOptions { breaker, budget, refused: seconds(60) }, now)
    }

    fn reason(health: &Health, model: &str, now: Instant) -> Option<Reason> {
        health.ejected("openai", model, now).map(|ejection| ejection.reason)
    }

    #[test]
    fn a_target_that_fails_is_ejected_and_its_provider_is_not() {
        let now = Instant::now();
        let health = health(now);
        for _ in 0..5 {
            health.ask("openai", "a", now).failed(&Failure::new(Class::Transient, "x"), now);
        }
        assert_eq!(reason(&health, "a", now), Some(Reason::CircuitOpen));
        assert_eq!(reason(&health, "b", now), None);
        let later = now + seconds(5);
        assert_eq!(reason(&health, "a", later), None);
        let probe = health.ask("openai", "a", later);
        assert_eq!(reason(&health, "a", later), Some(Reason::CircuitOpen));
        probe.succeeded(later);
        assert_eq!(reason(&health, "a", later), None);
    }

    #[test]
    fn a_probe_whose_caller_left_is_given_back() {
        let now = Instant::now();
        let health = health(now);
        for _ in 0..5 {
            health.failed("openai", "a", &Failure::new(Class::Timeout, "x"), now);
        }
        drop(health.ask("openai", "a", now + seconds(5)));
        assert_eq!(reason(&health, "a", now + seconds(5)), None);
    }

    #[test]
    fn a_refused_key_concerns_every_model_of_the_provider_for_a_while() {
        let now = Instant::now();
        let health = health(now);
        health.failed("openai", "a", &Failure::new(Class::Auth, "x"), now);
        assert_eq!(reason(&health, "b", now), Some(Reason::KeyRefused));
        assert!(health.ejected("mistral", "a", now).is_none());
        assert_eq!(reason(&health, "b", now + seconds(60)), None);
        health.failed("openai", "a", &Failure::new(Class::Spent, "x"), now);
        assert_eq!(reason(&health, "b", now), Some(Reason::QuotaUsedUp));
        health.succeeded("openai", "b", now);
        assert_eq!(reason(&health, "a", now), None);
    }

    #[test]
    fn a_model_that_the_key_may_not_use_does_not_eject_the_others() {
        let now = Instant::now();
        let health = health(now);
        let mut forbidden = Failure::new(Class::Auth, "permission_error");
        forbidden.error.status = 403;
        health.failed("openai", "a", &forbidden, now);
        assert_eq!(reason(&health, "a", now), Some(Reason::KeyRefused));
        assert_eq!(reason(&health, "b", now), None);
    }

    #[test]
    fn a_retry_after_parks_its_target_until_then() {
        let now = Instant::now();
        let health = health(now);
        let limited = Failure { retry_after: Some(seconds(7)), ..Failure::new(Class::Quota, "x") };
        health.failed("openai", "a", &limited, now);
        let wanted = Ejection { reason: Reason::RateLimited, retry_in: seconds(3) };
        assert_eq!(health.ejected("openai", "a", now + seconds(4)), Some(wanted));
        assert_eq!(reason(&health, "b", now), None);
        assert_eq!(reason(&health, "a", now + seconds(7)), None);
    }

    #[test]
    fn what_the_caller_did_wrong_ejects_nobody() {
        let now = Instant::now();
        let health = health(now);
        for class in [Class::Caller, Class::Policy, Class::ModelMissing] {
            for _ in 0..100 {
                health.failed("openai", "a", &Failure::new(class, "x"), now);
            }
            assert_eq!(reason(&health, "a", now), None, "{class:?}");
        }
    }

    #[test]
    fn more_than_half_is_too_many() {
        assert!(too_many(1, 1) && too_many(2, 3) && too_many(3, 4));
        assert!(!too_many(0, 1) && !too_many(1, 2) && !too_many(1, 3) && !too_many(2, 4));
    }
}
