//! Does a list by index stay as fast when the table grows a hundredfold, and how long does opening take?
//!
//! `cargo bench -p store --bench query`; `PLAYHOUSE_BENCH_ROWS` sets the size of the large store (1,000,000).

use std::path::Path;
use std::time::Instant;

use models::{Claims, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, OpenOptions, Store, StoreError, Transaction};
use uuid::Uuid;

const SMALL: u64 = 10_000;
const USERS: u64 = 100;
const ROWS_PER_COMMIT: u64 = 20_000;
const PAIRS: usize = 9;
const QUERIES: u128 = 500;
/// Goals.
const RATIO_MAX: f64 = 2.0;
const OPEN_S_MAX: f64 = 2.0;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn open(folder: &Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("a store").0
}

fn user(number: u64) -> Value {
    Value::Uuid(Uuid::from_u128(u128::from(number % USERS) + 1))
}

/// An account with a character and a conversation, all of one id.
fn account(transaction: &Transaction, caller: &Caller, id: Value) -> Result<(), StoreError> {
    for name in ["auth.users", "profiles", "characters", "conversations"] {
        let table = schema().known(name);
        let mut row = table.default_row();
        for (position, column) in table.table.columns.iter().enumerate() {
            match column.name {
                "id" | "user_id" | "character_id" => row[position] = id.clone(),
                "name" | "description" | "title" => row[position] = Value::text("Mira"),
                _ => {}
            }
        }
        transaction.insert(caller, table, row)?;
    }
    Ok(())
}

fn load(store: &Store, rows: u64) {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let mut next = 0;
    while next < rows {
        let (_, durable) = store
            .transact(&claims, |transaction| {
                if next == 0 {
                    for number in 0..USERS {
                        account(transaction, &caller, user(number))?;
                    }
                }
                let table = schema().known("messages");
                for number in next..(next + ROWS_PER_COMMIT).min(rows) {
                    let mut row = table.default_row();
                    row[table.at("conversation_id")] = user(number);
                    row[table.at("sender")] = Value::text("user");
                    row[table.at("content")] = Value::text(format!("the fog lifts, part {number}"));
                    // Neighbours in time belong to different conversations.
                    row[table.at("created_at")] =
                        Value::Timestamp(1_700_000_000_000_000 + number as i64 * 1000);
                    transaction.insert(&caller, table, row)?;
                }
                Ok::<_, StoreError>(())
            })
            .expect("the rows fit");
        durable.wait_blocking().expect("durable");
        next += ROWS_PER_COMMIT;
    }
}

/// Microseconds of a list of the 20 newest messages of a conversation, asked by its owner.
fn list(store: &Store) -> f64 {
    let started = Instant::now();
    for number in 0..QUERIES {
        let claims = Claims::user(Uuid::from_u128(number % u128::from(USERS) + 1));
        let caller = Caller::new(&claims);
        let reader = Reader::new(store.reads(), &caller, Limits::default());
        let query = Query::all(schema().known("messages").id)
            .equal("conversation_id", Value::Uuid(claims.user_id.unwrap_or_default()))
            .order("created_at", true)
            .limit(20);
        assert_eq!(reader.select(&query, false).expect("rows").rows.len(), 20);
    }
    started.elapsed().as_secs_f64() * 1e6 / QUERIES as f64
}

fn main() {
    let rows = std::env::var("PLAYHOUSE_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok());
    let rows: u64 = rows.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let small = open(&folder.path().join("small"));
    load(&small, SMALL);
    let large = open(&folder.path().join("large"));
    let started = Instant::now();
    load(&large, rows);
    println!("loaded {rows} rows in {:.1} s", started.elapsed().as_secs_f64());
    let claims = Claims::user(Uuid::from_u128(1));
    let caller = Caller::new(&claims);
    let query = Query::all(schema().known("messages").id).equal("conversation_id", user(0));
    let query = query.order("created_at", true).limit(20);
    let plan = Reader::new(large.reads(), &caller, Limits::default()).explain(&query);
    println!("plan: {}", plan.expect("a plan"));

    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        of_small.push(list(&small));
        of_large.push(list(&large));
    }
    let (of_small, of_large) = (median(of_small), median(of_large));
    let ratio = of_large / of_small;
    println!("list of 20: {of_small:.0} µs from {SMALL} rows, {of_large:.0} µs from {rows}");
    println!("ratio {ratio:.2} (goal: at most {RATIO_MAX})");

    drop(large);
    let opened = (0..3).map(|_| {
        let started = Instant::now();
        let store = open(&folder.path().join("large"));
        let seconds = started.elapsed().as_secs_f64();
        drop(store);
        seconds
    });
    println!("open at {rows} rows: {:.2} s (goal: at most {OPEN_S_MAX})", median(opened.collect()));
}
