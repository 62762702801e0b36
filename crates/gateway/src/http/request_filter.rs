//! The filters of `/v1/requests` and `/v1/usage`.

use crate::error::{ApiError, ApiResult};
use crate::report::read_moment;
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

fn moment(param: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    read_moment(text).map(Some).map_err(|wrong| ApiError::parameter(param, format!("`{param}` {wrong}")))
}
