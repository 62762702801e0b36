//! The first start and the key that the environment gives.

use tokenrouter_store::{BootstrapKey, hash_key};

use crate::TestStore;

const GENERATED: &str = "tr_generated_000000000000000000";
const GIVEN: &str = "tr_given_00000000000000000000000";
const OTHER: &str = "tr_other_00000000000000000000000";

async fn bootstrap(store: &TestStore, key: Option<&str>) -> BootstrapKey {
    let bootstrap = store.bootstrap(key, GENERATED, 1).await.unwrap();
    assert_eq!((bootstrap.workspace_id, bootstrap.user_id), (1, 1));
    bootstrap.key
}

/// The keys of the snapshot, as those of the three that they are.
async fn in_force(store: &TestStore) -> Vec<&'static str> {
    let keys = store.snapshot().await.unwrap().keys;
    let name = |hash| [GENERATED, GIVEN, OTHER].into_iter().find(|key| hash_key(key) == hash);
    keys.iter().map(|key| name(key.hash).unwrap()).collect()
}

#[tokio::test]
async fn the_first_start_stores_the_new_key_and_later_ones_change_nothing() {
    let store = TestStore::open().await;
    let BootstrapKey::Generated(row) = bootstrap(&store, None).await else {
        panic!("the key was not generated");
    };
    assert_eq!((&*row.prefix, &*row.last4), ("tr_gene", "0000"));
    let store = store.reopen().await;
    assert_eq!(bootstrap(&store, None).await, BootstrapKey::Existing);
    assert_eq!(in_force(&store).await, [GENERATED]);
}

#[tokio::test]
async fn a_key_given_at_the_first_start_is_the_only_one() {
    let store = TestStore::open().await;
    let given = bootstrap(&store, Some(GIVEN)).await;
    assert!(matches!(given, BootstrapKey::Given(_)));
    assert_eq!(bootstrap(&store, Some(GIVEN)).await, BootstrapKey::Existing);
    assert_eq!(in_force(&store).await, [GIVEN]);
}

#[tokio::test]
async fn a_key_given_later_takes_the_place_of_the_bootstrap_keys_before_it() {
    let store = TestStore::open().await;
    bootstrap(&store, None).await;
    store.create_key(1, "mine", OTHER, 1).await.unwrap();
    let given = bootstrap(&store, Some(GIVEN)).await;
    assert!(matches!(given, BootstrapKey::Given(_)));
    assert_eq!(in_force(&store).await, [OTHER, GIVEN]);
}

#[tokio::test]
async fn a_replaced_key_that_is_given_again_is_the_one_again() {
    let store = TestStore::open().await;
    bootstrap(&store, Some(GIVEN)).await;
    bootstrap(&store, Some(OTHER)).await;
    let again = bootstrap(&store, Some(GIVEN)).await;
    assert!(matches!(again, BootstrapKey::Given(_)));
    assert_eq!(in_force(&store).await, [GIVEN]);
}

#[tokio::test]
async fn a_key_that_a_person_revoked_does_not_come_back_with_a_restart() {
    let store = TestStore::open().await;
    let BootstrapKey::Given(row) = bootstrap(&store, Some(GIVEN)).await else {
        panic!("the key was not taken");
    };
    assert!(store.revoke_key(1, row.id, 2).await.unwrap());
    let store = store.reopen().await;
    assert_eq!(bootstrap(&store, Some(GIVEN)).await, BootstrapKey::Revoked);
    assert_eq!(in_force(&store).await, [""; 0]);
}
