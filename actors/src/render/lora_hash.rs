//! BLAKE3 of LoRA files, for pictures to tell; each is read once as long as it stays as it is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many are remembered.
const KEPT: usize = 64;

/// A file as it was: place, size, time of its last change.
type Key = (PathBuf, u64, Option<SystemTime>);

static KNOWN: Mutex<Vec<(Key, String)>> = Mutex::new(Vec::new());

/// The hash of a file or folder as records have it, after `blake3:`; `None` if it cannot be read. That of a folder is over
/// the hashes of the weights within it, in the order of their names.
pub(super) fn recorded_hash(path: &Path) -> Option<String> {
    if path.is_file() {
        return lora_hash(path).map(|hash| format!("blake3:{hash}"));
    }
    let entries = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    let mut files: Vec<PathBuf> = entries.filter(is_weights).collect();
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        hasher.update(lora_hash(file)?.as_bytes());
    }
    (!files.is_empty()).then(|| format!("blake3:{}", hasher.finalize().to_hex()))
}

/// The hash of a file, hexadecimal; `None` if it cannot be read.
pub(super) fn lora_hash(path: &Path) -> Option<String> {
    let about = std::fs::metadata(path).ok().filter(|about| about.is_file())?;
    let key: Key = (path.to_path_buf(), about.len(), about.modified().ok());
    let find =
        |known: &[(Key, String)]| known.iter().find(|(known, _)| *known == key).map(|(_, hash)| hash.clone());
    if let Some(hash) = find(&KNOWN.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Some(hash);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
    let hash = hasher.finalize().to_hex().to_string();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KEPT {
        known.remove(0);
    }
    known.push((key, hash.clone()));
    Some(hash)
}
