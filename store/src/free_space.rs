//! Free space on the disk: writes end a little before it is full.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rustix::fs::StatVfs;

/// How long an answer of the system is believed, in milliseconds.
const BELIEVED_MS: u64 = 50;
/// What stays free: a sixteenth of the disk within these bounds.
const RESERVE_BYTES: (u64, u64) = (4 << 20, 64 << 20);
/// Below so many reserves others can fill a disk while an answer is believed.
const ROOMY_RESERVES: u64 = 4;
/// Whether the disk of a folder has room for more.
#[derive(Debug)]
pub(crate) struct FreeSpace {
    folder: PathBuf,
    reserve_bytes: Option<u64>,
    since: Instant,
    /// When the system was asked, in milliseconds after `since`, plus one; 0 for never.
    asked_ms: AtomicU64,
    is_left: AtomicBool,
}

impl FreeSpace {
    pub fn new(folder: &Path, reserve_bytes: Option<u64>) -> FreeSpace {
        FreeSpace {
            folder: folder.to_path_buf(),
            reserve_bytes,
            since: Instant::now(),
            asked_ms: AtomicU64::new(0),
            is_left: AtomicBool::new(true),
        }
    }

    /// Whether more may be written.
    pub fn is_left(&self) -> bool {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let asked = self.asked_ms.load(Ordering::Relaxed);
        if asked == 0 || now.saturating_sub(asked) >= BELIEVED_MS {
            let (is_left, is_roomy) = self.ask();
            self.asked_ms.store(if is_roomy { now } else { 0 }, Ordering::Relaxed);
            self.is_left.store(is_left, Ordering::Relaxed);
        }
        self.is_left.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more leave the reserve.
    pub fn is_left_after(&self, bytes: u64) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return true };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        free.checked_sub(bytes).is_some_and(|left| left > self.reserve(&disk))
    }

    fn reserve(&self, disk: &StatVfs) -> u64 {
        let chosen = disk.f_blocks.saturating_mul(disk.f_frsize) / 16;
        self.reserve_bytes.unwrap_or(chosen.clamp(RESERVE_BYTES.0, RESERVE_BYTES.1))
    }

    /// Bytes that are free now; a system that does not say how much there is may have enough.
    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether more than the reserve is free, and whether so much that the answer may be believed for a moment.
    fn ask(&self) -> (bool, bool) {
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return (true, true) };
        let reserve = self.reserve(&disk);
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        (free > reserve, free > reserve.saturating_mul(ROOMY_RESERVES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_until_only_the_reserve_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(FreeSpace::new(folder.path(), Some(0)).is_left());
        assert!(!FreeSpace::new(folder.path(), Some(u64::MAX)).is_left());
        assert!(FreeSpace::new(&folder.path().join("nowhere"), Some(u64::MAX)).is_left());
    }
}
