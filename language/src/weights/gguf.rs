//! Where do the tensors of a GGUF file lie? In one file, or in the parts of a model that is split.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

pub use formats::gguf::{Metadata, MetadataValue};

use super::{Checkpoint, StoredType, TensorEntry, gguf_files};
use crate::error::LanguageError;

/// Opens a GGUF file (version 2 or 3), with the other parts of a model that is split over several, and reads everything but
/// the tensors' numbers.
pub fn open(path: &Path) -> Result<(Metadata, Checkpoint), LanguageError> {
    let (metadata, file, mut tensors) = open_one(path)?;
    let mut files = vec![(path.to_path_buf(), file)];
    let parts = metadata.count("split.count")?.unwrap_or(1);
    if parts > 1 {
        let names = gguf_files::parts_of(path, parts)?;
        for (place, part) in names.iter().enumerate().skip(1) {
            let (of_part, file, more) = open_one(part)?;
            if of_part.count("split.no")? != Some(place) || of_part.count("split.count")? != Some(parts) {
                let detail = format!("is not part {} of {parts}", place + 1);
                return Err(LanguageError::malformed(part.display().to_string(), detail));
            }
            for (name, entry) in more {
                let entry = TensorEntry { file: place, ..entry };
                if tensors.insert(name.clone(), entry).is_some() {
                    return Err(LanguageError::malformed(format!("tensor {name}"), "is in two parts"));
                }
            }
            files.push((part.clone(), file));
        }
        if let Some(count) = metadata.count("split.tensors.count")?
            && count != tensors.len()
        {
            let detail = format!("{} tensors in all parts, and {count} are told", tensors.len());
            return Err(LanguageError::malformed("split.tensors.count", detail));
        }
    }
    Ok((metadata, Checkpoint::new(files, tensors)))
}

/// One file, its tensors as those of a first file.
fn open_one(path: &Path) -> Result<(Metadata, File, BTreeMap<String, TensorEntry>), LanguageError> {
    let file = super::safetensors::open_file(path)?;
    let file_bytes = file.metadata().map_err(LanguageError::io(path))?.len();
    let header = formats::gguf::read(&file, &path.display().to_string(), file_bytes)?;
    let mut tensors = BTreeMap::new();
    for found in header.tensors {
        let (name, kind) = (found.name, found.kind);
        let stored = StoredType::from_gguf(kind).ok_or_else(|| {
            LanguageError::unsupported(format!("tensor {name}"), format!("GGUF tensor type {kind}"))
        })?;
        let offset = found
            .offset
            .checked_add(header.data_start)
            .ok_or_else(|| LanguageError::malformed(format!("tensor {name}"), "offset overflows"))?;
        let entry = TensorEntry { shape: found.shape, stored, file: 0, offset };
        entry.check(&name, file_bytes)?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(LanguageError::malformed(format!("tensor {name}"), "appears twice"));
        }
    }
    Ok((header.metadata, file, tensors))
}
