//! Workspaces and API keys, as the store gives them out.

/// A workspace and its first user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workspace {
    pub workspace_id: i64,
    pub user_id: i64,
}

/// What [`Store::bootstrap`](crate::Store::bootstrap) found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    pub workspace_id: i64,
    pub user_id: i64,
    pub key: BootstrapKey,
}

/// Which key opens the first workspace after a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootstrapKey {
    /// First start, no key given: `new_key` was stored. The caller shows it, once.
    Generated(ApiKeyRow),
    /// The given key was not known, or had been replaced: it is now the one, and bootstrap keys before
    /// it are revoked.
    Given(ApiKeyRow),
    /// Nothing changed: the given key is in force, or none was given and there is a workspace.
    Existing,
    /// The given key was revoked by a person, and stays revoked: a leaked key must not come back with a
    /// restart. The caller warns.
    Revoked,
}

/// An API key as a person may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    pub id: i64,
    pub workspace_id: i64,
    pub user_id: i64,
    pub name: String,
    /// How the key begins (`tr_` and a few characters).
    pub prefix: String,
    /// How the key ends; empty for a key so short that this would give it away.
    pub last4: String,
    pub created_at_ms: i64,
    pub expires_at_ms: Option<i64>,
    pub revoked_at_ms: Option<i64>,
    pub restrictions: KeyRestrictions,
}

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRestrictions {
    /// `full`, or `inference` for a key that manages nothing.
    pub scope: String,
    /// The patterns of the models that it may use; empty: all.
    pub models: Vec<String>,
    pub limits: UsageLimits,
}

/// How much a key, or all keys of a workspace together, may do; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageLimits {
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    pub max_in_flight: Option<u64>,
    /// By calendar month, in UTC.
    pub monthly_tokens: Option<u64>,
    pub monthly_budget_nano_usd: Option<u64>,
}

/// A workspace as a person may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    pub id: i64,
    pub name: String,
    pub created_at_ms: i64,
    pub settings: WorkspaceSettings,
}

/// What a workspace sets for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkspaceSettings {
    /// Of all its keys together.
    pub limits: UsageLimits,
    /// From which confidence on its rules on `task` fire, 0 to 100; `None`: from the gateway's.
    pub task_confidence_percent: Option<u8>,
}

/// What a key has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    pub workspace_id: i64,
    pub key_id: i64,
    pub tokens: u64,
    pub cost_nano_usd: u64,
}

/// What a request has counted as against limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    pub workspace_id: i64,
    pub key_id: i64,
    pub created_at_ms: i64,
    pub tokens: u64,
    pub cost_nano_usd: u64,
}

impl Default for KeyRestrictions {
    fn default() -> Self {
        Self { scope: "full".to_owned(), models: Vec::new(), limits: UsageLimits::default() }
    }
}

/// An API key to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewApiKey {
    pub name: String,
    pub expires_at_ms: Option<i64>,
    pub restrictions: KeyRestrictions,
}

/// An API key as the data plane needs it. Revoked keys are not given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// [`hash_key`] of the key.
    pub hash: [u8; 32],
    pub key_id: i64,
    pub workspace_id: i64,
    pub user_id: i64,
    pub expires_at_ms: Option<i64>,
    pub restrictions: KeyRestrictions,
}

/// The hash under which a key is stored and found. Keys are long and random, so a fast hash is enough.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// What of a key is kept in the clear: how it begins and ends.
pub(crate) struct KeyParts {
    pub prefix: String,
    pub last4: String,
}

impl KeyParts {
    /// A key shorter than this shows only its first three characters.
    const SHORTEST_SHOWN: usize = 20;

    pub(crate) fn of(key: &str) -> Self {
        let length = key.chars().count();
        if length < Self::SHORTEST_SHOWN {
            return Self { prefix: key.chars().take(3).collect(), last4: String::new() };
        }
        Self { prefix: key.chars().take(7).collect(), last4: key.chars().skip(length - 4).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_shows_its_ends_and_a_short_one_only_its_beginning() {
        let long = KeyParts::of("tr_0123456789abcdefghijklmnop");
        assert_eq!((&*long.prefix, &*long.last4), ("tr_0123", "mnop"));
        let short = KeyParts::of("tr_secret");
        assert_eq!((&*short.prefix, &*short.last4), ("tr_", ""));
    }

    #[test]
    fn a_key_is_hashed_with_blake3() {
        let hex: String = hash_key("").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }
}
