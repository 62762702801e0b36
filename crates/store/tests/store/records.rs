//! The ledger and stored responses.

use std::time::Duration;

use tokenrouter_store::{LedgerEntry, Store, StoreError, StoredResponse};

use crate::{TestStore, entry, response};

#[tokio::test]
async fn a_record_is_read_back_as_it_was_given_as_soon_as_it_is_acknowledged() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    for number in 0..50 {
        let (request_id, id) = (format!("req_{number}"), format!("resp_{number}"));
        let (entry, response) = (entry(ws, &request_id, number), response(ws, &id));
        store.record(entry.clone(), Some(response.clone())).await.unwrap();
        let found = store.get_response(ws.workspace_id, &id).await.unwrap();
        assert_eq!(found, Some(response));
        let found = store.get_request(ws.workspace_id, &request_id).await.unwrap();
        assert_eq!(found, Some(entry));
    }
}

#[tokio::test]
async fn every_field_of_an_entry_survives() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let full = LedgerEntry {
        requested_model: Some("auto:cost".into()),
        task: Some("coding".into()),
        error_code: Some("upstream_error".into()),
        cost_nano_usd: Some(-1),
        input_tokens: i64::MAX as u64,
        usage_is_estimate: true,
        charged_tokens: 3,
        charged_nano_usd: 4,
        ..entry(ws, "full", 1)
    };
    let bare = LedgerEntry {
        response_id: None,
        provider: None,
        model: None,
        stream: false,
        http_status: 502,
        ..entry(ws, "bare", 2)
    };
    store.record(full.clone(), None).await.unwrap();
    store.record(bare.clone(), None).await.unwrap();
    let listed = store.list_requests(ws.workspace_id, 10, None).await.unwrap();
    assert_eq!(listed, [bare, full]);
}

#[tokio::test]
async fn a_key_has_used_what_it_was_charged() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let charged = |request_id, at, tokens, nano_usd| LedgerEntry {
        charged_tokens: tokens,
        charged_nano_usd: nano_usd,
        ..entry(ws, request_id, at)
    };
    for entry in [charged("before", 9, 1_000, 1_000), charged("a", 10, 3, 40), charged("b", 11, 5, 60)] {
        store.record(entry, None).await.unwrap();
    }
    let [used] = store.key_usage(10).await.unwrap()[..] else { panic!("one key") };
    assert_eq!((used.tokens, used.cost_nano_usd), (8, 100));
}

#[tokio::test]
async fn many_at_once_are_all_written() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let records: Vec<_> = (0..2_000)
        .map(|number| {
            let response = response(ws, &format!("resp_{number}"));
            store.record(entry(ws, &format!("req_{number}"), number), Some(response))
        })
        .collect();
    for record in records {
        record.await.unwrap();
    }
    assert_eq!(store.count_requests(ws.workspace_id).await.unwrap(), 2_000);
    assert_eq!(store.count_responses(ws.workspace_id).await.unwrap(), 2_000);
}

#[tokio::test]
async fn a_record_is_written_though_its_future_is_dropped() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    drop(store.record(entry(ws, "dropped", 1), None));
    let store = store.reopen().await;
    assert_eq!(store.count_requests(ws.workspace_id).await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let mut kept = Vec::new();
    for number in 0..40 {
        let mut response = response(ws, &format!("resp_{number}"));
        // Forty of these are more than the queue holds.
        response.body = vec![b'x'; 4 << 20].into();
        let record = store.record(entry(ws, &format!("req_{number}"), 1), Some(response));
        if number % 2 == 0 {
            kept.push(record);
        }
    }
    for record in kept {
        record.await.unwrap();
    }
    // Of those whose futures were dropped, the last may still be waiting for room.
    let written = async {
        while store.count_requests(ws.workspace_id).await.unwrap() < 40 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_id_is_written_once_and_the_first_stays() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let first = entry(ws, "req", 1);
    let again = LedgerEntry { outcome: "failed".into(), ..first.clone() };
    store.record(first.clone(), Some(response(ws, "resp"))).await.unwrap();
    store.record(again, Some(response(ws, "resp"))).await.unwrap();
    let listed = store.list_requests(ws.workspace_id, 10, None).await.unwrap();
    assert_eq!(listed, [first]);
    assert_eq!(store.count_responses(ws.workspace_id).await.unwrap(), 1);
}

#[tokio::test]
async fn workspaces_neither_see_nor_delete_nor_displace_each_others_records() {
    let store = TestStore::open().await;
    let (mine, other) = (store.workspace().await, store.workspace().await);
    store.record(entry(mine, "req", 1), Some(response(mine, "resp"))).await.unwrap();
    let id = other.workspace_id;
    assert_eq!(store.get_response(id, "resp").await.unwrap(), None);
    assert_eq!(store.get_request(id, "req").await.unwrap(), None);
    assert_eq!(store.list_requests(id, 10, None).await.unwrap(), []);
    assert!(!store.delete_response(id, "resp").await.unwrap());
    store.record(entry(other, "req", 1), Some(response(other, "resp"))).await.unwrap();
    assert!(store.get_request(id, "req").await.unwrap().is_some());
    assert!(store.delete_response(id, "resp").await.unwrap());
    let found = store.get_response(mine.workspace_id, "resp").await.unwrap();
    assert_eq!(found, Some(response(mine, "resp")));
}

#[tokio::test]
async fn a_deleted_response_is_gone_and_its_ledger_entry_stays() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    let id = ws.workspace_id;
    store.record(entry(ws, "req", 1), Some(response(ws, "resp"))).await.unwrap();
    assert!(store.delete_response(id, "resp").await.unwrap());
    assert!(!store.delete_response(id, "resp").await.unwrap());
    assert_eq!(store.get_response(id, "resp").await.unwrap(), None);
    assert!(store.get_request(id, "req").await.unwrap().is_some());
}

