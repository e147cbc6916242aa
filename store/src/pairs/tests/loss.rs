//! Failed syncs, lost batches, lack of room and damaged blocks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::super::places;
use super::*;

#[test]
fn after_a_failed_sync_nothing_is_replaced_or_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (opened, mut model) = (open(folder.path()), Model::new());
    (0..60).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    opened.tree.settle();
    until_nothing_is_left_over(&opened);
    assert_eq!(opened.tree.unsynced(), None);
    opened.tree.shared.fails_to_sync.store(true, std::sync::atomic::Ordering::Release);
    (60..66).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    opened.tree.settle();
    let reason = opened.tree.unsynced().expect("the failed sync is known");
    assert!(reason.contains("planned to fail"), "{reason}");
    // Later syncs succeed, and prove nothing.
    opened.tree.shared.fails_to_sync.store(false, std::sync::atomic::Ordering::Release);
    let kept = |opened: &Opened| -> (Option<sled::IVec>, Vec<sled::IVec>) {
        let own = opened.raw.scan_prefix(places::OWN).keys().flatten();
        (opened.raw.get(places::MANIFEST).expect("a read"), own.collect())
    };
    let before = kept(&opened);
    opened.tree.shared.wake();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let after = kept(&opened);
    assert!(before == after, "nothing is written or removed by the worker any more");
    assert_eq!(opened.tree.unsynced().as_ref(), Some(&reason));
    same(&opened.tree, &model, &[], None);
    drop(opened);
    same(&open(folder.path()).tree, &model, &[], None);
}

/// Ten batches in the log of several pieces each, which no run has; without the third piece of one, or all of its pieces.
fn with_a_loss(folder: &Path, batch: u64, all: bool) -> Model {
    let mut models = vec![Model::new()];
    let (db, raw) = engine(folder);
    {
        let (tree, _) = Tree::open(&db, &raw, settings(folder, 1 << 20)).expect("pairs");
        for number in 0..10u16 {
            let mut model = models.last().cloned().unwrap_or_default();
            let pairs = (0..40u16).map(|at| (key(number * 40 + at), Some(vec![number as u8; 900])));
            write(&tree, &mut model, pairs);
            models.push(model);
        }
    }
    for piece in if all { 0..1000 } else { 2..3 } {
        raw.remove(places::piece(batch, piece)).expect("damage");
    }
    db.flush().expect("a flush");
    let mut left = models[10].clone();
    (0..40).for_each(|at| drop(left.remove(&key((batch as u16 - 1) * 40 + at))));
    left
}

