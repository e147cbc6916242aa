//! All pairs of a new engine as one run, for an engine's files that are written in the order of keys.

use super::manifest::Manifest;
use super::places::{MANIFEST, Part};
use super::run::RunWriter;
use super::{KeyKind, places};
use crate::error::StoreError;

/// Pairs of the engine's tree.
pub type Stored = Vec<(Vec<u8>, Vec<u8>)>;

/// The one run of a new engine.
const NUMBER: u32 = 1;

/// See the module. What it answers with goes into the engine's tree in that order.
pub struct Bottom {
    run: RunWriter,
    /// Parts that lie behind all data blocks.
    behind: Stored,
}

impl Bottom {
    /// Begins.
    pub fn new(key_kind: KeyKind) -> Bottom {
        Bottom { run: RunWriter::new(NUMBER, 0, key_kind), behind: Vec::new() }
    }

    /// Adds a pair, whose key comes after all keys before it, and answers with blocks that are full.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<Stored, StoreError> {
        let (mut blocks, behind) = (Vec::new(), &mut self.behind);
        self.run.add(key, Some(value), &mut |place, bytes| {
            let is_data = place[2] == Part::Data as u8;
            if is_data { &mut blocks } else { &mut *behind }.push((place.to_vec(), bytes));
            Ok(())
        })?;
        Ok(blocks)
    }

    /// The rest, with the manifest and the marks for versions without this layer.
    pub fn finish(mut self, marks: &[(&[u8], &[u8])]) -> Result<Stored, StoreError> {
        let mut rest = std::mem::take(&mut self.behind);
        let info = self.run.finish(&mut |place: places::Place, bytes| {
            rest.push((place.to_vec(), bytes));
            Ok(())
        })?;
        let manifest = Manifest { has_base: false, log_from: 1, runs: info.into_iter().collect() };
        rest.push((MANIFEST.to_vec(), manifest.to_bytes()));
        rest.extend(marks.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        rest.sort();
        Ok(rest)
    }
}
