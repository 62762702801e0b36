//! `tokenrouter keys create|list|revoke`.

use super::{Failure, SettingsArgs, new_key, now_ms, open_store};
use clap::Subcommand;
use serde_json::json;
use tokenrouter_store::Store;

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

pub(super) async fn run(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Create { settings, workspace, name } => {
            let store = open_store(&settings.load(None)?).await?;
            let id = match find(&store, &workspace).await? {
                Some(id) => id,
                None => store.create_workspace(&workspace, now_ms()).await.map_err(Failure::of)?.workspace_id,
            };
            let key = new_key();
            let row = store.create_key(id, &name, &key, now_ms()).await.map_err(Failure::of)?;
            eprintln!("key {} of workspace {workspace}, shown this once:", row.id);
            println!("{key}");
            store.close().await;
        }
        KeysCommand::List { settings, workspace, json } => {
            let store = open_store(&settings.load(None)?).await?;
            let id = must_find(&store, &workspace).await?;
            let keys = store.list_keys(id).await.map_err(Failure::of)?;
            if json {
                let keys: Vec<_> = keys
                    .iter()
                    .map(|k| {
                        json!({ "id": k.id, "name": k.name, "prefix": k.prefix, "last4": k.last4,
                                "created_at_ms": k.created_at_ms, "expires_at_ms": k.expires_at_ms,
                                "revoked": k.revoked_at_ms.is_some() })
                    })
                    .collect();
                println!("{}", json!(keys));
            } else {
                for key in keys {
                    let state = if key.revoked_at_ms.is_some() { "revoked" } else { "valid" };
                    println!("{}\t{}…{}\t{state}\t{}", key.id, key.prefix, key.last4, key.name);
                }
            }
        }
        KeysCommand::Revoke { settings, workspace, id } => {
            let store = open_store(&settings.load(None)?).await?;
            let workspace_id = must_find(&store, &workspace).await?;
            if !store.revoke_key(workspace_id, id, now_ms()).await.map_err(Failure::of)? {
                return Err(Failure::Other(format!("workspace {workspace} has no valid key {id}")));
            }
            eprintln!("key {id} is revoked");
            store.close().await;
        }
    }
    Ok(())
}

async fn find(store: &Store, name: &str) -> Result<Option<i64>, Failure> {
    store.find_workspace(name).await.map_err(Failure::of).map(|found| found.map(|w| w.workspace_id))
}

async fn must_find(store: &Store, name: &str) -> Result<i64, Failure> {
    find(store, name).await?.ok_or_else(|| Failure::Other(format!("there is no workspace `{name}`")))
}
