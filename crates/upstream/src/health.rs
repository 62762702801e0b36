//! What is known of the targets from how they have answered: which are worth asking now.
//!
//! A target (a provider's model) has a circuit breaker, and waits out a `Retry-After`. A provider whose
//! key is refused, or whose account is out of money, is left alone as a whole for a while. Whether the
//! candidates that remain are enough is judged by [`too_many`]: **health alone never leaves a request
//! without a provider.** Every step is told the time.

use crate::breaker::{Breaker, BreakerOptions, Verdict};
use crate::budget::{BudgetOptions, RetryBudgets};
use crate::failure::{Class, Failure};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// Of one provider, or of one key: the settings let any model name through, and names that a caller made up
/// must not fill the memory, nor take the place of anybody else's.
const MOST_MODELS: usize = 1_000;
/// Providers and keys.
const MOST_SCOPES: usize = 100_000;

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

/// For how long somebody is left alone.
#[derive(Clone, Copy)]
struct Rest {
    since: Instant,
    until: Instant,
    reason: Reason,
}

impl Rest {
    fn ejection(self, now: Instant) -> Option<Ejection> {
        (self.until > now).then(|| Ejection { reason: self.reason, retry_in: self.until - now })
    }
}

struct TargetHealth {
    breaker: Breaker,
    parked: Option<Rest>,
}

impl TargetHealth {
    fn is_idle(&self, now: Instant) -> bool {
        self.breaker.is_idle(now) && self.parked.is_none_or(|rest| rest.until <= now)
    }
}

struct Inner {
    targets: HashMap<String, HashMap<String, TargetHealth>>,
    providers: HashMap<String, Rest>,
    budgets: RetryBudgets,
}

pub struct Health {
    options: HealthOptions,
    inner: Mutex<Inner>,
}

impl Health {
    #[must_use]
    pub fn new(options: HealthOptions, now: Instant) -> Self {
        let budgets = RetryBudgets::new(options.budget, now);
        let inner = Inner { targets: HashMap::new(), providers: HashMap::new(), budgets };
        Self { options, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why each target, a provider's name and a model's, should not be asked now; none if it may be. All
    /// are of one moment. Changes nothing.
    pub fn ejections<'t>(
        &self,
        targets: impl Iterator<Item = (&'t str, &'t str)>,
        now: Instant,
    ) -> Vec<Option<Ejection>> {
        let inner = self.inner();
        targets.map(|(provider, model)| inner.ejected(provider, model, now)).collect()
    }

    /// A request has come, which gives to its workspace's budget of further attempts.
    pub fn request(&self, workspace_id: i64, now: Instant) {
        self.inner().budgets.request(workspace_id, now);
    }

    /// Takes a further attempt out of the workspace's budget and out of all workspaces'; false if there is none left.
    pub fn retry(&self, workspace_id: i64, now: Instant) -> bool {
        self.inner().budgets.retry(workspace_id, now)
    }

    /// Forgets providers and keys that are not there any more.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let mut inner = self.inner();
        inner.targets.retain(|scope, _| is_there(scope));
        inner.providers.retain(|scope, _| is_there(scope));
    }

    /// The target is about to be asked. What is given must be told how that went; if it is dropped, the
    /// caller has left and nothing is learnt.
    #[must_use]
    pub fn ask(self: &Arc<Self>, provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>, now: Instant) -> Asked {
        let (provider, model) = (provider.into(), model.into());
        let probe = self.inner().known(&provider, &model).is_some_and(|target| target.breaker.ask(now));
        Asked { health: Arc::clone(self), provider, model, at: now, probe, counted: false, told: false }
    }

    fn failed(&self, asked: &Asked, failure: &Failure, now: Instant) {
        let (provider, model) = (&*asked.provider, &*asked.model);
        let mut inner = self.inner();
        match failure.class {
            // The provider did its work: it is the request that was wrong.
            Class::Caller | Class::Policy | Class::ModelMissing => {
                if let Some(target) = inner.known(provider, model) {
                    asked.answered(&mut target.breaker, now);
                }
            }
            // What a key may not do at all, and what it may not do with one model, look the same.
            Class::Auth if failure.error.status == 403 => {
                let Some(target) = inner.target(provider, model, self.options.breaker, now) else { return };
                target.parked = Some(self.refused(Reason::KeyRefused, now));
                target.breaker.left(now);
            }
            Class::Auth | Class::Spent => {
                let reason = if failure.class == Class::Auth { Reason::KeyRefused } else { Reason::QuotaUsedUp };
                inner.rest(provider, self.refused(reason, now), now);
                if let Some(target) = inner.known(provider, model) {
                    target.breaker.left(now);
                }
            }
            Class::Quota | Class::Transient | Class::Unreachable | Class::Timeout | Class::Garbage => {
                let Some(target) = inner.target(provider, model, self.options.breaker, now) else { return };
                if let Some(after) = failure.retry_after.filter(|after| !after.is_zero()) {
                    let until = now + after.min(LONGEST_PARKED);
                    target.parked = Some(Rest { since: now, until, reason: Reason::RateLimited });
                    // It told us what it wants: nothing more is to be guessed.
                    target.breaker.left(now);
                } else if asked.counted {
                    target.breaker.broke(asked.at, now);
                } else {
                    target.breaker.failed(asked.at, now);
                }
            }
        }
    }

