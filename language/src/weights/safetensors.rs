//! What does a Hugging Face folder hold? One safetensors file, or several behind an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use safetensors::Dtype;
use serde::Deserialize;

use super::{Checkpoint, StoredType, TensorEntry};
use crate::error::LanguageError;

const HEADER_BYTES_MAX: u64 = 100 << 20;
/// Also the limit for `config.json`, `tokenizer.json` and their like.
const JSON_BYTES_MAX: u64 = 64 << 20;
const SHARDS_MAX: usize = 1024;

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// One tensor as the header describes it.
#[derive(Deserialize)]
struct HeaderEntry {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Opens the weights of a Hugging Face folder, sharded or not.
pub fn open(folder: &Path) -> Result<Checkpoint, LanguageError> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    let names = if single.is_file() {
        vec!["model.safetensors".to_string()]
    } else if index.is_file() {
        shard_names(&index)?
    } else {
        return Err(LanguageError::malformed(
            folder.display().to_string(),
            "neither model.safetensors nor model.safetensors.index.json is there",
        ));
    };
    let mut files = Vec::new();
    let mut tensors = BTreeMap::new();
    for name in names {
        let path = folder.join(name);
        let file = read_header(&path, files.len(), &mut tensors)?;
        files.push((path, file));
    }
    Ok(Checkpoint::new(files, tensors))
}

/// Reads a JSON file of the folder, if it is there.
pub fn read_json(folder: &Path, name: &str) -> Result<Option<serde_json::Value>, LanguageError> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = read_small(&path)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| LanguageError::malformed(path.display().to_string(), error.to_string()))
}

/// Opens a regular file; opening a pipe would wait for a writer.
pub(crate) fn open_file(path: &Path) -> Result<File, LanguageError> {
    if !std::fs::metadata(path).map_err(LanguageError::io(path))?.is_file() {
        return Err(LanguageError::malformed(path.display().to_string(), "not a regular file"));
    }
    File::open(path).map_err(LanguageError::io(path))
}

/// Reads a whole file that ought to be small.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, LanguageError> {
    let file = open_file(path)?;
    let mut bytes = Vec::new();
    file.take(JSON_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(LanguageError::io(path))?;
    if bytes.len() as u64 > JSON_BYTES_MAX {
        return Err(LanguageError::malformed(path.display().to_string(), "larger than 64 MiB"));
    }
    Ok(bytes)
}

fn shard_names(index: &Path) -> Result<Vec<String>, LanguageError> {
    let wrong = |detail: String| LanguageError::malformed(index.display().to_string(), detail);
    let parsed: ShardIndex =
        serde_json::from_slice(&read_small(index)?).map_err(|error| wrong(error.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() || names.len() > SHARDS_MAX {
        return Err(wrong(format!("{} shards", names.len())));
    }
    for name in &names {
        // A shard named "../x" would read outside the folder.
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(wrong(format!("shard {name:?} is not a plain file name")));
        }
    }
    Ok(names.into_iter().collect())
}

fn read_header(
    path: &Path,
    number: usize,
    tensors: &mut BTreeMap<String, TensorEntry>,
) -> Result<File, LanguageError> {
    let wrong = |detail: String| LanguageError::malformed(path.display().to_string(), detail);
    let mut file = open_file(path)?;
    let file_bytes = file.metadata().map_err(LanguageError::io(path))?.len();
    let mut start = [0u8; 8];
    file.read_exact(&mut start).map_err(|_| wrong("shorter than its header".into()))?;
    let header_bytes = u64::from_le_bytes(start);
    if header_bytes > HEADER_BYTES_MAX || header_bytes > file_bytes.saturating_sub(8) {
        return Err(wrong(format!(
            "a header of {header_bytes} bytes in a file of {file_bytes}: truncated, or no safetensors file; fetch it again"
        )));
    }
    let mut bytes = vec![0; header_bytes as usize];
    file.read_exact(&mut bytes).map_err(LanguageError::io(path))?;
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    header.remove("__metadata__");
    for (name, value) in header {
        let info = HeaderEntry::deserialize(value)
            .map_err(|error| LanguageError::malformed(format!("tensor {name}"), error.to_string()))?;
        let stored = match info.dtype {
            Dtype::F32 => StoredType::F32,
            Dtype::F16 => StoredType::F16,
            Dtype::BF16 => StoredType::Bf16,
            other => {
                return Err(LanguageError::unsupported(format!("tensor {name}"), format!("type {other:?}")));
            }
        };
        let (first, end) = info.data_offsets;
        let offset = first.saturating_add(8 + header_bytes);
        let entry = TensorEntry { shape: info.shape, stored, file: number, offset };
        entry.check(&name, file_bytes)?;
        if end.checked_sub(first) != Some(entry.stored_bytes() as u64) {
            return Err(wrong(format!(
                "tensor {name} has shape {:?} but bytes {first} to {end}",
                entry.shape
            )));
        }
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(wrong(format!("tensor {name} appears in two shards")));
        }
    }
    Ok(file)
}
