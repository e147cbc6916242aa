//! A new engine's files with all pairs of a store, given in the order of their keys: one run (`pairs`), whose blocks lie in
//! full pages of the engine (`build.rs`).

use std::path::Path;

use crate::build::Builder;
use crate::error::StoreError;
use crate::keys;
use crate::pairs::Bottom;

/// Files in the making.
pub(crate) struct Rebuild {
    files: Builder,
    bottom: Bottom,
}

impl Rebuild {
    /// Begins in the new folder `engine`.
    pub fn create(engine: &Path) -> Result<Rebuild, StoreError> {
        Ok(Rebuild { files: Builder::create(engine)?, bottom: Bottom::new(keys::LOOKED_UP) })
    }

    /// Adds a pair, whose key comes after all keys before it.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let files = &mut self.files;
        self.bottom.add(key, value)?.into_iter().try_for_each(|(place, bytes)| files.add(place, bytes))
    }

    /// Writes the rest and makes everything durable.
    pub fn finish(mut self) -> Result<(), StoreError> {
        for (place, bytes) in self.bottom.finish(keys::MARKS)? {
            self.files.add(place, bytes)?;
        }
        self.files.finish()
    }
}
