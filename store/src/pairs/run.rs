//! Runs: all entries of some time in the order of their keys, in blocks that never change.
//!
//! A run is searched from the top: what the top blocks say is in memory, and leads to an index block, which leads to a data
//! block. Where a block begins is noted as the shortest text between its first key and the key before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sled::IVec;

use super::block::{self, Block, BlockWriter, Kind, common};
use super::cache::{BlockCache, BlockId};
use super::filter;
use super::manifest::RunInfo;
use super::places::{self, Part, Place};
use super::{Entry, KeyKind};
use crate::error::StoreError;

/// Blocks behind the first one that a short reading takes.
const FEW: u32 = 4;
/// Bytes of a filter that are kept in one place.
const FILTER_BYTES: usize = 6 << 10;

/// Numbers of runs whose parts are of no use any more.
#[derive(Debug, Default)]
pub(super) struct Garbage(Mutex<Vec<u32>>);

impl Garbage {
    pub fn add(&self, run: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(run);
    }

    pub fn all(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn remove(&self, run: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != run);
    }
}

/// How blocks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A few of them, which are kept for the next one who reads them.
    Short,
    /// Many in a row, which would take the places of those that are read often.
    Long,
    /// All, from the engine, with a look at their checksums: for those who write what they read.
    Verified,
}

/// A run that is read.
pub(super) struct Run {
    pub info: RunInfo,
    tree: sled::Tree,
    cache: Arc<BlockCache>,
    /// Where index blocks begin, by their number.
    tops: Vec<IVec>,
    filter: Vec<u8>,
    /// Set once the manifest does without it; its parts go with its last reader.
    is_replaced: AtomicBool,
    garbage: Arc<Garbage>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_replaced.load(Ordering::Acquire) {
            self.garbage.add(self.info.number);
        }
    }
}

impl Run {
    /// Reads the top of a run. A filter that is missing or damaged, or has other keys than those of this version of
    /// [`KeyKind`], only makes reading slower.
    pub fn open(
        tree: &sled::Tree,
        cache: &Arc<BlockCache>,
        info: RunInfo,
        garbage: &Arc<Garbage>,
        kind: u8,
    ) -> Result<Run, StoreError> {
        let mut run = Run {
            info,
            tree: tree.clone(),
            cache: cache.clone(),
            tops: Vec::new(),
            filter: Vec::new(),
            is_replaced: AtomicBool::new(false),
            garbage: garbage.clone(),
        };
        for number in 0..info.top {
            let entries = run.stored_block(Part::Top, number, true)?.all().ok_or_else(|| run.damaged())?;
            run.tops.extend(entries.into_iter().map(|(key, _)| key));
        }
        if run.tops.len() != info.index as usize {
            return Err(run.damaged());
        }
        if info.kind == kind {
            run.filter = run.read_filter()?.unwrap_or_default();
        }
        Ok(run)
    }

    fn read_filter(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let len = self.info.filter as usize;
        let mut filter = Vec::with_capacity(len);
        for number in 0..len.div_ceil(FILTER_BYTES) as u32 {
            let place = places::part(Part::Filter, self.info.number, number);
            let Some(part) = self.tree.get(place)? else { return Ok(None) };
            match part.split_first_chunk::<4>() {
                Some((checksum, bytes)) if crc32c::crc32c(bytes).to_le_bytes() == *checksum => {
                    filter.extend_from_slice(bytes);
                }
                _ => return Ok(None),
            }
        }
        Ok((filter.len() == len).then_some(filter))
    }

    /// Takes note that the manifest does without it.
    pub fn replaced(&self) {
        self.is_replaced.store(true, Ordering::Release);
    }

    fn damaged(&self) -> StoreError {
        StoreError::Corrupt(format!("a block of run {}", self.info.number))
    }

    fn id(&self, part: Part, number: u32) -> BlockId {
        BlockId { run: self.info.number, number, is_data: part == Part::Data }
    }

    fn block(&self, part: Part, number: u32, reading: Reading) -> Result<Block, StoreError> {
        if reading == Reading::Verified {
            return self.stored_block(part, number, true);
        }
        let id = self.id(part, number);
        if let Some(block) = self.cache.get(id) {
            return Ok(block);
        }
        let block = self.stored_block(part, number, false)?;
        if reading == Reading::Short {
            self.cache.add(id, &block);
        }
        Ok(block)
    }

