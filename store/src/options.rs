//! How a store is opened, and what opening it found.

/// How to open.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Bytes of pages that the engine keeps in memory.
    pub cache_bytes: u64,
    /// Open although acknowledged commits are missing, and count the rows that are there as all.
    pub accept_data_loss: bool,
    /// Keep a copy of an engine that does not open, and open it without its snapshot.
    pub salvage: bool,
    /// Bytes of the disk that stay free; chosen by its size when absent.
    pub disk_reserve_bytes: Option<u64>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            cache_bytes: 64 << 20,
            accept_data_loss: false,
            salvage: false,
            disk_reserve_bytes: None,
        }
    }
}

/// What opening found and did, for the log.
#[derive(Debug, Default)]
pub struct Opened {
    /// Unusual things, in words.
    pub remarks: Vec<String>,
    /// Indexes that were filled.
    pub indexes_filled: usize,
}
