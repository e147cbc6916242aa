//! Backups made while others write: whole, consistent, and with everything acknowledged before they began.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError, backup};

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("the store opens").0
}

/// Writes one commit: two rows with the same note, or a new note for both.
fn write(store: &Store, number: i64, note: &str) {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let table = schema().known("system_config");
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for id in [number * 2, number * 2 + 1] {
                let old = transaction.reads().get(table, &[Value::Int(id)])?;
                let mut row = old.clone().unwrap_or_else(|| table.default_row());
                row[table.at("id")] = Value::Int(id);
                row[table.at("config")] = Value::json(&serde_json::json!({ "note": note }));
                match old {
                    Some(old) => transaction.update(&caller, table, &old, row)?,
                    None => transaction.insert(&caller, table, row)?,
                };
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
}

fn note(store: &Store, id: i64) -> Option<String> {
    let table = schema().known("system_config");
    let row = store.reads().get(table, &[Value::Int(id)]).expect("a read")?;
    let document = row[table.at("config")].as_json()?;
    document["note"].as_str().map(str::to_string)
}

#[test]
fn a_backup_made_under_writes_restores_to_one_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("data"));
    let before = 1500;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                (0..before).filter(|it| it % 8 == thread).for_each(|it| write(store, it, "before"))
            });
        }
    });
    let blob = store.blobs().write(&[7; 200_000]).expect("a blob");
    let stop = AtomicBool::new(false);
    let next = AtomicI64::new(before);
    let manifest = std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, stop, next) = (&store, &stop, &next);
            scope.spawn(move || {
                let mut turn: i64 = thread;
                while !stop.load(Ordering::Relaxed) {
                    // New rows at the end, and old rows all over what is being copied.
                    write(store, next.fetch_add(1, Ordering::Relaxed), "during");
                    write(store, turn * 613 % before, "changed");
                    turn += 3;
                }
            });
        }
        let manifest = store.backup(&folder.path().join("backup"));
        stop.store(true, Ordering::Relaxed);
        manifest.expect("a backup")
    });
    assert!(next.load(Ordering::Relaxed) > before, "nothing was written meanwhile");
    assert!(store.commits() > manifest.commit, "no commit fell into the backup");
    assert!(matches!(store.backup(&folder.path().join("backup")), Err(StoreError::Open(_))), "it exists");
    drop(store);

    let restored = folder.path().join("restored");
    std::fs::create_dir(&restored).expect("a folder");
    assert_eq!(backup::restore(&folder.path().join("backup"), &restored).expect("a restore"), manifest);
    let store = open(&restored);
    let report = store.check().expect("a report");
    assert_eq!(report.faults, 0, "{:?}", report.listed);
    assert_eq!(store.commits(), manifest.commit);
    let mut rows = 0;
    for number in 0..next.load(Ordering::Relaxed) {
        let pair = (note(&store, number * 2), note(&store, number * 2 + 1));
        assert_eq!(pair.0, pair.1, "commit {number} is torn");
        assert!(number >= before || pair.0.is_some(), "{number} was acknowledged before the backup");
        rows += u64::from(pair.0.is_some()) * 2;
    }
    assert_eq!(report.rows, rows);
    // The restored store goes on by itself.
    write(&store, 0, "after");
    assert_eq!(note(&store, 0).as_deref(), Some("after"));
    assert!(!store.blobs().exists(&blob), "a blob that no row names is not kept");
}

