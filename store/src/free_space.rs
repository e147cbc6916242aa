//! Free space on the disk: writes end a little before it is full, because the engine fails for good when it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// How long an answer of the system is believed, in milliseconds.
const BELIEVED_MS: u64 = 50;
/// What stays free: a sixteenth of the disk within these bounds. The engine takes segments of half a MiB, and some ahead.
const RESERVE_BYTES: (u64, u64) = (4 << 20, 64 << 20);

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
            self.asked_ms.store(now, Ordering::Relaxed);
            self.is_left.store(self.ask(), Ordering::Relaxed);
        }
        self.is_left.load(Ordering::Relaxed)
    }

    fn ask(&self) -> bool {
        // A system that does not say how much there is may have enough.
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return true };
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        let reserve = self
            .reserve_bytes
            .unwrap_or_else(|| (bytes(disk.f_blocks) / 16).clamp(RESERVE_BYTES.0, RESERVE_BYTES.1));
        bytes(disk.f_bavail) > reserve
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
