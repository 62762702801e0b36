//! Who is calling: the key in the headers, looked up by its hash.

use crate::accounts::Accounts;
use crate::app::App;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::snapshot::{Snapshot, WorkspaceRules};
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use std::sync::Arc;
use std::time::Duration;
use tokenrouter_routing::AllowedModels;
use tokenrouter_store::{KeyRow, UsageLimits, WorkspaceSettings, hash_key};

/// A caller, and the rules of its workspace as they were when the request came.
#[derive(Clone)]
pub(crate) struct Caller {
    pub workspace_id: i64,
    pub user_id: i64,
    pub key_id: i64,
    pub rules: Arc<WorkspaceRules>,
    /// With whose keys its requests go out, and to which models.
    pub accounts: Arc<Accounts>,
    /// Prompts and answers are kept.
    pub captures: bool,
    /// How long it will wait for the end of the answer.
    pub time_limit: Option<Duration>,
    /// What the key may use.
    pub models: Arc<AllowedModels>,
    pub limits: UsageLimits,
    pub workspace: WorkspaceSettings,
    manages: bool,
}

/// A caller whose key may look at and change what belongs to the workspace: rules, keys, the request log.
pub(crate) struct Admin(pub Caller);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let caller = Caller::authenticate(app, &parts.headers).await?;
        if !caller.manages {
            let message = "this API key is of scope inference, which manages nothing of the workspace";
            return Err(ApiError::new(Code::KeyNotAllowed, message));
        }
        Ok(Self(caller))
    }
}

impl Caller {
    fn of(key: &KeyRow, snapshot: &Snapshot) -> Self {
        Self {
            workspace_id: key.workspace_id,
            user_id: key.user_id,
            key_id: key.key_id,
            rules: Arc::clone(snapshot.rules(key.workspace_id)),
            accounts: Arc::clone(snapshot.accounts(key.workspace_id)),
            captures: snapshot.captures(key.workspace_id),
            time_limit: None,
            models: snapshot.models(key.key_id),
            limits: key.restrictions.limits,
            workspace: snapshot.settings(key.workspace_id),
            manages: key.restrictions.scope == "full",
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        Self::authenticate(app, &parts.headers).await
    }
}

impl Caller {
    /// Whether its key may see in the log what was asked with that key: with its own, or, where it manages
    /// the workspace, with any.
    pub fn may_look_at(&self, key_id: i64) -> bool {
        self.manages || self.key_id == key_id
    }

    /// Who presents the key in these headers, and the rules of this moment.
    ///
    /// # Errors
    /// 401.
    pub async fn authenticate(app: &App, headers: &HeaderMap) -> ApiResult<Self> {
        let hash = hash_key(presented_key(headers)?);
        if let Some(caller) = find(app, &hash)? {
            return Ok(Self { time_limit: time_limit(headers)?, ..caller });
        }
        // It may have been made a moment ago, by the command line.
        app.snapshot.refresh_if_changed(&app.store).await?;
        let caller = find(app, &hash)?;
        let caller = caller.ok_or_else(|| ApiError::new(Code::InvalidApiKey, "the API key is not valid"))?;
        Ok(Self { time_limit: time_limit(headers)?, ..caller })
    }
}

const TIME_LIMIT: &str = "x-request-timeout-ms";

/// What the caller says of its own patience; it can only shorten what the settings allow.
fn time_limit(headers: &HeaderMap) -> ApiResult<Option<Duration>> {
    let Some(value) = headers.get(TIME_LIMIT) else { return Ok(None) };
    let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
    let wrong =
        || ApiError::parameter(TIME_LIMIT, format!("`{TIME_LIMIT}` must be a whole number of milliseconds above 0"));
    ms.map(|ms| Some(Duration::from_millis(ms))).ok_or_else(wrong)
}

fn find(app: &App, hash: &[u8; 32]) -> ApiResult<Option<Caller>> {
    let snapshot = app.snapshot.load();
    let Some(key) = snapshot.key(hash) else { return Ok(None) };
    if key.expires_at_ms.is_some_and(|at| at <= now_ms()) {
        return Err(ApiError::new(Code::InvalidApiKey, "the API key has expired"));
    }
    Ok(Some(Caller::of(key, &snapshot)))
}

/// The key that the headers hold, whether or not there is such a key.
///
/// # Errors
/// 401 where there is none.
pub(crate) fn presented_key(headers: &HeaderMap) -> ApiResult<&str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    bearer
        .or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim))
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            ApiError::new(Code::InvalidApiKey, "an API key is required: send it as `Authorization: Bearer tr_…`")
        })
}
