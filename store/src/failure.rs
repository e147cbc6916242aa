//! Why nothing is written any more, and whether that may pass.

use crate::engine::Live;
use crate::error::{StoreError, is_full};

/// Why nothing is written any more.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// There was no room.
    pub is_full: bool,
    /// The engine may be opened again under those who use it.
    pub may_recover: bool,
    pub reason: String,
}

impl Failure {
    /// The engine failed to write.
    ///
    /// It may be opened again if it noticed that itself for want of room: then nothing behind the failed write is on
    /// disk, or will be. Whatever else went wrong, what the disk holds is known only to a new process.
    pub fn of_engine(live: &Live, error: &StoreError) -> Failure {
        let noticed = live.state().err();
        let is_full = |error: &sled::Error| matches!(error, sled::Error::Io(source) if is_full(source));
        let wanted_room = match (&noticed, error) {
            (Some(noticed), _) => is_full(noticed),
            (None, StoreError::Engine(error)) => is_full(error),
            (None, error) => matches!(error, StoreError::DiskFull),
        };
        let may_recover = wanted_room && noticed.is_some() && !live.is_stuck();
        Failure { is_full: wanted_room, may_recover, reason: error.to_string() }
    }

    /// A file could not be synced: the kernel may have dropped what it did not write, and does not say.
    pub fn of_file(what: &str, error: &std::io::Error) -> Failure {
        Failure { is_full: is_full(error), may_recover: false, reason: format!("{what}: {error}") }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> StoreError {
        if failure.is_full { StoreError::DiskFull } else { StoreError::ReadOnly(failure.reason) }
    }
}
