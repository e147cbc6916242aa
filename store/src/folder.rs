//! Folders and files that only their owner reads and that a power cut leaves whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// Rights of all but the owner.
const OTHERS: u32 = 0o077;

/// Makes a folder, and those above it, for its owner alone. One that is there stays as it is.
pub fn create_private(folder: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(StoreError::io(folder))
}

/// What a data folder holds of ours, beside which its owner may keep anything.
const OURS: [&str; 13] = [
    "acknowledged",
    "ballast",
    "blobs",
    "keys.json",
    "models",
    "outbox.1.jsonl",
    "outbox.jsonl",
    "playhouse.json",
    "server.json",
    "thumbnails",
    "tree",
    "tree.restoring",
    "uploads",
];

/// Closes a folder that others may look into, and what we keep there, to all but its owner; says whether that had to be
/// done. One that cannot be closed is refused with the reason.
pub fn make_private(folder: &Path) -> Result<bool, StoreError> {
    let mode = fs::metadata(folder).map_err(StoreError::io(folder))?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(false);
    }
    let refused = |path: &Path, error: io::Error| {
        let (shown, reason) = (folder.display(), path.display());
        let what =
            format!("others may look into {shown} (mode {:o}), and the mode of {reason}", mode & 0o777);
        StoreError::Open(format!(
            "{what} cannot be changed: {error}. Give the folder to the account that serves, or close it with \
             chmod 700"
        ))
    };
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        let closed = || -> io::Result<Vec<PathBuf>> {
            let about = fs::symlink_metadata(&path)?;
            if about.is_symlink() {
                return Ok(Vec::new());
            }
            let mode = about.permissions().mode();
            if mode & OTHERS != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777 & !OTHERS))?;
            }
            if !about.is_dir() {
                return Ok(Vec::new());
            }
            if path == folder {
                return Ok(OURS.iter().map(|name| folder.join(name)).collect());
            }
            fs::read_dir(&path)?.map(|entry| entry.map(|entry| entry.path())).collect()
        };
        match closed() {
            Ok(below) => left.extend(below),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(&path, error)),
        }
    }
    Ok(true)
}

/// The same, but the folder must be new.
pub(crate) fn create_new_private(folder: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().mode(0o700).create(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            StoreError::Open(format!("{} exists already; name a new folder", folder.display()))
        }
        io::ErrorKind::NotFound => {
            let parent = folder.parent().unwrap_or(folder);
            StoreError::Open(format!(
                "{} cannot be made: there is no folder {}",
                folder.display(),
                parent.display()
            ))
        }
        _ => StoreError::io(folder)(error),
    })
}

/// Makes durable which names a folder holds; a file, what it holds.
pub(crate) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io(path))
}

/// Makes durable which name a file or folder has.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let absolute = std::path::absolute(path).map_err(StoreError::io(path))?;
    absolute.parent().map_or(Ok(()), sync)
}

/// Makes durable everything below a folder, and the folder. What is removed meanwhile is of no interest.
pub(crate) fn sync_all_below(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let path = entry.map_err(StoreError::io(folder))?.path();
        let synced = if path.is_dir() { sync_all_below(&path) } else { sync(&path) };
        match synced {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    sync(folder)
}

/// Writes a file for its owner alone under a name that it has only once it is durable, whatever had it before.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = path.with_file_name(name);
    let write = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(StoreError::io(path))?;
    sync_parent(path)
}

/// BLAKE3 of a file.
pub(crate) fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        };
    }
}
