//! What TokenRouter keeps, behind one facade: workspaces and their keys, routing and firewall rules,
//! stored responses, and the ledger of every request.
//!
//! [`Store`] is all that the rest of the product sees; SQL stays in the folder of the database that
//! speaks it (`sqlite/`). The store knows no HTTP, no clock (times are arguments, in milliseconds since
//! the Unix epoch), and never sees a plain key for longer than it takes to hash it.
//!
//! Invariants:
//! - **A record is durable when its future resolves**: it survives the death of the process.
//! - **Everything that belongs to a workspace is found by the workspace's id and its own**, never by
//!   its own alone.
//! - **A failing database gives errors, never a hang and never a panic**; when it recovers, so do we.

mod captures;
mod conversations;
mod error;
mod feedback;
mod keys;
mod ledger;
mod provider_keys;
mod request_log;
mod rules;
mod sqlite;
mod store;
mod url;

pub use captures::Capture;
pub use conversations::{ConversationItem, ConversationRow, ConversationTurn, ItemOrder, ItemPage};
pub use error::{Result, StoreError};
pub use feedback::{FeedbackRow, FeedbackSum};
pub use keys::{
    ApiKeyRow, Bootstrap, BootstrapKey, Charge, KeyRestrictions, KeyRow, KeyUsage, NewApiKey, UsageLimits, Workspace,
    WorkspaceRow, WorkspaceSettings, hash_key,
};
pub use ledger::{LedgerEntry, RequestRecord, StoredResponse};
pub use provider_keys::{NewProviderKey, ProviderKeyPatch, ProviderKeyRow, SealedKey};
pub use request_log::{RequestFilter, UsageGroup, UsageRow};
pub use rules::{
    FirewallRulePatch, FirewallRuleRow, NewFirewallRule, NewRoutingRule, RoutingRulePatch, RoutingRuleRow, Snapshot,
};
pub use store::{DEFAULT_SPOOL_BYTES, Recording, Store};
pub use url::check_url;
