//! Firewall rules.

use tokenrouter_store::{FirewallRulePatch, LedgerEntry, NewFirewallRule, RequestRecord};

use crate::{TestStore, entry};

fn rule(name: &str, priority: i32) -> NewFirewallRule {
    NewFirewallRule {
        name: name.into(),
        priority,
        is_enabled: true,
        scope: "prompt".into(),
        kind: "regex".into(),
        pattern: r"/\d{4}'; DROP TABLE firewall_rules; --/i".into(),
        action: "mask".into(),
        replacement: Some("[card]".into()),
        normalize: false,
    }
}

#[tokio::test]
async fn a_rule_is_read_back_as_it_was_made() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let (id, user) = (ws.workspace_id, ws.user_id);
    let made = store.create_firewall_rule(id, user, rule("one", 3), 10).await.unwrap();
    assert_eq!((made.workspace_id, made.user_id), (id, user));
    assert_eq!((&*made.name, made.priority, made.is_enabled), ("one", 3, true));
    assert_eq!((&*made.scope, &*made.kind, &*made.action), ("prompt", "regex", "mask"));
    assert_eq!(made.pattern, rule("", 0).pattern);
    assert_eq!(made.replacement.as_deref(), Some("[card]"));
    assert_eq!((made.created_at_ms, made.updated_at_ms), (10, 10));
    let store = store.reopen().await;
    assert_eq!(store.get_firewall_rule(id, made.id).await.unwrap(), Some(made));
}

#[tokio::test]
async fn a_patch_changes_the_fields_given_and_can_take_the_replacement_away() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let id = ws.workspace_id;
    let made = store.create_firewall_rule(id, ws.user_id, rule("one", 1), 10).await.unwrap();
    let update = async |patch, now_ms| store.update_firewall_rule(id, made.id, patch, now_ms).await.unwrap().unwrap();
    let all = FirewallRulePatch {
        name: Some("two".into()),
        priority: Some(2),
        is_enabled: Some(false),
        scope: Some("response".into()),
        kind: Some("substring".into()),
        pattern: Some("x".into()),
        action: Some("warn".into()),
        replacement: None,
        normalize: Some(true),
    };
    let changed = update(all, 20).await;
    assert_eq!((&*changed.name, changed.priority, changed.is_enabled), ("two", 2, false));
    assert_eq!((&*changed.scope, &*changed.kind), ("response", "substring"));
    assert_eq!((&*changed.pattern, &*changed.action), ("x", "warn"));
    assert_eq!(changed.replacement.as_deref(), Some("[card]"));
    assert_eq!((changed.created_at_ms, changed.updated_at_ms), (10, 20));
    for replacement in [None, Some("***".to_owned())] {
        let patch = FirewallRulePatch { replacement: Some(replacement.clone()), ..Default::default() };
        assert_eq!(update(patch, 30).await.replacement, replacement);
    }
}

#[tokio::test]
async fn the_list_is_highest_priority_first_then_lowest_id() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    for (name, priority) in [("a", 0), ("b", 5), ("c", -5), ("d", 5)] {
        store.create_firewall_rule(ws.workspace_id, ws.user_id, rule(name, priority), 1).await.unwrap();
    }
    let rules = store.list_firewall_rules(ws.workspace_id).await.unwrap();
    let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["b", "d", "a", "c"]);
}

#[tokio::test]
async fn another_workspaces_rule_does_not_exist() {
    let store = TestStore::open().await;
    let (mine, other) = (store.workspace().await, store.workspace().await);
    let made = store.create_firewall_rule(mine.workspace_id, mine.user_id, rule("one", 1), 10).await.unwrap();
    let other = other.workspace_id;
    assert_eq!(store.list_firewall_rules(other).await.unwrap(), []);
    assert_eq!(store.get_firewall_rule(other, made.id).await.unwrap(), None);
    let patch = FirewallRulePatch { priority: Some(7), ..Default::default() };
    assert_eq!(store.update_firewall_rule(other, made.id, patch, 20).await.unwrap(), None);
    assert!(!store.delete_firewall_rule(other, made.id).await.unwrap());
    let mine = mine.workspace_id;
    assert!(store.delete_firewall_rule(mine, made.id).await.unwrap());
    assert_eq!(store.get_firewall_rule(mine, made.id).await.unwrap(), None);
}

#[tokio::test]
async fn matches_are_counted_apart_from_the_rule_and_go_with_it() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let made = store.create_firewall_rule(ws.workspace_id, ws.user_id, rule("one", 1), 10).await.unwrap();
    assert_eq!((made.hits, made.last_hit_at_ms), (0, None));
    let version = store.config_version().await.unwrap();
    let count = async |request: &str, ended_at_ms, firewall_hits: &[(i64, u64)]| {
        let entry = LedgerEntry { latency_ms: 0, ..entry(ws, request, ended_at_ms) };
        let record = RequestRecord { firewall_hits: firewall_hits.to_vec(), ..RequestRecord::of(entry) };
        store.record_request(record).await.unwrap();
    };
    count("one", 20, &[(made.id, 2), (made.id + 1, 5)]).await;
    count("two", 15, &[(made.id, 3)]).await;
    assert_eq!(store.config_version().await.unwrap(), version, "rules are not loaded anew for a count");
    let counted = store.get_firewall_rule(ws.workspace_id, made.id).await.unwrap().unwrap();
    assert_eq!((counted.hits, counted.last_hit_at_ms, counted.updated_at_ms), (5, Some(20), 10));
    assert!(store.delete_firewall_rule(ws.workspace_id, made.id).await.unwrap());
    count("three", 30, &[(made.id, 1)]).await;
}
