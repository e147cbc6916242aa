//! What is kept ready for a full disk.
//!
//! Writes end while a reserve is free (`free_space.rs`), but others may take that too. So the space that the engine's log
//! grows into next is allocated before it is written ([`LogSpace`]): what was admitted also lands. And a file of zeros
//! ([`Ballast`]) is given up when the store must be opened, or rows deleted, on a disk without any free space.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::process::{Resource, getrlimit};

use crate::error::StoreError;
use crate::free_space::FreeSpace;

/// A page that the engine keeps in a file of its own has at most sixteen rows of 48 KiB, and some may be rewritten.
pub(crate) const PAGES_BYTES: u64 = 2 << 20;

/// The engine's segments.
pub(crate) const SEGMENT_BYTES: u64 = 512 << 10;
/// Allocated behind the end of the log, and what of it is left when more is allocated.
const AHEAD_BYTES: u64 = 4 << 20;
const AHEAD_BYTES_MIN: u64 = 2 << 20;
/// What a commit is counted with before its flush: some pages are written whole, and each pair of it.
const COMMIT_BYTES: u64 = 16 << 10;
const PAIRS_FACTOR: u64 = 3;

/// The space that the engine's log grows into.
#[derive(Debug)]
pub(crate) struct LogSpace {
    file: Mutex<Arc<File>>,
    state: Mutex<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    /// The log's length when it was looked at last.
    len: u64,
    /// What commits since then may add.
    promised: u64,
    /// Where the allocated space ends.
    end: u64,
    /// Whether the file system can allocate; without, only the reserve guards the log.
    is_supported: bool,
    is_short: bool,
}

impl LogSpace {
    /// For the engine's log. The engine is open already: it may have shortened the file.
    pub fn open(log: &Path) -> Result<LogSpace, StoreError> {
        let file = Mutex::new(open(log)?);
        let state = Ahead { len: 0, promised: 0, end: 0, is_supported: true, is_short: false };
        let space = LogSpace { file, state: Mutex::new(state) };
        space.flushed();
        Ok(space)
    }

    /// Goes on with another log, which the engine has opened in the place of the old one.
    pub fn follow(&self, log: &Path) -> Result<(), StoreError> {
        let file = open(log)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        {
            let mut ahead = self.state();
            (ahead.len, ahead.end) = (0, 0);
        }
        self.flushed();
        Ok(())
    }

    /// Our own handle of the log.
    pub fn file(&self) -> Arc<File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, Ahead> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit with so many bytes of pairs has room in the log, which it then has until the next flush.
    pub fn admits(&self, pairs_bytes: u64) -> bool {
        let mut ahead = self.state();
        let need = COMMIT_BYTES + PAIRS_FACTOR * pairs_bytes;
        let admitted = self.extend(&mut ahead, need);
        if admitted {
            ahead.promised += need;
        }
        admitted
    }

    /// Takes note that the log was flushed, and allocates again.
    pub fn flushed(&self) {
        let mut ahead = self.state();
        let len = self.file().metadata().map_or(ahead.len, |metadata| metadata.len());
        if len < ahead.len {
            // What lay behind the new end went with the old one.
            ahead.end = len;
        }
        ahead.len = len;
        ahead.promised = 0;
        self.extend(&mut ahead, 0);
    }

    /// Counts nothing of the space ahead before it was allocated anew: the engine could not write into it.
    pub fn distrust(&self) {
        {
            let mut ahead = self.state();
            ahead.end = ahead.len;
        }
        self.flushed();
    }

    /// Whether the space ahead is less than it should be.
    pub fn is_short(&self) -> bool {
        self.state().is_short
    }

