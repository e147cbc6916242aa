//! What is new, in memory: the last change of each key since the last run.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sled::IVec;

use super::Entry;

/// What an entry takes beside its bytes, about: two counted buffers and a place in the map.
const ENTRY_BYTES: usize = 100;
/// Entries that a reading takes at once: few at first, for it may end soon.
const CHUNK: (usize, usize) = (16, 256);

/// See the module.
#[derive(Default)]
pub(super) struct Memory(RwLock<Entries>);

#[derive(Default)]
pub(super) struct Entries {
    pub map: BTreeMap<IVec, Option<IVec>>,
    /// About what they take.
    pub bytes: usize,
}

impl Memory {
    pub fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes in, which readers see together.
    pub fn add(&self, changes: impl Iterator<Item = Entry>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let len = |value: &Option<IVec>| value.as_ref().map_or(0, |value| value.len());
        for (key, value) in changes {
            entries.bytes += len(&value);
            let key_bytes = key.len();
            match entries.map.insert(key, value) {
                Some(before) => entries.bytes = entries.bytes.saturating_sub(len(&before)),
                None => entries.bytes += ENTRY_BYTES + key_bytes,
            }
        }
    }

    /// What a key was changed to, if it was.
    pub fn get(&self, key: &[u8]) -> Option<Option<IVec>> {
        self.read().map.get(key).cloned()
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
