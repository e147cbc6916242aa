//! What does the call cost that every screen makes, the newest 20 of one owner, against SQLite with the same rows, the
//! same index and the same JSON?
//!
//! `cargo bench -p store --bench list`

mod baseline;

use std::time::Instant;

use baseline::{LISTED, OWNERS, ROWS_EACH, character, owner, sqlite};
use models::{Claims, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const CALLS: u128 = 2_000;
const PAIRS: usize = 9;
/// Goals: SQLite's time by ours.
const RATIO_MIN: f64 = 1.5;
const COUNTED_RATIO_MIN: f64 = 1.0;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn our_store(folder: &std::path::Path) -> Store {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let caller = Caller::new(&claims);
            for number in 0..OWNERS {
                for name in ["auth.users", "profiles"] {
                    let table = schema().known(name);
                    let mut row = table.default_row();
                    row[table.at("id")] = Value::Uuid(owner(number));
                    transaction.insert(&caller, table, row)?;
                }
            }
            for number in 0..OWNERS * ROWS_EACH {
                transaction.insert(
                    &caller,
                    schema().known("characters"),
                    character(number, owner(number)),
                )?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    store
}

fn listed_by_us(store: &Store, owner: Uuid, counted: bool) -> (String, Option<u64>) {
    let claims = Claims::user(owner);
    let caller = Caller::new(&claims);
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let query = Query::all(schema().known("characters").id)
        .equal("user_id", Value::Uuid(owner))
        .order("created_at", true)
        .limit(LISTED);
    let rows = reader.select_json(&query, counted).expect("rows").expect("text");
    (rows.pieces.concat(), rows.total)
}

/// Microseconds of a call.
fn measure(list: impl Fn(Uuid) -> (String, Option<u64>)) -> f64 {
    let started = Instant::now();
    for call in 0..CALLS {
        std::hint::black_box(list(owner(call)));
    }
    started.elapsed().as_secs_f64() * 1e6 / CALLS as f64
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = our_store(&folder.path().join("data"));
    let connection = sqlite(
        &folder.path().join("rows.db"),
        (0..OWNERS * ROWS_EACH).map(|number| character(number, owner(number))),
    );
    let (ours, theirs) =
        (listed_by_us(&store, owner(6), true), baseline::listed(&connection, owner(6), true));
    assert!(ours == theirs, "the same rows and the same JSON");
    println!("{} bytes of JSON", ours.0.len());
    for (name, counted, goal) in
        [("list of 20", false, RATIO_MIN), ("list of 20, counted", true, COUNTED_RATIO_MIN)]
    {
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            of_ours.push(measure(|owner| listed_by_us(&store, owner, counted)));
            of_theirs.push(measure(|owner| baseline::listed(&connection, owner, counted)));
        }
        let ratios = of_ours.iter().zip(&of_theirs).map(|(ours, theirs)| theirs / ours).collect();
        println!(
            "{name}: {:.0} µs, SQLite {:.0} µs, ratio {:.2} (goal: at least {goal})",
            median(of_ours),
            median(of_theirs),
            median(ratios)
        );
    }
}
