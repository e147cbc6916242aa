//! What does the engine take for a pair, put in as commits come and in large batches in the order of keys? Against a row of
//! SQLite, and against the same pairs in memory and in a log.
//!
//! Processor time of the process, so other work on the machine matters little.
//!
//! `cargo bench -p store --bench engine`

use std::collections::BTreeMap;
use std::io::Write;

use rusqlite::Connection;

/// Pairs of a row: its own, and entries of indexes.
const PAIRS: u64 = 20;
const ROWS: u64 = 20_000;
/// Rows that are there before.
const ROWS_BEFORE: u64 = 10_000;
/// Rows of a batch.
const BATCHES: [u64; 4] = [12, 64, 1_000, 5_000];
const VALUE_BYTES: usize = 1_000;

type Pair = (Vec<u8>, Vec<u8>);

fn mixed(number: u64) -> u64 {
    (number ^ 0x5851_f42d)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The pairs of a row: half of its index entries begin with its owner and the time, the others with something of its own.
fn pairs(row: u64) -> Vec<Pair> {
    let id = [mixed(row).to_be_bytes(), mixed(row ^ 77).to_be_bytes()].concat();
    (0..PAIRS)
        .map(|index| {
            let mut key = vec![0, 7, 0, index as u8];
            match index {
                0 => {}
                1..=9 => {
                    key.extend_from_slice(&mixed(row % 200).to_be_bytes());
                    key.extend_from_slice(&[0; 8]);
                    key.extend_from_slice(&row.to_be_bytes());
                }
                _ => key.extend_from_slice(&mixed(row ^ (index << 40)).to_be_bytes()),
            }
            key.extend_from_slice(&id);
            (key, vec![index as u8; if index == 0 { VALUE_BYTES } else { 2 }])
        })
        .collect()
}

/// Processor time of this process so far, in seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("readable");
    let rest = stat.rsplit(')').next().expect("fields");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}

fn report(what: &str, work: impl FnOnce()) {
    let before = cpu_s();
    work();
    let micros = (cpu_s() - before) * 1e6 / ROWS as f64;
    println!("{what:<44} {micros:>7.1} µs a row");
}

fn sled_with(folder: &std::path::Path, rows_per_batch: u64) {
    let db = sled::Config::new()
        .path(folder)
        .cache_capacity(256 << 20)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput)
        .open()
        .expect("an engine");
    let tree = db.open_tree("rows").expect("a tree");
    let put = |rows: std::ops::Range<u64>| {
        let batch: BTreeMap<Vec<u8>, Vec<u8>> = rows.flat_map(pairs).collect();
        let mut writes = sled::Batch::default();
        batch.into_iter().for_each(|(key, value)| writes.insert(key, value));
        tree.apply_batch(writes).expect("applied");
        db.flush().expect("flushed");
    };
    (0..ROWS_BEFORE / 1000).for_each(|step| put(step * 1000..(step + 1) * 1000));
    report(&format!("sled, batches of {rows_per_batch} rows"), || {
        let mut row = ROWS_BEFORE;
        while row < ROWS_BEFORE + ROWS {
            put(row..row + rows_per_batch);
            row += rows_per_batch;
        }
    });
}

fn sqlite(folder: &std::path::Path, rows_per_batch: u64, indexes: u64) {
    let mut connection = Connection::open(folder.join("file")).expect("a file");
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;").expect("set");
    let columns: Vec<String> = (1..PAIRS).map(|index| format!("c{index} BLOB")).collect();
    connection
        .execute_batch(&format!("CREATE TABLE t (id BLOB PRIMARY KEY, v BLOB, {})", columns.join(",")))
        .expect("a table");
    for index in 1..=indexes {
        connection.execute_batch(&format!("CREATE INDEX i{index} ON t (c{index})")).expect("an index");
    }
    let holders = vec!["?"; PAIRS as usize + 1].join(",");
    let statement = format!("INSERT INTO t VALUES ({holders})");
    let mut put = |rows: std::ops::Range<u64>| {
        let transaction = connection.transaction().expect("begun");
        for row in rows {
            let pairs = pairs(row);
            let mut statement = transaction.prepare_cached(&statement).expect("a statement");
            let mut values = vec![pairs[0].0[4..].to_vec(), pairs[0].1.clone()];
            values.extend(pairs[1..].iter().map(|(key, _)| key[4..key.len() - 16].to_vec()));
            statement.execute(rusqlite::params_from_iter(values)).expect("a row");
        }
        transaction.commit().expect("committed");
    };
    (0..ROWS_BEFORE / 1000).for_each(|step| put(step * 1000..(step + 1) * 1000));
    report(&format!("SQLite, {indexes} indexes, commits of {rows_per_batch} rows"), || {
        let mut row = ROWS_BEFORE;
        while row < ROWS_BEFORE + ROWS {
            put(row..row + rows_per_batch);
            row += rows_per_batch;
        }
    });
}

fn memory(folder: &std::path::Path, rows_per_batch: u64) {
    let mut log = std::fs::File::create(folder.join("log")).expect("a file");
    let mut kept: BTreeMap<sled::IVec, sled::IVec> = BTreeMap::new();
    report(&format!("memory and a log, groups of {rows_per_batch} rows"), || {
        let mut row = ROWS_BEFORE;
        while row < ROWS_BEFORE + ROWS {
            let mut bytes = Vec::new();
            for (key, value) in (row..row + rows_per_batch).flat_map(pairs) {
                bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&key);
                bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&value);
                kept.insert(key.into(), value.into());
            }
            let checksum = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&checksum.to_be_bytes());
            log.write_all(&bytes).and_then(|()| log.sync_data()).expect("written");
            row += rows_per_batch;
            if kept.len() > 100_000 {
                kept.clear();
            }
        }
    });
}

fn main() {
    report("making the pairs alone", || {
        (ROWS_BEFORE..ROWS_BEFORE + ROWS).for_each(|row| drop(std::hint::black_box(pairs(row))));
    });
    for rows in BATCHES {
        let folder = tempfile::tempdir().expect("a folder");
        sled_with(folder.path(), rows);
    }
    for rows in [64, 1_000] {
        let folder = tempfile::tempdir().expect("a folder");
        memory(folder.path(), rows);
        for indexes in [2, PAIRS - 1] {
            let folder = tempfile::tempdir().expect("a folder");
            sqlite(folder.path(), rows, indexes);
        }
    }
}
