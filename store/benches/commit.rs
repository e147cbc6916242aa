//! How fast do durable commits get when writers share a flush? Against appending the same bytes to a file and
//! syncing it, one after the other.
//!
//! `cargo bench -p store --bench commit`

use std::io::Write;
use std::time::Instant;

use models::{Claims, Value, schema};
use store::{Caller, OpenOptions, Store, StoreError};

const PAIRS: usize = 5;
/// Commits of each writer in one measurement.
const COMMITS_EACH: u64 = 100;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Durable single-row commits a second.
fn commits(store: &Store, writers: usize) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let claims = Claims::service();
                let table = schema().known("projects");
                for _ in 0..COMMITS_EACH {
                    let (_, durable) = store
                        .transact(&claims, |transaction| {
                            let mut row = table.default_row();
                            row[table.at("user_id")] = Value::Uuid(uuid::Uuid::nil());
                            row[table.at("original_prompt")] = Value::text("a lighthouse in the fog");
                            row[table.at("media_type")] = Value::text("image");
                            transaction.insert(&Caller::new(&claims), table, row).map(|_| ())
                        })
                        .map_err(|error: StoreError| error.to_string())
                        .expect("the row fits");
                    durable.wait_blocking().expect("durable");
                }
            });
        }
    });
    (writers as u64 * COMMITS_EACH) as f64 / started.elapsed().as_secs_f64()
}

/// Synced appends a second.
fn appends(folder: &std::path::Path) -> f64 {
    let mut file =
        std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    let started = Instant::now();
    for _ in 0..COMMITS_EACH {
        file.write_all(&[0; 512]).and_then(|()| file.sync_data()).expect("an append");
    }
    COMMITS_EACH as f64 / started.elapsed().as_secs_f64()
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
                row[table.at("id")] = Value::Uuid(uuid::Uuid::nil());
                transaction.insert(&Caller::new(&claims), table, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("an account");
    durable.wait_blocking().expect("durable");
    commits(&store, 16);
    println!("{:>8} {:>14} {:>16} {:>8}", "writers", "commits/s", "synced appends/s", "ratio");
    for writers in [1, 16, 64, 256] {
        let (mut ours, mut yardstick) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            ours.push(commits(&store, writers));
            yardstick.push(appends(folder.path()));
        }
        let (ours, yardstick) = (median(ours), median(yardstick));
        println!("{writers:>8} {ours:>14.0} {yardstick:>16.0} {:>8.2}", ours / yardstick);
    }
}
