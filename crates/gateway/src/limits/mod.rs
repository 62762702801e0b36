//! What an API key may use, and all keys of a workspace together: requests and tokens a minute, requests in
//! flight, tokens and money a month.
//!
//! **What a request may come to is reserved before it is sent, under one lock, and settled by what it
//! came to**, so that requests at the same time cannot pass a limit together. All is in memory, for one
//! process; the month's sums are read from the ledger at the start, which has what was charged, and what a process before
//! has left is added when it gets there.

mod bucket;
mod meter;
mod month;

use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult};
use meter::{Meter, Standing};
use month::Month;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokenrouter_store::{Store, StoreError, UsageLimits};

/// What a request may come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub tokens: u64,
    pub cost_nano_usd: u64,
}

impl Amount {
    pub fn and(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    fn times(self, count: u64) -> Self {
        Self { tokens: self.tokens.saturating_mul(count), cost_nano_usd: self.cost_nano_usd.saturating_mul(count) }
    }

    fn add(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(other.cost_nano_usd);
    }

    fn take(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_sub(other.tokens);
        self.cost_nano_usd = self.cost_nano_usd.saturating_sub(other.cost_nano_usd);
    }
}

/// Whose limits they are, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Key(i64),
    Workspace(i64),
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key(_) => "this API key",
            Self::Workspace(_) => "this workspace",
        })
    }
}

pub(crate) struct Limits {
    inner: Mutex<Inner>,
}

struct Inner {
    month: Month,
    meters: HashMap<Holder, Meter>,
    /// What was used this month before the gateway started, of holders that have no meter yet.
    before: HashMap<Holder, Amount>,
}

/// A request's place, and what is reserved for it. Dropping it gives both back.
pub(crate) struct Permit {
    limits: Arc<Limits>,
    limited: Vec<(Holder, UsageLimits)>,
    /// What each one's bucket of tokens was drawn by.
    drawn: Vec<u64>,
    reserved: Amount,
    month: Month,
}

/// What has been taken in.
pub(crate) struct Admitted {
    /// One a request.
    pub permits: Vec<Permit>,
    /// Which of the amounts the month has room for.
    pub fits: Vec<bool>,
    /// `x-ratelimit-*`.
    pub headers: Vec<(&'static str, String)>,
}

impl Limits {
    /// Reads what has been used this month.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let month = Month::of(now_ms());
        let rows = store.key_usage(month.from_ms).await?;
        let mut before: HashMap<Holder, Amount> = HashMap::new();
        for row in rows {
            let used = Amount { tokens: row.tokens, cost_nano_usd: row.cost_nano_usd };
            for holder in [Holder::Key(row.key_id), Holder::Workspace(row.workspace_id)] {
                before.entry(holder).or_default().add(used);
            }
        }
        Ok(Self { inner: Mutex::new(Inner { month, meters: HashMap::new(), before }) })
    }

    /// What a holder has used this month, and what is reserved for it now.
    pub fn used(&self, holder: Holder) -> (Amount, Amount) {
        let mut inner = self.inner(now_ms());
        let meter = inner.meter(holder);
        (meter.used, meter.reserved)
    }

    /// Counts what was used, since this moment of its arrival, by a request that was not admitted here.
    pub fn charge(&self, holders: &[Holder], used: Amount, created_at_ms: i64) {
        let mut inner = self.inner(now_ms());
        if created_at_ms >= inner.month.from_ms {
            holders.iter().for_each(|holder| inner.meter(*holder).used.add(used));
        }
    }