    fn stored_block(&self, part: Part, number: u32, verified: bool) -> Result<Block, StoreError> {
        let bytes = self.tree.get(places::part(part, self.info.number, number))?;
        let mut bytes = bytes.ok_or_else(|| self.damaged())?;
        let parts = block::parts_of(&bytes).ok_or_else(|| self.damaged())?;
        if parts > 1 {
            let mut whole = bytes.to_vec();
            for at in 1..parts {
                let place = places::part(part, self.info.number, number.saturating_add(u32::from(at)));
                let further = self.tree.get(place)?;
                let further = further.as_deref().and_then(block::further);
                let (_, more) = further.filter(|(is, _)| *is == at).ok_or_else(|| self.damaged())?;
                whole.extend_from_slice(more);
            }
            bytes = whole.into();
        }
        let kind = if part == Part::Data { Kind::Data } else { Kind::Index };
        Block::read(bytes, kind, verified).ok_or_else(|| self.damaged())
    }

    /// The number of the data block of which the part with this number is one.
    fn block_with(&self, number: u32) -> Result<u32, StoreError> {
        if self.cache.get(self.id(Part::Data, number)).is_some() {
            return Ok(number);
        }
        let bytes = self.tree.get(places::part(Part::Data, self.info.number, number))?;
        let bytes = bytes.ok_or_else(|| self.damaged())?;
        let before = block::further(&bytes).map_or(0, |(at, _)| u32::from(at));
        number.checked_sub(before).ok_or_else(|| self.damaged())
    }

    /// The number of the data block in which a key lies, if it is there.
    fn number_of(&self, key: &[u8]) -> Result<u32, StoreError> {
        let index = self.tops.partition_point(|top| top[..] <= *key).saturating_sub(1);
        let block = self.block(Part::Index, index as u32, Reading::Short)?;
        block.number_of(key).filter(|number| *number < self.info.data).ok_or_else(|| self.damaged())
    }

    /// What the run has of a key: nothing, a removal or a value. `hash` is there for a key that is in the filter.
    pub fn get(&self, key: &[u8], hash: Option<u32>) -> Result<Option<Option<IVec>>, StoreError> {
        if let Some(hash) = hash
            && self.info.filter > 0
            && !self.filter.is_empty()
            && !filter::may_have(&self.filter, hash)
        {
            return Ok(None);
        }
        let block = self.block(Part::Data, self.number_of(key)?, Reading::Short)?;
        block.get(key).ok_or_else(|| self.damaged())
    }
}

/// Reads a range of a run.
pub(super) struct RunCursor {
    run: Arc<Run>,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    descending: bool,
    reading: Reading,
    /// How many more blocks are few.
    few: u32,
    block: Option<Block>,
    number: u32,
    group: usize,
    /// Entries that come next, the next one last.
    entries: Vec<Entry>,
    is_through: bool,
}

impl RunCursor {
    pub fn new(
        run: Arc<Run>,
        from: &[u8],
        to: Option<&[u8]>,
        descending: bool,
        reading: Reading,
    ) -> RunCursor {
        RunCursor {
            is_through: run.info.data == 0 || to.is_some_and(|to| to <= from),
            run,
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            descending,
            reading,
            few: FEW,
            block: None,
            number: 0,
            group: 0,
            entries: Vec::new(),
        }
    }

    fn open(&mut self, number: u32) -> Result<usize, StoreError> {
        if self.reading == Reading::Short {
            self.few -= 1;
            if self.few == 0 {
                self.reading = Reading::Long;
            }
        }
        let block = self.run.block(Part::Data, number, self.reading)?;
        let groups = block.groups();
        (self.block, self.number) = (Some(block), number);
        Ok(groups)
    }

    /// Goes to the group with the first entry.
    fn seek(&mut self) -> Result<(), StoreError> {
        let key = if self.descending { self.to.as_deref() } else { Some(&self.from[..]) };
        let number = match key {
            Some(key) => self.run.number_of(key)?,
            None => self.run.block_with(self.run.info.data - 1)?,
        };
        let block = self.run.block(Part::Data, number, self.reading)?;
        self.group = match key {
            Some(key) => block.group_of(key).ok_or_else(|| self.run.damaged())?,
            None => block.groups() - 1,
        };
        (self.block, self.number) = (Some(block), number);
        Ok(())
    }

    fn next_block(&self) -> u32 {
        self.number.saturating_add(self.block.as_ref().map_or(1, Block::parts))
    }

