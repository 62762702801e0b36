//! Keys and compiled rules of one moment, swapped whole when they change.

use crate::accounts::{Accounts, Keyring, Providers, Useless};
use crate::opened::Opened;
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokenrouter_firewall as firewall;
use tokenrouter_routing as routing;
use tokenrouter_store::{FirewallRuleRow, KeyRow, RoutingRuleRow, Store, StoreError, WorkspaceSettings};
use tokenrouter_upstream::Health;
use tokio::sync::Mutex;

/// The rules of a workspace, ready to be used.
pub(crate) struct WorkspaceRules {
    pub routing: routing::RoutingRules,
    pub firewall: Arc<firewall::RuleSet>,
}

/// The rules of a workspace as they are stored.
#[derive(Default)]
struct RuleSpecs {
    routing: Vec<routing::RuleSpec>,
    firewall: Vec<firewall::RuleSpec>,
    /// An enabled rule whose words this version does not know.
    unknown_firewall_rule: Option<i64>,
}

pub(crate) struct Snapshot {
    pub version: i64,
    keys: HashMap<[u8; 32], KeyRow>,
    workspaces: HashMap<i64, Arc<WorkspaceRules>>,
    /// By key; keys that may use every model are not here.
    models: HashMap<i64, Arc<routing::AllowedModels>>,
    every_model: Arc<routing::AllowedModels>,
    no_rules: Arc<WorkspaceRules>,
    /// Of workspaces with provider keys of their own.
    accounts: HashMap<i64, Arc<Accounts>>,
    /// Of workspaces that have some.
    settings: HashMap<i64, WorkspaceSettings>,
    gateways_accounts: Arc<Accounts>,
    /// Workspaces whose prompts and answers are kept.
    capturing: HashSet<i64>,
    /// Provider keys that cannot be used.
    pub useless_keys: Vec<Useless>,
    /// And those that can.
    opened: Opened,
}

impl Snapshot {
    /// `before`: the one that is in force.
    pub async fn load(store: &Store, providers: &Arc<Providers>, before: Option<&Self>) -> Result<Self, StoreError> {
        let rows = store.snapshot().await?;
        let first_turn = usize::try_from(rows.version).unwrap_or(0);
        let none = Opened::default();
        let opened = before.map_or(&none, |before| &before.opened);
        let keyring = Accounts::of_workspaces(providers, &rows.provider_keys, opened, first_turn);
        let Keyring { accounts, opened, useless: useless_keys } = keyring;
        let is_known = |useless: &&Useless| before.is_some_and(|before| before.useless_keys.contains(useless));
        for useless in useless_keys.iter().filter(|useless| !is_known(useless)) {
            let Useless { workspace_id, key_id, provider, problem } = useless;
            tracing::error!(workspace = workspace_id, key = key_id, provider, %problem, "a provider key cannot be used");
        }
        let set = rows.workspaces.iter().filter(|workspace| workspace.settings != WorkspaceSettings::default());
        let settings = set.map(|workspace| (workspace.id, workspace.settings)).collect();
        let restricted = rows.keys.iter().filter(|key| !key.restrictions.models.is_empty());
        let models = restricted
            .map(|key| (key.key_id, Arc::new(routing::AllowedModels::new(&key.restrictions.models))))
            .collect();
        let keys = rows.keys.into_iter().map(|key| (key.hash, key)).collect();
        let mut workspaces: HashMap<i64, RuleSpecs> = HashMap::new();
        for row in rows.routing_rules {
            workspaces.entry(row.workspace_id).or_default().routing.push(routing_spec(row));
        }
        for row in rows.firewall_rules {
            let (id, is_enabled) = (row.id, row.is_enabled);
            let specs = workspaces.entry(row.workspace_id).or_default();
            match firewall_spec(row) {
                Some(spec) => specs.firewall.push(spec),
                None if is_enabled => specs.unknown_firewall_rule = Some(id),
                None => {}
            }
        }
        let workspaces = workspaces.into_iter().map(|(id, specs)| (id, Arc::new(compile(id, &specs)))).collect();
        let no_rules = Arc::new(compile(0, &RuleSpecs::default()));
        Ok(Self {
            version: rows.version,
            keys,
            workspaces,
            models,
            every_model: Arc::default(),
            no_rules,
            accounts,
            settings,
            gateways_accounts: Arc::new(Accounts::of_the_gateway(providers)),
            useless_keys,
            capturing: rows.capture_days.into_iter().map(|(workspace_id, _)| workspace_id).collect(),
            opened,
        })
    }

    pub fn key(&self, hash: &[u8; 32]) -> Option<&KeyRow> {
        self.keys.get(hash)
    }

