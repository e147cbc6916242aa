//! What does a Hugging Face folder hold? One safetensors file, or several behind an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use formats::safetensors::{StoredType as Dtype, header, header_length};
use serde::Deserialize;

use super::{Checkpoint, StoredType, TensorEntry};
use crate::error::LanguageError;

/// The limit for `config.json`, `tokenizer.json` and their like.
const JSON_BYTES_MAX: u64 = 64 << 20;
const SHARDS_MAX: usize = 1024;

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
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
    let mut bytes = vec![0; header_length(start, file_bytes).map_err(wrong)?];
    file.read_exact(&mut bytes).map_err(LanguageError::io(path))?;
    for (name, found) in header(&bytes, file_bytes).map_err(wrong)?.tensors {
        let stored = match found.dtype {
            Dtype::F32 => StoredType::F32,
            Dtype::F16 => StoredType::F16,
            Dtype::BF16 => StoredType::Bf16,
            other => {
                return Err(LanguageError::unsupported(format!("tensor {name}"), format!("type {other:?}")));
            }
        };
        let entry = TensorEntry { shape: found.shape, stored, file: number, offset: found.offset };
        entry.check(&name, file_bytes)?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(wrong(format!("tensor {name} appears in two shards")));
        }
    }
    Ok(file)
}