    fn refused(&self, reason: Reason, now: Instant) -> Rest {
        Rest { since: now, until: now + self.options.refused, reason }
    }
}

impl Inner {
    fn ejected(&self, provider: &str, model: &str, now: Instant) -> Option<Ejection> {
        if let Some(ejection) = self.providers.get(provider).and_then(|rest| rest.ejection(now)) {
            return Some(ejection);
        }
        let target = self.targets.get(provider)?.get(model)?;
        if let Some(ejection) = target.parked.and_then(|rest| rest.ejection(now)) {
            return Some(ejection);
        }
        match target.breaker.verdict(now) {
            Verdict::Ask => None,
            Verdict::Wait(retry_in) => Some(Ejection { reason: Reason::CircuitOpen, retry_in }),
        }
    }

    /// Takes in that the target has let a request of that moment in: what it refused before is over. A
    /// refusal that came since stands.
    fn let_in(&mut self, asked: &Asked, options: BreakerOptions, now: Instant) -> Option<&mut TargetHealth> {
        let is_over = |rest: &Rest| rest.since <= asked.at;
        if self.providers.get(&*asked.provider).is_some_and(is_over) {
            self.providers.remove(&*asked.provider);
        }
        let target = self.target(&asked.provider, &asked.model, options, now)?;
        target.parked = target.parked.filter(|rest| !is_over(rest));
        Some(target)
    }

    /// Leaves a provider alone as a whole.
    fn rest(&mut self, provider: &str, rest: Rest, now: Instant) {
        if self.providers.len() >= MOST_SCOPES {
            self.providers.retain(|_, rest| rest.until > now);
        }
        if self.providers.len() < MOST_SCOPES || self.providers.contains_key(provider) {
            self.providers.insert(provider.to_owned(), rest);
        }
    }

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
            if self.targets.len() >= MOST_SCOPES {
                return None;
            }
            self.targets.insert(provider.to_owned(), HashMap::new());
        }
        let models = self.targets.get_mut(provider)?;
        if !models.contains_key(model) {
            if models.len() >= MOST_MODELS {
                models.retain(|_, target| !target.is_idle(now));
            }
            if models.len() >= MOST_MODELS {
                return None;
            }
            let health = TargetHealth { breaker: Breaker::new(options, now), parked: None };
            models.insert(model.to_owned(), health);
        }
        models.get_mut(model)
    }
}

/// A target that is being asked.
pub struct Asked {
    health: Arc<Health>,
    provider: Arc<str>,
    model: Arc<str>,
    at: Instant,
    probe: bool,
    /// That it began to answer has been counted as an answer.
    counted: bool,
    told: bool,
}

impl Asked {
    /// The target has begun a streamed answer, whose end is to be told as well.
    pub fn began(&mut self, now: Instant) {
        let mut inner = self.health.inner();
        let counted =
            inner.let_in(self, self.health.options.breaker, now).is_some_and(|target| target.breaker.began(now));
        drop(inner);
        self.counted = counted;
    }

    /// The target has answered, to the end.
    pub fn succeeded(mut self, now: Instant) {
        self.told = true;
        let mut inner = self.health.inner();
        if let Some(target) = inner.let_in(&self, self.health.options.breaker, now) {
            self.answered(&mut target.breaker, now);
        }
    }

    pub fn failed(mut self, failure: &Failure, now: Instant) {
        self.told = true;
        self.health.failed(&self, failure, now);
    }

    fn answered(&self, breaker: &mut Breaker, now: Instant) {
        if self.counted {
            breaker.ended(self.at);
        } else {
            breaker.succeeded(self.at, now);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.probe
            && !self.told
            && let Some(target) = self.health.inner().known(&self.provider, &self.model)
        {
            target.breaker.left(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
