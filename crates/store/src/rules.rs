//! Routing and firewall rules, as rows. What they mean is the routing and firewall crates' matter; here
//! scope, kind and action are words and the match and action are JSON.

use serde_json::Value;

use crate::keys::{KeyRow, WorkspaceRow};
use crate::provider_keys::ProviderKeyRow;

/// A routing rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingRuleRow {
    /// Unique over all workspaces, never given twice.
    pub id: i64,
    pub workspace_id: i64,
    pub user_id: i64,
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    pub match_json: Value,
    pub action_json: Value,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A routing rule to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRoutingRule {
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    pub match_json: Value,
    pub action_json: Value,
}

/// Changes to a routing rule: the fields given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoutingRulePatch {
    pub name: Option<String>,
    pub priority: Option<i32>,
    pub is_enabled: Option<bool>,
    pub match_json: Option<Value>,
    pub action_json: Option<Value>,
}

/// A firewall rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRuleRow {
    /// Unique over all workspaces, never given twice.
    pub id: i64,
    pub workspace_id: i64,
    pub user_id: i64,
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    /// `prompt` or `response`.
    pub scope: String,
    /// The field `type` of the API: `substring` or `regex`.
    pub kind: String,
    pub pattern: String,
    /// `block`, `mask` or `warn`.
    pub action: String,
    pub replacement: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// Matches on the text as it is meant.
    pub normalize: bool,
    /// How often it has matched since it was made, and when last.
    pub hits: u64,
    pub last_hit_at_ms: Option<i64>,
}

/// A firewall rule to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFirewallRule {
    pub name: String,
    pub priority: i32,
    pub is_enabled: bool,
    pub scope: String,
    pub kind: String,
    pub pattern: String,
    pub action: String,
    pub replacement: Option<String>,
    pub normalize: bool,
}

/// Changes to a firewall rule: the fields given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallRulePatch {
    pub name: Option<String>,
    pub priority: Option<i32>,
    pub is_enabled: Option<bool>,
    pub scope: Option<String>,
    pub kind: Option<String>,
    pub pattern: Option<String>,
    pub action: Option<String>,
    /// `Some(None)` takes the replacement away.
    pub replacement: Option<Option<String>>,
    pub normalize: Option<bool>,
}

/// Everything that the data plane reads, of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Grows with every change to a key or a rule, whichever process made it.
    pub version: i64,
    /// The keys that are not revoked; some may have expired.
    pub keys: Vec<KeyRow>,
    /// Of all workspaces, enabled or not: by workspace, then highest priority first, then lowest id.
    pub routing_rules: Vec<RoutingRuleRow>,
    /// In the same order.
    pub firewall_rules: Vec<FirewallRuleRow>,
    /// Of all workspaces, oldest first.
    pub provider_keys: Vec<ProviderKeyRow>,
    pub workspaces: Vec<WorkspaceRow>,
    /// The workspaces that capture prompts and answers, and for how many days they keep them.
    pub capture_days: Vec<(i64, u32)>,
}
