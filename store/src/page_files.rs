//! Pages that the engine keeps outside its log.
//!
//! A page above 128 KiB, such as a leaf with sixteen rows of 8 KB, becomes a file of its own below `blobs`, named by its
//! place in the log. The engine writes it before the log's buffer that points to it and never syncs it; so this does,
//! between the engine's flush and the acknowledgement.
//!
//! What it cannot do is keep the engine from removing a page's older file before the newer one is synced: a commit that
//! fills a whole segment of the log (512 KiB) may do that between its application and its flush. A power cut then costs
//! what was on that page; a killed process costs nothing.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A folder changed less than this before it was read may change again without a new time.
const TIME_GRAIN: Duration = Duration::from_millis(200);
/// The kernel has long written what an earlier process left without a sync.
const WRITTEN_BACK: Duration = Duration::from_secs(3600);

/// Notes which of the engine's page files are durable.
pub(crate) struct PageFiles {
    folder: PathBuf,
    durable: HashSet<OsString>,
    /// The folder's names as read last, and its time then, unless another change could have that time too.
    names: HashSet<OsString>,
    read_at: Option<SystemTime>,
    synced: u64,
}

impl PageFiles {
    /// For the engine's folder. What lies there for long already needs no sync.
    pub fn open(engine: &Path) -> io::Result<PageFiles> {
        let folder = engine.join("blobs");
        let mut files =
            PageFiles { folder, durable: HashSet::new(), names: HashSet::new(), read_at: None, synced: 0 };
        files.look()?;
        let is_old = |name: &&OsString| {
            let modified = fs::metadata(files.folder.join(name)).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > WRITTEN_BACK))
        };
        files.durable = files.names.iter().filter(is_old).cloned().collect();
        Ok(files)
    }

    /// Reads the folder if it changed; costs one `stat` otherwise.
    fn look(&mut self) -> io::Result<()> {
        let modified = fs::metadata(&self.folder)?.modified()?;
        if self.read_at == Some(modified) {
            return Ok(());
        }
        let settled = modified.elapsed().is_ok_and(|age| age > TIME_GRAIN);
        self.names =
            fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        self.read_at = settled.then_some(modified);
        Ok(())
    }

    /// Runs the engine's flush and makes every page file durable that the flushed log points to.
    pub fn sync_around<E: From<io::Error>>(
        &mut self,
        flush: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.look()?;
        // A flush waits for writers whose place in the log is taken, and they take it before they make the file. So
        // these are whole once it returns; files that appear meanwhile may still grow and are synced again next time.
        let whole = self.names.clone();
        flush()?;
        self.look()?;
        let fresh: Vec<&OsString> =
            whole.union(&self.names).filter(|name| !self.durable.contains(*name)).collect();
        if !fresh.is_empty() {
            for name in &fresh {
                match File::open(self.folder.join(name)).and_then(|file| file.sync_all()) {
                    // The engine removes pages that were written anew.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
            self.synced += fresh.len() as u64;
            File::open(&self.folder)?.sync_all()?;
        }
        self.durable.retain(|name| self.names.contains(name));
        self.durable.extend(whole.into_iter().filter(|name| self.names.contains(name)));
        Ok(())
    }

    /// Syncs of page files so far.
    pub fn synced(&self) -> u64 {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) -> io::Result<()> {
        fs::write(folder.join("blobs").join(name), name)
    }

    #[test]
    fn what_is_there_before_the_flush_is_synced_once_and_what_comes_meanwhile_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::create_dir(folder.join("blobs")).expect("a folder");
        let mut files = PageFiles::open(folder).expect("page files");
        write(folder, "100").expect("a page");
        files.sync_around(|| write(folder, "300")).expect("a sync");
        assert_eq!(files.synced(), 2);
        assert!(files.durable.contains(&OsString::from("100")));
        // The place 200 was taken before 300 was, but its file comes later; 300 may have grown.
        write(folder, "200").expect("a page");
        files.sync_around(|| Ok::<_, io::Error>(())).expect("a sync");
        assert_eq!(files.synced(), 4);
        files.sync_around(|| Ok::<_, io::Error>(())).expect("a sync");
        assert_eq!(files.synced(), 4);
        fs::remove_file(folder.join("blobs/100")).expect("a removal");
        files.sync_around(|| Ok::<_, io::Error>(())).expect("a sync");
        assert_eq!((files.synced(), files.durable.len()), (4, 2));
    }
}
