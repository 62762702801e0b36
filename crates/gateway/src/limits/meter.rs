//! What one holder of limits has used, and what is reserved for it.

use super::bucket::Bucket;
use super::month::Month;
use super::{Amount, Holder};
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::usd;
use tokenrouter_store::UsageLimits;

#[derive(Default)]
pub(super) struct Meter {
    requests: Bucket,
    tokens: Bucket,
    pub in_flight: u64,
    /// This month.
    pub used: Amount,
    pub reserved: Amount,
}

impl Meter {
    pub fn that_used(used: Amount) -> Self {
        Self { used, ..Self::default() }
    }

    /// Whether so many more requests may come, whatever they come to.
    pub fn check_requests(&mut self, who: Holder, of: &UsageLimits, count: u64, now: i64) -> ApiResult<()> {
        if let Some(limit) = of.requests_per_minute {
            self.requests.fill(limit, now);
            let wait = self.requests.wait_ms(count, limit);
            refuse(wait > 0, Code::RateLimitExceeded, wait, || format!("{who} may send {limit} requests a minute"))?;
        }
        if let Some(limit) = of.max_in_flight {
            let message = || format!("{who} may have {limit} requests in flight");
            refuse(self.in_flight.saturating_add(count) > limit, Code::RateLimitExceeded, 1, message)?;
        }
        Ok(())
    }

    /// Whether so many tokens may be drawn now.
    pub fn check_minute(&mut self, who: Holder, of: &UsageLimits, amount: Amount, now: i64) -> ApiResult<()> {
        let Some(limit) = of.tokens_per_minute else { return Ok(()) };
        self.tokens.fill(limit, now);
        let wait = self.tokens.wait_ms(drawn(of, amount), limit);
        refuse(wait > 0, Code::RateLimitExceeded, wait, || format!("{who} may use {limit} tokens a minute"))
    }

    /// Whether the month has room for it.
    pub fn check_month(
        &self,
        who: Holder,
        of: &UsageLimits,
        amount: Amount,
        (month, now): (Month, i64),
    ) -> ApiResult<()> {
        if let Some(limit) = of.monthly_tokens {
            let after = sum([self.used.tokens, self.reserved.tokens, amount.tokens]);
            let message = || format!("{who} may use {limit} tokens a month, and this request may take it past them");
            refuse(after > limit, Code::MonthlyQuotaExceeded, month.left_ms(now), message)?;
        }
        if let Some(limit) = of.monthly_budget_nano_usd {
            let after = sum([self.used.cost_nano_usd, self.reserved.cost_nano_usd, amount.cost_nano_usd]);
            let usd = usd(limit);
            let message = || format!("{who} may spend {usd} dollars a month, and this request may take it past them");
            refuse(after > limit, Code::BudgetExceeded, month.left_ms(now), message)?;
        }
        Ok(())
    }

    /// Takes in what was checked, so many requests that may come to so much together; gives the tokens that were drawn
    /// from the minute's.
    pub fn take(&mut self, of: &UsageLimits, amount: Amount, count: u64) -> u64 {
        let drawn = drawn(of, amount);
        self.requests.take(count.into());
        self.tokens.take(drawn.into());
        self.in_flight = self.in_flight.saturating_add(count);
        self.reserved.add(amount);
        drawn
    }

    /// Counts what a request came to. What was drawn and not used comes back; what was used beyond it is owed.
    pub fn settle(&mut self, of: &UsageLimits, used: Amount, drawn: u64, now: i64) {
        self.used.add(used);
        if let Some(limit) = of.tokens_per_minute {
            self.tokens.fill(limit, now);
            self.tokens.take(i128::from(used.tokens) - i128::from(drawn));
        }
    }

    /// How requests and tokens a minute stand, where they are limited.
    pub fn standings(&self, of: &UsageLimits) -> [Option<Standing>; 2] {
        let standing = |names, bucket: &Bucket, limit: Option<u64>| {
            let limit = limit?;
            Some(Standing { names, limit, remaining: bucket.left(), reset_ms: bucket.wait_ms(limit, limit) })
        };
        [
            standing(&REQUESTS, &self.requests, of.requests_per_minute),
            standing(&TOKENS, &self.tokens, of.tokens_per_minute),
        ]
    }
}

/// How a minute's limit stands.
pub(super) struct Standing {
    names: &'static [&'static str; 3],
    limit: u64,
    pub remaining: u64,
    reset_ms: u64,
}

const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

impl Standing {
    pub fn headers(&self) -> [(&'static str, String); 3] {
        let [limit, remaining, reset] = *self.names;
        let reset_in = format!("{}ms", self.reset_ms);
        [(limit, self.limit.to_string()), (remaining, self.remaining.to_string()), (reset, reset_in)]
    }
}

/// One that is larger than a whole minute's tokens waits for a full bucket.
fn drawn(of: &UsageLimits, amount: Amount) -> u64 {
    of.tokens_per_minute.map_or(0, |limit| amount.tokens.min(limit))
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