/// Flips one bit of a file.
fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("damage");
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("data"));
    write(&store, 1, "kept");
    let target = folder.path().join("backup");
    store.backup(&target).expect("a backup");
    let pairs = target.join("pairs.bin");
    let middle = std::fs::metadata(&pairs).expect("the pairs").len() as usize / 2;
    flip(&pairs, middle);
    let restored = folder.path().join("restored");
    std::fs::create_dir(&restored).expect("a folder");
    assert!(matches!(backup::restore(&target, &restored), Err(StoreError::Corrupt(_))));
    assert!(!restored.join("tree").exists());
    // Nor does a restore replace what is there.
    let data = folder.path().join("data");
    assert!(backup::restore(&target, &data).is_err());
    assert_eq!(note(&store, 2).as_deref(), Some("kept"));
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn the_keys_are_in_a_backup_and_nobody_else_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, target, restored) =
        (folder.path().join("data"), folder.path().join("backup"), folder.path().join("restored"));
    let store = open(&data);
    std::fs::write(data.join("keys.json"), "secret").expect("keys");
    write(&store, 1, "kept");
    store.backup(&target).expect("a backup");
    backup::restore(&target, &restored).expect("a restore");
    assert_eq!(std::fs::read(restored.join("keys.json")).expect("the keys"), b"secret");
    assert_eq!((mode(&restored.join("keys.json")), mode(&target.join("keys.json"))), (0o600, 0o600));
    assert_eq!((mode(&data), mode(&target), mode(&restored)), (0o700, 0o700, 0o700));
    // Keys that another start made meanwhile are set aside.
    std::fs::remove_dir_all(restored.join("tree")).expect("a removal");
    std::fs::write(restored.join("keys.json"), "newer").expect("keys");
    backup::restore(&target, &restored).expect("a restore");
    assert_eq!(std::fs::read(restored.join("keys.json")).expect("the keys"), b"secret");
    assert_eq!(std::fs::read(restored.join("keys.json.before-restore")).expect("the keys"), b"newer");
    std::fs::write(target.join("keys.json"), "forged").expect("damage");
    assert!(matches!(
        backup::restore(&target, &folder.path().join("other")),
        Err(StoreError::Corrupt(reason)) if reason.contains("keys.json")
    ));
}

#[test]
fn a_backup_restores_into_the_folder_whose_tree_was_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    let store = open(&data);
    write(&store, 1, "kept");
    let manifest = store.backup(&target).expect("a backup");
    write(&store, 2, "lost");
    write(&store, 3, "lost");
    drop(store);
    std::fs::remove_dir_all(data.join("tree")).expect("a loss");
    backup::restore(&target, &data).expect("a restore");
    let store = open(&data);
    assert_eq!(store.commits(), manifest.commit);
    assert_eq!((note(&store, 2).as_deref(), note(&store, 4)), (Some("kept"), None));
}

#[test]
fn a_backup_with_missing_or_damaged_blobs_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    let store = open(&folder.path().join("data"));
    // Too large for the tree: one blob each.
    for (number, letter) in ["a", "b", "c"].into_iter().enumerate() {
        write(&store, number as i64, &letter.repeat(100_000));
    }
    let manifest = store.backup(&target).expect("a backup");
    assert_eq!(manifest.blobs, 3);
    let blobs: Vec<_> =
        store.blobs().list().expect("blobs").into_iter().map(|(hash, ..)| hash.hex()).collect();
    let path = |hex: &str| target.join("blobs").join(&hex[..2]).join(&hex[2..]);
    std::fs::remove_file(path(&blobs[0])).expect("a loss");
    // A new file: the old one is the store's own under a second name.
    let mut bytes = std::fs::read(path(&blobs[1])).expect("a blob");
    bytes[50_000] ^= 1;
    std::fs::remove_file(path(&blobs[1])).expect("a removal");
    std::fs::write(path(&blobs[1]), &bytes).expect("damage");
    let refusal = backup::restore(&target, &restored).expect_err("it is damaged").to_string();
    assert!(refusal.contains(&format!("{} is missing", blobs[0])), "{refusal}");
    assert!(refusal.contains(&format!("{} is damaged", blobs[1])), "{refusal}");
    assert!(!refusal.contains(&blobs[2]), "{refusal}");
    assert!(!restored.exists());
    // Whole again, it restores, also over a damaged file of the same name.
    std::fs::copy(
        store.blobs().path(&store::blob::BlobHash::parse(&blobs[0]).expect("a hash")),
        path(&blobs[0]),
    )
    .expect("a copy");
    bytes[50_000] ^= 1;
    std::fs::write(path(&blobs[1]), &bytes).expect("a repair");
    let stale = restored.join("blobs").join(&blobs[2][..2]);
    std::fs::create_dir_all(&stale).expect("a folder");
    std::fs::write(stale.join(&blobs[2][2..]), "stale").expect("a stale blob");
    backup::restore(&target, &restored).expect("a restore");
    let store = open(&restored);
    assert_eq!(note(&store, 5), Some("c".repeat(100_000)));
    assert_eq!(store.check().expect("a report").faults, 0);
}
