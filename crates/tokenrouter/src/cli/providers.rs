//! `tokenrouter providers list|add|remove|test|rotate`: workspaces' own keys for providers.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, open_store, table};
use crate::config::{Flags, MasterKeys};
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Arc;
use tokenrouter_gateway::{App, read_provider_key};
use tokenrouter_store::{Store, Workspace};

#[derive(clap::Args)]
pub(super) struct Whose {
    #[command(flatten)]
    settings: SettingsArgs,
    #[arg(long, default_value = "default")]
    workspace: String,
}

#[derive(Subcommand)]
pub(super) enum ProvidersCommand {
    /// List a workspace's own provider keys, by how they end.
    List {
        #[command(flatten)]
        whose: Whose,
        #[arg(long)]
        json: bool,
    },
    /// Encrypt and store a provider key; running gateways use it within a second.
    Add {
        #[command(flatten)]
        whose: Whose,
        /// The provider, as the settings name it.
        provider: String,
        /// Where the key is: `env:NAME`, `file:PATH`, or `-` for standard input, which must not be a terminal.
        #[arg(long, value_name = "SOURCE", default_value = "-")]
        key: String,
        /// What the key is for.
        #[arg(long)]
        name: Option<String>,
        /// How often it is taken, beside the workspace's other keys for the provider: 1 to 1000.
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
    },
    /// Delete a provider key by its id.
    Remove {
        #[command(flatten)]
        whose: Whose,
        id: i64,
    },
    /// Ask the providers for their models with the keys, which costs nothing.
    Test {
        #[command(flatten)]
        whose: Whose,
        /// Only this key.
        id: Option<i64>,
        #[arg(long)]
        json: bool,
    },
    /// Encrypt every workspace's provider keys with the newest master key.
    Rotate {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub(super) async fn run(command: ProvidersCommand) -> Result<(), Failure> {
    match command {
        ProvidersCommand::List { whose, json } => list(&whose, json).await,
        ProvidersCommand::Add { whose, provider, key, name, weight } => {
            let mut fields = json!({ "provider": provider, "key": secret(&key)?, "weight": weight });
            if let Some(name) = name {
                fields["name"] = name.into();
            }
            add(&whose, fields).await
        }
        ProvidersCommand::Remove { whose, id } => {
            // A key that cannot be opened any more must be deletable.
            let flags = Flags { master_keys: MasterKeys::Ignore, ..Flags::default() };
            let store = open_store(&whose.settings.load_with(flags)?).await?;
            let workspace = find(&store, &whose.workspace).await?;
            if !store.delete_provider_key(workspace.workspace_id, id).await.map_err(Failure::of)? {
                return Err(Failure::Other(format!("workspace {} has no provider key {id}", whose.workspace)));
            }
            store.close().await;
            tell!("provider key {id} is deleted");
            Ok(())
        }
        ProvidersCommand::Test { whose, id, json } => test(&whose, id, json).await,
        ProvidersCommand::Rotate { settings } => {
            let (app, store) = open(&settings).await?;
            let changed = app.rotate_provider_keys().await.map_err(Failure::Other)?;
            store.close().await;
            tell!("{changed} provider keys are encrypted anew; all are of the newest master key now");
            Ok(())
        }
    }
}

async fn open(settings: &SettingsArgs) -> Result<(Arc<App>, Store), Failure> {
    let settings = settings.load(None)?;
    let store = open_store(&settings).await?;
    let app = App::idle(store.clone(), settings.options).await.map_err(Failure::of)?;
    Ok((app, store))
}

async fn find(store: &Store, name: &str) -> Result<Workspace, Failure> {
    let found = store.find_workspace(name).await.map_err(Failure::of)?;
    found.ok_or_else(|| Failure::Other(format!("there is no workspace `{name}`")))
}

/// A key on the command line would be in the shell's history and in the list of processes.
fn secret(source: &str) -> Result<String, Failure> {
    if source == "-" {
        if std::io::stdin().is_terminal() {
            let message = "a key that is typed can be read on the screen: name where it is with `--key env:NAME` or \
                           `--key file:PATH`, or pipe it in";
            return Err(Failure::Other(message.to_owned()));
        }
        let mut key = String::new();
        std::io::stdin().read_line(&mut key).map_err(Failure::of)?;
        return Ok(key.trim().to_owned());
    }
    let environment: HashMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let key = crate::config::secret("--key", source, &environment).map_err(Failure::Other)?;
    Ok(secrecy::ExposeSecret::expose_secret(&key).to_owned())
}

async fn list(whose: &Whose, json: bool) -> Result<(), Failure> {
    let (app, store) = open(&whose.settings).await?;
    let workspace = find(&store, &whose.workspace).await?;
    let keys = store.list_provider_keys(workspace.workspace_id).await.map_err(Failure::of)?;
    let shown: Vec<Value> = keys.iter().map(|key| app.provider_key_json(key)).collect();
    if json {
        return output::line(Value::from(shown));
    }
    let row = |key: &Value| {
        let state = if key["is_usable"] == true { "usable".to_owned() } else { table::cell(key, "problem") };
        let end = format!("…{}", table::cell(key, "last4"));
        let [id, provider, name, weight, host] =
            ["id", "provider", "name", "weight", "host"].map(|field| table::cell(key, field));
        vec![id, provider, end, name, weight, host, state]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    table::print(&["ID", "PROVIDER", "KEY", "NAME", "WEIGHT", "HOST", "STATE"], &rows)
}

async fn add(whose: &Whose, fields: Value) -> Result<(), Failure> {
    let new = read_provider_key(fields).map_err(|error| Failure::Other(error.message))?;
    let (app, store) = open(&whose.settings).await?;
    let workspace = find(&store, &whose.workspace).await?;
    let made = app.create_provider_key(workspace.workspace_id, workspace.user_id, new).await;
    let row = made.map_err(|error| Failure::Other(error.message))?;
    store.close().await;
    tell!("provider key {} of workspace {}, for {} at {}", row.id, whose.workspace, row.provider, row.origin);
    output::line(row.id)
}

async fn test(whose: &Whose, id: Option<i64>, json: bool) -> Result<(), Failure> {
    let (app, store) = open(&whose.settings).await?;
    let workspace_id = find(&store, &whose.workspace).await?.workspace_id;
    let ids = match id {
        Some(id) => vec![id],
        None => {
            let keys = store.list_provider_keys(workspace_id).await.map_err(Failure::of)?;
            keys.iter().map(|key| key.id).collect()
        }
    };
    let (mut rows, mut bad) = (Vec::new(), 0);
    for id in ids {
        let tested = app.test_provider_key(workspace_id, id).await.map_err(|error| Failure::Other(error.message))?;
        bad += usize::from(tested["ok"] != true);
        if json {
            output::line(&tested)?;
        } else {
            rows.push(["id", "outcome", "latency_ms", "detail"].map(|field| table::cell(&tested, field)).to_vec());
        }
    }
    if !json {
        table::print(&["ID", "OUTCOME", "MS", "DETAIL"], &rows)?;
    }
    if bad > 0 { Err(Failure::Other(format!("{bad} provider keys do not work"))) } else { Ok(()) }
}
