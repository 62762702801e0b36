//! What an API key may use: requests and tokens a minute, requests in flight, tokens and money a month.
//!
//! **What a request may come to is reserved before it is sent, under one lock, and settled by what it
//! came to**, so that requests at the same time cannot pass a limit together. All is in memory, for one
//! process; the month's sums are read from the ledger at the start. Minutes are a bucket that fills
//! steadily; months are the calendar's, in UTC.

use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult, Code};
use crate::report::read_moment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokenrouter_store::{KeyLimits, Store, StoreError};

const MINUTE_MS: i128 = 60_000;

/// What a request may come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    pub tokens: u64,
    pub cost_nano_usd: u64,
}

pub(crate) struct Limits {
    keys: Mutex<HashMap<i64, KeyState>>,
    /// What each key had used in the month of the start, and that month.
    before: (String, HashMap<i64, Amount>),
}

#[derive(Default)]
struct KeyState {
    requests: Bucket,
    tokens: Bucket,
    in_flight: u64,
    month: String,
    used: Amount,
    reserved: Amount,
}

/// Counts in thousandths of a sixtieth, so that a bucket that holds N a minute gains N a millisecond.
#[derive(Default)]
struct Bucket {
    level: i128,
    at_ms: Option<i64>,
}

impl Bucket {
    fn fill(&mut self, limit: u64, now: i64) {
        let full = i128::from(limit) * MINUTE_MS;
        let since = self.at_ms.map_or(MINUTE_MS, |at| i128::from(now.saturating_sub(at).max(0)));
        let level = if self.at_ms.is_none() { full } else { self.level.saturating_add(since * i128::from(limit)) };
        self.level = level.min(full);
        self.at_ms = Some(now);
    }

    /// Milliseconds until so many are there; 0 if they are.
    fn wait_ms(&self, wanted: u64, limit: u64) -> u64 {
        let missing = i128::from(wanted) * MINUTE_MS - self.level;
        if missing <= 0 {
            return 0;
        }
        u64::try_from((missing + i128::from(limit.max(1)) - 1) / i128::from(limit.max(1))).unwrap_or(u64::MAX)
    }

    fn take(&mut self, count: i128) {
        self.level = self.level.saturating_sub(count * MINUTE_MS);
    }

    fn left(&self) -> u64 {
        u64::try_from(self.level.max(0) / MINUTE_MS).unwrap_or(u64::MAX)
    }
}

/// A request's place, and what is reserved for it. Dropping it gives both back.
pub(crate) struct Permit {
    limits: Arc<Limits>,
    key_id: i64,
    of: KeyLimits,
    reserved: Amount,
    /// What the bucket of tokens was drawn by.
    drawn: u64,
    /// `x-ratelimit-*`.
    pub headers: Vec<(&'static str, String)>,
}

impl Limits {
    /// Reads what keys have used this month.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let month = month_of(now_ms());
        let since = read_moment(&format!("{month}-01")).unwrap_or_default();
        let rows = store.key_usage(since).await?;
        let used =
            rows.into_iter().map(|row| (row.key_id, Amount { tokens: row.tokens, cost_nano_usd: row.cost_nano_usd }));
        Ok(Self { keys: Mutex::default(), before: (month, used.collect()) })
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<i64, KeyState>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state<'a>(&self, keys: &'a mut HashMap<i64, KeyState>, key_id: i64, now: i64) -> &'a mut KeyState {
        let month = month_of(now);
        let state = keys.entry(key_id).or_default();
        if state.month != month {
            let before = self.before.1.get(&key_id).filter(|_| self.before.0 == month);
            state.used = before.copied().unwrap_or_default();
            state.month = month;
        }
        state
    }

    /// Takes a request in, or says which limit it would pass and when to come again.
    pub fn admit(self: &Arc<Self>, key_id: i64, of: KeyLimits, amount: Amount) -> ApiResult<Permit> {
        let now = now_ms();
        let mut keys = self.keys();
        let state = self.state(&mut keys, key_id, now);
        if let Some(limit) = of.requests_per_minute {
            state.requests.fill(limit, now);
            let wait = state.requests.wait_ms(1, limit);
            refuse(wait > 0, Code::RateLimitExceeded, wait, || {
                format!("this API key may send {limit} requests a minute")
            })?;
        }
        // One that is larger than a whole minute's tokens waits for a full bucket.
        let drawn = of.tokens_per_minute.map_or(0, |limit| amount.tokens.min(limit));
        if let Some(limit) = of.tokens_per_minute {
            state.tokens.fill(limit, now);
            let wait = state.tokens.wait_ms(drawn, limit);
            refuse(wait > 0, Code::RateLimitExceeded, wait, || {
                format!("this API key may use {limit} tokens a minute")
            })?;
        }
        if let Some(limit) = of.max_in_flight {
            let message = || format!("this API key may have {limit} requests in flight");
            refuse(state.in_flight >= limit, Code::RateLimitExceeded, 1, message)?;
        }
        state.check_month(&of, amount, now)?;
        state.requests.take(1);
        state.tokens.take(drawn.into());
        state.in_flight += 1;
        state.reserved.add(amount);
        let mut headers = Vec::new();
        if let Some(limit) = of.requests_per_minute {
            headers.push(("x-ratelimit-limit-requests", limit.to_string()));
            headers.push(("x-ratelimit-remaining-requests", state.requests.left().to_string()));
            headers.push(("x-ratelimit-reset-requests", format!("{}ms", state.requests.wait_ms(limit, limit))));
        }
        if let Some(limit) = of.tokens_per_minute {
            headers.push(("x-ratelimit-limit-tokens", limit.to_string()));
            headers.push(("x-ratelimit-remaining-tokens", state.tokens.left().to_string()));
            headers.push(("x-ratelimit-reset-tokens", format!("{}ms", state.tokens.wait_ms(limit, limit))));
        }
        Ok(Permit { limits: Arc::clone(self), key_id, of, reserved: amount, drawn, headers })
    }
}

