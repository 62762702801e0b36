//! `tokenrouter keys create|list|revoke`.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, find_workspace, new_key, now_ms, open_store, table};
use clap::Subcommand;
use serde_json::{Value, json};
use tokenrouter_gateway::{api_key_json, read_api_key};
use tokenrouter_store::ApiKeyRow;

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and print it, this once.
    Create {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The workspace, made if there is none of this name.
        #[arg(long, default_value = "default")]
        workspace: String,
        /// What the key is for.
        #[arg(long, default_value = "key")]
        name: String,
        /// After so many days it is not valid any more.
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<i64>,
        /// The models that it may use: patterns as `gpt-4o*` or `openai/*`, separated by commas.
        #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
        models: Vec<String>,
        /// `inference` manages nothing, which is what a restricted key is of.
        #[arg(long, value_parser = ["full", "inference"])]
        scope: Option<String>,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// List a workspace's keys, by how they begin and end.
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key by its id. Running gateways notice within a second.
    Revoke {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        id: i64,
    },
}

/// How much the key may do; without them, there is no limit.
#[derive(clap::Args)]
pub(super) struct LimitArgs {
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Requests at the same time.
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u64>,
    /// Tokens by calendar month, in UTC.
    #[arg(long, value_name = "N")]
    monthly_tokens: Option<u64>,
    /// US dollars by calendar month, in UTC.
    #[arg(long, value_name = "USD", value_parser = dollars)]
    monthly_budget_usd: Option<f64>,
}

/// What JSON has no number for would become `null` in it, which is no limit.
fn dollars(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|usd: &f64| usd.is_finite()).ok_or("must be a number of dollars, such as 12.50")
}

impl LimitArgs {
    fn write(&self, fields: &mut Value) {
        for (field, limit) in [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("max_in_flight", self.max_in_flight),
            ("monthly_tokens", self.monthly_tokens),
        ] {
            if let Some(limit) = limit {
                fields[field] = limit.into();
            }
        }
        if let Some(usd) = self.monthly_budget_usd {
            fields["monthly_budget_usd"] = usd.into();
        }
    }
}

pub(super) async fn run(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Create { settings, workspace, name, expires_in_days, models, scope, limits } => {
            let mut fields = json!({ "name": name });
            if let Some(days) = expires_in_days {
                fields["expires_in_days"] = days.into();
            }
            if !models.is_empty() {
                fields["models"] = models.into();
            }
            if let Some(scope) = scope {
                fields["scope"] = scope.into();
            }
            limits.write(&mut fields);
            let new = read_api_key(fields, now_ms()).map_err(|error| Failure::Other(error.message))?;
            let store = open_store(&settings.load(None)?).await?;
            let id = match store.find_workspace(&workspace).await.map_err(Failure::of)? {
                Some(found) => found.workspace_id,
                None => store.create_workspace(&workspace, now_ms()).await.map_err(Failure::of)?.workspace_id,
            };
            let key = new_key();
            let row = store.create_api_key(id, new, &key, now_ms()).await.map_err(Failure::of)?;
            store.close().await;
            tell!("key {} of workspace {workspace}, shown this once:", row.id);
            let hint = format!("`tokenrouter keys revoke {} --workspace {workspace}` takes it out of use", row.id);
            output::key(&key, &hint)?;
        }
        KeysCommand::List { settings, workspace, json } => {
            let store = open_store(&settings.load(None)?).await?;
            let id = find_workspace(&store, &workspace).await?;
            let keys = store.list_keys(id).await.map_err(Failure::of)?;
            if json {
                output::line(Value::from(keys.iter().map(listed).collect::<Vec<_>>()))?;
            } else {
                let rows: Vec<_> = keys.iter().map(row).collect();
                table::print(&["ID", "KEY", "STATE", "NAME", "SCOPE", "MODELS", "EXPIRES"], &rows)?;
            }
        }
        KeysCommand::Revoke { settings, workspace, id } => {
            let store = open_store(&settings.load(None)?).await?;
            let workspace_id = find_workspace(&store, &workspace).await?;
            if !store.revoke_key(workspace_id, id, now_ms()).await.map_err(Failure::of)? {
                return Err(Failure::Other(format!("workspace {workspace} has no valid key {id}")));
            }
            tell!("key {id} is revoked");
            store.close().await;
        }
    }
    Ok(())
}

/// As the API shows it, and what this list had before.
fn listed(key: &ApiKeyRow) -> Value {
    let mut shown = api_key_json(key);
    shown["created_at_ms"] = key.created_at_ms.into();
    shown["expires_at_ms"] = key.expires_at_ms.into();
    shown["revoked"] = key.revoked_at_ms.is_some().into();
    shown
}

fn row(key: &ApiKeyRow) -> Vec<String> {
    let expired = key.expires_at_ms.is_some_and(|at| at <= now_ms());
    let state = match (key.revoked_at_ms, expired) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "valid",
    };
    let models = &key.restrictions.models;
    vec![
        key.id.to_string(),
        format!("{}…{}", key.prefix, key.last4),
        state.to_owned(),
        key.name.clone(),
        key.restrictions.scope.clone(),
        if models.is_empty() { "all".to_owned() } else { models.join(",") },
        table::cell(&api_key_json(key), "expires_at"),
    ]
}