    /// As of this moment.
    fn inner(&self, now: i64) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= inner.month.until_ms {
            inner.month = Month::of(now);
            inner.before.clear();
            inner.meters.values_mut().for_each(|meter| meter.used = Amount::default());
        }
        inner
    }

    /// Takes so many requests in, all or none, each of which may come to any of these amounts, one for each of its
    /// targets, better first. Reserved is the first that no limit forbids to all of them.
    ///
    /// # Errors
    /// The limit that would be passed, and when to come again. Nothing is taken then.
    pub fn admit(
        self: &Arc<Self>,
        limited: &[(Holder, UsageLimits)],
        amounts: &[Amount],
        count: u64,
    ) -> ApiResult<Admitted> {
        let now = now_ms();
        let mut inner = self.inner(now);
        let month = inner.month;
        for (who, of) in limited {
            inner.meter(*who).check_requests(*who, of, count, now)?;
        }
        let mut fits = Vec::with_capacity(amounts.len());
        let (mut first, mut refused) = (None, None);
        for amount in amounts {
            let all = amount.times(count);
            let in_month = inner.check_month(limited, all, now);
            fits.push(in_month.is_ok());
            match in_month.and_then(|()| inner.check_minute(limited, all, now)) {
                Ok(()) => first = first.or(Some(*amount)),
                Err(error) => refused = Some(sooner(refused, error)),
            }
        }
        let Some(amount) = first else {
            return Err(refused.unwrap_or_else(|| ApiError::internal(&"nothing to reserve for")));
        };
        let mut tightest: [Option<Standing>; 2] = [None, None];
        let mut drawn = Vec::with_capacity(limited.len());
        for (holder, of) in limited {
            let meter = inner.meter(*holder);
            drawn.push(meter.take(of, amount.times(count), count));
            for (tightest, standing) in tightest.iter_mut().zip(meter.standings(of)) {
                let left = |standing: &Standing| standing.remaining;
                *tightest = tightest.take().into_iter().chain(standing).min_by_key(left);
            }
        }
        let headers = tightest.iter().flatten().flat_map(Standing::headers).collect();
        let permit = |number: u64| {
            let share = |all: &u64| all / count + u64::from(number < all % count);
            let (limits, drawn) = (Arc::clone(self), drawn.iter().map(share).collect());
            Permit { limits, limited: limited.to_vec(), drawn, reserved: amount, month }
        };
        Ok(Admitted { permits: (0..count).map(permit).collect(), fits, headers })
    }
}

/// Of two refusals the one that is over first.
fn sooner(before: Option<ApiError>, error: ApiError) -> ApiError {
    match before {
        Some(before) if before.retry_after_seconds <= error.retry_after_seconds => before,
        _ => error,
    }
}

impl Inner {
    fn meter(&mut self, holder: Holder) -> &mut Meter {
        let before = &mut self.before;
        self.meters.entry(holder).or_insert_with(|| Meter::that_used(before.remove(&holder).unwrap_or_default()))
    }

    fn check_month(&mut self, limited: &[(Holder, UsageLimits)], amount: Amount, now: i64) -> ApiResult<()> {
        let month = self.month;
        limited.iter().try_for_each(|(who, of)| self.meter(*who).check_month(*who, of, amount, (month, now)))
    }

    fn check_minute(&mut self, limited: &[(Holder, UsageLimits)], amount: Amount, now: i64) -> ApiResult<()> {
        limited.iter().try_for_each(|(who, of)| self.meter(*who).check_minute(*who, of, amount, now))
    }
}

impl Permit {
    /// Reserves for another target, which may cost more; the reservation stays as it was if that would
    /// pass a limit.
    pub fn change(&mut self, amount: Amount) -> ApiResult<()> {
        let now = now_ms();
        let mut inner = self.limits.inner(now);
        for (holder, _) in &self.limited {
            inner.meter(*holder).reserved.take(self.reserved);
        }
        let fits = inner.check_month(&self.limited, amount, now);
        if fits.is_ok() {
            self.reserved = amount;
        }
        for (holder, _) in &self.limited {
            inner.meter(*holder).reserved.add(self.reserved);
        }
        fits
    }

