//! The end of the engine's log as it was before the engine opened it.
//!
//! Opening ends the log at the first message that is not whole and fills the rest of that segment with zeros, as is right
//! after a crash. Where damage is the cause, acknowledged commits stand behind it. So a start that finds some missing puts
//! back what opening changed; a salvage then finds them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::log_scan::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::reserve::SEGMENT_BYTES;

/// Segments that an open may change; the engine writes few at a time.
const SEGMENTS_MAX: usize = 16;

/// See the module.
pub(crate) struct LogTail {
    engine: PathBuf,
    len: u64,
    segments: Vec<(u64, Vec<u8>)>,
    snapshots: BTreeSet<OsString>,
}

impl LogTail {
    /// Reads the end of the log in the engine's folder; `None` for a new one.
    ///
    /// A segment without a valid header is an error unless `accepts_damage`: the engine would take it for free and write
    /// over it.
    pub fn read(engine: &Path, accepts_damage: bool) -> Result<Option<LogTail>, StoreError> {
        let path = engine.join("db");
        let log = match File::open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&path)(error)),
        };
        let read = |bytes: &mut [u8], at: u64| log.read_exact_at(bytes, at).map_err(StoreError::io(&path));
        let len = log.metadata().map_err(StoreError::io(&path))?.len();
        let mut headers = Vec::new();
        for start in (0..len).step_by(SEGMENT_BYTES as usize) {
            let mut bytes = vec![0; SEGMENT_HEADER_BYTES.min(usize::try_from(len - start).unwrap_or(0))];
            read(&mut bytes, start)?;
            match SegmentHeader::read(&bytes) {
                Some(header) => headers.push((start, header)),
                // Never written, given up after a crash, or too short for the engine to look at.
                None if bytes.iter().all(|byte| *byte == 0) || bytes.len() < SEGMENT_HEADER_BYTES => {}
                None if accepts_damage => {}
                None => {
                    return Err(StoreError::Open(format!(
                        "{} is damaged at byte {start}: a segment has no valid header, and opening the store would \
                         write over it. Restore a backup (`playhouse restore`), write what can be read into a new \
                         folder (`playhouse salvage`), or start with --accept-data-loss to go on without it",
                        path.display()
                    )));
                }
            }
        }
        let stable = headers.iter().map(|(_, header)| header.stable_segment).max().unwrap_or(0);
        let mut segments = Vec::new();
        for (start, _) in headers.iter().filter(|(_, header)| header.segment >= stable).take(SEGMENTS_MAX) {
            let mut bytes = vec![0; usize::try_from(SEGMENT_BYTES.min(len - start)).unwrap_or(0)];
            read(&mut bytes, *start)?;
            segments.push((*start, bytes));
        }
        Ok(Some(LogTail { engine: engine.to_path_buf(), len, segments, snapshots: snapshots(engine) }))
    }

    /// Puts back what it read. The engine must be closed.
    pub fn put_back(self) -> std::io::Result<()> {
        let log = File::options().write(true).open(self.engine.join("db"))?;
        for (start, bytes) in &self.segments {
            log.write_all_at(bytes, *start)?;
        }
        log.set_len(self.len)?;
        log.sync_all()?;
        for name in snapshots(&self.engine).difference(&self.snapshots) {
            fs::remove_file(self.engine.join(name))?;
        }
        Ok(())
    }
}

fn snapshots(engine: &Path) -> BTreeSet<OsString> {
    let names = fs::read_dir(engine).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("snap.")).collect()
}
