use super::*;
use crate::vault::MasterKey;
use secrecy::SecretString;
use std::time::Duration;
use tokenrouter_store::SealedKey;
use tokenrouter_upstream::{BreakerOptions, BudgetOptions, Class, HealthOptions};

fn options(name: &str, base_url: &str) -> ProviderOptions {
    let kind = Kind::parse(name).unwrap();
    let (name, base_url) = (name.to_owned(), base_url.to_owned());
    let key = Some(SecretString::from("sk-the-gateways"));
    ProviderOptions { name, kind, base_url, key, auth: kind.auth(), models: Vec::new(), simulated: false }
}

fn providers() -> Arc<Providers> {
    let master = MasterKey::parse(&"07".repeat(32).into()).unwrap();
    let vault = Vault::new(&BTreeMap::from([(1, master)]));
    let known = vec![ProviderOptions { key: None, ..options("mistral", "https://api.mistral.ai/v1") }];
    Arc::new(
        Providers::new(vec![options("openai", "https://api.openai.com/v1")], known, Abilities::default(), vault)
            .unwrap(),
    )
}

fn row(providers: &Providers, workspace_id: i64, provider: &str, id: i64, weight: u32) -> ProviderKeyRow {
    let origin = providers.origin(provider).unwrap().to_owned();
    let binding = Binding { workspace_id, provider, id, origin: &origin };
    let sealed = providers.vault.seal(&binding, &format!("sk-own-{id}").into()).unwrap();
    let (provider, name, last4) = (provider.to_owned(), String::new(), String::new());
    let (user_id, created_at_ms, updated_at_ms) = (1, 0, 0);
    ProviderKeyRow {
        id,
        workspace_id,
        user_id,
        provider,
        name,
        origin,
        weight,
        last4,
        sealed,
        created_at_ms,
        updated_at_ms,
    }
}

fn keyring(providers: &Arc<Providers>, rows: &[ProviderKeyRow], first_turn: usize) -> Keyring {
    Accounts::of_workspaces(providers, rows, &Opened::default(), first_turn)
}

fn health() -> Arc<Health> {
    let second = Duration::from_secs(1);
    let breaker = BreakerOptions { window: second, min_requests: 5, failure_percent: 50, open: second };
    let budget = BudgetOptions { percent: 20, floor: 10, total_floor: 100 };
    Arc::new(Health::new(HealthOptions { breaker, budget, refused: Duration::from_secs(60) }, Instant::now()))
}

fn is_ready(accounts: &Accounts, provider: &str) -> bool {
    accounts.pool.candidates().iter().any(|c| *c.provider == *provider && c.ready)
}

#[test]
fn own_keys_take_the_place_of_the_gateways_and_add_providers_for_their_workspace_alone() {
    let providers = providers();
    let rows = [row(&providers, 1, "openai", 1, 1), row(&providers, 1, "mistral", 2, 1)];
    let Keyring { accounts, useless, .. } = keyring(&providers, &rows, 0);
    assert!(useless.is_empty() && accounts.len() == 1);
    let own = &accounts[&1];
    assert_eq!(own.of("openai").iter().map(|a| a.key_id).collect::<Vec<_>>(), [Some(1)]);
    assert!(is_ready(own, "mistral") && is_ready(own, "openai") && own.is_set_up("mistral"));
    let others = Accounts::of_the_gateway(&providers);
    assert_eq!(others.of("openai").iter().map(|a| a.key_id).collect::<Vec<_>>(), [None]);
    assert!(!is_ready(&others, "mistral") && is_ready(&others, "openai") && !others.is_set_up("mistral"));
}

#[test]
fn keys_take_turns_by_weight_and_one_that_is_refused_leaves_them_to_the_rest() {
    let (providers, health, now) = (providers(), health(), Instant::now());
    let rows = [row(&providers, 1, "openai", 1, 3), row(&providers, 1, "openai", 2, 1)];
    let accounts = keyring(&providers, &rows, 0).accounts;
    let own = &accounts[&1];
    let pick = |refused: &[&str]| own.pick(&health, "openai", "m", refused, None, now).and_then(|a| a.key_id);
    let picked: Vec<_> = (0..8).filter_map(|_| pick(&[])).collect();
    assert_eq!(picked.iter().filter(|id| **id == 1).count(), 6);
    let scopes: Vec<Arc<str>> = own.of("openai").iter().map(|a| Arc::clone(&a.scope)).collect();
    assert_eq!(pick(&[&scopes[0]]), Some(2));
    assert_eq!(pick(&[&scopes[0], &scopes[1]]), None);
    let refuse = |scope: &Arc<str>| {
        health.ask(Arc::clone(scope), "m", now).failed(&Failure::new(Class::Auth, "x"), now);
    };
    let ejected = |accounts: &Accounts| accounts.ejections(&health, [("openai", "m")].into_iter(), now)[0];
    refuse(&scopes[0]);
    assert_eq!((0..4).filter_map(|_| pick(&[])).collect::<Vec<_>>(), [2; 4]);
    assert!(ejected(own).is_none());
    refuse(&scopes[1]);
    assert!(ejected(own).is_some());
    let gateways = Accounts::of_the_gateway(&providers);
    assert!(ejected(&gateways).is_none(), "the gateway's own account is another");
    assert!(pick(&[]).is_some(), "health alone leaves nobody without a key");
}

