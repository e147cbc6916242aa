//! A disk that others fill to the last byte: reads go on, writes are refused, and when there is room all goes on.
//!
//! The processes under test are this test, run once more: on a small file system of its own where the system lets us
//! mount one, and anywhere below a limit for the size of files, which the engine's log then meets.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use models::{Claims, Value, schema};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::{Caller, OpenOptions, Store, StoreError};

/// Tells a second run in which folder it works.
const FOLDER: &str = "PLAYHOUSE_TEST_FULL_DISK";

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, schema(), &OpenOptions::default()).map(|(store, _)| store)
}

/// Two rows in one commit.
fn write(store: &Store, number: i64, bytes: usize) -> Result<(), StoreError> {
    let claims = Claims::service();
    let table = schema().known("system_config");
    let ((), durable) = store.transact(&claims, |transaction| {
        for id in [number * 2, number * 2 + 1] {
            let mut row = table.default_row();
            row[table.at("id")] = Value::Int(id);
            row[table.at("config")] = Value::json(&serde_json::json!({ "text": "x".repeat(bytes) }));
            transaction.insert(&Caller::new(&claims), table, row)?;
        }
        Ok::<_, StoreError>(())
    })?;
    durable.wait_blocking()
}

fn remove(store: &Store, number: i64) -> Result<(), StoreError> {
    let claims = Claims::service();
    let table = schema().known("system_config");
    let ((), durable) = store.transact(&claims, |transaction| {
        for id in [number * 2, number * 2 + 1] {
            if let Some(row) = transaction.reads().get(table, &[Value::Int(id)])? {
                transaction.delete(&Caller::new(&claims), table, &row)?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    durable.wait_blocking()
}

/// Commits whose rows are read; a commit of which only a part is there fails the test.
fn read(store: &Store, up_to: i64) -> BTreeSet<i64> {
    let table = schema().known("system_config");
    let is = |id: i64| store.reads().get(table, &[Value::Int(id)]).expect("a read").is_some();
    (0..up_to)
        .filter(|number| {
            let (first, second) = (is(number * 2), is(number * 2 + 1));
            assert_eq!(first, second, "commit {number} is torn");
            first
        })
        .collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes what is left of the file system.
fn fill(neighbour: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(neighbour).expect("a file");
    for bytes in [64 << 10, 4 << 10, 1] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
}

/// The size of the engine's files.
fn engine_bytes(folder: &Path) -> u64 {
    let pages = std::fs::read_dir(folder.join("tree/blobs")).expect("a folder").flatten();
    let log = std::fs::metadata(folder.join("tree/db")).expect("a log").len();
    log + pages.map(|page| page.metadata().map_or(0, |metadata| metadata.len())).sum::<u64>()
}

#[test]
fn works_on_a_small_disk() {
    let Ok(disk) = std::env::var(FOLDER) else { return };
    let disk = Path::new(&disk);
    let (data, neighbour) = (disk.join("data"), disk.join("neighbour"));
    let store = open(&data).expect("a store");
    let mut kept: BTreeSet<i64> = (0..40).collect();
    kept.iter().for_each(|number| write(&store, *number, 4000).expect("there is room"));
    fill(&neighbour);
    // What the system said a moment ago is believed; a commit that this admits has its space already.
    until("the full disk is noticed", || !store.has_room());

    // Writes are refused for what is the matter, and nothing is broken by the attempt.
    let before = engine_bytes(&data);
    for bytes in [10, 4000, 100_000] {
        let refused = write(&store, 100, bytes);
        assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    }
    let refused = store.blobs().write(&[1; 100_000]);
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    assert_eq!(std::fs::read_dir(data.join("blobs/partial")).expect("a folder").count(), 0);
    assert!(!store.has_room());
    assert_eq!(store.trouble(), None);
    // Reads go on and write nothing.
    for _ in 0..3 {
        assert_eq!(read(&store, 200), kept);
        assert_eq!(store.check().expect("a report").faults, 0);
    }
    assert_eq!(engine_bytes(&data), before);
    // A backup has no room, and leaves none of itself.
    assert!(store.backup(&disk.join("backup")).is_err());
    assert!(!disk.join("backup").exists());
    // Nor did they leave anything to be written at the end.
    drop(store);
    assert_eq!(engine_bytes(&data), before);
    // There is nothing left at all, and still a start serves what is there.
    fill(&neighbour);
    let store = open(&data).expect("a store without any room");
    assert_eq!(read(&store, 200), kept);
    let refused = write(&store, 101, 10);
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    // When others take what the start gave up, the store says what it needs, or opens again.
    drop(store);
    fill(&neighbour);
    let again = open(&data);
    if let Err(error) = &again {
        assert!(error.to_string().contains("make so much room"), "{error}");
    }
    drop(again);
    let unfinished = std::fs::read_dir(data.join("tree")).expect("a folder").flatten();
    let unfinished: Vec<_> = unfinished
        .map(|entry| entry.file_name())
        .filter(|it| it.to_string_lossy().ends_with(".generating"))
        .collect();
    assert_eq!(unfinished, Vec::<std::ffi::OsString>::new());

    // With room all goes on, in the same process.
    std::fs::remove_file(&neighbour).expect("room");
    let store = open(&data).expect("a store");
    assert_eq!(read(&store, 200), kept);
    write(&store, 41, 4000).expect("there is room again");
    kept.insert(41);
    fill(&neighbour);
    if write(&store, 43, 10).is_ok() {
        kept.insert(43);
    }
    until("the full disk is noticed", || !store.has_room());
    assert!(matches!(write(&store, 102, 10), Err(StoreError::DiskFull)));
    // Rows can be deleted, for which the ballast is given up.
    remove(&store, 0).expect("a deletion makes room");
    kept.remove(&0);
    assert_eq!(read(&store, 200), kept);
    std::fs::remove_file(&neighbour).expect("room");
    until("there is room again", || store.has_room());
    write(&store, 42, 4000).expect("there is room again");
    kept.insert(42);
    assert_eq!(store.check().expect("a report").faults, 0);
    drop(store);
    assert_eq!(read(&open(&data).expect("a store"), 200), kept);
    std::fs::write(disk.join("done"), "").expect("a note");
    println!("the small disk was filled");
}

#[test]
fn a_small_disk_that_others_fill_ends_writes_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = r#"mount -t tmpfs -o size=32m tmpfs "$0" && touch "$0/mounted" && exec "$1" --exact works_on_a_small_disk --nocapture"#;
    let run = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments).args(["sh", "-c", mount]).arg(folder.path());
        command.arg(std::env::current_exe().expect("this test")).env(FOLDER, folder.path()).output()
    };
    for arguments in [&["--mount"][..], &["--map-root-user", "--mount"]] {
        let Ok(output) = run(arguments) else { continue };
        let text = format!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if !text.contains("running 1 test") {
            continue;
        }
        assert!(output.status.success() && text.contains("the small disk was filled"), "{text}");
        return;
    }
    // The other test has the same scenes with a fault instead of a disk.
    eprintln!("no small file system can be mounted here");
}

#[test]
fn works_below_a_limit() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let data = Path::new(&folder).join("data");
    let limit = |bytes: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).expect("a limit");
    };
    let store = open(&data).expect("a store");
    let (mut acknowledged, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..2 {
        let from = round * 1000;
        for number in from..from + 20 {
            write(&store, number, 4000).expect("there is room");
            acknowledged.insert(number);
        }
        // The log ends with this segment: the engine fails as on a full disk, of which the ballast is free.
        let len = std::fs::metadata(data.join("tree/db")).expect("a log").len();
        limit(Some(len.next_multiple_of(512 << 10)));
        for number in from + 20..from + 420 {
            match write(&store, number, 4000) {
                // Segments that are free again lie within the limit.
                Ok(()) => acknowledged.insert(number),
                Err(StoreError::DiskFull) => refused.insert(number),
                Err(other) => panic!("{other:?}"),
            };
        }
        assert!(!refused.is_empty(), "the limit was never met");
        // The engine is opened again as it is on disk, where each page is split that had to be, and takes no more.
        until("the engine is open again", || store.trouble().is_none() && !store.has_room());
        assert!(matches!(write(&store, from + 499, 10), Err(StoreError::DiskFull)));
        refused.insert(from + 499);
        // What was acknowledged is read, for as long as it takes.
        for _ in 0..3 {
            let found = read(&store, from + 600);
            assert!(acknowledged.is_subset(&found), "{found:?}");
            assert_eq!(store.check().expect("a report").faults, 0);
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_eq!(store.trouble(), None);
        limit(None);
        until("there is room again", || store.has_room());
        let number = from + 500;
        write(&store, number, 4000).expect("there is room again");
        acknowledged.insert(number);
        let found = read(&store, from + 600);
        assert!(acknowledged.is_subset(&found), "{found:?}");
        // Of what was refused at most the commit that met the limit is there: it had no answer yet.
        assert!(found.difference(&acknowledged).all(|number| refused.contains(number)), "{found:?}");
        assert_eq!(store.check().expect("a report").faults, 0);
    }
    let before = read(&store, 2000);
    drop(store);
    let store = open(&data).expect("a store");
    assert_eq!(read(&store, 2000), before);
    assert_eq!(store.check().expect("a report").faults, 0);
    println!("the limit was met");
}

#[test]
fn an_engine_that_failed_for_want_of_room_is_opened_again_when_there_is_some() {
    let folder = tempfile::tempdir().expect("a folder");
    // The signal for too large a file would end the process; a full disk sends none.
    let run = r#"trap "" XFSZ; exec "$0" --exact works_below_a_limit --nocapture"#;
    let mut command = Command::new("sh");
    command.args(["-c", run]).arg(std::env::current_exe().expect("this test")).env(FOLDER, folder.path());
    let output = command.output().expect("this test runs once more");
    let text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("the limit was met"), "{text}");
}
