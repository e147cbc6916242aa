//! Files named by the BLAKE3 of their bytes: pictures, uploads, and values too large for the tree.
//!
//! A blob is written and fsynced before the row that names it is committed; an unreferenced blob is garbage that a
//! sweep removes, never a broken row.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::room::Room;

/// A blob's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> BlobHash {
        BlobHash(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<BlobHash> {
        blake3::Hash::from_hex(text).ok().map(|hash| BlobHash(*hash.as_bytes()))
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// The folder of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    folder: PathBuf,
    /// Held while a file gets its name or loses it, so that a sweep never removes what a writer just found there.
    naming: Arc<Mutex<()>>,
    room: Arc<Room>,
}

impl BlobStore {
    /// Opens or creates the folder.
    pub(crate) fn open(folder: &Path, room: Arc<Room>) -> Result<BlobStore, StoreError> {
        let partial = folder.join("partial");
        fs::create_dir_all(&partial).map_err(StoreError::io(&partial))?;
        // What a killed process left half written was never named by a row.
        for entry in fs::read_dir(&partial).map_err(StoreError::io(&partial))?.flatten() {
            let _ = fs::remove_file(entry.path());
        }
        Ok(BlobStore { folder: folder.to_path_buf(), naming: Arc::default(), room })
    }

    /// A folder of blobs of a backup.
    pub(crate) fn at(folder: &Path) -> BlobStore {
        let room = Arc::new(Room::new(folder, Some(0)));
        BlobStore { folder: folder.to_path_buf(), naming: Arc::default(), room }
    }

    /// Where a blob lies.
    pub fn path(&self, hash: &BlobHash) -> PathBuf {
        let hex = hash.hex();
        self.folder.join(&hex[..2]).join(&hex[2..])
    }

    /// Keeps `bytes` durably; writing the same bytes again costs a look.
    pub fn write(&self, bytes: &[u8]) -> Result<BlobHash, StoreError> {
        let mut writer = self.writer()?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// Starts a blob whose bytes arrive in pieces.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        let path = self.folder.join("partial").join(uuid::Uuid::new_v4().simple().to_string());
        let file = File::create_new(&path).map_err(StoreError::io(&path))?;
        Ok(BlobWriter {
            store: self.clone(),
            path,
            file,
            hasher: blake3::Hasher::new(),
            len: 0,
            finished: false,
        })
    }

    /// The bytes of a blob.
    pub fn read(&self, hash: &BlobHash) -> Result<Vec<u8>, StoreError> {
        let path = self.path(hash);
        let mut bytes = Vec::new();
        File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(StoreError::io(&path))?;
        Ok(bytes)
    }

    /// Whether the blob still has the bytes that it is named by.
    pub fn is_whole(&self, hash: &BlobHash) -> Result<bool, StoreError> {
        let path = self.path(hash);
        let mut hasher = blake3::Hasher::new();
        let read = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut hasher));
        read.map_err(StoreError::io(&path))?;
        Ok(hasher.finalize().as_bytes() == &hash.0)
    }

    /// Whether the blob is there.
    pub fn exists(&self, hash: &BlobHash) -> bool {
        self.path(hash).is_file()
    }

    /// Every blob with its size in bytes and age.
    pub fn list(&self) -> Result<Vec<(BlobHash, u64, Duration)>, StoreError> {
        let mut blobs = Vec::new();
        for shard in fs::read_dir(&self.folder).map_err(StoreError::io(&self.folder))?.flatten() {
            let shard_name = shard.file_name().to_string_lossy().to_string();
            if shard_name.len() != 2 {
                continue;
            }
            for entry in fs::read_dir(shard.path()).map_err(StoreError::io(&shard.path()))?.flatten() {
                let name = format!("{shard_name}{}", entry.file_name().to_string_lossy());
                let (Some(hash), Ok(metadata)) = (BlobHash::parse(&name), entry.metadata()) else { continue };
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                blobs.push((hash, metadata.len(), modified.elapsed().unwrap_or_default()));
            }
        }
        Ok(blobs)
    }

    /// Removes a blob that nobody wrote again within `age_min`; says whether it did.
    pub(crate) fn remove_older(&self, hash: &BlobHash, age_min: Duration) -> Result<bool, StoreError> {
        let path = self.path(hash);
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else {
            return Ok(false);
        };
        if modified.elapsed().unwrap_or_default() < age_min {
            return Ok(false);
        }
        fs::remove_file(&path).map(|()| true).map_err(StoreError::io(&path))
    }
}

/// A blob being written.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    len: u64,
    finished: bool,
}

impl BlobWriter {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.store.room.is_left() {
            return Err(StoreError::DiskFull);
        }
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(StoreError::io(&self.path))
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the blob durable under its name.
    pub fn finish(mut self) -> Result<BlobHash, StoreError> {
        let hash = BlobHash(*self.hasher.finalize().as_bytes());
        let target = self.store.path(&hash);
        let shard = target.parent().unwrap_or(&self.store.folder).to_path_buf();
        // Before it has its name: whoever finds the file finds all of it.
        let synced = !target.is_file();
        if synced {
            self.file.sync_all().map_err(StoreError::io(&self.path))?;
        }
        let is_new_shard = !shard.is_dir();
        fs::create_dir_all(&shard).map_err(StoreError::io(&shard))?;
        {
            let _naming = self.store.naming.lock().unwrap_or_else(PoisonError::into_inner);
            // A fresh time keeps a sweep from taking it before the new row names it.
            let touched = File::options()
                .append(true)
                .open(&target)
                .and_then(|file| file.set_modified(SystemTime::now()));
            if touched.is_err() {
                if !synced {
                    self.file.sync_all().map_err(StoreError::io(&self.path))?;
                }
                fs::rename(&self.path, &target).map_err(StoreError::io(&target))?;
                self.finished = true;
            }
        }
        // Also when another writer made the name: it may not have come this far yet.
        File::open(&shard).and_then(|folder| folder.sync_all()).map_err(StoreError::io(&shard))?;
        if is_new_shard {
            let folder = &self.store.folder;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))?;
        }
        Ok(hash)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}
