//! The store written anew under those who use it: nothing is lost, and the space comes back. The processes that die are
//! this test, run once more by itself.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use models::{Claims, Value, schema};
use store::check::Integrity;
use store::{Caller, OpenOptions, Store, StoreError};

/// Tells a second run that it is the one to die, and in which folder.
const FOLDER: &str = "PLAYHOUSE_TEST_COMPACTS_IN";
const ROWS: i64 = 400;

fn open(folder: &Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("the store opens").0
}

/// Gives two rows the same number in one commit.
fn write(store: &Store, id: i64, turn: i64) {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let table = schema().known("system_config");
    let ((), durable) = store
        .transact(&claims, |transaction| {
            for id in [id, id + ROWS] {
                let old = transaction.reads().get(table, &[Value::Int(id)])?;
                let mut row = old.clone().unwrap_or_else(|| table.default_row());
                row[table.at("id")] = Value::Int(id);
                let text = format!("{turn} ").repeat(200);
                row[table.at("config")] = Value::json(&serde_json::json!({ "turn": turn, "text": text }));
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

/// The number of both rows; a commit of which only a part is there fails the test.
fn turn(store: &Store, id: i64) -> Option<i64> {
    let table = schema().known("system_config");
    let turn = |id: i64| {
        let row = store.reads().get(table, &[Value::Int(id)]).expect("a read")?;
        row[table.at("config")].as_json().and_then(|config| config["turn"].as_i64())
    };
    let (first, second) = (turn(id), turn(id + ROWS));
    assert_eq!(first, second, "the commit of row {id} is torn");
    first
}

fn churn(store: &Store) {
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                (0..10).for_each(|turn| (writer..ROWS).step_by(8).for_each(|id| write(store, id, turn)))
            });
        }
    });
}

#[test]
fn writes_and_reads_go_on_while_the_store_is_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    churn(&store);
    let (ends, turns) = (AtomicBool::new(false), AtomicI64::new(10));
    let before = store.usage().used_bytes;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, ends, turns) = (&store, &ends, &turns);
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    for id in (writer..ROWS).step_by(4) {
                        let next = turns.fetch_add(1, Ordering::Relaxed);
                        write(store, id, next);
                        assert_eq!(turn(store, id), Some(next), "what was acknowledged is read");
                    }
                }
            });
        }
        for _ in 0..3 {
            let mut reports = 0;
            let done = store.compact(&mut |_| reports += 1).expect("a compaction");
            assert!(done.pairs >= ROWS as u64 * 2, "{done:?}");
            assert!(store.compact(&mut |_| {}).is_ok(), "one after the other");
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert!(store.compact(&mut |_| {}).expect("a compaction").after_bytes < before / 2);
    let turns: Vec<Option<i64>> = (0..ROWS).map(|id| turn(&store, id)).collect();
    assert!(turns.iter().all(Option::is_some));
    assert_eq!(store.check().expect("a report").faults, 0);
    let commits = store.commits();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.commits(), commits);
    assert_eq!((0..ROWS).map(|id| turn(&store, id)).collect::<Vec<_>>(), turns);
    let report = store.check().expect("a report");
    assert_eq!((report.faults, report.rows), (0, ROWS as u64 * 2));
    // What is kept is known from the check on, and little more is used.
    let usage = store.usage();
    let live = usage.live_bytes.expect("everything was read");
    write(&store, 0, 1_000_000);
    assert!(store.usage().live_bytes.expect("still known").abs_diff(live) < 4096);
    assert_eq!(looked_over(&store), ROWS as u64 * 2);
}

/// Rows that a check in the background finds in a store that is whole.
fn looked_over(store: &Store) -> u64 {
    store.check_in_background();
    let started = Instant::now();
    loop {
        match store.integrity() {
            Integrity::Sound { rows } => return rows,
            Integrity::Unknown | Integrity::Checking => {}
            found => panic!("{found:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", store.integrity());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn dies_here() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = open(&folder.join("data"));
    for id in 0..ROWS {
        write(&store, id, 0);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1.. {
                for id in 0..20 {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    write(&store, id, turn);
                    std::fs::write(folder.join(format!("acknowledged {id}")), turn.to_string())
                        .expect("a note");
                }
            }
        });
        let _ = store.compact(&mut |_| {});
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn death_at_any_point_leaves_the_old_store_or_the_new_one() {
    let points = [
        "compact_copied",
        "compact_before_exchange",
        "compact_between",
        "compact_exchanged",
        "compact_before_removal",
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
        let data = folder.path().join("data");
        assert!(Store::exists(&data), "{point}");
        let store = open(&data);
        for id in 0..ROWS {
            let note = std::fs::read_to_string(folder.path().join(format!("acknowledged {id}")));
            let acknowledged = note.ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            // One commit more may have landed without an answer.
            let turn = turn(&store, id).expect("the row");
            assert!((acknowledged..acknowledged + 2).contains(&turn), "{point}: {turn} of {acknowledged}");
        }
        let report = store.check().expect("a report");
        assert_eq!((report.faults, report.rows), (0, ROWS as u64 * 2), "{point}");
        for left in ["tree.compacting", "tree.replaced"] {
            assert!(!data.join(left).exists(), "{point}: {left}");
        }
        // And it takes writes, and is compacted, again.
        write(&store, 0, 1_000_000);
        store.compact(&mut |_| {}).expect("a compaction");
        assert_eq!(turn(&store, 0), Some(1_000_000), "{point}");
    }
}