#[test]
fn a_torn_last_batch_goes_and_any_other_loss_is_refused_before_anything_is_written() {
    for (batch, all) in [(10, false), (4, false), (4, true), (1, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let left = with_a_loss(folder.path(), batch, all);
        let stored = |raw: &sled::Tree| -> Vec<_> { raw.iter().flatten().collect() };
        let is_torn = batch == 10;
        {
            let (db, raw) = engine(folder.path());
            let before = stored(&raw);
            let (tree, remarks) =
                Tree::open(&db, &raw, settings(folder.path(), MEMORY_BYTES)).expect("pairs");
            assert_eq!(remarks.len(), 1, "{remarks:?}");
            assert_eq!(tree.lost().is_some(), !is_torn, "{remarks:?}");
            if !is_torn {
                let refused = tree.begin().expect_err("a batch is missing").to_string();
                assert!(refused.contains("--accept-data-loss"), "{refused}");
                assert!(tree.insert(b"key", b"value").is_err());
                assert_eq!(stored(&raw), before, "it stays as it is");
                tree.accept_loss();
            }
            tree.begin().expect("it begins");
            same(&tree, &left, &[], None);
        }
        // The loss was accepted once and for all.
        let opened = open(folder.path());
        same(&opened.tree, &left, &[], None);
        opened.tree.settle();
        same(&opened.tree, &left, &[], None);
    }
}

#[test]
fn nothing_is_marked_before_the_folder_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (db, raw) = engine(folder.path());
    let open = || Tree::open(&db, &raw, settings(folder.path(), MEMORY_BYTES)).expect("pairs").0;
    raw.insert(MARKS[0].0, b"3").expect("a write");
    raw.insert(key(1), b"row").expect("a write");
    let before: Vec<_> = raw.iter().flatten().collect();
    let tree = open();
    assert_eq!(tree.get(key(1)).expect("a read").as_deref(), Some(&b"row"[..]));
    drop(tree);
    assert_eq!(raw.iter().flatten().collect::<Vec<_>>(), before);
    // With the first change all of it is there.
    let tree = open();
    tree.insert(key(2), b"row").expect("a write");
    drop(tree);
    assert_eq!(raw.get(MARKS[0].0).expect("a read").as_deref(), Some(&b"4"[..]));
    assert!(super::super::is_begun(&raw).expect("a read"));
    assert_eq!(open().iter().count(), 3);
    // Marks without a manifest are no pairs of an earlier version.
    let other = tempfile::tempdir().expect("a folder");
    let (db, raw) = engine(other.path());
    MARKS.iter().for_each(|(key, value)| drop(raw.insert(key, *value).expect("a write")));
    let (tree, _) = Tree::open(&db, &raw, settings(other.path(), MEMORY_BYTES)).expect("pairs");
    assert_eq!(tree.iter().count(), 0);
}

#[test]
fn without_room_it_says_so_before_memory_runs_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (db, raw) = engine(folder.path());
    let settings = Settings { has_room: Box::new(|_| false), ..settings(folder.path(), MEMORY_BYTES) };
    let (tree, _) = Tree::open(&db, &raw, settings).expect("pairs");
    tree.begin().expect("it begins");
    let mut refused = None;
    for number in 0..400u16 {
        let started = std::time::Instant::now();
        let result = tree.insert(number.to_be_bytes().as_slice(), vec![0; 2000]);
        assert!(started.elapsed().as_secs() < 20, "it waits for ever");
        if let Err(error) = result {
            refused = Some((number, error.to_string()));
            break;
        }
    }
    assert!(tree.refusal().is_some_and(|reason| reason.contains("cannot be put away")));
    let (number, reason) = refused.expect("memory is bounded");
    assert!(number > 20 && reason.contains("cannot be put away"), "{number} {reason}");
    assert!(tree.get(5u16.to_be_bytes()).expect("a read").is_some());
}

#[test]
fn room_is_asked_for_all_along_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (db, raw) = engine(folder.path());
    // How often there is room before there is none.
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let has_room = {
        let left = left.clone();
        Box::new(move |_| left.fetch_sub(1, Ordering::AcqRel) > 0)
    };
    let settings = Settings { has_room, ..settings(folder.path(), 200 << 10) };
    let (tree, _) = Tree::open(&db, &raw, settings).expect("pairs");
    tree.begin().expect("it begins");
    let mut model = Model::new();
    // The first answer lets the run begin, the second lets its first parts be written.
    left.store(2, Ordering::Release);
    let mut number = 0;
    while tree.shared.version().frozen.is_none() {
        write(&tree, &mut model, batch(number));
        number += 1;
    }
    tree.settle();
    assert!(locked(&tree.shared.trouble).as_ref().is_some_and(|reason| reason.contains("no more room")));
    assert_eq!(tree.runs(), 0);
    same(&tree, &model, &[], None);
    left.store(i64::MAX, Ordering::Release);
    let opened = Opened { db, raw, tree };
    let started = std::time::Instant::now();
    while opened.tree.runs() == 0 || left_over(&opened) > 0 {
        assert!(started.elapsed().as_secs() < 60, "it goes on once there is room");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    same(&opened.tree, &model, &[], None);
}

