//! Conversations and their items; chains of responses.

use tokenrouter_store::{
    ConversationItem, ConversationRow, ConversationTurn, ItemOrder, ItemPage, StoreError, StoredResponse, Workspace,
};

use crate::{TestStore, entry, response};

fn conversation(id: &str) -> ConversationRow {
    ConversationRow { id: id.into(), created_at_ms: 7, metadata: serde_json::json!({"topic": "tea"}) }
}

fn items(ids: &[&str]) -> Vec<ConversationItem> {
    ids.iter().map(|id| ConversationItem { id: (*id).into(), body: format!(r#"{{"id":"{id}"}}"#).into() }).collect()
}

fn turn(ids: &[&str]) -> ConversationTurn {
    ConversationTurn { conversation_id: "conv".into(), items: items(ids) }
}

async fn ids(store: &TestStore, ws: Workspace) -> Vec<String> {
    let items = store.get_conversation_items(ws.workspace_id, "conv").await.unwrap().unwrap();
    items.into_iter().map(|item| item.id).collect()
}

#[tokio::test]
async fn a_conversation_is_kept_changed_and_deleted_with_its_items() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let id = ws.workspace_id;
    store.create_conversation(id, conversation("conv"), items(&["a", "b"])).await.unwrap();
    assert_eq!(store.get_conversation(id, "conv").await.unwrap(), Some(conversation("conv")));
    let changed = store.set_conversation_metadata(id, "conv", serde_json::json!({})).await.unwrap().unwrap();
    assert_eq!(changed.metadata, serde_json::json!({}));
    assert_eq!(ids(&store, ws).await, ["a", "b"]);
    assert!(store.delete_conversation_item(id, "conv", "a").await.unwrap());
    assert!(!store.delete_conversation_item(id, "conv", "a").await.unwrap());
    assert_eq!(store.get_conversation_item(id, "conv", "a").await.unwrap(), None);
    assert_eq!(store.get_conversation_item(id, "conv", "b").await.unwrap(), items(&["b"]).pop());
    assert!(store.delete_conversation(id, "conv").await.unwrap());
    assert!(!store.delete_conversation(id, "conv").await.unwrap());
    assert_eq!(store.get_conversation_items(id, "conv").await.unwrap(), None);
    store.create_conversation(id, conversation("conv"), vec![]).await.unwrap();
    assert_eq!(ids(&store, ws).await, [""; 0]);
}

#[tokio::test]
async fn items_are_added_all_or_none() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.create_conversation(ws.workspace_id, conversation("conv"), items(&["a"])).await.unwrap();
    assert!(store.add_conversation_items(ws.workspace_id, "conv", items(&["b", "c"])).await.unwrap());
    let again = store.add_conversation_items(ws.workspace_id, "conv", items(&["d", "b"])).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })));
    assert_eq!(ids(&store, ws).await, ["a", "b", "c"]);
    assert!(!store.add_conversation_items(ws.workspace_id, "nowhere", items(&["e"])).await.unwrap());
}

#[tokio::test]
async fn a_turn_is_written_with_its_ledger_entry_or_not_at_all() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.create_conversation(ws.workspace_id, conversation("conv"), vec![]).await.unwrap();
    store.record_turn(entry(ws, "one", 1), Some(response(ws, "resp")), turn(&["a", "b"])).await.unwrap();
    let refused = store.record_turn(entry(ws, "two", 2), Some(response(ws, "resp_2")), turn(&["c", "b"])).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    assert_eq!(ids(&store, ws).await, ["a", "b"]);
    assert_eq!(store.get_request(ws.workspace_id, "two").await.unwrap(), None);
    assert_eq!(store.get_response(ws.workspace_id, "resp_2").await.unwrap(), None);
}

#[tokio::test]
async fn a_turn_of_a_conversation_that_has_gone_leaves_its_entry_and_no_items() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.record_turn(entry(ws, "one", 1), None, turn(&["a"])).await.unwrap();
    assert!(store.get_request(ws.workspace_id, "one").await.unwrap().is_some());
    store.create_conversation(ws.workspace_id, conversation("conv"), vec![]).await.unwrap();
    assert_eq!(ids(&store, ws).await, [""; 0]);
}

#[tokio::test]
async fn items_are_listed_by_pages_both_ways() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.create_conversation(ws.workspace_id, conversation("conv"), items(&["a", "b", "c", "d"])).await.unwrap();
    let page = async |order, limit, after: Option<&str>| {
        let page = ItemPage { after: after.map(str::to_owned), limit, order };
        let items = store.list_conversation_items(ws.workspace_id, "conv", page).await.unwrap();
        items.map(|items| items.into_iter().map(|item| item.id).collect::<Vec<_>>())
    };
    assert_eq!(page(ItemOrder::OldestFirst, 2, None).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(page(ItemOrder::OldestFirst, 2, Some("b")).await.unwrap(), ["c", "d"]);
    assert_eq!(page(ItemOrder::NewestFirst, 2, None).await.unwrap(), ["d", "c", "b"]);
    assert_eq!(page(ItemOrder::NewestFirst, 9, Some("c")).await.unwrap(), ["b", "a"]);
    assert_eq!(page(ItemOrder::OldestFirst, 2, Some("nowhere")).await, None);
}

#[tokio::test]
async fn workspaces_neither_see_nor_change_each_others_conversations() {
    let store = TestStore::open().await;
    let (mine, other) = (store.workspace().await, store.workspace().await);
    store.create_conversation(mine.workspace_id, conversation("conv"), items(&["a"])).await.unwrap();
    let id = other.workspace_id;
    assert_eq!(store.get_conversation(id, "conv").await.unwrap(), None);
    assert_eq!(store.get_conversation_items(id, "conv").await.unwrap(), None);
    assert_eq!(store.get_conversation_item(id, "conv", "a").await.unwrap(), None);
    assert_eq!(store.set_conversation_metadata(id, "conv", serde_json::json!({})).await.unwrap(), None);
    assert!(!store.add_conversation_items(id, "conv", items(&["b"])).await.unwrap());
    assert!(!store.delete_conversation_item(id, "conv", "a").await.unwrap());
    assert!(!store.delete_conversation(id, "conv").await.unwrap());
    store.record_turn(entry(other, "one", 1), None, turn(&["b"])).await.unwrap();
    assert_eq!(ids(&store, mine).await, ["a"]);
}

#[tokio::test]
async fn a_chain_is_read_newest_first_up_to_its_end_or_the_limit() {
    let store = TestStore::open().await;
    let (ws, other) = (store.workspace().await, store.workspace().await);
    for (owner, id, previous) in [(ws, "a", None), (ws, "b", Some("a")), (ws, "c", Some("b")), (other, "d", Some("c"))]
    {
        let link = StoredResponse { previous_response_id: previous.map(str::to_owned), ..response(owner, id) };
        store.record(entry(owner, id, 1), Some(link)).await.unwrap();
    }
    let chain = async |owner: Workspace, id, limit| {
        let chain = store.get_chain(owner.workspace_id, id, limit).await.unwrap();
        chain.into_iter().map(|link| link.id).collect::<Vec<_>>()
    };
    assert_eq!(chain(ws, "c", 9).await, ["c", "b", "a"]);
    assert_eq!(chain(ws, "c", 2).await, ["c", "b"]);
    assert_eq!(chain(other, "d", 9).await, ["d"]);
    assert_eq!(chain(other, "c", 9).await, [""; 0]);
    store.delete_response(ws.workspace_id, "b").await.unwrap();
    assert_eq!(chain(ws, "c", 9).await, ["c"]);
}
