use tokenrouter_store::{LedgerEntry, UsageLimits, WorkspaceRow, WorkspaceSettings};

use crate::{TestStore, entry};

async fn set(store: &TestStore, workspace_id: i64, settings: WorkspaceSettings) -> Option<WorkspaceRow> {
    let changed = store.change_workspace(workspace_id, move |_| Ok::<_, ()>(settings)).await.unwrap();
    changed.map(Result::unwrap)
}

#[tokio::test]
async fn settings_are_set_whole_and_survive_a_restart() {
    let store = TestStore::open().await;
    let (ws, other) = (store.workspace().await, store.create_workspace("other", 2).await.unwrap());
    let limits = UsageLimits {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(2),
        max_in_flight: Some(3),
        monthly_tokens: Some(4),
        monthly_budget_nano_usd: Some(5),
    };
    let settings = WorkspaceSettings { limits, task_confidence_percent: Some(6) };
    let none = WorkspaceSettings::default();
    let before = store.config_version().await.unwrap();
    let changed = set(&store, ws.workspace_id, settings).await.unwrap();
    assert_eq!((&*changed.name, changed.settings), ("test", settings));
    assert!(store.config_version().await.unwrap() > before, "no gateway would notice");
    assert_eq!(set(&store, 99, settings).await, None);
    let store = store.reopen().await;
    let rows = store.list_workspaces().await.unwrap();
    assert_eq!(rows, store.snapshot().await.unwrap().workspaces);
    let found: Vec<_> = rows.iter().map(|row| (row.id, row.settings)).collect();
    assert_eq!(found, [(ws.workspace_id, settings), (other.workspace_id, none)]);
    assert_eq!(store.change_workspace(ws.workspace_id, |_| Err(7)).await.unwrap(), Some(Err(7)));
    assert_eq!(store.get_workspace(ws.workspace_id).await.unwrap().unwrap().settings, settings, "refused");
    set(&store, ws.workspace_id, none).await;
    assert_eq!(store.get_workspace(ws.workspace_id).await.unwrap().unwrap().settings, none);
}

#[tokio::test]
async fn what_keys_have_used_is_told_by_workspace() {
    let store = TestStore::open().await;
    let (one, two) = (store.workspace().await, store.create_workspace("other", 2).await.unwrap());
    for (ws, id, key_id, tokens) in [(one, "a", 1, 3), (one, "b", 2, 5), (two, "c", 3, 7)] {
        let entry = LedgerEntry { key_id, charged_tokens: tokens, ..entry(ws, id, 10) };
        store.record(entry, None).await.unwrap();
    }
    let mut used: Vec<_> = store.key_usage(0).await.unwrap();
    used.sort_by_key(|used| used.key_id);
    let used: Vec<_> = used.iter().map(|used| (used.workspace_id, used.key_id, used.tokens)).collect();
    let (one, two) = (one.workspace_id, two.workspace_id);
    assert_eq!(used, [(one, 1, 3), (one, 2, 5), (two, 3, 7)]);
}

#[tokio::test]
async fn two_changes_at_once_are_both_made() {
    let store = TestStore::open().await;
    let id = store.workspace().await.workspace_id;
    for percent in 1..50 {
        let limited = store.change_workspace(id, move |mut settings| {
            settings.limits.monthly_tokens = Some(u64::from(percent));
            Ok::<_, ()>(settings)
        });
        let sure = store.change_workspace(id, move |mut settings| {
            settings.task_confidence_percent = Some(percent);
            Ok::<_, ()>(settings)
        });
        let (limited, sure) = tokio::join!(limited, sure);
        assert!(limited.unwrap().is_some() && sure.unwrap().is_some());
        let settings = store.get_workspace(id).await.unwrap().unwrap().settings;
        assert_eq!(settings.limits.monthly_tokens, Some(u64::from(percent)));
        assert_eq!(settings.task_confidence_percent, Some(percent));
    }
}
