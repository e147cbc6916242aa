//! Does the folder stop growing while rows are changed over and over, and how far above what is kept does it stop?
//!
//! `cargo bench -p store --bench disk`; `PLAYHOUSE_BENCH_UPDATES` sets how many changes (200,000; the goal is for
//! 1,000,000).

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError, Transaction};
use uuid::Uuid;

const ROWS: u64 = 2_000;
const WRITERS: u64 = 64;
const STEPS: u64 = 10;
/// Goal, beyond what is not worth the trouble.
const RATIO_MAX: f64 = 3.0;
const SLACK_BYTES: u64 = 64 << 20;

/// Bytes that a folder takes on its disk.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => (metadata.blocks() * 512).min(metadata.len().next_multiple_of(4096)),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

fn id(number: u64) -> Value {
    Value::Uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()))
}

fn insert(transaction: &Transaction, name: &str, number: u64) -> Result<(), StoreError> {
    let claims = Claims::service();
    let table = schema().known(name);
    let mut row = table.default_row();
    row[table.at("id")] = id(number);
    if name == "projects" {
        row[table.at("user_id")] = id(0);
        row[table.at("media_type")] = Value::text("image");
        row[table.at("original_prompt")] =
            Value::text("a lighthouse in the fog, seen from afar. ".repeat(25));
    }
    transaction.insert(&Caller::new(&claims), table, row).map(|_| ())
}

/// An entry as the audit trail keeps one.
fn note(transaction: &Transaction, number: u64, turn: u64) -> Result<(), StoreError> {
    let claims = Claims::service();
    let table = schema().known("audit_logs");
    let mut row = table.default_row();
    let document = |turn: u64| {
        Value::json(
            &serde_json::json!({ "title": format!("turn {turn}"), "updated_at": "2026-01-01T00:00:00.000000+00:00" }),
        )
    };
    for (column, value) in [
        ("id", Value::Uuid(Uuid::now_v7())),
        ("entity_type", Value::text("projects")),
        ("entity_id", id(number)),
        ("action", Value::text("update")),
        ("request_id", Value::Text(Uuid::new_v4().to_string())),
        ("old_value", document(turn)),
        ("new_value", document(turn + 1)),
        ("user_id", id(0)),
    ] {
        row[table.at(column)] = value;
    }
    transaction.insert(&Caller::new(&claims), table, row).map(|_| ())
}

fn change(store: &Store, number: u64, turn: u64) {
    let claims = Claims::service();
    let table = schema().known("projects");
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let old = transaction.reads().get(table, &[id(number)])?.expect("the row is there");
            let mut row = old.clone();
            row[table.at("title")] = Value::Text(format!("turn {turn}"));
            row[table.at("updated_at")] = Value::now();
            transaction.update(&Caller::new(&claims), table, &old, row)?;
            note(transaction, number, turn)
        })
        .map_err(|error: StoreError| error.to_string())
        .expect("the change fits");
    durable.wait_blocking().expect("durable");
}

fn main() {
    let updates: u64 =
        std::env::var("PLAYHOUSE_BENCH_UPDATES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (store, _) = Store::open(&data, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            insert(transaction, "auth.users", 0)?;
            insert(transaction, "profiles", 0)?;
            (1..=ROWS).try_for_each(|number| insert(transaction, "projects", number))
        })
        .map_err(|error: StoreError| error.to_string())
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    // As a server does: what is kept is counted, and the store written anew when it takes too much.
    store.check().expect("a report");
    store.compact_in_background();
    let backup = folder.path().join("backup");
    store.backup(&backup).expect("a backup");
    let live = std::fs::metadata(backup.join("pairs.bin")).expect("pairs").len();
    println!("{ROWS} rows, {live} bytes live, {} in the folder", bytes_below(&data.join("tree")));
    println!("{:>10} {:>12} {:>7} {:>10}", "updates", "folder", "ratio", "updates/s");
    let done = AtomicU64::new(0);
    let mut ratio = 0.0;
    for step in 1..=STEPS {
        let end = updates * step / STEPS;
        let (started, before) = (Instant::now(), done.load(Ordering::Relaxed));
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    loop {
                        let turn = done.fetch_add(1, Ordering::Relaxed);
                        if turn >= end {
                            break;
                        }
                        // Every row in turn, in an order that is not that of the keys.
                        change(&store, turn * 7919 % ROWS + 1, turn);
                    }
                });
            }
        });
        done.store(end, Ordering::Relaxed);
        let speed = (end - before) as f64 / started.elapsed().as_secs_f64();
        let bytes = bytes_below(&data.join("tree"));
        let live = store.usage().live_bytes.unwrap_or(live);
        println!("{end:>10} {bytes:>12} {:>7.2} {speed:>10.0}", bytes as f64 / live as f64);
        ratio = bytes.saturating_sub(SLACK_BYTES) as f64 / live as f64;
    }
    println!(
        "goal: at most {RATIO_MAX}, and flat: {}",
        if ratio <= RATIO_MAX { "reached" } else { "missed" }
    );
}
