//! Online backup and restore.
//!
//! A backup copies the tree in key order while writes go on. A commit that changes a pair which was not copied yet
//! first puts the old value into the [`Tap`]; so the copy shows the store exactly as it was when the backup began,
//! and a writer never waits for more than its own few pairs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::blob::{BlobHash, BlobStore};
use crate::error::StoreError;
use crate::open::private_folder;
use crate::source::PendingPair;
use crate::{Store, keys};

const MAGIC: &[u8; 8] = b"PLAYHSE1";
const PAIRS_PER_STEP: usize = 512;
/// Longest key or value in a backup, so that a damaged length cannot ask for all memory.
const FIELD_BYTES_MAX: u32 = 16 << 20;

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
    /// BLAKE3 of `pairs.bin`, hexadecimal.
    pub checksum: String,
    /// When it began, in microseconds since 1970.
    pub at_micros: i64,
}

impl Store {
    /// Writes a backup into the new folder `target`, while reads and writes go on.
    pub fn backup(&self, target: &Path) -> Result<Manifest, StoreError> {
        DirBuilder::new().mode(0o700).create(target).map_err(StoreError::io(target))?;
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
        let path = target.join("pairs.bin");
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
        let manifest = Manifest { commit, pairs, blobs: blobs.len() as u64, checksum, at_micros };
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let path = target.join("manifest.json");
        let mut file = File::create_new(&path).map_err(StoreError::io(&path))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(StoreError::io(&path))?;
        Ok(manifest)
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
        fs::create_dir_all(&shard).map_err(StoreError::io(&shard))?;
        let to = shard.join(&hex[2..]);
        // Blobs never change, so on one file system a second name is a copy.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).map_err(StoreError::io(&from))
    }
}

/// Writes a backup's pairs and blobs into the new data folder `folder`.
pub fn restore(backup: &Path, folder: &Path) -> Result<Manifest, StoreError> {
    let path = backup.join("manifest.json");
    let text = fs::read(&path).map_err(StoreError::io(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", path.display())))?;
    verify(backup, &manifest)?;
    if folder.join("tree").exists() {
        return Err(StoreError::Open(format!(
            "{} already holds a store; restore into a new folder",
            folder.display()
        )));
    }
    private_folder(folder)?;
    let partial = folder.join("tree.restoring");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(StoreError::io(&partial))?;
    {
        let db = sled::Config::new().path(&partial).flush_every_ms(None).open()?;
        let tree = db.open_tree("rows")?;
        let mut batch = sled::Batch::default();
        let mut in_batch = 0;
        for_each_pair(&backup.join("pairs.bin"), &mut |key, value| {
            batch.insert(key, value);
            in_batch += 1;
            if in_batch == 1000 {
                in_batch = 0;
                tree.apply_batch(std::mem::take(&mut batch))?;
            }
            Ok(())
        })?;
        tree.apply_batch(batch)?;
        db.flush()?;
    }
    // The engine's flush alone would not survive a power cut.
    let database = partial.join("db");
    File::open(&database).and_then(|file| file.sync_all()).map_err(StoreError::io(&database))?;
    copy_blobs(&backup.join("blobs"), &folder.join("blobs"))?;
    // Last, so that an interrupted restore leaves no half store behind.
    let tree = folder.join("tree");
    fs::rename(&partial, &tree).map_err(StoreError::io(&tree))?;
    Ok(manifest)
}

fn verify(backup: &Path, manifest: &Manifest) -> Result<(), StoreError> {
    let path = backup.join("pairs.bin");
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(&path).map_err(StoreError::io(&path))?;
    std::io::copy(&mut file, &mut hasher).map_err(StoreError::io(&path))?;
    if hasher.finalize().to_hex().as_str() != manifest.checksum {
        return Err(StoreError::Corrupt(format!(
            "{} does not have the checksum of its manifest",
            path.display()
        )));
    }
    Ok(())
}

/// Copies, rather than links: the backup must outlive whatever happens to the folder.
fn copy_blobs(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(StoreError::io(to))?;
    if !from.exists() {
        return Ok(());
    }
    let copies = BlobStore::at(to);
    for (hash, ..) in BlobStore::at(from).list()? {
        let (source, target) = (BlobStore::at(from).path(&hash), copies.path(&hash));
        if let Some(shard) = target.parent() {
            fs::create_dir_all(shard).map_err(StoreError::io(shard))?;
        }
        fs::copy(&source, &target).map_err(StoreError::io(&target))?;
        if !copies.is_whole(&hash)? {
            return Err(StoreError::Corrupt(format!(
                "{} does not have the bytes of its name",
                source.display()
            )));
        }
    }
    Ok(())
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

fn for_each_pair(
    path: &Path,
    visit: &mut dyn FnMut(Vec<u8>, Vec<u8>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut file = BufReader::new(File::open(path).map_err(StoreError::io(path))?);
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(StoreError::io(path))?;
    if &magic != MAGIC {
        return Err(StoreError::Corrupt(format!("{} is not a backup", path.display())));
    }
    while let Some(key) = read_field(&mut file, path)? {
        let value = read_field(&mut file, path)?;
        let value =
            value.ok_or_else(|| StoreError::Corrupt(format!("{} ends inside a pair", path.display())))?;
        visit(key, value)?;
    }
    Ok(())
}

fn read_field(file: &mut impl Read, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map_err(StoreError::io(path))?,
    }
    let length = u32::from_be_bytes(length);
    if length > FIELD_BYTES_MAX {
        return Err(StoreError::Corrupt(format!("{} has a field of {length} bytes", path.display())));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(StoreError::io(path))?;
    Ok(Some(bytes))
}
