//! A store whose rows are in many runs: it answers, checks, is backed up, saved, written anew and killed like any other.
//! The process that dies is this test, run once more by itself.

use std::path::Path;
use std::process::Command;

use models::{Claims, Value, schema};
use store::salvage::salvage;
use store::{Caller, OpenOptions, Store, StoreError, backup};

/// Tells a second run that it is the one to die, and in which folder.
const FOLDER: &str = "PLAYHOUSE_TEST_RUNS_DIE_IN";
/// So little memory that a few commits fill it.
const MEMORY_BYTES: usize = 48 << 10;
const ROWS: i64 = 400;

fn open(folder: &Path) -> Store {
    let options = OpenOptions { memory_bytes: MEMORY_BYTES, ..OpenOptions::default() };
    let (store, opened) = Store::open(folder, schema(), &options).expect("the store opens");
    assert!(opened.remarks.iter().all(|remark| !remark.contains("missing")), "{:?}", opened.remarks);
    store
}

/// The commit with a number: two rows get its number, or go with each ninth.
fn commit(store: &Store, number: i64) {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let table = schema().known("system_config");
    let ((), durable) = store
        .transact(&claims, |transaction| {
            let first = number * 37 % ROWS;
            for id in [first, first + ROWS] {
                let old = transaction.reads().get(table, &[Value::Int(id)])?;
                let mut row = old.clone().unwrap_or_else(|| table.default_row());
                row[table.at("id")] = Value::Int(id);
                // Some are larger than a block of a run.
                let times = if number % 40 == 0 { 5000 } else { number * 13 % 300 };
                let text = format!("{number} ").repeat(usize::try_from(times).unwrap_or(1));
                row[table.at("config")] = Value::json(&serde_json::json!({ "number": number, "text": text }));
                match old {
                    Some(old) if number % 9 == 0 => transaction.delete(&caller, table, &old)?,
                    Some(old) => drop(transaction.update(&caller, table, &old, row)?),
                    None => drop(transaction.insert(&caller, table, row)?),
                }
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
}

/// What the rows are after so many commits.
fn expected(commits: i64) -> Vec<Option<i64>> {
    let mut rows = vec![None; usize::try_from(ROWS).expect("few")];
    for number in 0..commits {
        let row = &mut rows[usize::try_from(number * 37 % ROWS).expect("few")];
        *row = if row.is_some() && number % 9 == 0 { None } else { Some(number) };
    }
    rows
}

/// What the rows are; a commit of which only a part is there fails the test.
fn found(store: &Store) -> Vec<Option<i64>> {
    let table = schema().known("system_config");
    let number = |id: i64| {
        let row = store.reads().get(table, &[Value::Int(id)]).expect("a read")?;
        row[table.at("config")].as_json().and_then(|config| config["number"].as_i64())
    };
    (0..ROWS)
        .map(|id| {
            let (first, second) = (number(id), number(id + ROWS));
            assert_eq!(first, second, "row {id} is torn");
            first
        })
        .collect()
}

fn is_sound(store: &Store) {
    let report = store.check().expect("a report");
    assert_eq!((report.faults, report.listed), (0, Vec::new()));
}

#[test]
fn rows_in_runs_are_kept_like_any_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let store = open(&data);
    (0..1500).for_each(|number| commit(&store, number));
    assert_eq!(found(&store), expected(1500));
    is_sound(&store);
    let copy = folder.path().join("backup");
    store.backup(&copy).expect("a backup");
    (1500..1600).for_each(|number| commit(&store, number));
    assert!(store.compact(&mut |_| {}).expect("a compaction").pairs > 0);
    assert_eq!(found(&store), expected(1600));
    (1600..1900).for_each(|number| commit(&store, number));
    drop(store);
    let store = open(&data);
    assert_eq!(found(&store), expected(1900));
    is_sound(&store);
    let commits = store.commits();
    drop(store);
    let saved = folder.path().join("saved");
    let report = salvage(&data, &saved, schema()).expect("a salvage");
    assert_eq!((report.damages, report.unreadable, report.faults), (0, 0, 0));
    let store = open(&saved);
    assert_eq!((found(&store), store.commits()), (expected(1900), commits));
    drop(store);
    let restored = folder.path().join("restored");
    backup::restore(&copy, &restored).expect("a restored store");
    let store = open(&restored);
    assert_eq!(found(&store), expected(1500));
    is_sound(&store);
    (1500..1600).for_each(|number| commit(&store, number));
    assert_eq!(found(&store), expected(1600));
}

#[test]
fn dies_here() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = open(&folder.join("data"));
    for number in 0.. {
        commit(&store, number);
        // In one step: death may come from another thread.
        std::fs::write(folder.join("note"), number.to_string()).expect("a note");
        std::fs::rename(folder.join("note"), folder.join("acknowledged")).expect("a note");
    }
}

#[test]
fn death_while_runs_are_written_loses_nothing() {
    let points = [
        "before_run:2",
        "after_run:3",
        "after_manifest:2",
        "after_durable:4",
        "before_merge:1",
        "after_merge:2",
    ];
    for point in points {
        let folder = tempfile::tempdir().expect("a folder");
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "dies_here"])
            .env(FOLDER, folder.path())
            .env("PLAYHOUSE_CRASH_AT", point)
            .output()
            .expect("this test runs once more")
            .status;
        assert!(!status.success(), "{point} did not kill it");
        let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged")).expect("a note");
        let commits = acknowledged.parse::<i64>().expect("a number") + 1;
        let store = open(&folder.path().join("data"));
        let rows = found(&store);
        let is_there = rows == expected(commits) || rows == expected(commits + 1);
        assert!(is_there, "{point}: not the rows of {commits} commits");
        is_sound(&store);
        let commits = if rows == expected(commits) { commits } else { commits + 1 };
        (commits..commits + 300).for_each(|number| commit(&store, number));
        assert_eq!(found(&store), expected(commits + 300), "{point}");
        is_sound(&store);
    }
}
