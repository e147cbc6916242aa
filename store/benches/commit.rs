//! How fast do durable commits get when writers share a flush, what does each take of processor time, and how many flushes
//! are there? Against appending the same bytes to a file and syncing it, one after the other.
//!
//! A commit is a character of about 1 KB and its entry of the audit trail, as a create by the server makes them, or a changed
//! text of a character, one for each writer, with its entry. Like a server the store gives unused space back meanwhile.
//!
//! `cargo bench -p store --bench commit`; `PLAYHOUSE_BENCH_WRITERS` sets how many write at one time (`1,16,64,256`).

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError, Transaction};
use uuid::Uuid;

const PAIRS: usize = 3;
/// Commits of one measurement, and of each writer.
const COMMITS: u64 = 3_200;
const COMMITS_EACH_MIN: u64 = 25;
const APPENDS: u64 = 200;
/// So many rows are there to be changed.
const WRITERS_MAX: usize = 256;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Processor time of this process so far, in seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("readable");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}

fn insert(
    transaction: &Transaction,
    caller: &Caller,
    name: &str,
    values: &[(&str, Value)],
) -> Result<(), StoreError> {
    let table = schema().known(name);
    let mut row = table.default_row();
    values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
    transaction.insert(caller, table, row).map(|_| ())
}

fn create(transaction: &Transaction, caller: &Caller, id: Uuid) -> Result<(), StoreError> {
    let user = Value::Uuid(Uuid::nil());
    let persona = "Calm, exact, a little tired; speaks of the sea as of an old friend. ".repeat(4);
    let backstory = "Born in the tower, she has never seen the town by day. ".repeat(6);
    let description = "Keeps the \"light\" of the harbour and counts the ships that pass.";
    let whole = serde_json::json!({"persona": persona, "backstory": backstory, "description": description});
    let character = [
        ("id", Value::Uuid(id)),
        ("user_id", user.clone()),
        ("name", Value::text("Mira of the harbour")),
        ("description", Value::text(description)),
        ("persona", Value::Text(persona)),
        ("backstory", Value::Text(backstory)),
    ];
    insert(transaction, caller, "characters", &character)?;
    let entry = [
        ("id", Value::Uuid(Uuid::now_v7())),
        ("entity_type", Value::text("characters")),
        ("entity_id", Value::Uuid(id)),
        ("action", Value::text("create")),
        ("request_id", Value::Text(Uuid::new_v4().to_string())),
        ("new_value", Value::json(&whole)),
        ("user_id", user),
    ];
    insert(transaction, caller, "audit_logs", &entry)
}

fn change(transaction: &Transaction, caller: &Caller, id: Uuid, turn: u64) -> Result<(), StoreError> {
    let table = schema().known("characters");
    let description = Value::Text(format!("Counts the ships: {turn} times until now."));
    let old = transaction.reads().get(table, &[Value::Uuid(id)])?.expect("the row is there");
    let mut new = old.clone();
    let column = table.at("description");
    new[column] = description;
    let texts = [&old[column], &new[column]].map(|text| serde_json::json!({"description": text.as_str()}));
    let [before, after] = texts.map(|text| Value::json(&text));
    transaction.update(caller, table, &old, new)?;
    let entry = [
        ("id", Value::Uuid(Uuid::now_v7())),
        ("entity_type", Value::text("characters")),
        ("entity_id", Value::Uuid(id)),
        ("action", Value::text("update")),
        ("request_id", Value::Text(Uuid::new_v4().to_string())),
        ("old_value", before),
        ("new_value", after),
        ("user_id", Value::Uuid(Uuid::nil())),
    ];
    insert(transaction, caller, "audit_logs", &entry)
}

/// The row that a writer changes.
fn row_of(writer: usize) -> Uuid {
    Uuid::from_u128(0x5eed << 64 | writer as u128)
}

/// What commits cost.
struct Cost {
    per_s: f64,
    cpu_micros: f64,
    flushes: f64,
}

/// Durable commits by so many writers; `commit` is given the number of the writer and of its commit.
fn commits(
    store: &Store,
    writers: usize,
    commit: impl Fn(&Transaction, &Caller, usize, u64) -> Result<(), StoreError> + Sync,
) -> Cost {
    let (started, cpu, flushes) = (Instant::now(), cpu_s(), store.flushes());
    let each = (COMMITS / writers as u64).max(COMMITS_EACH_MIN);
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let commit = &commit;
            scope.spawn(move || {
                let claims = Claims::service();
                for number in 0..each {
                    let (_, durable) = store
                        .transact(&claims, |transaction| {
                            commit(transaction, &Caller::new(&claims), writer, number)
                        })
                        .map_err(|error: StoreError| error.to_string())
                        .expect("the row fits");
                    durable.wait_blocking().expect("durable");
                }
            });
        }
    });
    let commits = (writers as u64 * each) as f64;
    Cost {
        per_s: commits / started.elapsed().as_secs_f64(),
        cpu_micros: (cpu_s() - cpu) * 1e6 / commits,
        flushes: (store.flushes() - flushes) as f64 / commits,
    }
}

/// Synced appends a second.
fn appends(folder: &Path) -> f64 {
    let mut file =
        std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    let started = Instant::now();
    for _ in 0..APPENDS {
        file.write_all(&[0; 512]).and_then(|()| file.sync_data()).expect("an append");
    }
    APPENDS as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) =
        Store::open(&folder.path().join("data"), schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for name in ["auth.users", "profiles"] {
                let table = schema().known(name);
                let mut row = table.default_row();
                row[table.at("id")] = Value::Uuid(Uuid::nil());
                transaction.insert(&Caller::new(&claims), table, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("an account");
    durable.wait_blocking().expect("durable");
    store.compact_in_background();
    let create =
        |transaction: &Transaction, caller: &Caller, _, _| create(transaction, caller, Uuid::new_v4());
    commits(&store, 64, create);
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let caller = Caller::new(&claims);
            (0..WRITERS_MAX).try_for_each(|writer| self::create(transaction, &caller, row_of(writer)))
        })
        .map_err(|error: StoreError| error.to_string())
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    let turns = AtomicU64::new(0);
    let change = |transaction: &Transaction, caller: &Caller, writer, _| {
        change(transaction, caller, row_of(writer), turns.fetch_add(1, Ordering::Relaxed))
    };
    println!(
        "{:>7} {:>8} {:>10} {:>17} {:>6} {:>14} {:>17}",
        "", "writers", "commits/s", "synced appends/s", "ratio", "CPU µs/commit", "flushes/commit"
    );
    let writers = std::env::var("PLAYHOUSE_BENCH_WRITERS").unwrap_or_else(|_| "1,16,64,256".into());
    for writers in writers.split(',').map(|text| text.trim().parse().expect("a number of writers")) {
        report("create", writers, folder.path(), || commits(&store, writers, create));
        report("change", writers, folder.path(), || commits(&store, writers, change));
    }
}

fn report(what: &str, writers: usize, folder: &Path, commits: impl Fn() -> Cost) {
    assert!(writers <= WRITERS_MAX, "so many rows are there to be changed");
    let (mut ours, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        ours.push(commits());
        yardstick.push(appends(folder));
    }
    let of = |figure: fn(&Cost) -> f64| median(ours.iter().map(figure).collect());
    let (per_s, yardstick) = (of(|cost| cost.per_s), median(yardstick));
    println!(
        "{what:>7} {writers:>8} {per_s:>10.0} {yardstick:>17.0} {:>6.2} {:>14.0} {:>17.3}",
        per_s / yardstick,
        of(|cost| cost.cpu_micros),
        of(|cost| cost.flushes),
    );
}
