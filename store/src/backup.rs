//! Online backup.
//!
//! A backup copies the tree in key order while writes go on. A commit that changes a pair which was not copied yet
//! first puts the old value into the `Tap`; so the copy shows the store exactly as it was when the backup began,
//! and a writer never waits for more than its own few pairs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Bound;
use std::path::Path;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::blob::BlobHash;
use crate::error::StoreError;
use crate::source::PendingPair;
use crate::{Store, folder, keys};

pub use crate::restore::restore;

pub(crate) const MAGIC: &[u8; 8] = b"PLAYHSE1";
pub(crate) const PAIRS: &str = "pairs.bin";
pub(crate) const MANIFEST: &str = "manifest.json";
/// The secrets of the data folder: without them no token and no signed URL stays valid.
pub(crate) const SECRETS: &str = "keys.json";
const PAIRS_PER_STEP: usize = 512;

/// Old values of pairs that a running backup has not copied yet.
pub(crate) struct Tap {
    /// Everything up to here is copied.
    copied_to: Vec<u8>,
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Tap {
    pub fn keep_old<'k>(
        &mut self,
        tree: &sled::Tree,
        keys: impl Iterator<Item = &'k Vec<u8>>,
    ) -> Result<(), StoreError> {
        for key in keys.filter(|key| **key > self.copied_to) {
            if !self.old.contains_key(key) {
                self.old.insert(key.clone(), tree.get(key)?.map(|value| value.to_vec()));
            }
        }
        Ok(())
    }
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The last commit in it.
    pub commit: u64,
    /// Pairs of the tree.
    pub pairs: u64,
    /// Blobs.
    pub blobs: u64,
    /// BLAKE3 of `pairs.bin`, hexadecimal. The pairs name the blobs, and a blob's name is its hash.
    pub checksum: String,
    /// BLAKE3 of `keys.json`, where the data folder has one.
    #[serde(default)]
    pub secrets_checksum: Option<String>,
    /// When it began, in microseconds since 1970.
    pub at_micros: i64,
}

impl Store {
    /// Writes a backup into the new folder `target`, while reads and writes go on.
    pub fn backup(&self, target: &Path) -> Result<Manifest, StoreError> {
        folder::create_new_private(target)?;
        let commit = {
            let last = self.lock();
            let mut tap = self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner);
            if tap.is_some() {
                return Err(StoreError::Open("another backup is running".into()));
            }
            *tap = Some(Tap { copied_to: Vec::new(), old: BTreeMap::new() });
            *last
        };
        let result = self.copy_to(target, commit);
        *self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    fn copy_to(&self, target: &Path, commit: u64) -> Result<Manifest, StoreError> {
        let at_micros = chrono::Utc::now().timestamp_micros();
        let path = target.join(PAIRS);
        let mut writer = PairWriter::create(&path)?;
        let mut cursor: Vec<u8> = Vec::new();
        let mut blobs = Vec::new();
        loop {
            let step = self.next_step(&cursor)?;
            let Some(last) = step.last() else { break };
            cursor = last.0.clone();
            for (key, value) in step {
                let Some(value) = value else { continue };
                if key.starts_with(&keys::all_blob_uses())
                    && let Some(hash) = keys::blob_of_use(&key)
                    && blobs.last() != Some(&hash)
                {
                    blobs.push(hash);
                }
                writer.write(&key, &value)?;
            }
        }
        let (pairs, checksum) = writer.finish()?;
        for hash in &blobs {
            self.copy_blob(hash, target)?;
        }
        let secrets_checksum = self.copy_secrets(target)?;
        folder::sync_all_below(target)?;
        let blobs = blobs.len() as u64;
        let manifest = Manifest { commit, pairs, blobs, checksum, secrets_checksum, at_micros };
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        // Last: a folder without it is no backup.
        folder::write_private(&target.join(MANIFEST), &text)?;
        folder::sync_parent(target)?;
        Ok(manifest)
    }

    fn copy_secrets(&self, target: &Path) -> Result<Option<String>, StoreError> {
        let path = self.inner.folder.join(SECRETS);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
            Ok(bytes) => {
                folder::write_private(&target.join(SECRETS), &bytes)?;
                Ok(Some(blake3::hash(&bytes).to_hex().to_string()))
            }
        }
    }

    /// The next pairs after `cursor` as they were when the backup began; a removed pair has no value.
    fn next_step(&self, cursor: &[u8]) -> Result<Vec<PendingPair>, StoreError> {
        // The lock keeps commits out while these few pairs are read and marked as copied.
        let _last = self.lock();
        let mut tap = self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tap) = tap.as_mut() else { return Ok(Vec::new()) };
        let after = (Bound::Excluded(cursor.to_vec()), Bound::Unbounded);
        let mut step: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for pair in self.inner.tree.range::<Vec<u8>, _>(after).take(PAIRS_PER_STEP) {
            let (key, value) = pair?;
            step.insert(key.to_vec(), Some(value.to_vec()));
        }
        let full = step.len() == PAIRS_PER_STEP;
        let end = step.keys().next_back().cloned();
        let in_step = |key: &Vec<u8>| !full || end.as_ref().is_some_and(|end| key <= end);
        let old: Vec<Vec<u8>> = tap.old.keys().filter(|key| in_step(key)).cloned().collect();
        for key in old {
            let value = tap.old.remove(&key).flatten();
            step.insert(key, value);
        }
        if let Some(last) = step.keys().next_back() {
            tap.copied_to = last.clone();
        }
        Ok(step.into_iter().collect())
    }

    fn copy_blob(&self, hash: &BlobHash, target: &Path) -> Result<(), StoreError> {
        let from = self.inner.blobs.path(hash);
        let hex = hash.hex();
        let shard = target.join("blobs").join(&hex[..2]);
        folder::create_private(&shard)?;
        let to = shard.join(&hex[2..]);
        // Blobs never change, so on one file system a second name is a copy.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).map_err(StoreError::io(&from))
    }
}

struct PairWriter {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    pairs: u64,
    path: std::path::PathBuf,
}

impl PairWriter {
    fn create(path: &Path) -> Result<PairWriter, StoreError> {
        let file = BufWriter::new(File::create_new(path).map_err(StoreError::io(path))?);
        let mut writer =
            PairWriter { file, hasher: blake3::Hasher::new(), pairs: 0, path: path.to_path_buf() };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(StoreError::io(&self.path))
    }

    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        for field in [key, value] {
            self.put(&(field.len() as u32).to_be_bytes())?;
            self.put(field)?;
        }
        self.pairs += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, String), StoreError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(StoreError::io(&self.path))?;
        Ok((self.pairs, self.hasher.finalize().to_hex().to_string()))
    }
}
