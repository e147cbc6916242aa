//! Files named by the BLAKE3 of their bytes: pictures, uploads, and values too large for the tree.
//!
//! A blob is written and fsynced before the row that names it is committed; an unreferenced blob is garbage that a
//! sweep removes, never a broken row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::folder;
use crate::free_space::FreeSpace;

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
    free_space: Arc<FreeSpace>,
    /// Folders of files that are known to be there after a power cut.
    durable_shards: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Large values of the transaction in progress; they become files when it commits.
    waiting: Arc<Mutex<BTreeMap<BlobHash, Arc<[u8]>>>>,
}

/// How a blob's bytes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// They are what its name says.
    Sound,
    /// There is no such file.
    Missing,
    /// They are others, or cannot be read.
    Damaged,
}

impl BlobStore {
    /// Opens or creates the folder.
    pub(crate) fn open(folder: &Path, free_space: Arc<FreeSpace>) -> Result<BlobStore, StoreError> {
        let partial = folder.join("partial");
        fs::create_dir_all(&partial).map_err(StoreError::io(&partial))?;
        // What a killed process left half written was never named by a row.
        for entry in fs::read_dir(&partial).map_err(StoreError::io(&partial))?.flatten() {
            let _ = fs::remove_file(entry.path());
        }
        Ok(BlobStore::new(folder, free_space))
    }

    fn new(folder: &Path, free_space: Arc<FreeSpace>) -> BlobStore {
        BlobStore {
            folder: folder.to_path_buf(),
            naming: Arc::default(),
            free_space,
            durable_shards: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// A folder of blobs of a backup.
    pub(crate) fn at(folder: &Path) -> BlobStore {
        BlobStore::new(folder, Arc::new(FreeSpace::new(folder, Some(0))))
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
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) => match self.waiting().get(hash) {
                Some(waiting) if error.kind() == ErrorKind::NotFound => Ok(waiting.to_vec()),
                _ => Err(StoreError::io(&path)(error)),
            },
        }
    }

    /// Reads a blob through and says how its bytes are.
    pub(crate) fn verify(&self, hash: &BlobHash) -> Condition {
        match folder::hash(&self.path(hash)) {
            Ok(found) if *found.as_bytes() == hash.0 => Condition::Sound,
            Err(error) if error.kind() == ErrorKind::NotFound => Condition::Missing,
            _ => Condition::Damaged,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<BlobHash, Arc<[u8]>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names bytes that become a blob when the transaction in progress commits; until then they are read from memory.
    pub(crate) fn put_off(&self, bytes: &[u8]) -> BlobHash {
        let hash = BlobHash::of(bytes);
        self.waiting().entry(hash).or_insert_with(|| bytes.into());
        hash
    }

    /// Makes durable what was put off and is `wanted`.
    ///
    /// This comes before the commit is applied, and so under its lock: the engine may write a row to disk as soon as
    /// it has it, and a row whose value is not there cannot be read.
    pub(crate) fn write_waiting(&self, wanted: impl Fn(&BlobHash) -> bool) -> Result<(), StoreError> {
        let waiting: Vec<Arc<[u8]>> =
            self.waiting().iter().filter(|(hash, _)| wanted(hash)).map(|(_, bytes)| bytes.clone()).collect();
        self.finish_all(waiting.iter().map(|bytes| {
            let mut writer = self.writer()?;
            writer.write(bytes)?;
            Ok(writer)
        }))
    }

    /// Drops what was put off.
    pub(crate) fn forget_waiting(&self) {
        self.waiting().clear();
    }

    /// Makes blobs durable under their names; each folder is synced once.
    pub(crate) fn finish_all(
        &self,
        writers: impl Iterator<Item = Result<BlobWriter, StoreError>>,
    ) -> Result<(), StoreError> {
        let mut shards = BTreeSet::new();
        for writer in writers {
            shards.insert(writer?.name()?);
        }
        shards.iter().try_for_each(|shard| folder::sync(shard))?;
        let mut durable = self.durable_shards.lock().unwrap_or_else(PoisonError::into_inner);
        if !shards.is_subset(&durable) {
            folder::sync(&self.folder)?;
            durable.extend(shards);
        }
        Ok(())
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

    /// Removes a blob that was not written again within `age_min`; says whether it did.
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
        if !self.store.free_space.is_left() {
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

    /// The name that the bytes so far have.
    pub(crate) fn hash(&self) -> BlobHash {
        BlobHash(*self.hasher.finalize().as_bytes())
    }

    /// Makes the blob durable under its name.
    pub fn finish(self) -> Result<BlobHash, StoreError> {
        let (hash, store) = (self.hash(), self.store.clone());
        store.finish_all(std::iter::once(Ok(self)))?;
        Ok(hash)
    }

    /// Makes the bytes durable and gives them their name. Returns its folder, which is to be synced even when another
    /// writer made the name: that one may not have come this far yet.
    fn name(mut self) -> Result<PathBuf, StoreError> {
        let target = self.store.path(&self.hash());
        let shard = target.parent().unwrap_or(&self.store.folder).to_path_buf();
        // Before it has its name: a reader that finds the file finds all of it.
        let synced = !target.is_file();
        if synced {
            self.file.sync_all().map_err(StoreError::io(&self.path))?;
        }
        fs::create_dir_all(&shard).map_err(StoreError::io(&shard))?;
        let _naming = self.store.naming.lock().unwrap_or_else(PoisonError::into_inner);
        // A fresh time keeps a sweep from taking it before the new row names it.
        let touched =
            File::options().append(true).open(&target).and_then(|file| file.set_modified(SystemTime::now()));
        if touched.is_err() {
            if !synced {
                self.file.sync_all().map_err(StoreError::io(&self.path))?;
            }
            fs::rename(&self.path, &target).map_err(StoreError::io(&target))?;
            self.finished = true;
        }
        Ok(shard)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}
