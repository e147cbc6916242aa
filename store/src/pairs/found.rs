//! Pairs that are found in an engine's files without the engine, for a salvage.

use std::collections::BTreeMap;

use super::block::{self, Block, Kind};
use super::log::Batches;
use super::manifest::Manifest;
use super::places::{self, MANIFEST};

/// A version of a pair. Of two versions of a key the one with the higher age is the newer; `None` is a removal.
pub struct Found {
    /// The key.
    pub key: Vec<u8>,
    /// The value, or none where the key is removed.
    pub value: Option<Vec<u8>>,
    /// How new it is.
    pub age: Age,
}

/// The newest batch of changes that the version may be of, and the place in the engine's log that tells pairs apart that
/// are of no batch.
pub type Age = (u64, u64);

/// Takes apart what is in the engine's tree.
#[derive(Default)]
pub struct Unpacker {
    batches: Batches,
    /// Parts of data blocks that are not whole yet, by the run and the number of the first part.
    parts: BTreeMap<(u32, u32), BTreeMap<u16, Vec<u8>>>,
    /// The newest manifest so far, with its place in the engine's log.
    manifest: Option<(u64, Manifest)>,
    /// Only what this one names counts.
    only: Option<Manifest>,
    /// Blocks and pieces of batches that do not read.
    pub damages: u64,
}

impl Unpacker {
    /// For a second look at files in which this one found nothing damaged: what the manifest does without, such as a run
    /// that was merged but not removed yet, does not count then.
    pub fn of_what_counts(self) -> Unpacker {
        let is_whole = self.damages == 0 && self.torn() == 0;
        let only = self.manifest.filter(|_| is_whole).map(|(_, manifest)| manifest);
        Unpacker { only, ..Unpacker::default() }
    }

    fn counts(&self, key: &[u8]) -> bool {
        let Some(manifest) = &self.only else { return true };
        if let Some((batch, _)) = places::piece_at(key) {
            batch >= manifest.log_from
        } else if let Some(number) = places::run_of(key) {
            manifest.runs.iter().any(|run| run.number == number)
        } else {
            manifest.has_base
        }
    }

    /// What a pair of the engine's tree, found at a place of its log, says of pairs of the store.
    pub fn unpack(&mut self, key: Vec<u8>, value: Vec<u8>, place: u64) -> Vec<Found> {
        if key == MANIFEST {
            match Manifest::from_bytes(&value) {
                Ok(manifest) if self.manifest.as_ref().is_none_or(|(known, _)| *known <= place) => {
                    self.manifest = Some((place, manifest));
                }
                Ok(_) => {}
                Err(_) => self.damages += 1,
            }
            return Vec::new();
        }
        if !self.counts(&key) {
            return Vec::new();
        }
        if !key.starts_with(&places::OWN) {
            return vec![Found { key, value: Some(value), age: (0, place) }];
        }
        let (entries, through) = if let Some((batch, number)) = places::piece_at(&key) {
            match self.batches.add(batch, number, value.into()) {
                Ok(Some(entries)) => (entries, batch),
                Ok(None) => return Vec::new(),
                Err(_) => {
                    self.damages += 1;
                    return Vec::new();
                }
            }
        } else if let Some((run, number)) = places::data_at(&key) {
            let whole = match self.put_together(run, number, value) {
                Some(Some(whole)) => Block::read(whole.into(), Kind::Data, true),
                Some(None) => return Vec::new(),
                None => None,
            };
            match whole.and_then(|block| Some((block.all()?, block.through()))) {
                Some(found) => found,
                None => {
                    self.damages += 1;
                    return Vec::new();
                }
            }
        } else {
            // Where blocks are is of no use without the others.
            return Vec::new();
        };
        let version = |(key, value): super::Entry| Found {
            key: key.to_vec(),
            value: value.map(|value| value.to_vec()),
            age: (through, place),
        };
        entries.into_iter().map(version).collect()
    }

    /// The data block of which this is the last part to come; nothing where others are missing, and `None` for no part.
    fn put_together(&mut self, run: u32, number: u32, bytes: Vec<u8>) -> Option<Option<Vec<u8>>> {
        let at = block::further(&bytes).map_or(0, |(at, _)| at);
        if at == 0 && block::parts_of(&bytes)? == 1 {
            return Some(Some(bytes));
        }
        let first = (run, number.checked_sub(u32::from(at))?);
        let parts = self.parts.entry(first).or_default();
        parts.insert(at, bytes);
        let count = parts.get(&0).and_then(|first| block::parts_of(first));
        if count.is_none_or(|count| parts.len() < usize::from(count)) {
            return Some(None);
        }
        let parts = self.parts.remove(&first)?;
        let mut whole = Vec::new();
        for (at, bytes) in &parts {
            whole.extend_from_slice(if *at == 0 { bytes } else { block::further(bytes)?.1 });
        }
        Some(Some(whole))
    }

    /// What there is of batches of which a piece is missing, once everything was taken apart.
    pub fn rest(&mut self) -> Vec<Found> {
        let found = |(batch, entries): (u64, Vec<super::Entry>)| {
            entries.into_iter().map(move |(key, value)| Found {
                key: key.to_vec(),
                value: value.map(|value| value.to_vec()),
                age: (batch, 0),
            })
        };
        self.batches.rest().into_iter().flat_map(found).collect()
    }

    /// Batches and data blocks of which a piece is missing. A run that the manifest does without may be half removed.
    pub fn torn(&self) -> u64 {
        let counts = |run: u32| {
            let manifest = self.manifest.as_ref().map(|(_, manifest)| manifest);
            manifest.is_none_or(|manifest| manifest.runs.iter().any(|other| other.number == run))
        };
        let blocks = self.parts.keys().filter(|(run, _)| counts(*run)).count();
        (self.batches.torn() + blocks) as u64
    }
}
