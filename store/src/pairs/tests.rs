//! The layer against a map in memory: random batches, ranges, closing, merging and dying.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::{Changes, KeyKind, Settings, Tree, locked};

mod loss;
mod taking_over;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// So little that a run has few blocks and there are many.
const MEMORY_BYTES: usize = 24 << 10;
const KEY_KIND: KeyKind =
    KeyKind { version: 1, is_looked_up: |key| key.first().is_some_and(|first| first % 2 == 0) };
const MARKS: &[(&[u8], &[u8])] = &[(b"\xff\xffform", b"4"), (b"\xff\xfflist", b"{}")];

struct Opened {
    db: sled::Db,
    raw: sled::Tree,
    tree: Tree,
}

fn engine(folder: &Path) -> (sled::Db, sled::Tree) {
    let open = || sled::Config::new().path(folder).flush_every_ms(None).open();
    // An engine that was dropped keeps its files for a moment.
    let mut db = open();
    for _ in 0..200 {
        if db.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        db = open();
    }
    let db = db.expect("an engine");
    let raw = db.open_tree("rows").expect("a tree");
    (db, raw)
}

fn settings(folder: &Path, memory_bytes: usize) -> Settings {
    Settings {
        folder: folder.to_path_buf(),
        memory_bytes,
        // Some blocks of a test are in it and others are not.
        cache_bytes: 1 << 20,
        key_kind: KEY_KIND,
        has_room: Box::new(|_| true),
        marks: MARKS,
    }
}

fn open(folder: &Path) -> Opened {
    let (db, raw) = engine(folder);
    let (tree, remarks) = Tree::open(&db, &raw, settings(folder, MEMORY_BYTES)).expect("pairs");
    assert_eq!(remarks, Vec::<String>::new());
    tree.begin().expect("it begins");
    Opened { db, raw, tree }
}

fn change(key: &[u8], value: Option<Vec<u8>>) -> (sled::IVec, Option<sled::IVec>) {
    (key.into(), value.map(sled::IVec::from))
}

fn write(tree: &Tree, model: &mut Model, changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
    let changes: BTreeMap<_, _> = changes.into_iter().collect();
    let batch: Changes = changes.iter().map(|(key, value)| change(key, value.clone())).collect();
    tree.apply(&batch).expect("applied");
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key, value),
            None => model.remove(&key),
        };
    }
}

fn pairs(found: impl Iterator<Item = Result<super::Pair, crate::StoreError>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).expect("a pair")).collect()
}