    /// Goes to the next group; false where there is none.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let groups = self.block.as_ref().map_or(0, Block::groups);
        if self.descending {
            if self.group > 0 {
                self.group -= 1;
            } else if self.number > 0 {
                let before = self.run.block_with(self.number - 1)?;
                self.group = self.open(before)? - 1;
            } else {
                return Ok(false);
            }
        } else if self.group + 1 < groups {
            self.group += 1;
        } else if self.next_block() < self.run.info.data {
            self.open(self.next_block())?;
            self.group = 0;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads a group with entries of the range; false at the end.
    fn read(&mut self) -> Result<bool, StoreError> {
        loop {
            let is_there = if self.block.is_none() { self.seek().map(|()| true)? } else { self.advance()? };
            if !is_there {
                return Ok(false);
            }
            let Some(block) = &self.block else { return Ok(false) };
            let range = (&self.from[..], self.to.as_deref());
            let reach = block.entries(self.group, range, &mut self.entries);
            let reach = reach.ok_or_else(|| self.run.damaged())?;
            self.is_through = if self.descending { reach.from } else { reach.to };
            if !self.descending {
                self.entries.reverse();
            }
            if !self.entries.is_empty() || self.is_through {
                return Ok(!self.entries.is_empty());
            }
        }
    }
}

impl Iterator for RunCursor {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.entries.is_empty() {
            if self.is_through {
                return None;
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => self.is_through = true,
                Err(error) => {
                    self.is_through = true;
                    return Some(Err(error));
                }
            }
        }
        self.entries.pop().map(Ok)
    }
}

/// Where the parts of a run go.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Place, Vec<u8>) -> Result<(), StoreError>;

/// A run in the making.
pub(super) struct RunWriter {
    info: RunInfo,
    data: BlockWriter,
    index: BlockWriter,
    top: BlockWriter,
    last_key: Vec<u8>,
    key_kind: KeyKind,
    hashes: Vec<u32>,
}

impl RunWriter {
    pub fn new(number: u32, through: u64, key_kind: KeyKind) -> RunWriter {
        RunWriter {
            info: RunInfo { number, through, kind: key_kind.version, ..RunInfo::default() },
            data: BlockWriter::new(Kind::Data, through),
            index: BlockWriter::new(Kind::Index, through),
            top: BlockWriter::new(Kind::Index, through),
            last_key: Vec::new(),
            key_kind,
            hashes: Vec::new(),
        }
    }

    /// Adds an entry, whose key comes after all keys before it.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>, sink: Sink) -> Result<(), StoreError> {
        if self.info.entries > 0 && *self.last_key >= *key {
            return Err(StoreError::Corrupt("keys are not in their order".into()));
        }
        if self.data.is_full_before(key.len() + value.map_or(0, <[u8]>::len)) {
            self.end_data(sink)?;
        }
        if self.data.is_empty() {
            let is_first = self.info.entries == 0;
            let len = if is_first { 0 } else { (common(&self.last_key, key) + 1).min(key.len()) };
            self.begins(&key[..len], sink)?;
        }
        self.data.add(key, value);
        self.info.entries += 1;
        self.info.removed += u64::from(value.is_none());
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if (self.key_kind.is_looked_up)(key) {
            self.hashes.push(filter::hash(key));
        }
        Ok(())
    }

    /// A data block begins.
    fn begins(&mut self, key: &[u8], sink: Sink) -> Result<(), StoreError> {
        if self.index.is_full_before(key.len() + 4) {
            self.end_index(sink)?;
        }
        if self.index.is_empty() {
            if self.top.is_full_before(key.len() + 4) {
                self.end_top(sink)?;
            }
            self.top.add(key, Some(&self.info.index.to_be_bytes()));
        }
        self.index.add(key, Some(&self.info.data.to_be_bytes()));
        Ok(())
    }

    fn end_data(&mut self, sink: Sink) -> Result<(), StoreError> {
        let block = self.data.finish();
        self.info.bytes += block.len() as u64;
        let too_large = || StoreError::Limit { what: "bytes of one pair", max: 256 << 20 };
        for part in block::parts(block).ok_or_else(too_large)? {
            sink(places::part(Part::Data, self.info.number, self.info.data), part)?;
            self.info.data += 1;
        }
        Ok(())
    }

    fn end_index(&mut self, sink: Sink) -> Result<(), StoreError> {
        sink(places::part(Part::Index, self.info.number, self.info.index), self.index.finish())?;
        self.info.index += 1;
        Ok(())
    }

    fn end_top(&mut self, sink: Sink) -> Result<(), StoreError> {
        sink(places::part(Part::Top, self.info.number, self.info.top), self.top.finish())?;
        self.info.top += 1;
        Ok(())
    }

    /// Writes the rest. `None` for a run without entries, of which there is no part.
    pub fn finish(mut self, sink: Sink) -> Result<Option<RunInfo>, StoreError> {
        if self.info.entries == 0 {
            return Ok(None);
        }
        self.end_data(sink)?;
        self.end_index(sink)?;
        self.end_top(sink)?;
        let filter = filter::of(&self.hashes);
        self.info.filter = filter.len() as u32;
        for (number, bytes) in (0..).zip(filter.chunks(FILTER_BYTES)) {
            let part = [&crc32c::crc32c(bytes).to_le_bytes(), bytes].concat();
            sink(places::part(Part::Filter, self.info.number, number), part)?;
        }
        Ok(Some(self.info))
    }
}
