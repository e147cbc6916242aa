//! Several sorted sources read as one: of each key the newest entry, and nothing for a removed one.

use std::sync::Arc;

use sled::IVec;

use super::memory::MemoryCursor;
use super::run::RunCursor;
use super::{Entry, Pair};
use crate::error::StoreError;

/// A sorted source.
pub(super) enum Cursor {
    Memory(MemoryCursor),
    Run(Box<RunCursor>),
    /// The base, with what keeps it there.
    Base(
        Box<dyn Iterator<Item = Result<Pair, sled::Error>>>,
        #[expect(dead_code, reason = "it is held, not read")] Arc<()>,
    ),
}

impl Cursor {
    fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        match self {
            Cursor::Memory(memory) => Ok(memory.next()),
            Cursor::Run(run) => run.next().transpose(),
            Cursor::Base(base, _) => Ok(base.next().transpose()?.map(|(key, value)| (key, Some(value)))),
        }
    }
}

/// See the module. Removed keys are entries without a value.
pub(super) struct Merged {
    /// Newest first, each with its next entry.
    sources: Vec<(Cursor, Option<Entry>)>,
    descending: bool,
    /// Whether each source was asked for its first entry.
    has_begun: bool,
}

impl Merged {
    pub fn new(cursors: Vec<Cursor>, descending: bool) -> Merged {
        let sources = cursors.into_iter().map(|cursor| (cursor, None)).collect();
        Merged { sources, descending, has_begun: false }
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.has_begun = true;
        let mut with_entries = Vec::with_capacity(self.sources.len());
        for (mut cursor, _) in std::mem::take(&mut self.sources) {
            if let Some(entry) = cursor.next()? {
                with_entries.push((cursor, Some(entry)));
            }
        }
        self.sources = with_entries;
        Ok(())
    }

    fn first(&self) -> Option<usize> {
        let mut first: Option<(usize, &IVec)> = None;
        for (position, (_, entry)) in self.sources.iter().enumerate() {
            let Some((key, _)) = entry else { continue };
            // Of equal keys the newest stays.
            let is_before = |other: &IVec| if self.descending { key > other } else { key < other };
            if first.is_none_or(|(_, other)| is_before(other)) {
                first = Some((position, key));
            }
        }
        first.map(|(position, _)| position)
    }

    fn take(&mut self) -> Result<Option<Entry>, StoreError> {
        if !self.has_begun {
            self.begin()?;
        }
        let Some(first) = self.first() else { return Ok(None) };
        let (cursor, entry) = &mut self.sources[first];
        let taken = entry.take();
        *entry = cursor.next()?;
        let Some(taken) = taken else { return Ok(None) };
        for (cursor, entry) in &mut self.sources[first + 1..] {
            if entry.as_ref().is_some_and(|(key, _)| *key == taken.0) {
                *entry = cursor.next()?;
            }
        }
        Ok(Some(taken))
    }
}

impl Iterator for Merged {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take().transpose();
        if matches!(taken, Some(Err(_))) {
            // What follows a failure would look whole and is not.
            self.sources.clear();
        }
        taken
    }
}
