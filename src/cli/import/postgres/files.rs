//! The bytes of stored files: from a folder, as an export writes it, or from a storage that speaks Supabase's dialect.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::cli::storage::{BESIDE, Storage};

/// Where files come from.
pub(super) enum Files {
    /// None are given.
    None,
    /// `<folder>/<bucket>/<path>`.
    Folder(PathBuf),
    /// A storage of Supabase or of a Playhouse.
    Storage(Storage),
}

impl Files {
    /// A folder, or the address of a storage.
    pub fn open(place: Option<&str>) -> Result<Files, String> {
        match place {
            None => Ok(Files::None),
            Some(address) if Storage::is_address(address) => Storage::open(address).map(Files::Storage),
            Some(folder) if Path::new(folder).is_dir() => Ok(Files::Folder(folder.into())),
            Some(folder) => Err(format!("--files: there is no folder {folder}")),
        }
    }

    /// The bytes of a stored file.
    pub fn read(&mut self, bucket: &str, name: &str) -> Result<Vec<u8>, String> {
        match self {
            Files::None => Err("its file is missing: say where files are with --files".into()),
            Files::Folder(folder) => below(folder, &Path::new(bucket).join(name)),
            Files::Storage(storage) => storage.download(bucket, name),
        }
    }

    /// Bytes that no file has, by their hash.
    pub fn read_beside(&mut self, hash: &str) -> Result<Vec<u8>, String> {
        match self {
            Files::Folder(folder) => below(folder, &Path::new(BESIDE).join(hash)),
            _ => Err(format!("its bytes are missing: they are in {BESIDE} of a folder that an export wrote")),
        }
    }
}

fn below(folder: &Path, path: &Path) -> Result<Vec<u8>, String> {
    // What a name says decides about no place outside of the folder.
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{}: no path of a file", path.display()));
    }
    fs::read(folder.join(path)).map_err(|error| format!("{}: {error}", path.display()))
}
