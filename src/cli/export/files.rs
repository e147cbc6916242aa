//! The stored files as a folder: `<folder>/<bucket>/<path>`.

use std::fs;
use std::path::{Component, Path};

use models::schema;
use store::Store;
use store::blob::BlobHash;

use super::rows;

/// Writes every file; answers with how many there are.
pub(super) fn write(store: &Store, folder: &Path) -> Result<u64, String> {
    fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let objects = schema().known("storage.objects");
    rows::each(store, objects, &mut |row| {
        let text = |column: &str| row[objects.at(column)].as_str().unwrap_or_default();
        let (bucket, name) = (text("bucket_id"), text("name"));
        let below = Path::new(bucket).join(name);
        // What a name says decides about no place outside of the folder.
        if !below.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("{bucket}/{name}: no path of a file"));
        }
        let hash = BlobHash::parse(text("blob_hash")).ok_or(format!("{bucket}/{name}: has no bytes"))?;
        let bytes = store.blobs().read(&hash).map_err(|error| format!("{bucket}/{name}: {error}"))?;
        let path = folder.join(below);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, bytes).map_err(failed)
    })
}
