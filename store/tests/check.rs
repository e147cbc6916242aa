//! A look at the whole store: it finds what is broken, and writers do not wait for it.

use std::time::Duration;

use models::{Claims, Value, schema};
use store::check::Contents;
use store::{Caller, OpenOptions, Store, StoreError};

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("the store opens").0
}

/// Two rows whose documents are too large for the tree.
fn fill(store: &Store) {
    let claims = Claims::service();
    let table = schema().known("system_config");
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for (id, letter) in [(1, "a"), (2, "b")] {
                let mut row = table.default_row();
                row[table.at("id")] = Value::Int(id);
                row[table.at("config")] = Value::json(&serde_json::json!({ "text": letter.repeat(100_000) }));
                transaction.insert(&Caller::new(&claims), table, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
}

#[test]
fn a_damaged_blob_is_named_unless_only_its_presence_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    fill(&store);
    let orphan = store.blobs().write(b"nobody's").expect("a blob");
    let report = store.check().expect("a report");
    assert_eq!((report.faults, report.blobs, report.orphans), (0, 3, vec![orphan]));
    let blobs = store.blobs().list().expect("blobs");
    let mut named = blobs.into_iter().map(|(hash, ..)| hash).filter(|hash| *hash != orphan);
    let (damaged, lost) = (named.next().expect("a blob"), named.next().expect("a blob"));
    let mut bytes = store.blobs().read(&damaged).expect("its bytes");
    bytes[50_000] ^= 1;
    std::fs::write(store.blobs().path(&damaged), bytes).expect("damage");
    assert_eq!(store.check_with(Contents::Skip, &mut |_| {}).expect("a report").faults, 0);
    let report = store.check().expect("a report");
    assert_eq!(report.listed, [format!("blob {} is damaged", damaged.hex())]);
    std::fs::remove_file(store.blobs().path(&lost)).expect("a loss");
    let report = store.check_with(Contents::Skip, &mut |_| {}).expect("a report");
    assert_eq!(report.listed, [format!("blob {} of system_config is missing", lost.hex())]);
    assert_eq!(report.faults, 1);
}

#[test]
fn a_check_does_not_wait_for_a_transaction_nor_a_transaction_for_a_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    fill(&store);
    let (done, report) = std::sync::mpsc::channel();
    let checked = store.transact(&Claims::service(), |_| {
        let store = store.clone();
        std::thread::spawn(move || done.send(store.check().map(|report| (report.rows, report.faults))));
        report.recv_timeout(Duration::from_secs(60)).map_err(|_| StoreError::Timeout)
    });
    let (report, _) = checked.expect("the check ends while the transaction goes on");
    assert_eq!(report.expect("a report"), (2, 0));
}
