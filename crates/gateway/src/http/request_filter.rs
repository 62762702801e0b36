//! What `/v1/requests` and `/v1/usage` are both asked with: by whom, for which requests, in which form.

use super::csv;
use super::extract::Query;
use crate::app::App;
use crate::auth::{Admin, Caller};
use crate::error::{ApiError, ApiResult};
use crate::report::read_moment;
use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokenrouter_store::RequestFilter;

const OUTCOMES: [&str; 5] = ["completed", "incomplete", "cancelled", "blocked", "failed"];

/// `Q` is what one of the two has beside the filters.
pub(super) struct Report<Q> {
    pub caller: Caller,
    pub query: Q,
    pub filter: RequestFilter,
    pub as_table: bool,
}

impl<Q: DeserializeOwned> FromRequestParts<Arc<App>> for Report<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let Admin(caller) = Admin::from_request_parts(parts, app).await?;
        let Query(filter) = Query::<FilterQuery>::from_request_parts(parts, app).await?;
        let as_table = csv::is_wanted(filter.format.as_deref(), &parts.headers)?;
        let filter = filter.filter()?;
        let Query(query) = Query::from_request_parts(parts, app).await?;
        Ok(Self { caller, query, filter, as_table })
    }
}

#[derive(Deserialize)]
struct FilterQuery {
    format: Option<String>,
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
    fn filter(self) -> ApiResult<RequestFilter> {
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
