//! Bytes of the engine's files that are not as they were written: what is missing is missed, and the rest can be saved.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use models::{Claims, Value, schema};
use store::check::{Contents, Integrity};
use store::salvage::salvage;
use store::{Caller, OpenOptions, Store, StoreError};

const ROWS: i64 = 300;

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, schema(), &OpenOptions::default()).map(|(store, _)| store)
}

/// A store of more than two segments whose log was never read again.
fn fill(folder: &Path) {
    let store = open(folder).expect("a store");
    let claims = Claims::service();
    let table = schema().known("system_config");
    for id in 0..ROWS {
        let ((), durable) = store
            .transact(&claims, |transaction| {
                let mut row = table.default_row();
                row[table.at("id")] = Value::Int(id);
                row[table.at("config")] =
                    Value::json(&serde_json::json!({ "text": "x".repeat(6000), "id": id }));
                transaction.insert(&Caller::new(&claims), table, row)?;
                Ok::<_, StoreError>(())
            })
            .expect("the row fits");
        durable.wait_blocking().expect("durable");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn flip(data: &Path, at: usize) {
    let log = data.join("tree/db");
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[at] ^= 0x10;
    std::fs::write(log, bytes).expect("damage");
}

/// Rows that are read one by one; none where reading fails.
fn rows(store: &Store) -> Option<BTreeSet<i64>> {
    let table = schema().known("system_config");
    let is = |id: &i64| store.reads().get(table, &[Value::Int(*id)]).map(|row| row.is_some());
    let read = || (0..ROWS).map(|id| Ok((id, is(&id)?))).collect::<Result<Vec<_>, StoreError>>();
    // A page that is damaged itself makes the engine panic.
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok()?.ok()?;
    Some(found.into_iter().filter(|(_, is)| *is).map(|(id, _)| id).collect())
}

fn integrity(store: &Store) -> Integrity {
    store.check_in_background();
    let started = Instant::now();
    loop {
        match store.integrity() {
            Integrity::Unknown | Integrity::Checking => {}
            known => return known,
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the check never ends");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_flipped_bit_takes_away_is_missed_and_the_rest_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    fill(&whole);
    for (number, at) in (60_000..500_000).step_by(80_021).enumerate() {
        let data = folder.path().join(format!("damaged {number}"));
        copy(&whole, &data);
        flip(&data, at);
        let saved = folder.path().join(format!("saved {number}"));
        let report = salvage(&data, &saved, schema()).expect("a salvage");
        let found = match open(&data) {
            // It says so itself, and leaves nothing beside.
            Err(error) => {
                assert!(error.to_string().contains("playhouse salvage"), "{error}");
                assert!(!data.join("tree.damaged").exists());
                let again = salvage(&data, &folder.path().join(format!("again {number}")), schema());
                assert_eq!(again.expect("a salvage after a refused start").rows, report.rows);
                BTreeSet::new()
            }
            Ok(store) => {
                let found = rows(&store);
                if let Some(found) = &found
                    && found.len() < ROWS as usize
                {
                    let check = store.check_with(Contents::Skip, &mut |_| {}).expect("a report");
                    // How many are read differs where the tree itself is damaged: by key, or in a row.
                    let is_missed = |listed: &[String]| {
                        listed.iter().any(|fault| fault.ends_with("rows of system_config are missing"))
                    };
                    assert!(is_missed(&check.listed), "{:?}", check.listed);
                    let Integrity::Damaged { listed, .. } = integrity(&store) else {
                        panic!("it is not missed")
                    };
                    assert!(is_missed(&listed), "{listed:?}");
                    // A backup of it says so too.
                    let manifest =
                        store.backup(&folder.path().join(format!("backup {number}"))).expect("a backup");
                    assert!(is_missed(&manifest.faults), "{:?}", manifest.faults);
                }
                found.unwrap_or_default()
            }
        };
        let store = open(&saved).expect("what was saved opens");
        let kept = rows(&store).expect("what was saved reads");
        // The rest of a segment may be filled with nothing, whose damage is none.
        assert!(report.damages > 0 || kept.len() == ROWS as usize, "byte {at}");
        assert!(found.is_subset(&kept), "byte {at}: {} rows of {}", kept.len(), found.len());
        // A flipped bit is in one message: that of one row, or of a page of sixteen which others wrote before.
        assert!(kept.len() >= ROWS as usize - 17, "byte {at}: {} rows", kept.len());
        assert_eq!(report.rows, kept.len() as u64);
        assert_eq!((report.tables.len(), report.tables[0].committed), (1, Some(ROWS as u64)));
        assert_eq!(store.check().expect("a report").faults, 0);
        assert!(saved.join("salvage.json").is_file());
    }
}

#[test]
fn a_whole_store_is_sound_and_saved_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fill(&data);
    let store = open(&data).expect("a store");
    assert!(matches!(integrity(&store), Integrity::Sound { rows } if rows == ROWS as u64));
    let saved = folder.path().join("saved");
    let refused = salvage(&data, &saved, schema()).expect_err("the store is open").to_string();
    assert!(refused.contains("stop it first") && !saved.exists(), "{refused}");
    drop(store);
    let report = salvage(&data, &saved, schema()).expect("a salvage");
    assert_eq!((report.rows, report.damages, report.unreadable, report.faults), (ROWS as u64, 0, 0, 0));
    assert!(salvage(&data, &saved, schema()).is_err(), "a salvage never replaces a folder");
    assert_eq!(rows(&open(&saved).expect("a store")).expect("rows").len(), ROWS as usize);
}

#[test]
fn segments_without_a_valid_header_are_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    fill(&whole);
    // The beginning, where the engine's own list of trees lies, and the beginning of the next segment.
    for (number, (from, to)) in [(0, 8192), (512 << 10, (512 << 10) + 20)].iter().enumerate() {
        let data = folder.path().join(format!("damaged {number}"));
        copy(&whole, &data);
        let log = data.join("tree/db");
        let mut bytes = std::fs::read(&log).expect("a log");
        bytes[*from..*to].fill(0xab);
        std::fs::write(&log, bytes).expect("damage");
        for attempt in 0..2 {
            let refused = open(&data).map(|_| ()).expect_err("rows are missing").to_string();
            assert!(refused.contains("playhouse salvage"), "{refused}");
            assert!(!data.join("tree.damaged").exists());
            let saved = folder.path().join(format!("saved {number} {attempt}"));
            let report = salvage(&data, &saved, schema()).expect("a salvage");
            assert!(report.rows >= ROWS as u64 - 34, "{from}: {report:?}");
            assert_eq!(report.tables[0].committed, Some(ROWS as u64));
            assert_eq!(open(&saved).expect("a store").check().expect("a report").faults, 0);
        }
    }
}

#[test]
fn an_engine_that_does_not_open_is_copied_only_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fill(&data);
    // So that it has a snapshot.
    drop(open(&data).expect("a store"));
    let snapshot = || {
        let mut names = std::fs::read_dir(data.join("tree")).expect("a folder").flatten().map(|it| it.path());
        names.find(|it| it.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")))
    };
    // A damaged one is no loss: the log has everything.
    let path = snapshot().expect("a snapshot");
    let mut bytes = std::fs::read(&path).expect("a snapshot");
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).expect("damage");
    let store = open(&data).expect("a store without its snapshot");
    assert_eq!(rows(&store).expect("rows").len(), ROWS as usize);
    drop(store);
    assert!(!data.join("tree.damaged").exists());
    // One that has its checksum and says nonsense makes the engine fail.
    let path = snapshot().expect("a snapshot");
    let mut bytes = vec![0xff; 40];
    bytes.extend_from_slice(&40u64.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&[0xff; 40]).to_le_bytes());
    std::fs::write(&path, bytes).expect("damage");
    let refused = open(&data).map(|_| ()).expect_err("the engine fails").to_string();
    assert!(refused.contains("--salvage"), "{refused}");
    assert!(!data.join("tree.damaged").exists());
    let options = OpenOptions { salvage: true, ..OpenOptions::default() };
    let (store, opened) = Store::open(&data, schema(), &options).expect("a store without its snapshot");
    assert_eq!(rows(&store).expect("rows").len(), ROWS as usize);
    assert!(data.join("tree.damaged/db").is_file() && !opened.remarks.is_empty());
}

#[test]
fn a_backup_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("data")).expect("a store");
    let claims = Claims::service();
    let table = schema().known("system_config");
    let ((), durable) = store
        .transact(&claims, |transaction| {
            let mut row = table.default_row();
            row[table.at("config")] = Value::json(&serde_json::json!({ "text": "x".repeat(100_000) }));
            transaction.insert(&Caller::new(&claims), table, row).map(|_| ())
        })
        .map_err(|error: StoreError| error.to_string())
        .expect("the row fits");
    durable.wait_blocking().expect("durable");
    let [(hash, ..)] = store.blobs().list().expect("blobs")[..] else { panic!("one large value") };
    std::fs::remove_file(store.blobs().path(&hash)).expect("damage");
    let target = folder.path().join("backup");
    assert!(store.backup(&target).is_err());
    assert!(!target.exists());
    // And the next one is not in its way.
    assert!(store.backup(&target).is_err());
}
