//! The filters of `/v1/requests` and `/v1/usage`.

use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use tokenrouter_store::RequestFilter;

const OUTCOMES: [&str; 5] = ["completed", "incomplete", "cancelled", "blocked", "failed"];

#[derive(Deserialize)]
pub(super) struct FilterQuery {
    outcome: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    key_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl FilterQuery {
    /// # Errors
    /// 400 that names the parameter.
    pub fn filter(self) -> ApiResult<RequestFilter> {
        if self.outcome.as_deref().is_some_and(|outcome| !OUTCOMES.contains(&outcome)) {
            return Err(ApiError::parameter("outcome", format!("`outcome` must be one of {}", OUTCOMES.join(", "))));
        }
        let key_id = self.key_id.map(|id| id.parse());
        let key_id = key_id.transpose().map_err(|_| ApiError::parameter("key_id", "`key_id` must be a key's id"))?;
        Ok(RequestFilter {
            outcome: self.outcome,
            provider: self.provider,
            model: self.model,
            key_id,
            since_ms: moment("since", self.since.as_deref())?,
            until_ms: moment("until", self.until.as_deref())?,
        })
    }
}

/// A day (its beginning, in UTC), a moment in ISO 8601, or seconds since 1970.
fn moment(param: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        let message = format!("`{param}` must be a day as 2026-11-24, a moment as 2026-11-24T12:00:00Z, or seconds");
        ApiError::parameter(param, message)
    };
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000).map(Some).ok_or_else(wrong);
    }
    let day = text.parse::<jiff::civil::Date>().is_ok_and(|day| day.to_string() == text);
    let text = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse::<jiff::Timestamp>().map(|at| Some(at.as_millisecond())).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_or_seconds() {
        let at = |text| moment("since", Some(text)).ok().flatten();
        assert_eq!(at("1970-01-02"), Some(86_400_000));
        assert_eq!(at("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(at("7"), Some(7_000));
        for wrong in ["", "yesterday", "2026-13-01", "9223372036854775807"] {
            assert!(moment("since", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
