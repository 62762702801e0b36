//! Workspaces' own keys for providers. The store sees them sealed: it has no master key.

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderKeyRow {
    pub id: i64,
    pub workspace_id: i64,
    pub user_id: i64,
    /// As the settings name it.
    pub provider: String,
    pub name: String,
    /// Scheme, host and port that the key is bound to.
    pub origin: String,
    /// 1 to 1000: how often it is taken, beside the workspace's other keys for the provider.
    pub weight: u32,
    /// How the key ends; empty for a key so short that this would give it away.
    pub last4: String,
    pub sealed: SealedKey,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// An encrypted key, and the version of the master key that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    pub master_key_version: u32,
    pub bytes: Vec<u8>,
}

/// Never the bytes, though they be sealed.
impl std::fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedKey(master key {})", self.master_key_version)
    }
}

impl std::fmt::Debug for ProviderKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProviderKeyRow({} of workspace {} for {})", self.id, self.workspace_id, self.provider)
    }
}

/// A key to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProviderKey {
    pub provider: String,
    pub name: String,
    pub origin: String,
    pub weight: u32,
    pub last4: String,
}

/// Changes to a key: the fields given. The key itself does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderKeyPatch {
    pub name: Option<String>,
    pub weight: Option<u32>,
}
