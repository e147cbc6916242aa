//! What is new, in memory: the last change of each key since the last run.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sled::IVec;

use super::{Entry, KeyKind, filter};

/// What an entry takes beside its bytes, about: two counted buffers and a place in the map.
const ENTRY_BYTES: usize = 100;
/// Entries that a reading takes at once: few at first, for it may end soon.
const CHUNK: (usize, usize) = (16, 256);

/// Bytes of the filter: ten bits for each row of a full memory.
const FILTER_BYTES: usize = 32 << 10;

/// See the module.
#[derive(Default)]
pub(super) struct Memory {
    entries: RwLock<Entries>,
    /// About what they take: known also to those who must not wait while a batch is taken in.
    bytes: AtomicUsize,
}

#[derive(Default)]
pub(super) struct Entries {
    pub map: BTreeMap<IVec, Option<IVec>>,
    /// Of the keys that are looked up by themselves: most of them are in runs, and comparing keys takes long. Empty while
    /// there is none.
    filter: Vec<u8>,
}

impl Memory {
    pub fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// About what the entries take.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes changes in, which readers see together.
    pub fn add(&self, changes: impl Iterator<Item = Entry>, key_kind: KeyKind) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = self.bytes();
        let len = |value: &Option<IVec>| value.as_ref().map_or(0, |value| value.len());
        for (key, value) in changes {
            bytes += len(&value);
            let key_bytes = key.len();
            if (key_kind.is_looked_up)(&key) {
                entries.filter.resize(FILTER_BYTES, 0);
                filter::add(&mut entries.filter, filter::hash(&key));
            }
            match entries.map.insert(key, value) {
                Some(before) => bytes = bytes.saturating_sub(len(&before)),
                None => bytes += ENTRY_BYTES + key_bytes,
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// What a key was changed to, if it was. `hash` is there for a key that is looked up by itself.
    pub fn get(&self, key: &[u8], hash: Option<u32>) -> Option<Option<IVec>> {
        let entries = self.read();
        if hash.is_some_and(|hash| !filter::may_have(&entries.filter, hash)) {
            return None;
        }
        entries.map.get(key).cloned()
    }
}

/// Reads a range of the memory, a few entries at a time.
pub(super) struct MemoryCursor {
    memory: Arc<Memory>,
    from: Bound<IVec>,
    to: Bound<IVec>,
    descending: bool,
    chunk: std::vec::IntoIter<Entry>,
    len: usize,
    is_through: bool,
}

impl MemoryCursor {
    pub fn new(memory: Arc<Memory>, from: &[u8], to: Option<&[u8]>, descending: bool) -> MemoryCursor {
        MemoryCursor {
            memory,
            from: Bound::Included(from.into()),
            to: to.map_or(Bound::Unbounded, |to| Bound::Excluded(to.into())),
            descending,
            chunk: Vec::new().into_iter(),
            len: CHUNK.0,
            is_through: to.is_some_and(|to| to <= from),
        }
    }

    fn read(&mut self) {
        let chunk: Vec<Entry> = {
            let entries = self.memory.read();
            let range = entries.map.range::<IVec, _>((self.from.as_ref(), self.to.as_ref()));
            let pair = |(key, value): (&IVec, &Option<IVec>)| (key.clone(), value.clone());
            match self.descending {
                true => range.rev().take(self.len).map(pair).collect(),
                false => range.take(self.len).map(pair).collect(),
            }
        };
        self.is_through = chunk.len() < self.len;
        self.len = (self.len * 2).min(CHUNK.1);
        if let Some((last, _)) = chunk.last() {
            let behind = Bound::Excluded(last.clone());
            // The map refuses bounds that exclude the same key twice, and those in the wrong order.
            self.is_through |= match (self.descending, &self.from, &self.to) {
                (true, Bound::Included(from), _) => from == last,
                _ => false,
            };
            if self.descending { self.to = behind } else { self.from = behind }
        }
        self.chunk = chunk.into_iter();
    }
}

impl Iterator for MemoryCursor {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.chunk.len() == 0 && !self.is_through {
            self.read();
        }
        self.chunk.next()
    }
}
