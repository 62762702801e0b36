//! Workspaces' own provider keys: made, tested and sealed anew, for the API and the command line alike.

use crate::accounts::Useless;
use crate::app::App;
use crate::clock::{iso8601, now_ms};
use crate::error::{ApiError, ApiResult, Code};
use crate::http::NewKey;
use crate::vault::Binding;
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokenrouter_providers::Kind;
use tokenrouter_store::{NewProviderKey, ProviderKeyRow, StoreError};
use tokenrouter_upstream::{Class, Failure};

/// Of one workspace for one provider.
const MOST_KEYS: u64 = 20;
/// How long a provider may take to say whether it takes a key.
const TEST_TIME: Duration = Duration::from_secs(15);
/// A shorter key does not show how it ends.
const SHORTEST_SHOWN: usize = 20;

impl App {
    /// A key as the API shows it: never the key.
    #[must_use]
    pub fn provider_key_json(&self, row: &ProviderKeyRow) -> Value {
        let problem = self.providers.account(row).err().map(|problem| problem.to_string());
        json!({
            "id": row.id,
            "user_id": row.user_id,
            "provider": row.provider,
            "name": row.name,
            "last4": row.last4,
            "host": row.origin,
            "weight": row.weight,
            "master_key_version": row.sealed.master_key_version,
            "is_usable": problem.is_none(),
            "problem": problem,
            "created_at": iso8601(row.created_at_ms),
            "updated_at": iso8601(row.updated_at_ms),
        })
    }

    /// Seals and stores a key, bound to where the provider is now.
    ///
    /// # Errors
    /// 422 for a provider that is not there, 409 for too many keys, 503 without a master key.
    pub async fn create_provider_key(&self, workspace_id: i64, user_id: i64, new: NewKey) -> ApiResult<ProviderKeyRow> {
        if self.providers.vault.newest().is_none() {
            let message = "this gateway has no master key to encrypt provider keys with; its operator sets \
                           `vault.master_keys`, such as \"1=env:TOKENROUTER_MASTER_KEY\"";
            return Err(ApiError::new(Code::Unavailable, message));
        }
        let Some(origin) = self.providers.origin(&new.provider).map(str::to_owned) else {
            let known: Vec<&str> = self.providers.names().into_iter().collect();
            let message = format!("`provider` must be one of {}", known.join(", "));
            return Err(ApiError::validation(vec![("provider".to_owned(), message)]));
        };
        let NewKey { provider, name, weight, key } = new;
        let text = key.expose_secret();
        let last4 = if text.len() < SHORTEST_SHOWN { String::new() } else { text[text.len() - 4..].to_owned() };
        let new = NewProviderKey { provider, name, origin, weight, last4 };
        let (providers, bound) = (self.providers.clone(), new.clone());
        let seal = move |id| {
            let binding = Binding { workspace_id, provider: &bound.provider, id, origin: &bound.origin };
            let sealed = providers.vault.seal(&binding, &key);
            sealed.map_err(|error| StoreError::Internal { reason: error.to_string() })
        };
        let made = self.store.create_provider_key(workspace_id, user_id, new, MOST_KEYS, now_ms(), seal).await;
        match made {
            Err(StoreError::Conflict { reason }) => Err(ApiError::new(Code::Conflict, reason)),
            made => Ok(made?),
        }
    }

    /// Asks the provider something that costs nothing with the key, for [`TEST_TIME`] at most.
    ///
    /// # Errors
    /// 404 where the workspace has no such key. A key that the provider refuses is an answer, and no error.
    pub async fn test_provider_key(&self, workspace_id: i64, id: i64) -> ApiResult<Value> {
        let row = self.store.get_provider_key(workspace_id, id).await?;
        let row = row.ok_or_else(|| ApiError::not_found("such provider key"))?;
        let account = match self.providers.account(&row) {
            Ok(account) => account,
            Err(problem) => {
                return Ok(json!({ "id": id, "ok": false, "outcome": "unusable", "detail": problem.to_string() }));
            }
        };
        let started = Instant::now();
        let (path, headers) = (question(&row), headers(account.kind));
        let ask = async {
            let answer = self.client.get(account.kind, &account.endpoint, path, &headers).await?;
            answer.bytes().await.map(drop)
        };
        let answer = tokio::time::timeout(self.total_time.min(TEST_TIME), ask).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::new(Class::Timeout, "total_time")));
        let outcome = answer.as_ref().map_or_else(|failure| failure.class.outcome(), |()| "ok");
        let detail = answer.err().map(|failure| ApiError::provider(&row.provider, account.owner(), &failure).message);
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(json!({
            "id": id, "ok": detail.is_none(), "outcome": outcome, "detail": detail, "latency_ms": latency_ms,
        }))
    }

    /// Why stored keys, of every workspace, cannot be used; empty where all can.
    #[must_use]
    pub fn provider_key_problems(&self) -> Vec<String> {
        let snapshot = self.snapshot.load();
        let told = snapshot.useless_keys.iter().map(|useless| {
            let Useless { workspace_id, key_id, provider, problem } = useless;
            format!("key {key_id} of workspace {workspace_id}, for {provider}: {problem}")
        });
        told.collect()
    }

    /// Seals every workspace's keys with the newest master key; gives how many were not.
    ///
    /// # Errors
    /// When one of them cannot be opened: then nothing is changed.
    pub async fn rotate_provider_keys(&self) -> Result<u64, String> {
        let providers = self.providers.clone();
        let newest = providers.vault.newest();
        let reseal = move |row: &ProviderKeyRow| {
            if Some(row.sealed.master_key_version) == newest {
                return Ok(None);
            }
            let binding = Binding::of(row);
            let opened = providers.vault.open(&binding, &row.sealed);
            let sealed = opened.and_then(|key| providers.vault.seal(&binding, &key));
            let why = |error| StoreError::Conflict { reason: format!("provider key {}: {error}", row.id) };
            sealed.map(Some).map_err(why)
        };
        self.store.reseal_provider_keys(reseal).await.map_err(|error| match error {
            StoreError::Conflict { reason } => reason,
            other => other.to_string(),
        })
    }
}

/// What is asked for with a key. OpenRouter shows its models to everybody, and answers at `/key` to whose key it is.
fn question(row: &ProviderKeyRow) -> &'static str {
    let is_openrouter = row.provider == "openrouter" || row.origin == "https://openrouter.ai:443";
    if is_openrouter { "/key" } else { "/models" }
}

fn headers(kind: Kind) -> Vec<(HeaderName, HeaderValue)> {
    match kind {
        Kind::Anthropic => {
            vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"))]
        }
        _ => Vec::new(),
    }
}
