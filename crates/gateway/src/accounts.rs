//! With whose key a request goes out: the workspace's own, where it has one for the provider, else the
//! gateway's.
//!
//! **A workspace that has brought keys for a provider never falls back on the gateway's account there**: what
//! its keys cannot do goes to the next target, or fails. **A key goes to the origin that it was given for and
//! to no other.**

use crate::app::{Abilities, ProviderOptions, StartError};
use crate::opened::Opened;
use crate::pool;
use crate::vault::{Binding, Vault, VaultError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokenrouter_protocol::ProviderError;
use tokenrouter_providers::{Auth, Kind};
use tokenrouter_routing::{Pool, Predictor};
use tokenrouter_store::ProviderKeyRow;
use tokenrouter_upstream::{Ejection, Endpoint, Failure, Health};

/// What keys are bound to where the simulator stands in a provider's place: its port changes with every start.
const SIMULATOR: &str = "simulator";

/// A provider's address, and a key for it.
pub(crate) struct Account {
    /// What health knows it by. The gateway's has the provider's name; a workspace's own has a name of its own, so
    /// that a key which is refused is nobody else's trouble.
    pub scope: Arc<str>,
    pub kind: Kind,
    pub endpoint: Endpoint,
    /// Of a workspace's own key.
    pub key_id: Option<i64>,
    /// 1 to 1000.
    pub weight: u32,
}

impl Account {
    /// What the provider reported inside an answer, without the key for it.
    pub fn reported(&self, mut error: ProviderError) -> Failure {
        self.endpoint.redact(&mut error);
        Failure::reported(error, None)
    }

    pub fn with_weight(&self, weight: u32) -> Self {
        let (scope, endpoint) = (Arc::clone(&self.scope), self.endpoint.clone());
        Self { scope, kind: self.kind, endpoint, key_id: self.key_id, weight }
    }

    /// Whose key it is, for errors.
    pub fn owner(&self) -> &'static str {
        if self.key_id.is_some() { "the workspace" } else { "the gateway" }
    }
}

/// Where a provider is reached.
struct Provider {
    kind: Kind,
    auth: Auth,
    address: Endpoint,
    /// What a key for it is bound to.
    origin: String,
    simulated: bool,
    /// The gateway's own; none where the provider is known, but not set up.
    account: Option<Arc<Account>>,
}

impl Provider {
    fn new(options: &ProviderOptions, is_set_up: bool) -> Result<Self, StartError> {
        let wrong = |source| StartError::Endpoint { name: options.name.clone(), source };
        let endpoint = |key| Endpoint::with_auth(options.kind, options.auth, &options.base_url, key).map_err(wrong);
        let address = endpoint(None)?;
        let account = if is_set_up {
            let endpoint = endpoint(options.key.as_ref())?;
            let (scope, kind) = (options.name.as_str().into(), options.kind);
            Some(Arc::new(Account { scope, kind, endpoint, key_id: None, weight: 1 }))
        } else {
            None
        };
        let simulated = options.simulated;
        let origin = if simulated { SIMULATOR.to_owned() } else { address.origin() };
        Ok(Self { kind: options.kind, auth: options.auth, address, origin, simulated, account })
    }
}

/// The providers of the settings, and those that are known and may be set up by a workspace's own key.
pub(crate) struct Providers {
    by_name: HashMap<String, Provider>,
    set_up: Vec<ProviderOptions>,
    known: Vec<ProviderOptions>,
    abilities: Abilities,
    pool: Arc<Pool>,
    pub vault: Vault,
}

/// Why a workspace's own key is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Callers are told no hosts.
    #[error("it was given for another host than the provider is at now: give the key anew")]
    Moved,
    #[error("there is no such provider any more")]
    NoProvider,
    #[error("the key holds characters that no HTTP header can carry")]
    Unsendable,
}

impl Providers {
    /// # Errors
    /// When a provider's address is not one.
    pub fn new(
        set_up: Vec<ProviderOptions>,
        known: Vec<ProviderOptions>,
        abilities: Abilities,
        vault: Vault,
    ) -> Result<Self, StartError> {
        let mut by_name = HashMap::new();
        for options in &known {
            by_name.insert(options.name.clone(), Provider::new(options, false)?);
        }
        for options in &set_up {
            by_name.insert(options.name.clone(), Provider::new(options, true)?);
        }
        let pool = Arc::new(pool::build(set_up.iter().map(|options| (options, true)), &abilities));
        Ok(Self { by_name, set_up, known, abilities, pool, vault })
    }

    /// What was learned of the operator's own outcomes.
    pub fn predictor(&self) -> Option<&Predictor> {
        self.abilities.predictor.as_deref()
    }

    /// What a key for this provider would be bound to; none where there is no such provider.
    pub fn origin(&self, provider: &str) -> Option<&str> {
        self.by_name.get(provider).map(|provider| provider.origin.as_str())
    }

    /// In order.
    pub fn names(&self) -> BTreeSet<&str> {
        self.by_name.keys().map(String::as_str).collect()
    }

