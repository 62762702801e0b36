//! The database's file: where it is made, for whom, and which files are refused.

use tokenrouter_store::{Store, StoreError};

use crate::{TestStore, entry, path, url};

#[cfg(unix)]
#[tokio::test]
async fn folder_and_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/data/tokenrouter.db");
    let store = Store::open(&format!("sqlite:{}", path.display())).await.unwrap();
    let ws = store.create_workspace("test", 1).await.unwrap();
    store.record(entry(ws, "req", 1), None).await.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("deep")), 0o700);
    assert_eq!(mode(&folder.path().join("deep/data")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        assert_eq!(mode(file.as_ref()), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_one_file_and_is_opened_again_as_it_was() {
    let store = TestStore::open().await;
    let ws = store.workspace().await;
    store.record(entry(ws, "req", 1), None).await.unwrap();
    assert_eq!(store.count_requests(ws.workspace_id).await.unwrap(), 1);
    store.close().await;
    assert_eq!(store.folder.path().read_dir().unwrap().count(), 1);
    let store = store.reopen().await.reopen().await;
    assert_eq!(store.count_requests(ws.workspace_id).await.unwrap(), 1);
}

#[tokio::test]
async fn a_new_file_has_pages_that_fit_its_rows() {
    let store = TestStore::open().await;
    store.close().await;
    let file = std::fs::read(store.path()).unwrap();
    // The file format keeps the page size in bytes 16 and 17.
    assert_eq!(file[16..18], 8192_u16.to_be_bytes());
}

#[tokio::test]
async fn many_processes_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let url = url(&folder);
            tokio::spawn(async move { Store::open(&url).await })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap().config_version().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let store = TestStore::open().await;
    store.close().await;
    let connection = rusqlite::Connection::open(store.path()).unwrap();
    connection.pragma_update(None, "user_version", 4711).unwrap();
    drop(connection);
    let error = Store::open(&url(&store.folder)).await.unwrap_err();
    let StoreError::NewerSchema { found, known } = error else {
        panic!("{error}");
    };
    assert!(found == 4711 && known < found);
    assert!(error.to_string().contains("newer tokenrouter"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "This is no database. ".repeat(100);
    std::fs::write(path(&folder), &text).unwrap();
    let error = Store::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(path(&folder)).unwrap(), text);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&format!("{}/x/tr.db", file.display())).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("tr.db"), "{error}");
}

#[tokio::test]
async fn nothing_is_said_not_to_be_there_while_a_spool_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let spool = std::fs::File::create(format!("{}.spool", path(&folder).display())).unwrap();
    // Another process's, with something in it.
    spool.lock().unwrap();
    spool.set_len(1).unwrap();
    let store = Store::open(&url(&folder)).await.unwrap();
    assert!(store.has_left_records());
    assert!(matches!(store.get_request(1, "req").await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.get_capture(1, "req").await, Err(StoreError::Unavailable { .. })));
    assert!(store.recover().await.is_err());
    drop(spool);
    assert_eq!(store.recover().await, Ok(vec![]));
    assert!(!store.has_left_records());
    assert_eq!(store.get_request(1, "req").await, Ok(None));
    assert_eq!(store.get_capture(1, "req").await.map(|found| found.is_none()), Ok(true));
}
