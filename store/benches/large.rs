//! Does a store of a million rows answer as one of ten thousand, and what does it take to open it and to hold it?
//!
//! `cargo bench -p store --bench large`; `PLAYHOUSE_BENCH_SIZES` sets how many rows (`10000,1000000`), and
//! `PLAYHOUSE_BENCH_FOLDER` where they lie.

use std::path::Path;
use std::time::Instant;

use models::{Claims, Value, schema};
use store::check::Contents;
use store::query::{Limits, Query, Reader};
use store::{Caller, OpenOptions, Store, StoreError, Transaction};
use uuid::Uuid;

/// Rows of each account but the first, which has more.
const ROWS_EACH: u64 = 200;
const ROWS_OF_FIRST: u64 = 5_000;
const PER_COMMIT: u64 = 5_000;
const CALLS: u64 = 4_000;
const CREATES: u64 = 1_000;
/// What the server takes on a machine of common size.
const CACHE_BYTES: u64 = 32 << 20;
/// Goals.
const GROWTH_MAX: f64 = 1.3;
const OPEN_S_MAX: f64 = 0.5;
const IDLE_MIB_MAX: f64 = 60.0;

fn open(folder: &Path) -> Store {
    let options = OpenOptions { cache_bytes: CACHE_BYTES, ..OpenOptions::default() };
    Store::open(folder, schema(), &options).expect("a store").0
}

fn id(kind: &str, number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{kind} {number}").as_bytes())
}

fn commit(store: &Store, decide: impl FnOnce(&Transaction, &Caller) -> Result<(), StoreError>) {
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| decide(transaction, &Caller::new(&claims)))
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
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

fn owner_of(number: u64) -> u64 {
    number.checked_sub(ROWS_OF_FIRST).map_or(0, |rest| rest / ROWS_EACH + 1)
}

fn create(transaction: &Transaction, caller: &Caller, number: u64, owner: u64) -> Result<(), StoreError> {
    let values = [
        ("id", Value::Uuid(id("character", number))),
        ("user_id", Value::Uuid(id("user", owner))),
        ("name", Value::Text(format!("Character {number}"))),
        ("description", Value::text("Keeps the lighthouse, and talks of nothing else when the fog lifts.")),
        ("created_at", Value::Timestamp(1_750_000_000_000_000 + number as i64 * 1_000_003)),
    ];
    insert(transaction, caller, "characters", &values)
}

fn load(store: &Store, rows: u64) {
    for first in (0..rows).step_by(PER_COMMIT as usize) {
        commit(store, |transaction, caller| {
            let mut last_owner = first.checked_sub(1).map(owner_of);
            for number in first..(first + PER_COMMIT).min(rows) {
                let owner = owner_of(number);
                if last_owner != Some(owner) {
                    for name in ["auth.users", "profiles"] {
                        insert(transaction, caller, name, &[("id", Value::Uuid(id("user", owner)))])?;
                    }
                    last_owner = Some(owner);
                }
                create(transaction, caller, number, owner)?;
            }
            Ok(())
        });
    }
}

/// Median and 99th percentile in microseconds.
fn spread(calls: u64, mut call: impl FnMut(u64)) -> (f64, f64) {
    let mut times: Vec<f64> = (0..calls)
        .map(|number| {
            let started = Instant::now();
            call(number);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn listed(store: &Store, owner: u64, counted: bool) -> usize {
    let claims = Claims::user(id("user", owner));
    let caller = Caller::new(&claims);
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let query = Query::all(schema().known("characters").id)
        .equal("user_id", Value::Uuid(id("user", owner)))
        .order("created_at", true)
        .limit(20);
    reader.select(&query, counted).expect("rows").rows.len()
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).expect("a number") / 1024.0
}

/// Measures one size; answers with the 99th percentiles of reading by key, a list and a create.
fn measure(folder: &Path, rows: u64) -> [f64; 3] {
    let started = Instant::now();
    load(&open(folder), rows);
    println!("\n{rows} rows: written in {:.0} s", started.elapsed().as_secs_f64());
    let before = resident_mib();
    let started = Instant::now();
    let store = open(folder);
    let opened = started.elapsed().as_secs_f64();
    println!("open {opened:.2} s (goal {OPEN_S_MAX}), {:.0} MiB more", resident_mib() - before);
    let started = Instant::now();
    let report = store.check_with(Contents::Skip, &mut |_| {}).expect("a report");
    assert_eq!(report.faults, 0, "{:?}", report.listed);
    let took = started.elapsed().as_secs_f64();
    println!(
        "check {took:.1} s, {:.0} rows/s, {:.0} MiB held (goal {IDLE_MIB_MAX})",
        report.rows as f64 / took,
        resident_mib()
    );
    let usage = store.usage();
    println!("{:?} bytes live, {} used", usage.live_bytes, usage.used_bytes);
    let characters = schema().known("characters");
    let owners = owner_of(rows - 1).max(1);
    // An order that is not that of the keys.
    let nth = |number: u64, of: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % of;
    let get = spread(CALLS, |number| {
        let key = [Value::Uuid(id("character", nth(number, rows)))];
        assert!(store.reads().get(characters, &key).expect("a read").is_some());
    });
    let list = spread(CALLS, |number| assert!(listed(&store, nth(number, owners), false) > 0));
    let counted = spread(CALLS / 10, |_| assert_eq!(listed(&store, 0, true), 20));
    let write = spread(CREATES, |number| {
        commit(&store, |transaction, caller| create(transaction, caller, rows + number, nth(number, owners)));
    });
    for (name, (median, high)) in [
        ("get", get),
        ("list of 20", list),
        ("list of 20, 5,000 counted", counted),
        ("durable create", write),
    ] {
        println!("{name:>26}: {median:>7.0} µs, p99 {high:>7.0} µs");
    }
    let all = Query::all(characters.id).limit(1);
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let started = Instant::now();
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let total = reader.select(&all, true).expect("rows").total;
    println!("count of all {total:?}: {:.2} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    commit(&store, |transaction, caller| {
        let users = schema().known("auth.users");
        let user = transaction.reads().get(users, &[Value::Uuid(id("user", 0))])?.expect("the account");
        transaction.purge(caller, users, &user)
    });
    println!(
        "an account with {ROWS_OF_FIRST} rows goes by cascade in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    [get.1, list.1, write.1]
}

fn main() {
    let sizes = std::env::var("PLAYHOUSE_BENCH_SIZES").unwrap_or_else(|_| "10000,1000000".into());
    let folder = std::env::var_os("PLAYHOUSE_BENCH_FOLDER").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let mut first = None;
    for size in sizes.split(',') {
        let rows = size.trim().parse().expect("a number of rows");
        let at = measure(&folder.path().join(size), rows);
        if let Some(first) = first {
            let first: [f64; 3] = first;
            let growth = |which: usize| at[which] / first[which];
            println!(
                "growth of p99: get {:.2}, list {:.2}, create {:.2} (goal: at most {GROWTH_MAX})",
                growth(0),
                growth(1),
                growth(2)
            );
        }
        first.get_or_insert(at);
    }
}