    /// What health knows the gateway's own account there by, if this is one.
    pub fn is_scope(&self, scope: &str) -> bool {
        self.by_name.contains_key(scope)
    }

    /// The account that a stored key stands for.
    pub fn account(&self, row: &ProviderKeyRow) -> Result<Account, KeyProblem> {
        let provider = self.by_name.get(&row.provider).ok_or(KeyProblem::NoProvider)?;
        if row.origin != provider.origin {
            return Err(KeyProblem::Moved);
        }
        let key = self.vault.open(&Binding::of(row), &row.sealed)?;
        let endpoint = provider.address.with_key(provider.auth, &key).map_err(|_| KeyProblem::Unsendable)?;
        let scope = format!("{}#{}", row.provider, row.id).into();
        Ok(Account { scope, kind: provider.kind, endpoint, key_id: Some(row.id), weight: row.weight })
    }

    pub fn kind(&self, provider: &str) -> Option<Kind> {
        self.by_name.get(provider).map(|provider| provider.kind)
    }

    /// In the simulator's place a key that was given for the real provider is not missed.
    fn is_simulated(&self, provider: &str) -> bool {
        self.by_name.get(provider).is_some_and(|provider| provider.simulated)
    }
}

/// A workspace's own keys for one provider.
#[derive(Default)]
struct Own {
    /// None, where no key is of use.
    accounts: Vec<Arc<Account>>,
    turn: AtomicUsize,
}

/// A stored key that is of no use, for the log.
#[derive(PartialEq, Eq)]
pub(crate) struct Useless {
    pub workspace_id: i64,
    pub key_id: i64,
    pub provider: String,
    pub problem: KeyProblem,
}

/// What [`Accounts::of_workspaces`] makes of the stored keys.
#[derive(Default)]
pub(crate) struct Keyring {
    /// By workspace.
    pub accounts: HashMap<i64, Arc<Accounts>>,
    pub opened: Opened,
    pub useless: Vec<Useless>,
}

/// The accounts of one workspace, and the models that it can have with them.
pub(crate) struct Accounts {
    pub pool: Arc<Pool>,
    providers: Arc<Providers>,
    own: BTreeMap<String, Own>,
}

impl Accounts {
    /// For a workspace without keys of its own.
    pub fn of_the_gateway(providers: &Arc<Providers>) -> Self {
        Self { pool: Arc::clone(&providers.pool), providers: Arc::clone(providers), own: BTreeMap::new() }
    }

    /// Of all workspaces that have keys, and the keys that are of no use. `before`: those that are open already.
    /// `first_turn` is another one for each snapshot: keys that began anew with each would never come to the last.
    pub fn of_workspaces(
        providers: &Arc<Providers>,
        rows: &[ProviderKeyRow],
        before: &Opened,
        first_turn: usize,
    ) -> Keyring {
        let mut own: HashMap<i64, BTreeMap<String, Own>> = HashMap::new();
        let (mut opened, mut useless) = (Opened::default(), Vec::new());
        for row in rows {
            let account = before.account(providers, row);
            if providers.is_simulated(&row.provider) && matches!(account, Err(KeyProblem::Moved)) {
                continue;
            }
            // Of a provider that is not there any more nobody misses anything.
            if account.as_ref().err() != Some(&KeyProblem::NoProvider) {
                let of_workspace = own.entry(row.workspace_id).or_default();
                let new = || Own { turn: AtomicUsize::new(first_turn), ..Own::default() };
                let keys = of_workspace.entry(row.provider.clone()).or_insert_with(new);
                keys.accounts.extend(account.as_ref().ok().map(Arc::clone));
            }
            match account {
                Ok(account) => opened.insert(row, account),
                Err(problem) => {
                    let (workspace_id, key_id, provider) = (row.workspace_id, row.id, row.provider.clone());
                    useless.push(Useless { workspace_id, key_id, provider, problem });
                }
            }
        }
        // Most workspaces have keys for the same few providers, and so the same models.
        let mut pools: HashMap<BTreeMap<String, bool>, Arc<Pool>> = HashMap::new();
        let accounts = own.into_iter().map(|(workspace_id, own)| {
            let ready: BTreeMap<String, bool> =
                own.iter().map(|(provider, own)| (provider.clone(), !own.accounts.is_empty())).collect();
            let pool = pools.entry(ready).or_insert_with_key(|ready| Arc::new(pool_of(providers, ready)));
            let pool = Arc::clone(pool);
            (workspace_id, Arc::new(Self { pool, providers: Arc::clone(providers), own }))
        });
        Keyring { accounts: accounts.collect(), opened, useless }
    }

    /// Those that a request to this provider may go out with; none where it is not set up for the workspace.
    pub fn of(&self, provider: &str) -> &[Arc<Account>] {
        match self.own.get(provider) {
            Some(own) => &own.accounts,
            None => self.providers.by_name.get(provider).map_or(&[], |provider| provider.account.as_slice()),
        }
    }