    /// What a key may use.
    pub fn models(&self, key_id: i64) -> Arc<routing::AllowedModels> {
        Arc::clone(self.models.get(&key_id).unwrap_or(&self.every_model))
    }

    /// What a workspace has set for itself.
    pub fn settings(&self, workspace_id: i64) -> WorkspaceSettings {
        self.settings.get(&workspace_id).copied().unwrap_or_default()
    }

    pub fn captures(&self, workspace_id: i64) -> bool {
        self.capturing.contains(&workspace_id)
    }

    /// Whether any workspace does.
    pub fn captures_any(&self) -> bool {
        !self.capturing.is_empty()
    }

    pub fn accounts(&self, workspace_id: i64) -> &Arc<Accounts> {
        self.accounts.get(&workspace_id).unwrap_or(&self.gateways_accounts)
    }

    pub fn rules(&self, workspace_id: i64) -> &Arc<WorkspaceRules> {
        self.workspaces.get(&workspace_id).unwrap_or(&self.no_rules)
    }
}

pub(crate) fn routing_spec(row: RoutingRuleRow) -> routing::RuleSpec {
    routing::RuleSpec {
        id: row.id,
        name: row.name,
        priority: row.priority,
        is_enabled: row.is_enabled,
        match_json: row.match_json,
        action_json: row.action_json,
    }
}

/// None if the row holds a word that this version does not know.
pub(crate) fn firewall_spec(row: FirewallRuleRow) -> Option<firewall::RuleSpec> {
    Some(firewall::RuleSpec {
        id: row.id,
        name: row.name,
        priority: row.priority,
        is_enabled: row.is_enabled,
        scope: firewall::Scope::parse(&row.scope)?,
        kind: firewall::PatternKind::parse(&row.kind)?,
        pattern: row.pattern,
        action: firewall::Action::parse(&row.action)?,
        replacement: row.replacement,
        normalize: row.normalize,
    })
}

/// Rules are checked when they are made, so one that does not compile or is not known now was made by another
/// version. A routing rule is then left out. A firewall rule is not: text that it guards must not
/// pass, so the workspace's firewall blocks everything until the rule is mended.
fn compile(workspace: i64, specs: &RuleSpecs) -> WorkspaceRules {
    let mut routing = specs.routing.clone();
    let compiled = loop {
        match routing::RoutingRules::compile(&routing) {
            Ok(rules) => break rules,
            Err((id, _)) => {
                tracing::error!(workspace, rule = id, "a stored routing rule is not valid and is left out");
                routing.retain(|rule| rule.id != id);
            }
        }
    };
    let firewall = match specs.unknown_firewall_rule {
        Some(id) => {
            tracing::error!(
                workspace,
                rule = id,
                "this version does not know the scope, type or action of a stored firewall rule: everything is blocked"
            );
            firewall::RuleSet::block_everything(id)
        }
        None => firewall::RuleSet::compile(&specs.firewall).unwrap_or_else(|(id, error)| {
            tracing::error!(workspace, rule = id, %error, "a stored firewall rule is not valid: everything is blocked");
            firewall::RuleSet::block_everything(id)
        }),
    };
    WorkspaceRules { routing: compiled, firewall: Arc::new(firewall) }
}

/// The current snapshot.
pub(crate) struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// When the newest look into the store began; held while one is under way.
    looked: Mutex<Option<Instant>>,
    providers: Arc<Providers>,
    health: Arc<Health>,
}

impl SnapshotCell {
    pub fn new(snapshot: Snapshot, providers: Arc<Providers>, health: Arc<Health>) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), looked: Mutex::new(None), providers, health }
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Reads everything anew: for a change that this process made.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let mut looked = self.looked.lock().await;
        self.read(store, &mut looked).await
    }

    /// Another process (the command line) may have changed keys or rules. Callers that come while a look
    /// is under way share the next one, so that a flood of unknown keys asks the store one thing at a time.
    pub async fn refresh_if_changed(&self, store: &Store) -> Result<(), StoreError> {
        let came = Instant::now();
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|began| began >= came) {
            return Ok(());
        }
        let began = Instant::now();
        if store.config_version().await? != self.current.load().version {
            return self.read(store, &mut looked).await;
        }
        *looked = Some(began);
        Ok(())
    }

    async fn read(&self, store: &Store, looked: &mut Option<Instant>) -> Result<(), StoreError> {
        let began = Instant::now();
        let current = self.current.load_full();
        let fresh = Snapshot::load(store, &self.providers, Some(&current)).await?;
        if fresh.version >= current.version {
            let own: HashSet<&str> = fresh.opened.scopes().collect();
            self.health.keep(|scope| own.contains(scope) || self.providers.is_scope(scope));
            self.current.store(Arc::new(fresh));
        }
        *looked = Some(began);
        Ok(())
    }
}
