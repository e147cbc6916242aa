//! What must be on disk before a commit is acknowledged.

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

fn update(store: &Store, change: impl Fn(&mut models::Row)) -> Result<(), StoreError> {
    let claims = Claims::service();
    let table = schema().known("system_config");
    let (_, durable) = store.transact(&claims, |transaction| {
        let old = transaction.reads().get(table, &[Value::Int(1)])?.expect("the row");
        let mut row = old.clone();
        change(&mut row);
        transaction.update(&Caller::new(&claims), table, &old, row)?;
        // A large value is read before it is a file.
        transaction.reads().get(table, &[Value::Int(1)])?.map(|_| ()).ok_or(StoreError::Timeout)
    })?;
    durable.wait_blocking()
}

#[test]
fn a_large_value_is_written_when_its_transaction_commits_and_only_when_it_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let table = schema().known("system_config");
    let (config, updated_at) = (table.at("config"), table.at("updated_at"));
    write(&store, 1, 100_000);
    let blobs = || store.blobs().list().expect("blobs");
    let [(hash, ..)] = blobs()[..] else { panic!("one large value") };
    // An unchanged value is not written again; a written one would have a new time.
    let file = std::fs::File::options().append(true).open(store.blobs().path(&hash)).expect("the blob");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    file.set_modified(long_ago).expect("a time");
    update(&store, |row| row[updated_at] = Value::Timestamp(1)).expect("an update");
    assert_eq!(file.metadata().and_then(|it| it.modified()).expect("a time"), long_ago);
    assert_eq!(store.check().expect("a report").faults, 0);
    // A refused transaction leaves none of its values behind.
    let large = |letter: &str| Value::json(&serde_json::json!({ "text": letter.repeat(90_000) }));
    let claims = Claims::service();
    let refused = store.transact(&claims, |transaction| {
        let mut row = table.default_row();
        row[table.at("id")] = Value::Int(2);
        row[config] = large("z");
        transaction.insert(&Caller::new(&claims), table, row)?;
        Err::<(), _>(StoreError::Timeout)
    });
    assert!(refused.is_err());
    assert_eq!(blobs().len(), 1);
    // Of two values in one transaction the last counts.
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for letter in ["z", "y"] {
                let old = transaction.reads().get(table, &[Value::Int(1)])?.expect("the row");
                let mut row = old.clone();
                row[config] = large(letter);
                transaction.update(&Caller::new(&claims), table, &old, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("two updates");
    durable.wait_blocking().expect("durable");
    assert_eq!(blobs().len(), 2);
    assert_eq!(store.check().expect("a report").orphans, vec![hash]);
    let row = store.reads().get(table, &[Value::Int(1)]).expect("a read").expect("the row");
    assert_eq!(row[config], large("y"));
}