#[tokio::test]
async fn requests_are_listed_newest_first_page_by_page() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    for (request_id, time) in [("a", 5), ("b", 7), ("c", 7), ("d", 6), ("e", 9)] {
        store.record(entry(ws, request_id, time), None).await.unwrap();
    }
    let page = async |limit, before| {
        let entries = store.list_requests(ws.workspace_id, limit, before).await.unwrap();
        entries.into_iter().map(|entry| entry.request_id).collect::<Vec<_>>()
    };
    assert_eq!(page(10, None).await, ["e", "c", "b", "d", "a"]);
    assert_eq!(page(2, None).await, ["e", "c"]);
    assert_eq!(page(2, Some("c")).await, ["b", "d"]);
    assert_eq!(page(2, Some("d")).await, ["a"]);
    assert_eq!(page(2, Some("nowhere")).await, [""; 0]);
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_unavailable() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.close().await;
    store.close().await;
    let written = store.record(entry(ws, "late", 1), None).await;
    assert!(matches!(written, Err(StoreError::Unavailable { .. })));
    let read = store.count_requests(ws.workspace_id).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })));
    let changed = store.create_workspace("late", 1).await;
    assert!(matches!(changed, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_store_in_memory_does_all_the_same() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let ws = store.create_workspace("test", 1).await.unwrap();
    store.record(entry(ws, "req", 1), Some(response(ws, "resp"))).await.unwrap();
    let found = store.get_response(ws.workspace_id, "resp").await.unwrap();
    assert_eq!(found, Some(response(ws, "resp")));
    assert_eq!(store.snapshot().await.unwrap().keys, []);
    store.close().await;
}

#[tokio::test]
async fn an_unfinished_response_is_written_again_until_it_is_finished() {
    let store = TestStore::open().await;
    let (ws, other) = (store.workspace().await, store.workspace().await);
    let put = async |key_id, owner, body: &str| {
        let if_left = LedgerEntry { key_id, ..entry(owner, "left", 1) };
        let response = StoredResponse { body: body.to_owned().into(), ..response(owner, "resp") };
        store.put_unfinished_response(if_left, response).await.unwrap();
    };
    let update = async |body: &'static str| {
        store.update_unfinished_response(ws.workspace_id, "resp", body.into()).await.unwrap();
    };
    let body = async || store.get_response(ws.workspace_id, "resp").await.unwrap().unwrap().body;
    put(7, ws, "queued").await;
    put(8, other, "another workspace's").await;
    update("in progress").await;
    assert_eq!(body().await, "in progress");
    let unfinished = store.unfinished_responses().await.unwrap();
    assert_eq!(
        unfinished.iter().map(|(left, found)| (left.key_id, found.workspace_id)).collect::<Vec<_>>(),
        [(7, ws.workspace_id), (8, other.workspace_id)]
    );
    assert_eq!(unfinished[0].0, LedgerEntry { key_id: 7, ..entry(ws, "left", 1) });
    let last = StoredResponse { body: "finished".into(), ..response(ws, "resp") };
    store.record(entry(ws, "req", 1), Some(last)).await.unwrap();
    assert_eq!(body().await, "finished");
    update("too late").await;
    let again = StoredResponse { body: "once more".into(), ..response(ws, "resp") };
    store.record(entry(ws, "req_2", 2), Some(again)).await.unwrap();
    assert_eq!(body().await, "finished");
    assert_eq!(store.unfinished_responses().await.unwrap().len(), 1);
}
