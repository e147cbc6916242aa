//! Pairs that are found in an engine's files without the engine, for a salvage.

use super::block::{Block, Kind};
use super::log::Batches;
use super::places;

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
    /// Blocks and pieces of batches that do not read.
    pub damages: u64,
}

impl Unpacker {
    /// What a pair of the engine's tree, found at a place of its log, says of pairs of the store.
    pub fn unpack(&mut self, key: Vec<u8>, value: Vec<u8>, place: u64) -> Vec<Found> {
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
        } else if places::is_data(&key) {
            let block = Block::read(value.into(), Kind::Data, true);
            match block.and_then(|block| Some((block.all()?, block.through()))) {
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

    /// Batches of which a piece is missing.
    pub fn torn(&self) -> u64 {
        self.batches.torn() as u64
    }
}
