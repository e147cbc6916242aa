//! Death at each point of a commit. The process under test is this test, run once more by itself.

use std::path::Path;
use std::process::Command;

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError};

/// Tells a second run that it is the one to die, and in which folder.
const FOLDER: &str = "PLAYHOUSE_TEST_DIES_IN";
/// Commits that the process tries before and at the point.
const COMMITS: i64 = 5;

fn open(folder: &Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("the store opens").0
}

/// Two rows in one commit, each naming the other.
fn commit(store: &Store, number: i64) {
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let table = schema().known("system_config");
            for id in [number * 2, number * 2 + 1] {
                let mut row = table.default_row();
                row[table.at("id")] = Value::Int(id);
                transaction.insert(&Caller::new(&claims), table, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
}

/// Commits whose rows are there; a commit of which only a part is there fails the test.
fn found(store: &Store) -> Vec<i64> {
    let table = schema().known("system_config");
    let is = |id: i64| store.reads().get(table, &[Value::Int(id)]).expect("a read").is_some();
    let whole = |number: &i64| {
        let (first, second) = (is(number * 2), is(number * 2 + 1));
        assert_eq!(first, second, "commit {number} is torn");
        first
    };
    (0..COMMITS + 2).filter(whole).collect()
}

/// What the process acknowledged, one file each.
fn acknowledged(folder: &Path) -> Vec<i64> {
    (0..COMMITS + 2).filter(|number| folder.join(format!("acknowledged {number}")).exists()).collect()
}

#[test]
fn dies_here() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = open(&folder.join("data"));
    for number in 0..COMMITS {
        commit(&store, number);
        std::fs::write(folder.join(format!("acknowledged {number}")), "").expect("a note");
    }
}

#[test]
fn death_at_any_point_loses_nothing_acknowledged_and_tears_nothing() {
    for point in ["before_apply", "after_apply", "before_flush", "after_flush"] {
        for count in [1, 3] {
            let folder = tempfile::tempdir().expect("a folder");
            let status = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", "dies_here"])
                .env(FOLDER, folder.path())
                .env("PLAYHOUSE_CRASH_AT", format!("{point}:{count}"))
                .output()
                .expect("this test runs once more")
                .status;
            assert!(!status.success(), "{point}:{count} did not kill it");
            let acknowledged = acknowledged(folder.path());
            assert_eq!(acknowledged, (0..count - 1).collect::<Vec<i64>>(), "{point}");
            let store = open(&folder.path().join("data"));
            let found = found(&store);
            assert!(acknowledged.iter().all(|number| found.contains(number)), "{point}: {found:?}");
            // At most the one in flight is there beside them; once it was flushed, it must be.
            assert!(found.len() <= acknowledged.len() + 1, "{point}: {found:?}");
            match point {
                "before_apply" => assert_eq!(found, acknowledged, "{point}"),
                "after_flush" => assert_eq!(found.len(), acknowledged.len() + 1, "{point}"),
                _ => {}
            }
            assert_eq!(store.check().expect("a report").faults, 0, "{point}");
            // And it takes writes again.
            commit(&store, COMMITS + 1);
            assert_eq!(store.commits(), found.len() as u64 + 1);
        }
    }
}
