//! Reference pictures: a file of the caller's, or a URL that may be fetched.

use actors::file::{NewObject, put_object::PutObject};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::fetch_picture::download;

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

/// Turns what a caller sent into something a worker can read. Another account's file is refused.
pub async fn resolve(context: &Context, user: Uuid, given: &str) -> Result<Reference, ServiceError> {
    let stored = stored_path(&context.services.links.base(), given);
    let object = match stored {
        Some(path) => path,
        None if given.starts_with("http://") || given.starts_with("https://") => {
            fetch(context, user, given).await?
        }
        None => return Err(ServiceError::field(FIELD, "neither a stored file nor a URL")),
    };
    let (bucket, path) = own(user, &object)?;
    let url = context.services.links.signed(bucket, path, SIGNED_S).unwrap_or_else(|_| object.clone());
    Ok(Reference { url, object })
}

/// Refuses what names a stored file of another account, before anything is fetched.
pub fn check_owner(context: &Context, user: Uuid, given: &str) -> Result<(), ServiceError> {
    match stored_path(&context.services.links.base(), given) {
        Some(path) => own(user, &path).map(|_| ()),
        None => Ok(()),
    }
}

/// Bucket and path of a stored file that an account may read.
fn own(user: Uuid, object: &str) -> Result<(&str, &str), ServiceError> {
    let (bucket, path) = object.split_once('/').unwrap_or((BUCKET, object));
    let is_public = matches!(bucket, "avatars" | "system_assets");
    if !is_public && path.split('/').next() != Some(user.to_string().as_str()) {
        let error = ServiceError::forbidden("the reference belongs to another account");
        return Err(error.with("success", false).with("code", "CROSS_USER_REFERENCE"));
    }
    Ok((bucket, path))
}

/// `bucket/path` if the text names a file of ours: as a bare path, or as one of our own URLs.
pub fn stored_path(base: &str, given: &str) -> Option<String> {
    const BUCKETS: [&str; 5] =
        ["user-library/", "workspace-temp/", "reference_images/", "avatars/", "system_assets/"];
    let path = match given.strip_prefix(base) {
        Some(rest) => {
            let rest = rest.split('?').next().unwrap_or_default().strip_prefix("/storage/v1/object/")?;
            let rest =
                ["sign/", "public/", "authenticated/"].iter().find_map(|kind| rest.strip_prefix(kind))?;
            percent_encoding::percent_decode_str(rest).decode_utf8().ok()?.into_owned()
        }
        None => given.to_string(),
    };
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
    let size = bytes.len() as u64;
    let blob = tokio::task::spawn_blocking(move || store.blobs().write(&bytes))
        .await
        .map_err(|_| ServiceError::new(Kind::Internal, "writing the reference failed"))??;
    let extension = mime_type.rsplit('/').next().unwrap_or("png");
    let name = format!("{user}/{folder}/{}.{extension}", blob.hex());
    let object = NewObject {
        bucket: BUCKET.into(),
        name: name.clone(),
        owner: Some(user),
        blob,
        size,
        mime_type,
        cache_control: None,
        user_metadata: None,
    };
    context.ask_elevated(PutObject { object, upsert: true }).await?;
    Ok(format!("{BUCKET}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_urls_are_paths() {
        let base = "http://127.0.0.1:1";
        let path = |given| stored_path(base, given);
        assert_eq!(path("user-library/a/b.png").as_deref(), Some("user-library/a/b.png"));
        assert_eq!(
            path("http://127.0.0.1:1/storage/v1/object/sign/user-library/a/b%20c.png?token=x").as_deref(),
            Some("user-library/a/b c.png")
        );
        assert_eq!(path("http://127.0.0.1:1/rest/v1/jobs"), None);
        assert_eq!(path("elsewhere/a.png"), None);
    }
}