impl KeyState {
    fn check_month(&self, of: &KeyLimits, amount: Amount, now: i64) -> ApiResult<()> {
        let wait = || {
            let next = month_after(now);
            u64::try_from(next.saturating_sub(now)).unwrap_or_default()
        };
        if let Some(limit) = of.monthly_tokens {
            let after = sum([self.used.tokens, self.reserved.tokens, amount.tokens]);
            let message =
                || format!("this API key may use {limit} tokens a month, and this request may take it past them");
            refuse(after > limit, Code::MonthlyQuotaExceeded, wait(), message)?;
        }
        if let Some(limit) = of.monthly_budget_nano_usd {
            let after = sum([self.used.cost_nano_usd, self.reserved.cost_nano_usd, amount.cost_nano_usd]);
            let usd = crate::pipeline::usd(limit);
            let message =
                || format!("this API key may spend {usd} dollars a month, and this request may take it past them");
            refuse(after > limit, Code::BudgetExceeded, wait(), message)?;
        }
        Ok(())
    }
}

impl Permit {
    /// Reserves for another target, which may cost more; the reservation stays as it was if that would
    /// pass a limit.
    pub fn change(&mut self, amount: Amount) -> ApiResult<()> {
        let limits = Arc::clone(&self.limits);
        let now = now_ms();
        let mut keys = limits.keys();
        let state = limits.state(&mut keys, self.key_id, now);
        state.reserved.take(self.reserved);
        if let Err(error) = state.check_month(&self.of, amount, now) {
            state.reserved.add(self.reserved);
            return Err(error);
        }
        state.reserved.add(amount);
        self.reserved = amount;
        Ok(())
    }

    /// Counts what the request came to, and gives its place and its reservation back.
    pub fn settle(self, used: Amount) {
        let mut keys = self.limits.keys();
        let state = self.limits.state(&mut keys, self.key_id, now_ms());
        state.used.add(used);
        // What was drawn and not used comes back; what was used beyond it is owed.
        if let Some(limit) = self.of.tokens_per_minute {
            state.tokens.fill(limit, now_ms());
            state.tokens.take(i128::from(used.tokens) - i128::from(self.drawn));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut keys = self.limits.keys();
        if let Some(state) = keys.get_mut(&self.key_id) {
            state.in_flight = state.in_flight.saturating_sub(1);
            state.reserved.take(self.reserved);
        }
    }
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(other.cost_nano_usd);
    }

    fn take(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_sub(other.tokens);
        self.cost_nano_usd = self.cost_nano_usd.saturating_sub(other.cost_nano_usd);
    }
}

