//! The workspace: results wait there for a week; what is kept is copied into the library.

mod copy_to_workspace;
mod discard_asset;
mod save_asset;

use models::{Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

pub use copy_to_workspace::CopyToWorkspace;
pub use discard_asset::DiscardAsset;
pub use save_asset::{SaveAsset, SavedAsset};

use crate::file::{NewObject, object_row, own_path, put_object_rows};
use crate::refusal::Refusal;

/// Rows that may be the same picture are compared up to so many.
const ALIKE_MAX: u64 = 200;

/// Gives a file a second name; the bytes are shared. Answers with its size in bytes, or `None` if there is no file.
pub(super) fn copy_file(
    transaction: &Transaction,
    service: &Caller,
    (from_bucket, from): (&str, &str),
    (to_bucket, to): (&str, &str),
) -> Result<Option<i64>, Refusal> {
    let objects = schema().known("storage.objects");
    let Some(object) = object_row(transaction, from_bucket, from)? else { return Ok(None) };
    let text = |column: &str| object[objects.at(column)].as_str().unwrap_or_default().to_string();
    let size = object[objects.at("size")].as_i64().unwrap_or(0);
    let Some(blob) = store::blob::BlobHash::parse(&text("blob_hash")) else { return Ok(None) };
    let copy = NewObject {
        bucket: to_bucket.to_string(),
        name: to.to_string(),
        owner: object[objects.at("owner")].as_uuid(),
        blob,
        size: u64::try_from(size).unwrap_or(0),
        mime_type: text("mime_type"),
        cache_control: object[objects.at("cache_control")].as_str().map(str::to_string),
        user_metadata: object[objects.at("user_metadata")].as_json(),
    };
    put_object_rows(transaction, service, copy, true)?;
    Ok(Some(size))
}

/// A workspace asset of an account; another account's counts as missing.
fn asset_of(transaction: &Transaction, id: Uuid, user: Uuid) -> Result<Option<Row>, Refusal> {
    let assets = schema().known("workspace_assets");
    let asset = transaction.reads().get(assets, &[Value::Uuid(id)])?;
    Ok(asset.filter(|row| row[assets.at("user_id")].as_uuid() == Some(user)))
}

/// The bytes of a stored file of an account, by their hash; `None` if there is no file.
fn blob_of(
    transaction: &Transaction,
    user: Uuid,
    bucket: &str,
    path: &Value,
) -> Result<Option<Value>, Refusal> {
    let objects = schema().known("storage.objects");
    let Some(path) = own_path(user, bucket, path.as_str().unwrap_or_default()) else { return Ok(None) };
    Ok(object_row(transaction, bucket, path)?.map(|object| object[objects.at("blob_hash")].clone()))
}

/// `a/b.png` to `a/b.thumb.webp`, where thumbnails lie unless a row says otherwise.
fn thumbnail_beside(path: &str) -> String {
    let stem = match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => stem,
        _ => path,
    };
    format!("{stem}.thumb.webp")
}
