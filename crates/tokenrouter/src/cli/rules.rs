//! `tokenrouter rules export|import`: a workspace's routing and firewall rules as one JSON document.
//!
//! Importing is idempotent: a rule of the same name is changed to what the document says, one that is
//! not there is made, and what the document does not name stays. Every rule is checked before the first
//! is written.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, find_workspace, now_ms, open_store};
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;
use tokenrouter_gateway::{firewall_rule_json, read_firewall_rule, read_routing_rule, routing_rule_json};
use tokenrouter_store::{
    FirewallRulePatch, FirewallRuleRow, NewFirewallRule, NewRoutingRule, RoutingRulePatch, RoutingRuleRow, Store,
};

#[derive(Subcommand)]
pub(super) enum RulesCommand {
    /// Print all rules of a workspace as JSON.
    Export {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
    },
    /// Make the rules of a document the workspace's, each by its name; others stay. Running gateways
    /// notice within a second.
    Import {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// What `rules export` printed; `-` reads standard input.
        file: PathBuf,
    },
}

pub(super) async fn run(command: RulesCommand) -> Result<(), Failure> {
    match command {
        RulesCommand::Export { settings, workspace } => {
            let store = open_store(&settings.load(None)?).await?;
            let id = find_workspace(&store, &workspace).await?;
            let routing = store.list_routing_rules(id).await.map_err(Failure::of)?;
            let firewall = store.list_firewall_rules(id).await.map_err(Failure::of)?;
            let document = json!({
                "routing_rules": routing.iter().map(|row| own_fields(routing_rule_json(row))).collect::<Vec<_>>(),
                "firewall_rules":
                    firewall.iter().map(|row| own_fields(firewall_rule_json(row, None))).collect::<Vec<_>>(),
            });
            output::line(format_args!("{document:#}"))
        }
        RulesCommand::Import { settings, workspace, file } => {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(&file)
            };
            let text = text.map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
            let document = Document::read(&text)?;
            let store = open_store(&settings.load(None)?).await?;
            let id = find_workspace(&store, &workspace).await?;
            let import = Import { store: &store, workspace_id: id, user_id: user_of(&store, &workspace).await? };
            let mut told = Told::default();
            import.routing(document.routing, &mut told).await?;
            import.firewall(document.firewall, &mut told).await?;
            store.close().await;
            tell!("{} made, {} changed, {} as they were", told.made, told.changed, told.same);
            Ok(())
        }
    }
}

/// What a rule is, without what this database made of it.
fn own_fields(mut rule: Value) -> Value {
    if let Value::Object(fields) = &mut rule {
        for field in ["id", "user_id", "engine", "hits", "last_hit_at", "created_at", "updated_at"] {
            fields.shift_remove(field);
        }
    }
    rule
}

async fn user_of(store: &Store, workspace: &str) -> Result<i64, Failure> {
    let found = store.find_workspace(workspace).await.map_err(Failure::of)?;
    found.map(|w| w.user_id).ok_or_else(|| Failure::Other(format!("there is no workspace `{workspace}`")))
}

struct Document {
    routing: Vec<NewRoutingRule>,
    firewall: Vec<NewFirewallRule>,
}

impl Document {
    fn read(text: &str) -> Result<Self, Failure> {
        let document: Value = serde_json::from_str(text).map_err(|e| Failure::Other(format!("not JSON: {e}")))?;
        let mut mistakes = Vec::new();
        let known = document.as_object().is_some_and(|object| {
            !object.is_empty() && object.keys().all(|key| key == "routing_rules" || key == "firewall_rules")
        });
        if !known {
            return Err(Failure::of("the document must be an object with `routing_rules` and `firewall_rules`"));
        }
        let routing = rules(&document, "routing_rules", &mut mistakes, |rule| {
            read_routing_rule(rule).map(|rule| (rule.name.clone(), rule)).map_err(|error| error.message)
        });
        let firewall = rules(&document, "firewall_rules", &mut mistakes, |rule| {
            read_firewall_rule(rule).map(|rule| (rule.name.clone(), rule)).map_err(|error| error.message)
        });
        if mistakes.is_empty() {
            return Ok(Self { routing, firewall });
        }
        Err(Failure::Other(format!("nothing was imported:\n  {}", mistakes.join("\n  "))))
    }
}

