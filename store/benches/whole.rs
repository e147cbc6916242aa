//! How fast is what reads or writes the whole store: opening, check, backup, restore and compaction?
//!
//! `cargo bench -p store --bench whole`; `PLAYHOUSE_BENCH_ROWS` sets how many rows (200,000).

use std::path::Path;
use std::time::Instant;

use models::{Claims, Value, schema};
use store::check::Contents;
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const ROWS_PER_COMMIT: u64 = 10_000;
/// Goal, for two cores: in time, or in twice the time of one processor where others are at work too.
const CHECKED_PER_S_MIN: f64 = 150_000.0;

fn open(folder: &Path) -> Store {
    Store::open(folder, schema(), &OpenOptions::default()).expect("a store").0
}

fn id(number: u64) -> Value {
    Value::Uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()))
}

fn load(store: &Store, rows: u64) {
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    for first in (0..rows).step_by(ROWS_PER_COMMIT as usize) {
        let ((), durable) = store
            .transact(&claims, |transaction| {
                if first == 0 {
                    for name in ["auth.users", "profiles"] {
                        let table = schema().known(name);
                        let mut row = table.default_row();
                        row[table.at("id")] = id(0);
                        transaction.insert(&caller, table, row)?;
                    }
                }
                for number in first..(first + ROWS_PER_COMMIT).min(rows) {
                    let table = schema().known("projects");
                    let mut row = table.default_row();
                    row[table.at("id")] = id(number);
                    row[table.at("user_id")] = id(0);
                    row[table.at("media_type")] = Value::text("image");
                    row[table.at("original_prompt")] = Value::text("a lighthouse in the fog");
                    transaction.insert(&caller, table, row)?;
                }
                Ok::<_, StoreError>(())
            })
            .expect("the rows fit");
        durable.wait_blocking().expect("durable");
    }
}

/// What this process has taken of all processors, all threads together.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a stat");
    // After the name in brackets: user and system time are the 12th and 13th field, in hundredths of a second.
    let fields = stat.rsplit(')').next().expect("fields").split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    let rows: u64 =
        std::env::var("PLAYHOUSE_BENCH_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let (started, before) = (Instant::now(), cpu_seconds());
        work();
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - before);
        let (speed, per_cpu) = (rows as f64 / seconds, rows as f64 / cpu);
        println!(
            "{what:>10} {seconds:>8.2} s {speed:>10.0} rows/s {cpu:>8.2} s of CPU {per_cpu:>10.0} rows/s of CPU"
        );
        speed.max(2.0 * per_cpu)
    };
    let store = open(&at("data"));
    timed("load", &mut || load(&store, rows));
    let checked = timed("check", &mut || {
        assert_eq!(store.check_with(Contents::Skip, &mut |_| {}).expect("a report").faults, 0);
    });
    timed("backup", &mut || {
        store.backup(&at("backup")).expect("a backup");
    });
    let before = store.usage();
    timed("compact", &mut || {
        store.compact(&mut |_| {}).expect("a compaction");
    });
    let after = store.usage().used_bytes;
    let live = before.live_bytes.unwrap_or(1);
    println!(
        "{live} bytes live, {:.2} times that used, {:.2} when compacted",
        before.used_bytes as f64 / live as f64,
        after as f64 / live as f64
    );
    drop(store);
    timed("open", &mut || drop(open(&at("data"))));
    timed("restore", &mut || {
        store::backup::restore(&at("backup"), &at("restored")).expect("a restore");
    });
    let reached = if checked >= CHECKED_PER_S_MIN { "reached" } else { "missed" };
    println!("goal: at least {CHECKED_PER_S_MIN} rows checked a second: {reached}");
}
