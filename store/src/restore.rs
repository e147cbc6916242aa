//! Restoring a backup: all of it is looked over before anything is written, and the store appears with the last step.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::backup::{MAGIC, MANIFEST, Manifest, PAIRS, SECRETS};
use crate::blob::{BlobHash, BlobStore, BlobWriter, Condition};
use crate::build::Builder;
use crate::error::StoreError;
use crate::flush::ACKNOWLEDGED;
use crate::free_space::FreeSpace;
use crate::progress::{Pairs, Progress, Step};
use crate::{Store, folder, keys};

/// Longest key or value in a backup, so that a damaged length cannot ask for all memory.
const FIELD_BYTES_MAX: u32 = 16 << 20;
/// Damages named in an error; the rest is counted.
const NAMED_MAX: usize = 20;
const COPIED_AT_ONCE: usize = 1 << 20;

/// Writes a backup into the data folder `data`, which must hold no store.
pub fn restore(backup: &Path, data: &Path) -> Result<Manifest, StoreError> {
    restore_with(backup, data, &mut |_| {})
}

/// The same, and reports how far it is.
pub fn restore_with(
    backup: &Path,
    data: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, StoreError> {
    let tree = data.join("tree");
    if Store::exists(data) {
        return Err(StoreError::Open(format!(
            "{} already holds a store; restore into a new folder",
            data.display()
        )));
    }
    let path = backup.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound if Store::exists(backup) => {
            StoreError::Open(format!("{} is a data folder, not a backup", backup.display()))
        }
        std::io::ErrorKind::NotFound => {
            StoreError::Open(format!("{} is no backup: it has no {MANIFEST}", backup.display()))
        }
        _ => StoreError::io(&path)(error),
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", path.display())))?;
    let (blobs, secrets) = verify(backup, &manifest, progress)?;
    folder::create_private(data)?;
    let partial = data.join("tree.restoring");
    let _ = fs::remove_dir_all(&partial);
    folder::create_private(&partial)?;
    restore_pairs(&backup.join(PAIRS), &partial, Pairs::new(Step::Restore, Some(manifest.pairs), progress))?;
    // The engine's flush alone would not survive a power cut.
    folder::sync_all_below(&partial)?;
    restore_blobs(&BlobStore::at(&backup.join("blobs")), &data.join("blobs"), &blobs, progress)?;
    if let Some(secrets) = secrets {
        restore_secrets(&data.join(SECRETS), &secrets)?;
    }
    // What an earlier store in this folder acknowledged is no promise of this one.
    folder::write_private(&data.join(ACKNOWLEDGED), &manifest.commit.to_be_bytes())?;
    // Last, so that an interrupted restore leaves no half store behind.
    fs::rename(&partial, &tree).map_err(StoreError::io(&tree))?;
    folder::sync(data)?;
    folder::sync_parent(data)?;
    Ok(manifest)
}

/// The blobs and the secrets of a backup in which nothing is missing or damaged.
fn verify(
    backup: &Path,
    manifest: &Manifest,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<BlobHash>, Option<Vec<u8>>), StoreError> {
    let damaged = |path: &Path, how: String| StoreError::Corrupt(format!("{} {how}", path.display()));
    let path = backup.join(PAIRS);
    let checksum = folder::hash(&path).map_err(StoreError::io(&path))?;
    if checksum.to_hex().as_str() != manifest.checksum {
        return Err(damaged(&path, "does not have the checksum of its manifest".into()));
    }
    let mut blobs = Vec::new();
    let mut pairs = Pairs::new(Step::Verify, Some(manifest.pairs), progress);
    for_each_pair(&path, &mut |key, value| {
        pairs.add(&key, &value);
        if key.starts_with(&keys::all_blob_uses())
            && let Some(hash) = keys::blob_of_use(&key)
            && blobs.last() != Some(&hash)
        {
            blobs.push(hash);
        }
        Ok(())
    })?;
    let pairs = pairs.done();
    if (pairs, blobs.len() as u64) != (manifest.pairs, manifest.blobs) {
        let how = format!("names {pairs} pairs and {} blobs, its manifest others", blobs.len());
        return Err(damaged(&path, how));
    }
    let secrets = match &manifest.secrets_checksum {
        None => None,
        Some(checksum) => {
            let path = backup.join(SECRETS);
            let bytes = fs::read(&path).map_err(StoreError::io(&path))?;
            if blake3::hash(&bytes).to_hex().as_str() != checksum {
                return Err(damaged(&path, "does not have the checksum of its manifest".into()));
            }
            Some(bytes)
        }
    };
    let folder = BlobStore::at(&backup.join("blobs"));
    let (mut named, mut count) = (Vec::new(), 0);
    let total = Some(blobs.len() as u64);
    for (done, hash) in (1..).zip(&blobs) {
        progress(Progress { step: Step::ReadBlobs, done, total, bytes: 0 });
        let how = match folder.verify(hash) {
            Condition::Sound => continue,
            Condition::Missing => "missing",
            Condition::Damaged => "damaged",
        };
        count += 1;
        if named.len() < NAMED_MAX {
            named.push(format!("{} is {how}", hash.hex()));
        }
    }
    if count > 0 {
        let how = format!("lacks {count} of {} blobs: {}", blobs.len(), named.join(", "));
        return Err(damaged(backup, how));
    }
    Ok((blobs, secrets))
}

fn restore_pairs(pairs: &Path, engine: &Path, mut restored: Pairs) -> Result<(), StoreError> {
    let mut builder = Builder::create(engine)?;
    for_each_pair(pairs, &mut |key, value| {
        restored.add(&key, &value);
        builder.add(key, value)
    })?;
    builder.finish()
}

fn restore_blobs(
    from: &BlobStore,
    to: &Path,
    hashes: &[BlobHash],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    folder::create_private(to)?;
    let to = BlobStore::open(to, Arc::new(FreeSpace::new(to, Some(0))))?;
    let copy = |hash: &BlobHash| -> Result<BlobWriter, StoreError> {
        // A file that already has the name keeps it, so it must deserve it.
        if to.verify(hash) == Condition::Damaged {
            let path = to.path(hash);
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        // A copy, not a link: the backup must outlive whatever happens to the folder.
        let path = from.path(hash);
        let mut file = File::open(&path).map_err(StoreError::io(&path))?;
        let mut writer = to.writer()?;
        let mut buffer = vec![0; COPIED_AT_ONCE];
        loop {
            match file.read(&mut buffer).map_err(StoreError::io(&path))? {
                0 => break,
                read => writer.write(&buffer[..read])?,
            }
        }
        if writer.hash() == *hash {
            Ok(writer)
        } else {
            Err(StoreError::Corrupt(format!("{} changed during the restore", path.display())))
        }
    };
    let total = Some(hashes.len() as u64);
    to.finish_all((1..).zip(hashes).map(|(done, hash)| {
        progress(Progress { step: Step::CopyBlobs, done, total, bytes: 0 });
        copy(hash)
    }))
}

/// Secrets that are there already are set aside, never lost.
fn restore_secrets(path: &Path, secrets: &[u8]) -> Result<(), StoreError> {
    match fs::read(path) {
        Ok(there) if there == secrets => return folder::sync(path),
        Ok(there) => folder::write_private(&path.with_extension("json.before-restore"), &there)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io(path)(error)),
    }
    folder::write_private(path, secrets)
}

/// Calls `visit` with every pair of a backup.
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
