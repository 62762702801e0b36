//! Limits as fields of a body, of API keys and of workspaces.

use super::rule_fields::RuleFields;
use crate::pipeline::usd;
use serde_json::Value;
use tokenrouter_store::UsageLimits;

/// Adds them to what is shown; `null` is no limit.
pub(super) fn show(limits: &UsageLimits, shown: &mut Value) {
    shown["requests_per_minute"] = limits.requests_per_minute.into();
    shown["tokens_per_minute"] = limits.tokens_per_minute.into();
    shown["max_in_flight"] = limits.max_in_flight.into();
    shown["monthly_tokens"] = limits.monthly_tokens.into();
    shown["monthly_budget_usd"] = limits.monthly_budget_nano_usd.map(usd).into();
}

/// Takes them out of a body, with every mistake noted. A limit that is not given stays as it is, and `null` takes
/// it away.
pub(super) fn read(fields: &mut RuleFields, before: UsageLimits) -> UsageLimits {
    let mut count = |field: &str, before: Option<u64>| {
        let Some(value) = fields.take(field) else { return before };
        if value.is_null() {
            return None;
        }
        let count = value.as_u64().filter(|count| (1..=1_000_000_000_000).contains(count));
        if count.is_none() {
            fields.error(field, format!("`{field}` must be a whole number, at least 1"));
        }
        count
    };
    UsageLimits {
        requests_per_minute: count("requests_per_minute", before.requests_per_minute),
        tokens_per_minute: count("tokens_per_minute", before.tokens_per_minute),
        max_in_flight: count("max_in_flight", before.max_in_flight),
        monthly_tokens: count("monthly_tokens", before.monthly_tokens),
        monthly_budget_nano_usd: budget(fields, before.monthly_budget_nano_usd),
    }
}

/// Dollars, as people write them; kept in whole nano-dollars.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn budget(fields: &mut RuleFields, before: Option<u64>) -> Option<u64> {
    let Some(value) = fields.take("monthly_budget_usd") else { return before };
    if value.is_null() {
        return None;
    }
    let usd = value.as_f64().filter(|usd| (0.000_001..=1_000_000_000.0).contains(usd));
    if usd.is_none() {
        fields.error("monthly_budget_usd", "`monthly_budget_usd` must be a number of dollars above 0");
    }
    usd.map(|usd| (usd * 1e9).round() as u64)
}