fn same(tree: &Tree, model: &Model, from: &[u8], to: Option<&[u8]>) {
    let upper = to.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    let is_empty = to.is_some_and(|to| to <= from);
    let mut expected: Vec<(Vec<u8>, Vec<u8>)> = if is_empty {
        Vec::new()
    } else {
        let range = model.range::<[u8], _>((std::ops::Bound::Included(from), upper));
        range.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    assert!(pairs(tree.range(from, to, false)) == expected, "ascending");
    expected.reverse();
    assert!(pairs(tree.range(from, to, true)) == expected, "descending");
}

fn key(number: u16) -> Vec<u8> {
    let group: &[u8] = match number % 4 {
        0 => b"\x00\x02row",
        1 => b"\x00\x03entry of an index with a long beginning ",
        2 => b"\x05",
        _ => b"\xff\xffnote",
    };
    [group, &number.to_be_bytes()].concat()
}

#[derive(Clone, Debug)]
enum Step {
    /// Keys with lengths of values; none removes.
    Write(Vec<(u16, Option<u16>)>),
    Range(u16, u16),
    Reopen,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0u16..300;
    let len = prop_oneof![30 => 0u16..400, 1 => 5_000u16..50_000];
    let pair = (number.clone(), prop::option::weighted(0.7, len));
    prop_oneof![
        8 => prop::collection::vec(pair, 1..60).prop_map(Step::Write),
        3 => (number.clone(), number).prop_map(|(from, to)| Step::Range(from, to)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_has_what_a_map_has(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut model, mut turn) = (Model::new(), 0u8);
        let mut opened = open(folder.path());
        for step in steps {
            match step {
                Step::Write(changes) => {
                    turn = turn.wrapping_add(1);
                    let changes = changes.into_iter().map(|(number, len)| {
                        (key(number), len.map(|len| vec![turn; usize::from(len)]))
                    });
                    write(&opened.tree, &mut model, changes);
                }
                Step::Range(from, to) => {
                    let (from, to) = (key(from), key(to));
                    same(&opened.tree, &model, &from, Some(&to));
                    let found = opened.tree.get(&from).expect("a read").map(|value| value.to_vec());
                    prop_assert_eq!(found, model.get(&from).cloned());
                }
                Step::Reopen => {
                    drop(opened);
                    opened = open(folder.path());
                    same(&opened.tree, &model, &[], None);
                }
                Step::Settle => opened.tree.settle(),
            }
        }
        same(&opened.tree, &model, &[], None);
        for number in 0..300 {
            let found = opened.tree.get(key(number)).expect("a read").map(|value| value.to_vec());
            prop_assert_eq!(found, model.get(&key(number)).cloned());
        }
    }
}

/// Batches of a fixed load: of rows that come, change and go.
fn batch(number: u32) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let of = |at: u32| {
        let row = number.wrapping_mul(7).wrapping_add(at.wrapping_mul(1013)) % 900;
        // Some are larger than a block.
        let len = if row.is_multiple_of(97) { 20_000 } else { (row as usize * 13) % 500 };
        let value = (!(number + at).is_multiple_of(9)).then(|| vec![number as u8; len]);
        (key(row as u16), value)
    };
    (0..40).map(of).chain([(b"\xff\xffcount".to_vec(), Some(number.to_be_bytes().to_vec()))]).collect()
}

fn model_of(batches: u32) -> Model {
    let mut model = Model::new();
    add_batches(&mut model, batches);
    model
}

fn add_batches(model: &mut Model, batches: u32) {
    for number in 0..batches {
        for (key, value) in batch(number).into_iter().collect::<BTreeMap<_, _>>() {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
    }
}

/// Keys of the engine that are not of the manifest, a batch, or a run that counts.
fn left_over(opened: &Opened) -> usize {
    let version = opened.tree.shared.version();
    let counts = |key: &[u8]| match super::places::run_of(key) {
        Some(run) => version.runs.iter().any(|other| other.info.number == run),
        None => match super::places::piece_at(key) {
            Some((batch, _)) => batch >= version.log_from,
            None => key == super::places::MANIFEST || MARKS.iter().any(|(mark, _)| key == *mark),
        },
    };
    opened.raw.iter().keys().flatten().filter(|key| !counts(key)).count()
}

fn until_nothing_is_left_over(opened: &Opened) {
    let started = std::time::Instant::now();
    while left_over(opened) > 0 {
        assert!(started.elapsed().as_secs() < 60, "{} are left over", left_over(opened));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn runs_stay_few_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (opened, mut model) = (open(folder.path()), Model::new());
    for number in 0..600 {
        write(&opened.tree, &mut model, batch(number));
        assert!(opened.tree.runs() < 24, "{} runs", opened.tree.runs());
    }
    // A reading that began before goes on over runs that are merged meanwhile.
    let mut reading = opened.tree.iter();
    let mut read = vec![reading.next().expect("a pair")];
    let before = model.clone();
    for number in 600..900 {
        let only_new = batch(number).into_iter().map(|(key, value)| ([&[7][..], &key].concat(), value));
        write(&opened.tree, &mut model, only_new);
    }
    opened.tree.settle();
    read.extend(reading.by_ref());
    let read = pairs(read.into_iter()).into_iter().filter(|(key, _)| key[0] != 7);
    assert!(read.eq(before));
    drop(reading);
    same(&opened.tree, &model, &[], None);
    assert!(opened.tree.runs() > 0 && opened.tree.runs() <= 8, "{} runs", opened.tree.runs());
    until_nothing_is_left_over(&opened);
    // All of it goes, and nothing stays of the removals either.
    let keys: Vec<_> = model.keys().map(|key| (key.clone(), None)).collect();
    write(&opened.tree, &mut model, keys);
    write(&opened.tree, &mut model, [(vec![1], Some(vec![1; MEMORY_BYTES]))]);
    write(&opened.tree, &mut model, [(vec![1], None)]);
    write(&opened.tree, &mut model, [(vec![2], Some(vec![1; MEMORY_BYTES]))]);
    opened.tree.settle();
    write(&opened.tree, &mut model, [(vec![2], None)]);
    same(&opened.tree, &model, &[], None);
    until_nothing_is_left_over(&opened);
    let entries: u64 = opened.tree.shared.version().runs.iter().map(|run| run.info.entries).sum();
    assert!(entries < 4, "{entries} entries");
}

#[test]
fn damage_is_an_error_or_a_remark_and_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Model::new();
    {
        let opened = open(folder.path());
        (0..200).for_each(|number| write(&opened.tree, &mut model, batch(number)));
        opened.tree.settle();
        (200..220).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    }
    let (db, raw) = engine(folder.path());
    let open = || Tree::open(&db, &raw, settings(folder.path(), MEMORY_BYTES));
    // A block has other bytes.
    let (place, block) = raw.scan_prefix(b"\xff\xfdd").next().expect("a block").expect("a pair");
    let mut other = block.to_vec();
    other[20] ^= 0xff;
    raw.insert(&place, other).expect("damage");
    let (tree, _) = open().expect("pairs");
    let read = tree.iter().filter(Result::is_err).count();
    (0..300).for_each(|number| drop(tree.get(key(number))));
    drop(tree);
    // One that is gone is missed by those who read there.
    raw.remove(&place).expect("damage");
    let (tree, _) = open().expect("pairs");
    let found: Vec<_> = tree.iter().collect();
    assert!(read <= 1 && found.iter().any(Result::is_err));
    assert!(found.iter().position(Result::is_err) == Some(found.len() - 1), "nothing follows a failure");
    drop(tree);
    raw.insert(place, block).expect("put back");
    // Without the manifest, or with another one, it does not open.
    let manifest = raw.remove(super::places::MANIFEST).expect("damage").expect("a manifest");
    let refused = open().map(|_| ()).expect_err("the list of runs is missing").to_string();
    assert!(refused.contains("playhouse salvage"), "{refused}");
    let mut other = manifest.to_vec();
    other[9] ^= 1;
    raw.insert(super::places::MANIFEST, other).expect("damage");
    assert!(open().is_err());
    raw.insert(super::places::MANIFEST, manifest).expect("put back");
    same(&open().expect("pairs").0, &model, &[], None);
}

#[test]
fn what_is_found_without_the_engine_is_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Model::new();
    let opened = open(folder.path());
    (0..300).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    opened.tree.settle();
    (300..310).for_each(|number| write(&opened.tree, &mut model, batch(number)));
    until_nothing_is_left_over(&opened);
    // In any order, and with a pair of an earlier version.
    let mut raw: Vec<_> = opened.raw.iter().map(|pair| pair.expect("a pair")).collect();
    raw.sort_by_key(|(key, _)| crc32c::crc32c(key));
    let mut unpacker = super::Unpacker::default();
    let mut newest: BTreeMap<Vec<u8>, (super::Age, Option<Vec<u8>>)> = BTreeMap::new();
    let earlier = key(7);
    let older = std::iter::once((earlier.as_slice().into(), b"older".as_slice().into()));
    for (place, (key, value)) in (0..).zip(raw.into_iter().chain(older)) {
        for found in unpacker.unpack(key.to_vec(), value.to_vec(), place) {
            let known = newest.entry(found.key).or_default();
            if known.0 <= found.age {
                *known = (found.age, found.value);
            }
        }
    }
    assert_eq!((unpacker.damages, unpacker.torn()), (0, 0));
    MARKS.iter().for_each(|(mark, _)| drop(newest.remove(*mark)));
    let found: Model = newest.into_iter().filter_map(|(key, (_, value))| Some((key, value?))).collect();
    let differs = |key: &&Vec<u8>| found.get(*key) != model.get(*key);
    let wrong: Vec<_> = found.keys().chain(model.keys()).filter(differs).collect();
    // Only the older pair may come back, where its removal is dropped already.
    assert!(wrong.iter().all(|key| **key == earlier), "{wrong:?}");
}

#[test]
fn a_bottom_is_opened_with_all_its_pairs() {
    for count in [0, 1, 7, 3000] {
        let folder = tempfile::tempdir().expect("a folder");
        let model: Model =
            (0..count).map(|number| (key(number), vec![number as u8; usize::from(number % 300)])).collect();
        {
            let (db, raw) = engine(folder.path());
            let mut bottom = super::Bottom::new(KEY_KIND);
            let mut last = Vec::new();
            let mut put = |(place, bytes): (Vec<u8>, Vec<u8>)| {
                assert!(last < place, "in the order of the engine's keys");
                raw.insert(&place, bytes).expect("a write");
                last = place;
            };
            for (key, value) in &model {
                bottom.add(key, value).expect("in order").into_iter().for_each(&mut put);
            }
            bottom.finish(MARKS).expect("the rest").into_iter().for_each(&mut put);
            db.flush().expect("a flush");
        }
        let opened = open(folder.path());
        same(&opened.tree, &model, &[], None);
        assert_eq!(left_over(&opened), 0);
    }
}

/// Tells a second run that it is the one to die, and in which folder.
const FOLDER: &str = "PLAYHOUSE_TEST_PAIRS_DIE_IN";
const BATCHES: u32 = 400;

#[test]
fn dies_here() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let opened = open(&folder.join("engine"));
    let mut model = Model::new();
    for number in 0..BATCHES {
        write(&opened.tree, &mut model, batch(number));
        opened.db.flush().expect("a flush");
        // In one step: death may come from another thread.
        std::fs::write(folder.join("note"), number.to_string()).expect("a note");
        std::fs::rename(folder.join("note"), folder.join("acknowledged")).expect("a note");
    }
    opened.tree.settle();
}

#[test]
fn death_at_any_point_loses_nothing_and_tears_nothing() {
    let points = [
        "before_log:9",
        "after_log:200",
        "before_run:1",
        "after_run:1",
        "after_run:3",
        "after_manifest:1",
        "after_manifest:4",
        "after_durable:2",
        "before_merge:1",
        "after_merge:1",
        "after_merge:2",
    ];
    for point in points {
        let folder = tempfile::tempdir().expect("a folder");
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "pairs::tests::dies_here"])
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
        let mut model = model_of(count);
        same(&opened.tree, &model, &[], None);
        // And it goes on.
        (count..count + 150).for_each(|number| write(&opened.tree, &mut model, batch(number)));
        opened.tree.settle();
        same(&opened.tree, &model, &[], None);
        until_nothing_is_left_over(&opened);
    }
}
