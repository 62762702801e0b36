//! What one holder of limits has used, and what is reserved for it.

use super::bucket::Bucket;
use super::month::Month;
use super::{Amount, Holder};
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::usd;
use tokenrouter_store::KeyLimits;

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

    /// Whether one more request may come, whatever it comes to.
    pub fn check_request(&mut self, who: Holder, of: &KeyLimits, now: i64) -> ApiResult<()> {
        if let Some(limit) = of.requests_per_minute {
            self.requests.fill(limit, now);
            let wait = self.requests.wait_ms(1, limit);
            refuse(wait > 0, Code::RateLimitExceeded, wait, || format!("{who} may send {limit} requests a minute"))?;
        }
        if let Some(limit) = of.max_in_flight {
            let message = || format!("{who} may have {limit} requests in flight");
            refuse(self.in_flight >= limit, Code::RateLimitExceeded, 1, message)?;
        }
        Ok(())
    }

    /// Whether so many tokens may be drawn now.
    pub fn check_minute(&mut self, who: Holder, of: &KeyLimits, amount: Amount, now: i64) -> ApiResult<()> {
        let Some(limit) = of.tokens_per_minute else { return Ok(()) };
        self.tokens.fill(limit, now);
        let wait = self.tokens.wait_ms(drawn(of, amount), limit);
        refuse(wait > 0, Code::RateLimitExceeded, wait, || format!("{who} may use {limit} tokens a minute"))
    }

    /// Whether the month has room for it.
    pub fn check_month(
        &self,
        who: Holder,
        of: &KeyLimits,
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

    /// Takes in what was checked; gives the tokens that were drawn from the minute's.
    pub fn take(&mut self, of: &KeyLimits, amount: Amount) -> u64 {
        let drawn = drawn(of, amount);
        self.requests.take(1);
        self.tokens.take(drawn.into());
        self.in_flight += 1;
        self.reserved.add(amount);
        drawn
    }

    /// Counts what a request came to. What was drawn and not used comes back; what was used beyond it is owed.
    pub fn settle(&mut self, of: &KeyLimits, used: Amount, drawn: u64, now: i64) {
        self.used.add(used);
        if let Some(limit) = of.tokens_per_minute {
            self.tokens.fill(limit, now);
            self.tokens.take(i128::from(used.tokens) - i128::from(drawn));
        }
    }

    /// `x-ratelimit-*`.
    pub fn headers(&self, of: &KeyLimits) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(limit) = of.requests_per_minute {
            headers.push(("x-ratelimit-limit-requests", limit.to_string()));
            headers.push(("x-ratelimit-remaining-requests", self.requests.left().to_string()));
            headers.push(("x-ratelimit-reset-requests", format!("{}ms", self.requests.wait_ms(limit, limit))));
        }
        if let Some(limit) = of.tokens_per_minute {
            headers.push(("x-ratelimit-limit-tokens", limit.to_string()));
            headers.push(("x-ratelimit-remaining-tokens", self.tokens.left().to_string()));
            headers.push(("x-ratelimit-reset-tokens", format!("{}ms", self.tokens.wait_ms(limit, limit))));
        }
        headers
    }
}

/// One that is larger than a whole minute's tokens waits for a full bucket.
fn drawn(of: &KeyLimits, amount: Amount) -> u64 {
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