#[test]
fn the_preferred_key_is_taken_while_health_has_nothing_against_it() {
    let (providers, health, now) = (providers(), health(), Instant::now());
    let rows = [row(&providers, 1, "openai", 1, 1000), row(&providers, 1, "openai", 2, 1)];
    let accounts = keyring(&providers, &rows, 0).accounts;
    let own = &accounts[&1];
    let pick = |refused: &[&str], preferred| {
        own.pick(&health, "openai", "m", refused, preferred, now).and_then(|account| account.key_id)
    };
    assert_eq!((0..9).filter_map(|_| pick(&[], Some(2))).collect::<Vec<_>>(), [2; 9]);
    assert_eq!(pick(&[], Some(3)), Some(1), "a key that is gone");
    let scope = Arc::clone(&own.of("openai")[1].scope);
    assert_eq!(pick(&[&scope], Some(2)), Some(1));
    health.ask(scope, "m", now).failed(&Failure::new(Class::Auth, "x"), now);
    assert_eq!(pick(&[], Some(2)), Some(1));
}

#[test]
fn heavy_keys_take_turns_from_the_first_requests_on_and_from_any_snapshot() {
    let (providers, health, now) = (providers(), health(), Instant::now());
    let rows = [row(&providers, 1, "openai", 1, 500), row(&providers, 1, "openai", 2, 500)];
    let picks = |first_turn: usize, count: usize| -> usize {
        let accounts = keyring(&providers, &rows, first_turn).accounts;
        let pick = || accounts[&1].pick(&health, "openai", "m", &[], None, now).and_then(|account| account.key_id);
        (0..count).filter(|_| pick() == Some(1)).count()
    };
    assert!((3..=7).contains(&picks(0, 10)));
    assert_eq!(picks(7, 1_000), 500);
    // A change of the settings with every request.
    let of_each: usize = (0..100).map(|version| picks(version, 1)).sum();
    assert!((40..=60).contains(&of_each), "{of_each}");
    for round in 1..300 {
        let met: BTreeSet<usize> = (0..round).map(|turn| turn * stride(round) % round).collect();
        assert_eq!(met.len(), round);
    }
}

#[test]
fn a_key_of_no_use_is_told_and_the_gateways_is_not_taken_instead() {
    let providers = providers();
    let mut moved = row(&providers, 1, "openai", 1, 1);
    moved.origin = "https://old.test:443".to_owned();
    let mut changed = row(&providers, 2, "openai", 2, 1);
    changed.sealed = SealedKey { master_key_version: 9, ..changed.sealed };
    let mut gone = row(&providers, 3, "openai", 3, 1);
    gone.provider = "gone".to_owned();
    let Keyring { accounts, useless, .. } = keyring(&providers, &[moved, changed, gone], 0);
    let problems: Vec<_> = useless.into_iter().map(|useless| useless.problem).collect();
    assert_eq!(problems, [KeyProblem::Moved, KeyProblem::Vault(VaultError::UnknownVersion(9)), KeyProblem::NoProvider]);
    for workspace in [1, 2] {
        let own = &accounts[&workspace];
        assert!(own.of("openai").is_empty() && !is_ready(own, "openai"));
        assert!(own.problem("openai").unwrap().contains("cannot be used"));
    }
    assert!(!accounts.contains_key(&3), "a provider that is not there is not missed with every response");
}

#[test]
fn keys_that_are_open_are_kept_while_their_rows_stand() {
    let providers = providers();
    let rows = [row(&providers, 1, "openai", 1, 1), row(&providers, 1, "openai", 2, 1)];
    let first = keyring(&providers, &rows, 0);
    let [mut anew, mut heavier] = rows.clone();
    // By a gateway that has a newer master key.
    anew.sealed = SealedKey { master_key_version: 2, bytes: vec![7; 60] };
    heavier.weight = 5;
    let second = Accounts::of_workspaces(&providers, &[anew.clone(), heavier], &first.opened, 1);
    let (old, new) = (first.accounts[&1].of("openai"), second.accounts[&1].of("openai"));
    assert!(second.useless.is_empty() && Arc::ptr_eq(&old[0], &new[0]));
    assert_eq!(new.iter().map(|account| account.weight).collect::<Vec<_>>(), [1, 5]);
    let third = Accounts::of_workspaces(&providers, &[anew.clone()], &second.opened, 2);
    assert!(Arc::ptr_eq(&old[0], &third.accounts[&1].of("openai")[0]));
    assert_eq!(third.opened.scopes().collect::<Vec<_>>(), ["openai#1"]);
    for changed in [
        ProviderKeyRow { workspace_id: 2, ..anew.clone() },
        ProviderKeyRow { provider: "mistral".to_owned(), ..anew.clone() },
        ProviderKeyRow { origin: "https://evil.test:443".to_owned(), ..anew.clone() },
        ProviderKeyRow { sealed: SealedKey { master_key_version: 1, bytes: vec![7; 60] }, ..anew.clone() },
        ProviderKeyRow { id: 3, ..anew.clone() },
    ] {
        let ring = Accounts::of_workspaces(&providers, &[changed], &first.opened, 1);
        assert_eq!((ring.useless.len(), ring.opened.scopes().count()), (1, 0));
    }
}
