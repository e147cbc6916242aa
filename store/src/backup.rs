//! Online backup.
//!
//! A backup copies the pairs of one moment (`snapshot.rs`) while writes go on, and the blobs that they name.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::blob::BlobHash;
use crate::digest::Audit;
use crate::error::StoreError;
use crate::progress::{Pairs, Progress, Step};
use crate::snapshot::Snapshot;
use crate::source::Pair;
use crate::{Store, folder, keys};

pub use crate::restore::{restore, restore_with};

pub(crate) const MAGIC: &[u8; 8] = b"PLAYHSE1";
pub(crate) const PAIRS: &str = "pairs.bin";
pub(crate) const MANIFEST: &str = "manifest.json";
/// The secrets of the data folder: without them no token and no signed URL stays valid.
pub(crate) const SECRETS: &str = "keys.json";
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
    /// What the store lacked already, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// Whether a folder is a backup, which is no data folder.
pub fn is_backup(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file() && folder.join(PAIRS).is_file()
}

impl Store {
    /// Writes a backup into the new folder `target`, while reads and writes go on. One that fails leaves nothing.
    pub fn backup(&self, target: &Path) -> Result<Manifest, StoreError> {
        self.backup_with(target, &mut |_| {})
    }

    /// The same, and reports how far it is.
    pub fn backup_with(
        &self,
        target: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Manifest, StoreError> {
        folder::create_new_private(target)?;
        let result = self.copy_to(target, progress);
        if result.is_err() {
            let _ = fs::remove_dir_all(target);
        }
        result
    }

    fn copy_to(&self, target: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, StoreError> {
        let at_micros = chrono::Utc::now().timestamp_micros();
        let path = target.join(PAIRS);
        let mut writer = PairWriter::create(&path)?;
        let mut blobs = Vec::new();
        let snapshot = Snapshot::begin_with_blobs(&self.inner.core)?;
        let mut audit = Audit::new(&self.inner.ids);
        let mut copied = Pairs::new(Step::Copy, self.inner.core.pairs_expected()?, progress);
        snapshot.each(&mut |(key, value): Pair| {
            copied.add(&key, &value);
            audit.see(&key, &value)?;
            if key.starts_with(&keys::all_blob_uses())
                && let Some(hash) = keys::blob_of_use(&key)
                && blobs.last() != Some(&hash)
            {
                blobs.push(hash);
            }
            writer.write(&key, &value)
        })?;
        let (pairs, checksum) = writer.finish()?;
        let total = Some(blobs.len() as u64);
        for (done, hash) in (1..).zip(&blobs) {
            self.copy_blob(hash, target)?;
            progress(Progress { step: Step::CopyBlobs, done, total, bytes: 0 });
        }
        let commit = snapshot.commit;
        drop(snapshot);
        let secrets_checksum = self.copy_secrets(target)?;
        folder::sync_all_below(target)?;
        let blobs = blobs.len() as u64;
        let faults = audit.differences(models::schema());
        faults.iter().for_each(|fault| tracing::error!(fault, "the store that is backed up is damaged"));
        let manifest = Manifest { commit, pairs, blobs, checksum, secrets_checksum, at_micros, faults };
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        // Last: a folder without it is no backup.
        folder::write_private(&target.join(MANIFEST), &text)?;
        folder::sync_parent(target)?;
        Ok(manifest)
    }

    fn copy_secrets(&self, target: &Path) -> Result<Option<String>, StoreError> {
        let path = self.inner.core.data.join(SECRETS);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
            Ok(bytes) => {
                folder::write_private(&target.join(SECRETS), &bytes)?;
                Ok(Some(blake3::hash(&bytes).to_hex().to_string()))
            }
        }
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
