//! The store through its facade, against a real file.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod bootstrap;
mod conversations;
mod durability;
mod feedback;
mod files;
mod firewall_rules;
mod keys;
mod records;
mod routing_rules;
mod snapshot;
mod workspaces;

use std::path::PathBuf;

use tempfile::TempDir;
use tokenrouter_store::{LedgerEntry, Store, StoredResponse, Workspace};

/// A store in a folder of its own, gone with the test.
struct TestStore {
    store: Store,
    folder: TempDir,
}

impl TestStore {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&url(&folder)).await.unwrap();
        Self { store, folder }
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        let store = Store::open(&url(&self.folder)).await.unwrap();
        Self { store, folder: self.folder }
    }

    fn path(&self) -> PathBuf {
        path(&self.folder)
    }

    async fn workspace(&self) -> Workspace {
        self.store.create_workspace("test", 1).await.unwrap()
    }
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("tokenrouter.db")
}

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", path(folder).display())
}

fn entry(workspace: Workspace, request_id: &str, created_at_ms: i64) -> LedgerEntry {
    LedgerEntry {
        request_id: request_id.into(),
        workspace_id: workspace.workspace_id,
        key_id: 1,
        response_id: Some(format!("resp_{request_id}")),
        created_at_ms,
        latency_ms: 12,
        provider: Some("openai".into()),
        model: Some("gpt-4o".into()),
        requested_model: None,
        mode: "balance".into(),
        task: None,
        stream: true,
        outcome: "completed".into(),
        http_status: 200,
        error_code: None,
        input_tokens: 1,
        cached_input_tokens: 2,
        cache_write_tokens: 3,
        output_tokens: 4,
        reasoning_tokens: 5,
        cost_nano_usd: None,
        usage_is_estimate: false,
        charged_tokens: 0,
        charged_nano_usd: 0,
        decision_json: r#"{"attempts":[]}"#.into(),
    }
}

fn response(workspace: Workspace, id: &str) -> StoredResponse {
    StoredResponse {
        id: id.into(),
        workspace_id: workspace.workspace_id,
        created_at_ms: 7,
        previous_response_id: Some("resp_before".into()),
        conversation_id: Some("conv_1".into()),
        body: format!(r#"{{"id":"{id}"}}"#).into(),
        input: r#"[{"type":"message"}]"#.into(),
    }
}
