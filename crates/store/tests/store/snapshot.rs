//! What the data plane reads.

use serde_json::json;
use tokenrouter_store::{NewFirewallRule, NewRoutingRule, RoutingRulePatch, Store};

use crate::{TestStore, entry, response};

fn routing_rule(priority: i32) -> NewRoutingRule {
    NewRoutingRule {
        name: "r".into(),
        priority,
        is_enabled: priority != 0,
        match_json: json!({}),
        action_json: json!({}),
    }
}

fn firewall_rule(priority: i32) -> NewFirewallRule {
    NewFirewallRule {
        name: "f".into(),
        priority,
        is_enabled: priority != 0,
        scope: "prompt".into(),
        kind: "substring".into(),
        pattern: "x".into(),
        action: "block".into(),
        replacement: None,
        normalize: false,
    }
}

#[tokio::test]
async fn it_holds_the_rules_of_all_workspaces_in_order_enabled_or_not() {
    let store = TestStore::open().await;
    let (a, b) = (store.workspace().await, store.workspace().await);
    for (ws, priority) in [(b, 1), (a, 0), (b, 2), (a, 3)] {
        let (id, user) = (ws.workspace_id, ws.user_id);
        store.create_routing_rule(id, user, routing_rule(priority), 1).await.unwrap();
        store.create_firewall_rule(id, user, firewall_rule(priority), 1).await.unwrap();
    }
    let snapshot = store.snapshot().await.unwrap();
    let (a, b) = (a.workspace_id, b.workspace_id);
    let expected = [(a, 3, true), (a, 0, false), (b, 2, true), (b, 1, true)];
    let routing = snapshot.routing_rules.iter();
    let routing: Vec<_> = routing.map(|r| (r.workspace_id, r.priority, r.is_enabled)).collect();
    let firewall = snapshot.firewall_rules.iter();
    let firewall: Vec<_> = firewall.map(|r| (r.workspace_id, r.priority, r.is_enabled)).collect();
    assert_eq!((&*routing, &*firewall), (&expected[..], &expected[..]));
}

#[tokio::test]
async fn its_version_grows_with_every_change_to_keys_and_rules_and_with_nothing_else() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let (id, user) = (ws.workspace_id, ws.user_id);
    let mut last = store.config_version().await.unwrap();
    let mut grown = async || {
        let version = store.config_version().await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().version, version);
        std::mem::replace(&mut last, version) < version
    };
    store.create_key(id, "ci", "tr_key", 1).await.unwrap();
    assert!(grown().await);
    store.revoke_key(id, 1, 1).await.unwrap();
    assert!(grown().await);
    let rule = store.create_routing_rule(id, user, routing_rule(1), 1).await.unwrap();
    assert!(grown().await);
    let patch = RoutingRulePatch::default();
    store.update_routing_rule(id, rule.id, patch, 1).await.unwrap();
    assert!(grown().await);
    store.delete_routing_rule(id, rule.id).await.unwrap();
    assert!(grown().await);
    let rule = store.create_firewall_rule(id, user, firewall_rule(1), 1).await.unwrap();
    assert!(grown().await);
    store.delete_firewall_rule(id, rule.id).await.unwrap();
    assert!(grown().await);
    store.record(entry(ws, "a", 1), Some(response(ws, "b"))).await.unwrap();
    assert!(!grown().await);
}

#[tokio::test]
async fn another_processs_change_is_seen() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let before = store.config_version().await.unwrap();
    let path = store.path();
    let other = Store::open(&path.display().to_string()).await.unwrap();
    other.create_key(ws.workspace_id, "ci", "tr_key", 1).await.unwrap();
    other.close().await;
    assert!(store.config_version().await.unwrap() > before);
    assert_eq!(store.snapshot().await.unwrap().keys.len(), 1);
}
