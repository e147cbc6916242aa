//! The stored files: as a folder, `<folder>/<bucket>/<path>`, or into a storage of Supabase.
//!
//! Bytes that rows name and that are no stored files, cards and chats as they came in, lie beside them in the folder.

use std::fs;
use std::path::{Component, Path, PathBuf};

use models::{Row, Value, schema};
use serde_json::json;
use store::Store;
use store::blob::BlobHash;

use super::rows;
use crate::cli::steps::Steps;
use crate::cli::storage::{BESIDE, Storage};

/// Where files go.
pub enum Files {
    /// A folder to make.
    Folder(PathBuf),
    /// A storage.
    Storage(Storage),
}

impl Files {
    /// A folder, or the address of a storage.
    pub fn open(place: &str) -> Result<Files, String> {
        match Storage::is_address(place) {
            true => Storage::open(place).map(Files::Storage),
            false => Ok(Files::Folder(place.into())),
        }
    }

    /// Writes every file; answers with how many there are.
    pub fn write(&self, store: &Store) -> Result<u64, String> {
        match self {
            Files::Folder(folder) => {
                fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?
            }
            Files::Storage(storage) => make_buckets(store, storage)?,
        }
        let objects = schema().known("storage.objects");
        let mut total = 0;
        rows::each(store, objects, &mut |_| {
            total += 1;
            Ok(())
        })?;
        let (mut done, mut steps) = (0, Steps::new());
        let count = rows::each(store, objects, &mut |row| {
            let text = |column: &str| row[objects.at(column)].as_str().unwrap_or_default();
            let (bucket, name) = (text("bucket_id"), text("name"));
            let hash = BlobHash::parse(text("blob_hash")).ok_or(format!("{bucket}/{name}: has no bytes"))?;
            let bytes = store.blobs().read(&hash).map_err(|error| format!("{bucket}/{name}: {error}"))?;
            done += 1;
            steps.show(done, total, &format!("files: {bucket}/{name}"));
            match self {
                Files::Folder(folder) => put(folder, &Path::new(bucket).join(name), &bytes),
                Files::Storage(storage) => storage.upload(bucket, name, text("mime_type"), bytes),
            }
        })?;
        steps.end();
        if let Files::Folder(folder) = self {
            beside(store, folder)?;
        }
        Ok(count)
    }
}

/// What a name says decides about no place outside of the folder.
fn put(folder: &Path, below: &Path, bytes: &[u8]) -> Result<(), String> {
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{}: no path of a file", below.display()));
    }
    let path = folder.join(below);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&path, bytes).map_err(failed)
}

/// Bytes that rows of other tables name, by their hash.
fn beside(store: &Store, folder: &Path) -> Result<(), String> {
    let named = schema().tables.iter().filter(|table| table.name() != "storage.objects");
    for table in named.filter(|table| !table.blob_columns.is_empty()) {
        rows::each(store, table, &mut |row: &Row| {
            for column in &table.blob_columns {
                let Some(hash) = row[*column].as_str().and_then(BlobHash::parse) else { continue };
                let bytes =
                    store.blobs().read(&hash).map_err(|error| format!("{}: {error}", table.name()))?;
                put(folder, &Path::new(BESIDE).join(hash.hex()), &bytes)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn make_buckets(store: &Store, storage: &Storage) -> Result<(), String> {
    let buckets = schema().known("storage.buckets");
    rows::each(store, buckets, &mut |row| {
        let value = |column: &str| &row[buckets.at(column)];
        let kinds = match value("allowed_mime_types") {
            Value::TextArray(kinds) => json!(kinds),
            _ => json!(null),
        };
        storage.make_bucket(&json!({
            "id": value("id").as_str(), "name": value("name").as_str(), "public": value("public").as_bool(),
            "file_size_limit": value("file_size_limit").as_i64(), "allowed_mime_types": kinds,
        }))
    })?;
    Ok(())
}
