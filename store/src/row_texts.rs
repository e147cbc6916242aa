//! The JSON of rows that are asked for again and again.
//!
//! Screens list the same rows with each look, and a text that was written before is copied faster than it is made. Each
//! stands with the stored bytes that it was made of, and serves only for equal ones, so that nothing has to be forgotten
//! when rows change. A row is kept when it is asked for the second time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use models::TableId;

/// Parts that are locked alone.
const SHARDS: usize = 16;
/// Rows remembered in each part as asked for once.
const SEEN: usize = 1024;
/// Longer texts are not kept: making them takes less time than getting them to the client.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 96;

/// See the module.
pub(crate) struct RowTexts {
    shards: Vec<Mutex<Shard>>,
    /// Of each half of a part.
    bytes_max: usize,
}

/// Entries made since the last turn, and those before; an entry that is not asked for goes with the second turn.
#[derive(Default)]
struct Shard {
    new: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
    /// Of `new`.
    bytes: usize,
    seen: Vec<u64>,
}

struct Entry {
    row: Box<[u8]>,
    text: Box<str>,
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.row.len() + self.text.len()
    }
}

impl RowTexts {
    /// Takes so much memory at most.
    pub fn new(bytes_max: usize) -> RowTexts {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        RowTexts { shards, bytes_max: bytes_max / SHARDS / 2 }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the text of a stored row if it is known.
    pub fn write(&self, table: TableId, row: &[u8], out: &mut String) -> bool {
        let hash = hash(table, row);
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.new.get(&hash) {
            let is_same = *entry.row == *row;
            if is_same {
                out.push_str(&entry.text);
            }
            return is_same;
        }
        match shard.old.remove(&hash).filter(|entry| *entry.row == *row) {
            Some(entry) => {
                out.push_str(&entry.text);
                self.keep(&mut shard, hash, entry);
                true
            }
            None => false,
        }
    }

    /// Takes note of the text of a row.
    pub fn note(&self, table: TableId, row: &[u8], text: &str) {
        if text.len() > TEXT_BYTES_MAX || row.len() > TEXT_BYTES_MAX {
            return;
        }
        let hash = hash(table, row);
        let mut shard = self.shard(hash);
        if shard.seen.is_empty() {
            shard.seen.resize(SEEN, 0);
        }
        let seen = &mut shard.seen[hash as usize / SHARDS % SEEN];
        if std::mem::replace(seen, hash) == hash {
            self.keep(&mut shard, hash, Entry { row: row.into(), text: text.into() });
        }
    }

    fn keep(&self, shard: &mut Shard, hash: u64, entry: Entry) {
        if shard.bytes + entry.bytes() > self.bytes_max {
            shard.old = std::mem::take(&mut shard.new);
            shard.bytes = 0;
        }
        shard.bytes += entry.bytes();
        if let Some(before) = shard.new.insert(hash, entry) {
            shard.bytes -= before.bytes();
        }
    }
}

fn hash(table: TableId, row: &[u8]) -> u64 {
    (table as u64) << 32 | u64::from(crc32c::crc32c(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &RowTexts, row: &[u8]) -> Option<String> {
        let mut text = String::from("[");
        texts.write(1, row, &mut text).then_some(text)
    }

    #[test]
    fn a_text_serves_for_the_bytes_that_it_was_made_of_once_they_came_twice() {
        let texts = RowTexts::new(1 << 20);
        texts.note(1, b"row", "{\"a\":1}");
        assert_eq!(read(&texts, b"row"), None);
        texts.note(1, b"row", "{\"a\":1}");
        assert_eq!(read(&texts, b"row").as_deref(), Some("[{\"a\":1}"));
        assert_eq!(read(&texts, b"raw"), None);
        let mut text = String::new();
        assert!(!texts.write(2, b"row", &mut text) && text.is_empty(), "rows of another table");
    }

    #[test]
    fn memory_stays_bounded_and_what_is_asked_for_stays() {
        let texts = RowTexts::new(1 << 20);
        let text = "x".repeat(1000);
        for number in 0..20_000_u32 {
            for _ in 0..2 {
                texts.note(1, &number.to_be_bytes(), &text);
                texts.note(1, b"often", "{}");
            }
            assert!(number < 2 || read(&texts, b"often").is_some(), "{number}");
        }
        let bytes = |shard: &Mutex<Shard>| {
            let shard = shard.lock().expect("no panic");
            shard.new.values().chain(shard.old.values()).map(Entry::bytes).sum::<usize>()
        };
        assert!(texts.shards.iter().map(bytes).sum::<usize>() <= 1 << 20);
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        for _ in 0..2 {
            texts.note(1, b"long", &long);
        }
        assert_eq!(read(&texts, b"long"), None);
    }
}