    /// Whether `need` more fits, with some to spare.
    fn extend(&self, ahead: &mut Ahead, need: u64) -> bool {
        let wanted = ahead.len + ahead.promised + need + AHEAD_BYTES_MIN;
        if !ahead.is_supported || ahead.end >= wanted {
            ahead.is_short = false;
            return true;
        }
        let end = wanted.max(ahead.len + AHEAD_BYTES);
        // A file system may allocate what the process may not write.
        let may_write = getrlimit(Resource::Fsize).current.is_none_or(|limit| end <= limit);
        let allocated = match may_write {
            true => rustix::fs::fallocate(self.file(), FallocateFlags::KEEP_SIZE, ahead.len, end - ahead.len),
            false => Err(rustix::io::Errno::FBIG),
        };
        match allocated {
            Ok(()) => ahead.end = end,
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => {
                ahead.is_short = true;
                // Less than is good to have may still be enough for what is asked for.
                return need > 0 && ahead.end >= wanted - AHEAD_BYTES_MIN + SEGMENT_BYTES;
            }
            Err(reason) => {
                tracing::info!(%reason, "the file system allocates nothing ahead; only the reserve guards the log");
                ahead.is_supported = false;
            }
        }
        ahead.is_short = false;
        true
    }

    /// Writes the end of the last segment as opening the engine does, to see whether that is possible.
    ///
    /// Only for an engine that failed: it reads these zeros as the end of its log.
    pub fn fill_segment(&self) -> std::io::Result<()> {
        let file = self.file();
        let len = file.metadata()?.len();
        let end = len.next_multiple_of(SEGMENT_BYTES);
        file.write_all_at(&vec![0; usize::try_from(end - len).unwrap_or(0)], len)
    }
}

fn open(log: &Path) -> Result<Arc<File>, StoreError> {
    let file = File::options().read(true).write(true).open(log).map_err(StoreError::io(log))?;
    Ok(Arc::new(file))
}

/// A file of zeros that is given up when the disk has no room left.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
}

/// The file of [`Ballast`] in the data folder.
const BALLAST: &str = "ballast";

impl Ballast {
    pub fn new(data: &Path) -> Ballast {
        Ballast { path: data.join(BALLAST) }
    }

    /// Takes so many bytes, if the disk has them to spare.
    pub fn keep(&self, bytes: u64, free_space: &FreeSpace) {
        let held = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if held >= bytes || !free_space.is_left() || free_space.free_bytes() <= 4 * bytes {
            return;
        }
        let take = || -> std::io::Result<()> {
            let file = File::options().create(true).write(true).truncate(true).open(&self.path)?;
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => Ok(()),
                // Written zeros take room wherever nothing can be allocated.
                Err(_) => file.write_all_at(&vec![0; usize::try_from(bytes).unwrap_or(0)], 0),
            }
        };
        if let Err(error) = take() {
            tracing::debug!(%error, "no ballast could be taken");
            self.give_up();
        }
    }

    /// Gives the bytes back to the disk; says whether there were any.
    pub fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

/// Whether a commit may be written.
///
/// One that deletes rows may make room, so it is admitted into what others must leave free, and gets the ballast when
/// there is no more.
pub(crate) fn admits(
    free_space: &FreeSpace,
    log: &LogSpace,
    ballast: &Ballast,
    pairs_bytes: u64,
    deletes: bool,
) -> bool {
    if !free_space.is_left() {
        let has_pages = || free_space.free_bytes() >= PAGES_BYTES;
        if !deletes || !(has_pages() || ballast.give_up() && has_pages()) {
            return false;
        }
    }
    log.admits(pairs_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_allocated_ahead_of_the_log_without_making_it_longer() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        fs::write(&path, [1; 1000]).expect("a log");
        let space = LogSpace::open(&path).expect("space");
        let metadata = || fs::metadata(&path).expect("metadata");
        assert_eq!(metadata().len(), 1000);
        if space.state().is_supported {
            assert!(metadata().blocks() * 512 >= AHEAD_BYTES);
            assert!(space.admits(10 << 20), "a large commit gets room of its own");
            assert!(metadata().blocks() * 512 >= 30 << 20);
        }
        // The engine shortens its log, and what was allocated behind it is gone.
        File::options().write(true).open(&path).and_then(|file| file.set_len(500)).expect("a shorter log");
        space.flushed();
        if space.state().is_supported {
            assert!(metadata().blocks() * 512 >= AHEAD_BYTES);
        }
        space.fill_segment().expect("zeros");
        assert_eq!(metadata().len(), SEGMENT_BYTES);
    }
}