fn rules<T>(
    document: &Value,
    field: &str,
    mistakes: &mut Vec<String>,
    read: impl Fn(Value) -> Result<(String, T), String>,
) -> Vec<T> {
    let mut found = Vec::new();
    let mut names = HashSet::new();
    let list = match &document[field] {
        Value::Null => return found,
        Value::Array(list) => list,
        _ => {
            mistakes.push(format!("`{field}` must be a list"));
            return found;
        }
    };
    for (i, rule) in list.iter().enumerate() {
        match read(rule.clone()) {
            Ok((name, rule)) => {
                if !names.insert(name.clone()) {
                    mistakes.push(format!("{field}[{i}]: a second rule of the name {name:?}"));
                }
                found.push(rule);
            }
            Err(message) => mistakes.push(format!("{field}[{i}]: {message}")),
        }
    }
    found
}

#[derive(Default)]
struct Told {
    made: usize,
    changed: usize,
    same: usize,
}

struct Import<'a> {
    store: &'a Store,
    workspace_id: i64,
    user_id: i64,
}

impl Import<'_> {
    async fn routing(&self, rules: Vec<NewRoutingRule>, told: &mut Told) -> Result<(), Failure> {
        let there = self.store.list_routing_rules(self.workspace_id).await.map_err(Failure::of)?;
        for new in rules {
            let Some(old) = there.iter().find(|row| row.name == new.name) else {
                let made = self.store.create_routing_rule(self.workspace_id, self.user_id, new, now_ms()).await;
                made.map_err(Failure::of)?;
                told.made += 1;
                continue;
            };
            if same_routing(old, &new) {
                told.same += 1;
                continue;
            }
            let patch = RoutingRulePatch {
                name: None,
                priority: Some(new.priority),
                is_enabled: Some(new.is_enabled),
                match_json: Some(new.match_json),
                action_json: Some(new.action_json),
            };
            self.store.update_routing_rule(self.workspace_id, old.id, patch, now_ms()).await.map_err(Failure::of)?;
            told.changed += 1;
        }
        Ok(())
    }

    async fn firewall(&self, rules: Vec<NewFirewallRule>, told: &mut Told) -> Result<(), Failure> {
        let there = self.store.list_firewall_rules(self.workspace_id).await.map_err(Failure::of)?;
        for new in rules {
            let Some(old) = there.iter().find(|row| row.name == new.name) else {
                let made = self.store.create_firewall_rule(self.workspace_id, self.user_id, new, now_ms()).await;
                made.map_err(Failure::of)?;
                told.made += 1;
                continue;
            };
            if same_firewall(old, &new) {
                told.same += 1;
                continue;
            }
            let patch = FirewallRulePatch {
                name: None,
                priority: Some(new.priority),
                is_enabled: Some(new.is_enabled),
                scope: Some(new.scope),
                kind: Some(new.kind),
                pattern: Some(new.pattern),
                action: Some(new.action),
                replacement: Some(new.replacement),
                normalize: Some(new.normalize),
            };
            self.store.update_firewall_rule(self.workspace_id, old.id, patch, now_ms()).await.map_err(Failure::of)?;
            told.changed += 1;
        }
        Ok(())
    }
}

fn same_routing(old: &RoutingRuleRow, new: &NewRoutingRule) -> bool {
    (old.priority, old.is_enabled, &old.match_json, &old.action_json)
        == (new.priority, new.is_enabled, &new.match_json, &new.action_json)
}

fn same_firewall(old: &FirewallRuleRow, new: &NewFirewallRule) -> bool {
    (old.priority, old.is_enabled, &old.scope, &old.kind) == (new.priority, new.is_enabled, &new.scope, &new.kind)
        && (&old.pattern, &old.action, &old.replacement, old.normalize)
            == (&new.pattern, &new.action, &new.replacement, new.normalize)
}
