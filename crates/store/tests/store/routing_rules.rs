//! Routing rules.

use serde_json::json;
use tokenrouter_store::{NewRoutingRule, RoutingRulePatch, StoreError};

use crate::TestStore;

fn rule(name: &str, priority: i32) -> NewRoutingRule {
    NewRoutingRule {
        name: name.into(),
        priority,
        is_enabled: true,
        match_json: json!({"contains": ["ünïcode", "b"]}),
        action_json: json!({"set_provider": "anthropic", "set_model": "x"}),
    }
}

#[tokio::test]
async fn a_rule_is_read_back_as_it_was_made() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let (id, user) = (ws.workspace_id, ws.user_id);
    let made = store.create_routing_rule(id, user, rule("one", -3), 10).await.unwrap();
    assert_eq!((made.workspace_id, made.user_id), (id, user));
    assert_eq!((&*made.name, made.priority, made.is_enabled), ("one", -3, true));
    assert_eq!(made.match_json, rule("", 0).match_json);
    assert_eq!(made.action_json, rule("", 0).action_json);
    assert_eq!((made.created_at_ms, made.updated_at_ms), (10, 10));
    let store = store.reopen().await;
    assert_eq!(store.get_routing_rule(id, made.id).await.unwrap(), Some(made));
}

#[tokio::test]
async fn a_patch_changes_the_fields_given_and_the_time() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let made = store.create_routing_rule(ws.workspace_id, ws.user_id, rule("one", 1), 10).await.unwrap();
    let patch = RoutingRulePatch { is_enabled: Some(false), match_json: Some(json!({})), ..Default::default() };
    let changed = store.update_routing_rule(ws.workspace_id, made.id, patch, 20).await.unwrap().unwrap();
    let mut expected = made;
    expected.is_enabled = false;
    expected.match_json = json!({});
    expected.updated_at_ms = 20;
    assert_eq!(changed, expected);
    let all = RoutingRulePatch {
        name: Some("two".into()),
        priority: Some(9),
        is_enabled: Some(true),
        match_json: Some(json!({"mode": "cost"})),
        action_json: Some(json!({"set_mode": "quality"})),
    };
    let changed = store.update_routing_rule(ws.workspace_id, changed.id, all, 30).await.unwrap().unwrap();
    assert_eq!((&*changed.name, changed.priority, changed.is_enabled), ("two", 9, true));
    assert_eq!(changed.action_json, json!({"set_mode": "quality"}));
    assert_eq!((changed.created_at_ms, changed.updated_at_ms), (10, 30));
}

#[tokio::test]
async fn the_list_is_highest_priority_first_then_lowest_id() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    for (name, priority) in [("a", 0), ("b", 5), ("c", -5), ("d", 5), ("e", 0)] {
        store.create_routing_rule(ws.workspace_id, ws.user_id, rule(name, priority), 1).await.unwrap();
    }
    let rules = store.list_routing_rules(ws.workspace_id).await.unwrap();
    let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["b", "d", "a", "e", "c"]);
}

#[tokio::test]
async fn another_workspaces_rule_does_not_exist() {
    let store = TestStore::open().await;
    let (mine, other) = (store.workspace().await, store.workspace().await);
    let made = store.create_routing_rule(mine.workspace_id, mine.user_id, rule("one", 1), 10).await.unwrap();
    let other = other.workspace_id;
    assert_eq!(store.list_routing_rules(other).await.unwrap(), []);
    assert_eq!(store.get_routing_rule(other, made.id).await.unwrap(), None);
    let patch = RoutingRulePatch { priority: Some(7), ..Default::default() };
    assert_eq!(store.update_routing_rule(other, made.id, patch, 20).await.unwrap(), None);
    assert!(!store.delete_routing_rule(other, made.id).await.unwrap());
    let mine = mine.workspace_id;
    assert_eq!(store.get_routing_rule(mine, made.id).await.unwrap(), Some(made));
}

#[tokio::test]
async fn an_id_is_never_given_twice() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let (id, user) = (ws.workspace_id, ws.user_id);
    let first = store.create_routing_rule(id, user, rule("one", 1), 10).await.unwrap();
    assert!(store.delete_routing_rule(id, first.id).await.unwrap());
    assert!(!store.delete_routing_rule(id, first.id).await.unwrap());
    assert_eq!(store.get_routing_rule(id, first.id).await.unwrap(), None);
    let store = store.reopen().await;
    let second = store.create_routing_rule(id, user, rule("two", 1), 10).await.unwrap();
    assert!(second.id > first.id);
}

#[tokio::test]
async fn a_rule_of_no_workspace_is_a_conflict() {
    let store = TestStore::open().await;
    let error = store.create_routing_rule(404, 404, rule("one", 1), 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
}
