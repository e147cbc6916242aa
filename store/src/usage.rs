//! How much is kept, against what the folder takes for it.

use std::fs;
use std::path::Path;

use models::TableInfo;

use crate::Store;
use crate::core::tree_folder;

/// Bytes of the store without its blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What the engine's files take.
    pub used_bytes: u64,
    /// Rows and index entries that are kept; unknown until everything was read once.
    pub live_bytes: Option<u64>,
}

impl Store {
    /// How much is kept, against what the folder takes for it.
    pub fn usage(&self) -> Usage {
        let core = &self.inner.core;
        Usage { used_bytes: used_bytes(&core.data), live_bytes: core.tally.sum() }
    }

    /// Bytes of a table's rows and index entries; unknown until everything was read once.
    pub fn live_bytes_of(&self, table: &TableInfo) -> Option<u64> {
        self.inner.core.tally.of(table.id)
    }
}

/// What the engine's files take.
pub(crate) fn used_bytes(data: &Path) -> u64 {
    let engine = tree_folder(data);
    let below = |folder: &Path| -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let len = |metadata: fs::Metadata| if metadata.is_file() { metadata.len() } else { 0 };
        entries.filter_map(|entry| entry.metadata().ok().map(len)).sum()
    };
    below(&engine) + below(&engine.join("blobs"))
}