    /// Counts what the request came to, and gives its place and its reservation back. It is counted in the
    /// month that it came in, as the ledger does.
    pub fn settle(self, used: Amount) {
        let now = now_ms();
        let mut inner = self.limits.inner(now);
        let counted = if inner.month == self.month { used } else { Amount::default() };
        for ((holder, of), drawn) in self.limited.iter().zip(&self.drawn) {
            inner.meter(*holder).settle(of, counted, *drawn, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.limits.inner(now_ms());
        for (holder, _) in &self.limited {
            let meter = inner.meter(*holder);
            meter.in_flight = meter.in_flight.saturating_sub(1);
            meter.reserved.take(self.reserved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const KEY: Holder = Holder::Key(1);

    fn limits() -> Arc<Limits> {
        let inner = Inner { month: Month::of(now_ms()), meters: HashMap::new(), before: HashMap::new() };
        Arc::new(Limits { inner: Mutex::new(inner) })
    }

    fn amount(cost_nano_usd: u64) -> Amount {
        Amount { tokens: 1, cost_nano_usd }
    }

    fn admit(limits: &Arc<Limits>, of: UsageLimits, cost_nano_usd: u64) -> ApiResult<Permit> {
        admit_as(limits, &[(KEY, of)], cost_nano_usd).map(|(permit, _)| permit)
    }

    /// With the headers.
    fn admit_as(
        limits: &Arc<Limits>,
        limited: &[(Holder, UsageLimits)],
        cost_nano_usd: u64,
    ) -> ApiResult<(Permit, Vec<(&'static str, String)>)> {
        let Admitted { mut permits, headers, .. } = limits.admit(limited, &[amount(cost_nano_usd)], 1)?;
        Ok((permits.pop().unwrap(), headers))
    }

    fn costs(limits: &Limits) -> (u64, u64) {
        let inner = limits.inner(now_ms());
        (inner.meters[&KEY].used.cost_nano_usd, inner.meters[&KEY].reserved.cost_nano_usd)
    }

    #[test]
    fn a_budget_is_never_passed_by_a_thousand_at_once() {
        let limits = limits();
        let of = UsageLimits { monthly_budget_nano_usd: Some(1_000_000_000), ..UsageLimits::default() };
        let threads: Vec<_> = (0..1_000)
            .map(|_| {
                let limits = Arc::clone(&limits);
                std::thread::spawn(move || admit(&limits, of, 30_000_000).ok())
            })
            .collect();
        let permits: Vec<Permit> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(permits.len(), 33, "33 × 0.03 is all that fits into 1.00");
        permits.into_iter().for_each(|permit| permit.settle(amount(10_000_000)));
        assert_eq!(costs(&limits), (330_000_000, 0));
        assert_eq!(limits.inner(now_ms()).meters[&KEY].in_flight, 0);
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let limits = limits();
        let of = UsageLimits { max_in_flight: Some(1), monthly_tokens: Some(1), ..UsageLimits::default() };
        for _ in 0..3 {
            let permit = admit(&limits, of, 0).unwrap();
            assert_eq!(admit(&limits, of, 0).err().unwrap().code, Code::RateLimitExceeded);
            drop(permit);
        }
        admit(&limits, of, 0).unwrap().settle(amount(0));
        let error = admit(&limits, of, 0).err().unwrap();
        assert_eq!(error.code, Code::MonthlyQuotaExceeded);
        assert!(error.retry_after_seconds.unwrap() <= 31 * 86_400);
    }

    #[test]
    fn another_target_is_reserved_for_in_the_place_of_the_first() {
        let limits = limits();
        let of = UsageLimits { monthly_budget_nano_usd: Some(100), ..UsageLimits::default() };
        let mut permit = admit(&limits, of, 60).unwrap();
        permit.change(amount(100)).unwrap();
        assert!(permit.change(amount(101)).is_err());
        assert_eq!(costs(&limits), (0, 100));
    }

    #[test]
    fn the_first_target_that_fits_is_reserved_for() {
        let limits = limits();
        let of = UsageLimits { monthly_budget_nano_usd: Some(100), ..UsageLimits::default() };
        let amounts = [amount(101), amount(100), amount(200), amount(7)];
        let mut admitted = limits.admit(&[(KEY, of)], &amounts, 1).unwrap();
        assert_eq!(admitted.fits, [false, true, false, true]);
        assert_eq!(costs(&limits), (0, 100));
        assert_eq!(limits.admit(&[(KEY, of)], &amounts, 1).err().unwrap().code, Code::BudgetExceeded);
        admitted.permits.pop().unwrap().settle(amount(93));
        let admitted = limits.admit(&[(KEY, of)], &amounts, 1).unwrap();
        assert_eq!(admitted.fits, [false, false, false, true]);
    }

    #[test]
    fn the_keys_of_a_workspace_share_its_limits() {
        let limits = limits();
        let workspace =
            UsageLimits { monthly_budget_nano_usd: Some(100), requests_per_minute: Some(3), ..UsageLimits::default() };
        let key = UsageLimits { requests_per_minute: Some(2), ..UsageLimits::default() };
        let admit = |id, cost| {
            let limited = [(Holder::Workspace(1), workspace), (Holder::Key(id), key)];
            admit_as(&limits, &limited, cost)
        };
        let remaining = |headers: &[(&str, String)]| {
            headers.iter().find(|(name, _)| name.contains("remaining")).map(|(_, value)| value.clone())
        };
        let (first, headers) = admit(1, 60).unwrap();
        assert_eq!(remaining(&headers).unwrap(), "1", "the key's own, which is the tighter");
        let error = admit(2, 41).err().unwrap();
        assert_eq!((error.code, error.message.starts_with("this workspace")), (Code::BudgetExceeded, true));
        let (second, _) = admit(2, 40).unwrap();
        first.settle(amount(10));
        let (third, headers) = admit(2, 50).unwrap();
        assert_eq!(remaining(&headers).unwrap(), "0");
        assert_eq!(admit(3, 0).err().unwrap().code, Code::RateLimitExceeded, "three in this minute");
        drop((second, third));
        let (used, reserved) = limits.used(Holder::Workspace(1));
        assert_eq!((used.cost_nano_usd, reserved.cost_nano_usd), (10, 0));
    }

    #[test]
    fn what_one_holder_refuses_is_taken_from_no_other() {
        let limits = limits();
        let workspace = UsageLimits { monthly_tokens: Some(0), ..UsageLimits::default() };
        let key = UsageLimits { requests_per_minute: Some(1), max_in_flight: Some(1), ..UsageLimits::default() };
        for _ in 0..3 {
            let refused = limits.admit(&[(KEY, key), (Holder::Workspace(1), workspace)], &[amount(1)], 1);
            assert_eq!(refused.err().unwrap().code, Code::MonthlyQuotaExceeded);
        }
        assert!(limits.admit(&[(KEY, key)], &[amount(1)], 1).is_ok());
    }

    #[test]
    fn several_are_let_in_together_or_nothing_is_taken() {
        let limits = limits();
        let of = UsageLimits {
            requests_per_minute: Some(5),
            tokens_per_minute: Some(7),
            max_in_flight: Some(5),
            monthly_budget_nano_usd: Some(100),
            ..UsageLimits::default()
        };
        let admit = |cost, count| limits.admit(&[(KEY, of)], &[amount(cost)], count);
        assert_eq!(admit(1, 6).err().unwrap().code, Code::RateLimitExceeded, "six are more than five");
        assert_eq!(admit(34, 3).err().unwrap().code, Code::BudgetExceeded);
        let three = admit(33, 3).unwrap().permits;
        assert_eq!(costs(&limits), (0, 99));
        assert_eq!(three.iter().map(|permit| permit.drawn[0]).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(admit(0, 3).err().unwrap().code, Code::RateLimitExceeded, "two are left");
        for (permit, left) in three.into_iter().zip([66, 33, 0]) {
            permit.settle(amount(1));
            assert_eq!(costs(&limits).1, left);
        }
        assert_eq!(admit(1, 2).unwrap().permits.len(), 2, "what was refused has taken nothing");
    }

    #[test]
    fn several_that_are_more_than_a_minutes_tokens_wait_for_a_full_bucket() {
        let limits = limits();
        let of = UsageLimits { tokens_per_minute: Some(2), ..UsageLimits::default() };
        let permits = limits.admit(&[(KEY, of)], &[amount(0)], 3).unwrap().permits;
        assert_eq!(permits.iter().map(|permit| permit.drawn[0]).collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(limits.admit(&[(KEY, of)], &[amount(0)], 1).err().unwrap().code, Code::RateLimitExceeded);
    }

    #[test]
    fn a_new_month_begins_with_nothing_used() {
        let limits = limits();
        let of = UsageLimits { monthly_budget_nano_usd: Some(100), ..UsageLimits::default() };
        admit(&limits, of, 60).unwrap().settle(amount(60));
        let across = admit(&limits, of, 40).unwrap();
        let next = limits.inner(now_ms()).month.until_ms;
        assert_eq!(limits.inner(next).meters[&KEY].used, Amount::default());
        across.settle(amount(40));
        assert_eq!(costs(&limits), (0, 0), "what came last month is counted there");
    }
}
