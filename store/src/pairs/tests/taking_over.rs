//! Pairs of a version without the layer are taken over, whatever comes between.

use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::super::Shared;
use super::super::clear::ROOM_TO_CLEAR;
use super::*;

/// Writes pairs as a version without the layer did.
fn earlier(folder: &Path) -> Model {
    let mut model = Model::new();
    let (db, raw) = engine(folder);
    for number in 0..2000u16 {
        model.insert(key(number), vec![1; usize::from(number % 300)]);
    }
    model.insert(MARKS[0].0.to_vec(), b"3".to_vec());
    model.iter().for_each(|(key, value)| drop(raw.insert(key, value.as_slice()).expect("a write")));
    db.flush().expect("a flush");
    // What the folder says once it is accepted.
    model.insert(MARKS[0].0.to_vec(), b"4".to_vec());
    model
}

#[test]
fn pairs_of_an_earlier_version_are_read_changed_and_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = earlier(folder.path());
    {
        // No room: they are read where they are.
        let (db, raw) = engine(folder.path());
        let settings = Settings { has_room: Box::new(|_| false), ..settings(folder.path(), MEMORY_BYTES) };
        let (tree, _) = Tree::open(&db, &raw, settings).expect("pairs");
        tree.begin().expect("it begins");
        same(&tree, &model, &[], None);
        same(&tree, &model, &key(5), Some(&key(6)));
        write(&tree, &mut model, batch(3));
        same(&tree, &model, &[], None);
        assert!(tree.shared.version().base.is_some());
    }
    let opened = open(folder.path());
    // A reading that began before they were taken over goes on as it began.
    let mut reading = opened.tree.range(&[], None, true);
    let first = reading.next().expect("a pair");
    opened.tree.settle();
    assert!(opened.tree.shared.version().base.is_none());
    let read = pairs(std::iter::once(first).chain(reading));
    assert!(read.into_iter().rev().eq(model.clone()), "what is read stays while it is read");
    write(&opened.tree, &mut model, batch(4));
    opened.tree.settle();
    same(&opened.tree, &model, &[], None);
    until_nothing_is_left_over(&opened);
    assert_eq!(opened.raw.get(MARKS[0].0).expect("a read").as_deref(), Some(&b"4"[..]));
    drop(opened);
    same(&open(folder.path()).tree, &model, &[], None);
}

#[test]
fn full_memory_is_written_while_earlier_pairs_are_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = earlier(folder.path());
    let (db, raw) = engine(folder.path());
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let found: Arc<OnceLock<Weak<Shared>>> = Arc::default();
    let key_of = |number: usize| [&b"\x01new"[..], &number.to_be_bytes()].concat();
    let has_room = {
        let (seen, found) = (seen.clone(), found.clone());
        Box::new(move |bytes| {
            let shared = found.get().and_then(Weak::upgrade);
            let Some(shared) = shared.filter(|_| bytes == ROOM_TO_CLEAR) else { return true };
            if shared.version().base.is_some() {
                return true;
            }
            // A step of a removal, and in the third new entries come until they fill the memory.
            let mut seen = locked(&seen);
            seen.push(shared.version().frozen.is_some());
            let mut number = 0;
            while seen.len() == 3 && shared.version().frozen.is_none() {
                let changes = Changes::from([change(&key_of(number), Some(vec![1; 2000]))]);
                shared.apply(&changes).expect("applied");
                number += 1;
            }
            true
        })
    };
    let settings = Settings { has_room, ..settings(folder.path(), MEMORY_BYTES) };
    let (tree, _) = Tree::open(&db, &raw, settings).expect("pairs");
    found.set(Arc::downgrade(&tree.shared)).expect("once");
    tree.begin().expect("it begins");
    let opened = Opened { db, raw, tree };
    let started = std::time::Instant::now();
    while opened.tree.runs() < 2 || left_over(&opened) > 0 {
        assert!(started.elapsed().as_secs() < 60, "it does not come to its end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let seen = locked(&seen).clone();
    assert!(seen.len() > 10, "{} steps", seen.len());
    assert!(seen.iter().all(|is_full| !is_full), "the next step waits until full memory is a run");
    let new = pairs(opened.tree.scan_prefix(b"\x01new"));
    assert!(!new.is_empty());
    model.extend(new);
    same(&opened.tree, &model, &[], None);
}

/// Tells a second run that it is the one to die, and in which folder.
const FOLDER: &str = "PLAYHOUSE_TEST_PAIRS_DIE_TAKING_OVER";
const BATCHES: u32 = 60;

#[test]
fn dies_here() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let opened = open(&folder.join("engine"));
    for number in 0..BATCHES {
        write(&opened.tree, &mut Model::new(), batch(number));
        opened.db.flush().expect("a flush");
        std::fs::write(folder.join("note"), number.to_string()).expect("a note");
        std::fs::rename(folder.join("note"), folder.join("acknowledged")).expect("a note");
    }
    until_nothing_is_left_over(&opened);
}

#[test]
fn death_while_pairs_are_taken_over_loses_nothing() {
    for point in [
        "before_log:1",
        "before_base:1",
        "after_base:1",
        "after_manifest:1",
        "after_durable:1",
        "after_removal:3",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut model = earlier(&folder.path().join("engine"));
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "pairs::tests::taking_over::dies_here"])
            .env(FOLDER, folder.path())
            .env("PLAYHOUSE_CRASH_AT", point)
            .output()
            .expect("this test runs once more")
            .status;
        assert!(!status.success(), "{point} did not kill it");
        let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged"));
        let acknowledged = acknowledged.map_or(0, |text| text.parse::<u32>().map_or(0, |number| number + 1));
        let opened = open(&folder.path().join("engine"));
        let count = opened.tree.get(b"\xff\xffcount").expect("a read");
        let count = count.map_or(0, |count| u32::from_be_bytes(count[..].try_into().expect("a number")) + 1);
        assert!(count == acknowledged || count == acknowledged + 1, "{point}: {count} of {acknowledged}");
        add_batches(&mut model, count);
        same(&opened.tree, &model, &[], None);
        opened.tree.settle();
        assert!(opened.tree.shared.version().base.is_none(), "{point}");
        until_nothing_is_left_over(&opened);
        same(&opened.tree, &model, &[], None);
        drop(opened);
        same(&open(&folder.path().join("engine")).tree, &model, &[], None);
    }
}