    pub fn is_set_up(&self, provider: &str) -> bool {
        !self.of(provider).is_empty()
    }

    pub fn kind(&self, provider: &str) -> Option<Kind> {
        self.providers.kind(provider)
    }

    /// Those of a kind that are set up, in order.
    pub fn of_kind(&self, kind: Kind) -> Vec<String> {
        let names = self.providers.names().into_iter();
        names.filter(|name| self.kind(name) == Some(kind) && self.is_set_up(name)).map(str::to_owned).collect()
    }

    /// That a provider is not set up though the workspace has a key for it. Why is for those who manage the
    /// workspace, and not for everybody who calls.
    pub fn problem(&self, provider: &str) -> Option<String> {
        self.own.get(provider).filter(|own| own.accounts.is_empty())?;
        Some(format!(
            "the workspace's own key for {provider} cannot be used: who manages the workspace finds the reason at \
             `GET /v1/provider-keys`"
        ))
    }

    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.own.keys().filter_map(|provider| self.problem(provider))
    }

    /// Why each target, a provider's name and a model's, should not be asked now with any key.
    pub fn ejections<'t>(
        &self,
        health: &Health,
        targets: impl Iterator<Item = (&'t str, &'t str)>,
        now: Instant,
    ) -> Vec<Option<Ejection>> {
        let targets: Vec<_> = targets.map(|(provider, model)| (self.of(provider), model)).collect();
        let names =
            targets.iter().flat_map(|(accounts, model)| accounts.iter().map(move |account| (&*account.scope, *model)));
        let mut ejections = health.ejections(names, now).into_iter();
        let of_target = |(accounts, _): &(&[Arc<Account>], &str)| {
            let of_keys: Vec<_> = ejections.by_ref().take(accounts.len()).collect();
            let all: Option<Vec<Ejection>> = of_keys.into_iter().collect();
            all?.into_iter().min_by_key(|ejection| ejection.retry_in)
        };
        targets.iter().map(of_target).collect()
    }

    /// The account for the next attempt: one that health has nothing against, if there is one; none where all have
    /// been `refused`. Of those the one with the `preferred` key, else by the keys' weights.
    pub fn pick(
        &self,
        health: &Health,
        provider: &str,
        model: &str,
        refused: &[&str],
        preferred: Option<i64>,
        now: Instant,
    ) -> Option<Arc<Account>> {
        let all = self.of(provider);
        let ejections = health.ejections(all.iter().map(|account| (&*account.scope, model)), now);
        let stands = |(account, ejection): &(&Arc<Account>, Option<Ejection>)| {
            ejection.is_none() && !refused.contains(&&*account.scope)
        };
        let mut standing: Vec<&Arc<Account>> =
            all.iter().zip(ejections).filter(stands).map(|(account, _)| account).collect();
        if standing.is_empty() && !all.iter().any(|account| refused.contains(&&*account.scope)) {
            standing.extend(all);
        }
        let is_preferred = |account: &&&Arc<Account>| preferred.is_some() && account.key_id == preferred;
        if let Some(account) = standing.iter().find(is_preferred) {
            return Some(Arc::clone(account));
        }
        let turn = self.own.get(provider).map_or(0, |own| own.turn.fetch_add(1, Ordering::Relaxed));
        in_turn(&standing, turn).map(Arc::clone)
    }
}

/// Each in its turn, as often as its weight says, and not all its turns in one go: of two keys of weight 500 the
/// second would wait for 500 requests.
fn in_turn<'a>(accounts: &[&'a Arc<Account>], turn: usize) -> Option<&'a Arc<Account>> {
    let weight = |account: &Account| usize::try_from(account.weight).unwrap_or(1).max(1);
    let total: usize = accounts.iter().map(|account| weight(account)).sum();
    let mut left = turn.checked_rem(total)? * stride(total) % total;
    for account in accounts {
        let weight = weight(account);
        if left < weight {
            return Some(account);
        }
        left -= weight;
    }
    None
}

/// Steps of the golden ratio meet every place of a round once, and spread over it from the first on.
fn stride(round: usize) -> usize {
    let has_no_common_divisor = |step: &usize| {
        let (mut a, mut b) = (*step, round);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    (1..=round * 618 / 1_000).rev().find(has_no_common_divisor).unwrap_or(1)
}

/// The gateway's candidates, with what own keys add (true) or take away (false).
fn pool_of(providers: &Providers, ready: &BTreeMap<String, bool>) -> Pool {
    let set_up = providers.set_up.iter().map(|options| (options, ready.get(&options.name).copied().unwrap_or(true)));
    let is_set_up = |name: &str| providers.set_up.iter().any(|options| options.name == name);
    let brought = providers.known.iter().filter(|options| !is_set_up(&options.name));
    let brought = brought.filter_map(|options| ready.get(&options.name).map(|ready| (options, *ready)));
    pool::build(set_up.chain(brought), &providers.abilities)
}

#[cfg(test)]
mod tests;
