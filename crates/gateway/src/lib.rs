//! The gateway: HTTP in, the life of a request, HTTP out.
//!
//! `http/` holds one file a resource, `pipeline/` the life of a request (read
//! [`pipeline::run`] first), `error/` the one table that turns errors into statuses. It decides
//! nothing that a pure crate can decide: rules and the choice are in `routing`, screening in
//! `firewall`, wire formats in `providers`.
//!
//! **Keys and rules are read from a snapshot that is swapped whole; a request uses one snapshot from
//! start to end. What a caller saw complete is in the ledger before the caller can act on it.**

mod accounts;
mod answers;
mod app;
mod auth;
mod clock;
mod connections;
pub mod error;
mod http;
mod learned;
mod limits;
mod metrics;
mod opened;
mod patience;
mod pipeline;
mod pool;
mod provider_keys;
pub mod report;
mod serve;
mod snapshot;
pub mod surfaces;
mod vault;

pub use crate::http::{
    NewKey, api_key_json, firewall_rule_json, openapi, read_api_key, read_firewall_rule, read_provider_key,
    read_routing_rule, read_workspace_settings, routing_rule_json, workspace_json,
};
pub use accounts::KeyProblem;
pub use app::{Abilities, AbilityOptions, App, Options, ProviderOptions, TimeLimits};
pub use pipeline::{considered_json, dry_run};
pub use pool::{known_models, names_model, set_abilities};
pub use serve::serve;
pub use tokenrouter_upstream::{BreakerOptions, BudgetOptions, HealthOptions};
pub use vault::{Binding, MasterKey, NoMasterKey, Vault, VaultError};