fn sum(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

fn refuse(passed: bool, code: Code, wait_ms: u64, message: impl FnOnce() -> String) -> ApiResult<()> {
    if !passed {
        return Ok(());
    }
    Err(ApiError { retry_after_seconds: Some(wait_ms.div_ceil(1_000).max(1)), ..ApiError::new(code, message()) })
}

/// As `2026-11`.
fn month_of(ms: i64) -> String {
    let mut day = iso8601(ms);
    day.truncate(7);
    day
}

fn month_after(ms: i64) -> i64 {
    let month = month_of(ms);
    let (year, number) = month.split_once('-').unwrap_or_default();
    let (year, number): (i32, u8) = (year.parse().unwrap_or_default(), number.parse().unwrap_or_default());
    let (year, number) = if number == 12 { (year + 1, 1) } else { (year, number + 1) };
    read_moment(&format!("{year:04}-{number:02}-01")).unwrap_or(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Arc<Limits> {
        Arc::new(Limits { keys: Mutex::default(), before: (String::new(), HashMap::new()) })
    }

    fn amount(cost_nano_usd: u64) -> Amount {
        Amount { tokens: 1, cost_nano_usd }
    }

    #[test]
    fn a_budget_is_never_passed_by_a_thousand_at_once() {
        let limits = limits();
        let of = KeyLimits { monthly_budget_nano_usd: Some(1_000_000_000), ..KeyLimits::default() };
        let threads: Vec<_> = (0..1_000)
            .map(|_| {
                let limits = Arc::clone(&limits);
                std::thread::spawn(move || limits.admit(1, of, amount(30_000_000)).ok())
            })
            .collect();
        let permits: Vec<Permit> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(permits.len(), 33, "33 × 0.03 is all that fits into 1.00");
        permits.into_iter().for_each(|permit| permit.settle(amount(10_000_000)));
        let keys = limits.keys();
        assert_eq!((keys[&1].used.cost_nano_usd, keys[&1].reserved.cost_nano_usd), (330_000_000, 0));
        assert_eq!(keys[&1].in_flight, 0);
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let limits = limits();
        let of = KeyLimits { max_in_flight: Some(1), monthly_tokens: Some(1), ..KeyLimits::default() };
        for _ in 0..3 {
            let permit = limits.admit(1, of, amount(0)).unwrap();
            assert_eq!(limits.admit(1, of, amount(0)).err().unwrap().code, Code::RateLimitExceeded);
            drop(permit);
        }
        limits.admit(1, of, amount(0)).unwrap().settle(amount(0));
        let error = limits.admit(1, of, amount(0)).err().unwrap();
        assert_eq!(error.code, Code::MonthlyQuotaExceeded);
        assert!(error.retry_after_seconds.unwrap() <= 31 * 86_400);
    }

    #[test]
    fn another_target_is_reserved_for_in_the_place_of_the_first() {
        let limits = limits();
        let of = KeyLimits { monthly_budget_nano_usd: Some(100), ..KeyLimits::default() };
        let mut permit = limits.admit(1, of, amount(60)).unwrap();
        permit.change(amount(100)).unwrap();
        assert!(permit.change(amount(101)).is_err());
        assert_eq!(limits.keys()[&1].reserved.cost_nano_usd, 100);
    }

    #[test]
    fn a_minutes_bucket_fills_steadily_and_holds_what_is_owed() {
        let mut bucket = Bucket::default();
        bucket.fill(60, 0);
        assert_eq!(bucket.left(), 60);
        bucket.take(70);
        assert_eq!((bucket.left(), bucket.wait_ms(1, 60)), (0, 11_000));
        bucket.fill(60, 11_000);
        assert_eq!((bucket.left(), bucket.wait_ms(1, 60)), (1, 0));
        bucket.fill(60, 1_000_000);
        assert_eq!(bucket.left(), 60);
    }

    #[test]
    fn the_month_after_december_is_january() {
        assert_eq!(iso8601(month_after(read_moment("2026-12-31").unwrap())), "2027-01-01T00:00:00.000Z");
        assert_eq!(iso8601(month_after(read_moment("2026-01-01").unwrap())), "2026-02-01T00:00:00.000Z");
    }
}
