//! What must be on disk before anybody hears that a commit is durable.

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError};

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("the store opens").0
}

/// One row with a document of about `bytes` bytes.
fn write(store: &Store, id: i64, bytes: usize) {
    let claims = Claims::service();
    let table = schema().known("system_config");
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let mut row = table.default_row();
            row[table.at("id")] = Value::Int(id);
            row[table.at("config")] = Value::json(&serde_json::json!({ "text": "x".repeat(bytes) }));
            transaction.insert(&Caller::new(&claims), table, row)?;
            Ok::<_, StoreError>(())
        })
        .expect("the row fits");
    durable.wait_blocking().expect("durable");
}

#[test]
fn large_pages_are_synced_before_the_acknowledgement() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    write(&store, 0, 10);
    assert_eq!(store.page_files_synced(), 0, "a small row needs no file");
    let files = || std::fs::read_dir(folder.path().join("tree/blobs")).expect("the engine's folder").count();
    let (mut most, mut synced) = (0, 0);
    for id in 1..=40 {
        let before = files();
        write(&store, id, 20_000);
        most = most.max(files());
        if files() > before {
            assert!(store.page_files_synced() > synced, "row {id} was acknowledged with an unsynced page");
        }
        synced = store.page_files_synced();
    }
    assert!(most > 0, "no page grew above what the engine keeps in its log");
    // Nothing new, nothing to sync.
    let before = files();
    write(&store, 41, 10);
    assert!(files() > before || store.page_files_synced() == synced);
}
