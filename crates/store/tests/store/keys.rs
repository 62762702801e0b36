//! API keys.

use tokenrouter_store::{StoreError, hash_key};

use crate::TestStore;

const KEY: &str = "tr_0123456789abcdefghijklmnopqrst";

#[tokio::test]
async fn a_key_is_listed_by_its_ends_and_known_by_its_hash() {
    let store = TestStore::open().await;
    let workspace = store.workspace().await;
    let made = store.create_key(workspace.workspace_id, "ci", KEY, 5).await.unwrap();
    assert_eq!((&*made.name, &*made.prefix, &*made.last4), ("ci", "tr_0123", "qrst"));
    assert_eq!(made.user_id, workspace.user_id);
    assert_eq!(store.list_keys(workspace.workspace_id).await.unwrap(), std::slice::from_ref(&made));
    let known = store.snapshot().await.unwrap().keys;
    assert_eq!((known[0].hash, known[0].key_id), (hash_key(KEY), made.id));
}

#[tokio::test]
async fn a_key_is_stored_nowhere_in_the_clear() {
    let store = TestStore::open().await;
    let workspace = store.workspace().await.workspace_id;
    store.create_key(workspace, "ci", KEY, 5).await.unwrap();
    store.bootstrap(Some("tr_zyxwvutsrqponmlkjihgfedcba"), "tr_unused", 5).await.unwrap();
    store.close().await;
    let file = std::fs::read(store.path()).unwrap();
    for secret in ["456789abcdefghijklm", "wvutsrqponmlkjihg"] {
        assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn a_revoked_key_leaves_the_snapshot_and_stays_in_the_list() {
    let store = TestStore::open().await;
    let workspace = store.workspace().await.workspace_id;
    let key = store.create_key(workspace, "ci", KEY, 5).await.unwrap();
    assert!(store.revoke_key(workspace, key.id, 9).await.unwrap());
    assert!(!store.revoke_key(workspace, key.id, 10).await.unwrap());
    assert_eq!(store.snapshot().await.unwrap().keys, []);
    let listed = store.list_keys(workspace).await.unwrap();
    assert_eq!(listed[0].revoked_at_ms, Some(9));
}

#[tokio::test]
async fn another_workspace_neither_sees_nor_revokes_a_key() {
    let store = TestStore::open().await;
    let (mine, other) = (store.workspace().await, store.workspace().await);
    let key = store.create_key(mine.workspace_id, "ci", KEY, 5).await.unwrap();
    assert_eq!(store.list_keys(other.workspace_id).await.unwrap(), []);
    assert!(!store.revoke_key(other.workspace_id, key.id, 9).await.unwrap());
    assert_eq!(store.snapshot().await.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn a_key_twice_and_a_key_of_no_workspace_are_conflicts_that_do_not_tell_the_key() {
    let store = TestStore::open().await;
    let workspace = store.workspace().await.workspace_id;
    store.create_key(workspace, "ci", KEY, 5).await.unwrap();
    for workspace in [workspace, 404] {
        let error = store.create_key(workspace, "ci", KEY, 5).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert!(!error.to_string().contains(KEY), "{error}");
    }
}
