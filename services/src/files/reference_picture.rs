//! Reference pictures: a file of the caller's, or a URL that may be fetched.

use actors::file::{NewObject, put_object::PutObject};
use models::Value;
use serde_json::Value as Json;
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::fetch_picture::download;
use crate::files::file_hash::hash_of;
use crate::files::stored_address::stored_path;
use crate::rows::position;

/// Life of the URL under which a worker reads a reference, in seconds.
const SIGNED_S: u64 = 3600;
/// The field that a refusal names; those who read another one name theirs.
const FIELD: &str = "reference_image_url";
/// Where fetched references are kept.
const BUCKET: &str = "reference_images";

/// A reference that a worker can read.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Where a remote worker reads it.
    pub url: String,
    /// `bucket/path` for a worker inside this process.
    pub object: String,
}

impl Reference {
    /// The URL and the `bucket/path`.
    pub fn into_parts(self) -> (String, String) {
        (self.url, self.object)
    }
}

/// Turns what a caller sent into something a worker can read. Another account's file is refused. The URL opens the bytes
/// that the file has now: what a job is judged by afterwards is these, or nothing can be read.
pub async fn resolve(context: &Context, user: Uuid, given: &str) -> Result<Reference, ServiceError> {
    let object = match stored(context, given) {
        Some(path) => path,
        None if given.starts_with("http://") || given.starts_with("https://") => {
            fetch(context, user, given).await?
        }
        None => return Err(ServiceError::field(FIELD, "neither a stored file nor a URL")),
    };
    let (bucket, path) = own(user, &object)?;
    // One that is not there yet opens with no bytes at all.
    let hash = hash_of(context, &object).await?.unwrap_or_default();
    let url = context.services.links.signed_bytes(bucket, path, &hash, SIGNED_S);
    let url = url.unwrap_or_else(|_| object.clone());
    Ok(Reference { url, object })
}

/// The row of a stored file that is named as `bucket/path`.
pub async fn file_row(context: &Context, object: &str) -> Result<Option<Json>, ServiceError> {
    let (bucket, path) = object.split_once('/').unwrap_or_default();
    let file = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(path))
        .limit(1);
    Ok(context.rows(file).await?.pop())
}

/// Refuses what names a stored file of another account, before anything is fetched.
pub fn check_owner(context: &Context, user: Uuid, given: &str) -> Result<(), ServiceError> {
    match stored(context, given) {
        Some(path) => own(user, &path).map(|_| ()),
        None => Ok(()),
    }
}

/// Bucket and path of a stored file that an account may read.
fn own(user: Uuid, object: &str) -> Result<(&str, &str), ServiceError> {
    let (bucket, path) = object.split_once('/').unwrap_or((BUCKET, object));
    let is_public = matches!(bucket, "avatars" | "system_assets");
    if !is_public && path.split('/').next() != Some(user.to_string().as_str()) {
        let error = ServiceError::forbidden("there is no such file that this account may read");
        return Err(error.with("success", false).with("code", "CROSS_USER_REFERENCE"));
    }
    Ok((bucket, path))
}

/// `bucket/path` if the text names a stored file that may be a reference.
fn stored(context: &Context, given: &str) -> Option<String> {
    const BUCKETS: [&str; 5] =
        ["user-library/", "workspace-temp/", "reference_images/", "avatars/", "system_assets/"];
    let path = stored_path(&context.services.links.base(), given)?;
    BUCKETS.iter().any(|bucket| path.starts_with(bucket)).then_some(path)
}

/// Fetches a picture and keeps it in the caller's folder; answers with `bucket/path`.
async fn fetch(context: &Context, user: Uuid, given: &str) -> Result<String, ServiceError> {
    let refused = |reason: String| ServiceError::field(FIELD, reason);
    if !context.services.settings.fetch_references {
        return Err(refused("this server fetches no URLs; upload the picture instead".into()));
    }
    let (bytes, mime_type) =
        download(given, context.services.settings.fetch_private_addresses).await.map_err(refused)?;
    keep(context, user, "fetched", bytes, mime_type).await
}

/// Keeps a picture in a folder of the caller's; answers with `bucket/path`. The same picture is kept once.
pub async fn keep(
    context: &Context,
    user: Uuid,
    folder: &str,
    bytes: Vec<u8>,
    mime_type: String,
) -> Result<String, ServiceError> {
    let store = context.services.actors.store().clone();
    let folder = format!("{user}/{folder}");
    let extension = mime_type.rsplit('/').next().unwrap_or("png").to_string();
    let written = tokio::task::spawn_blocking(move || {
        let name = |blob: &BlobHash| format!("{folder}/{}.{extension}", blob.hex());
        NewObject::write(&store, BUCKET, name, user, &bytes, &mime_type)
    });
    let object =
        written.await.map_err(|_| ServiceError::new(Kind::Internal, "writing the reference failed"))??;
    let name = object.name.clone();
    context.ask_elevated(PutObject { object, upsert: true }).await?;
    Ok(format!("{BUCKET}/{name}"))
}