#[test]
fn a_damaged_block_does_not_keep_other_runs_from_being_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (opened, mut model) = (open(folder.path()), Model::new());
    (0..200).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    opened.tree.settle();
    until_nothing_is_left_over(&opened);
    let oldest = opened.tree.shared.version().runs.last().expect("a run").info.number;
    let place = places::part(places::Part::Data, oldest, 0);
    let mut block = opened.raw.get(place).expect("a read").expect("a block").to_vec();
    let middle = block.len() / 2;
    block[middle] ^= 1;
    opened.raw.insert(place, block).expect("damage");
    // Keys of their own, so that only merges read the damaged block.
    let number_of_runs = |batches: std::ops::Range<u32>| {
        for number in batches {
            let changes = batch(number).into_iter().map(|(key, value)| ([&[7][..], &key].concat(), value));
            write(&opened.tree, &mut Model::new(), changes);
        }
        opened.tree.settle();
        opened.tree.runs()
    };
    for turn in 1..6 {
        let runs = number_of_runs(turn * 100..(turn + 1) * 100);
        assert!(runs < 16, "{runs} runs");
        assert!(opened.tree.shared.version().frozen.is_none());
        assert_eq!(*locked(&opened.tree.shared.trouble), None);
    }
    assert!(opened.tree.shared.version().runs.iter().any(|run| run.info.number == oldest));
}

#[test]
fn a_filter_of_other_keys_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Model::new();
    {
        let opened = open(folder.path());
        (0..100).for_each(|number| write(&opened.tree, &mut model, batch(number)));
        opened.tree.settle();
    }
    let (db, raw) = engine(folder.path());
    let key_kind = KeyKind { version: KEY_KIND.version + 1, is_looked_up: |_| true };
    let settings = Settings { key_kind, ..settings(folder.path(), MEMORY_BYTES) };
    let (tree, _) = Tree::open(&db, &raw, settings).expect("pairs");
    for (key, value) in &model {
        assert_eq!(tree.get(key).expect("a read").as_deref(), Some(&value[..]));
    }
}

#[test]
fn no_part_of_a_run_is_large_whatever_the_pairs_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (opened, mut model) = (open(folder.path()), Model::new());
    for number in 0..200u16 {
        let len = if number.is_multiple_of(3) { 48 << 10 } else { 300 };
        write(&opened.tree, &mut model, [(key(number), Some(vec![number as u8; len]))]);
    }
    opened.tree.settle();
    assert!(opened.tree.runs() > 0);
    same(&opened.tree, &model, &[], None);
    for from in 0..200 {
        same(&opened.tree, &model, &key(from), Some(&key(from + 4)));
        assert_eq!(
            opened.tree.get(key(from)).expect("a read").as_deref(),
            model.get(&key(from)).map(|it| &it[..])
        );
    }
    let lengths = opened.raw.scan_prefix(places::OWN).values().flatten().map(|value| value.len());
    // Seventeen of them are less than what the engine keeps in a file of its own.
    assert!(lengths.max().is_some_and(|len| len * 17 < 128 << 10));
    until_nothing_is_left_over(&opened);
    let is_empty = |folder: &Path| std::fs::read_dir(folder).expect("a folder").next().is_none();
    assert!(is_empty(&folder.path().join("blobs")), "no page is a file of its own");
}

#[test]
fn an_engine_that_is_stuck_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (opened, mut model) = (open(folder.path()), Model::new());
    opened.tree.shared.is_stuck.store(true, Ordering::Release);
    let mut number = 0;
    while opened.tree.shared.version().frozen.is_none() {
        write(&opened.tree, &mut model, batch(number));
        number += 1;
    }
    opened.tree.settle();
    let trouble = locked(&opened.tree.shared.trouble).clone();
    assert!(trouble.is_some_and(|reason| reason.contains("could not write a page")));
    assert_eq!(opened.tree.runs(), 0);
    same(&opened.tree, &model, &[], None);
    // And its end waits for nothing.
    drop(opened);
}
