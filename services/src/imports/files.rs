//! One user's files of a source, read one at a time when their turn comes: a folder never lies in memory whole.

use std::sync::{Arc, Mutex, PoisonError};

use super::source::Source;
use crate::error::{Kind, ServiceError};

/// Files below a folder of a source.
#[derive(Clone)]
pub(super) struct Files {
    source: Arc<Mutex<Source>>,
    root: String,
}

impl Files {
    /// Those below `root`, which is empty or ends in a slash.
    pub fn below(source: &Arc<Mutex<Source>>, root: &str) -> Files {
        Files { source: source.clone(), root: root.into() }
    }

    /// Reads a file of at most `most` bytes on a thread that may block; or says why it is not read.
    pub async fn read(&self, path: &str, most: u64) -> Result<Result<Vec<u8>, String>, ServiceError> {
        let (source, path) = (self.source.clone(), format!("{}{path}", self.root));
        let work = tokio::task::spawn_blocking(move || {
            let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
            source.read(&path, most)
        });
        work.await.map_err(|_| ServiceError::new(Kind::Internal, "reading the source failed unexpectedly"))
    }
}
