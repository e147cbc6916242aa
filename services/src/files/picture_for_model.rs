//! A picture for a model to look at: a remote address, a `data:` address, or a file of our own storage.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::{Value, schema};
use store::blob::BlobHash;
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::rows::position;

/// Largest picture, in bytes.
const BYTES_MAX: i64 = 20 << 20;
/// Longest address, in bytes; `data:` addresses hold the picture.
const ADDRESS_MAX: usize = 30 << 20;

/// The address to give to a model. Files of our storage are sent whole, if the caller may see them.
pub async fn address(context: &Context, image: &str) -> Result<String, ServiceError> {
    let image = image.trim();
    if image.is_empty() {
        return Err(ServiceError::missing(&["imageUrl"]).with("success", false));
    }
    if image.len() > ADDRESS_MAX {
        return Err(ServiceError::field("imageUrl", format!("longer than {ADDRESS_MAX} bytes")));
    }
    if image.starts_with("data:image/") {
        return Ok(image.to_string());
    }
    let Some(path) = stored_path(&context.services.links.base(), image) else {
        return if image.starts_with("https://") || image.starts_with("http://") {
            // The model's server fetches it; this one never does.
            Ok(image.to_string())
        } else {
            Err(ServiceError::field(
                "imageUrl",
                "neither an http(s) address, nor data:image/, nor a path such as user-library/…",
            ))
        };
    };
    let missing = || ServiceError::not_found("the picture is not in our storage");
    let (bucket, name) = path.split_once('/').ok_or_else(missing)?;
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let object = context.rows(query).await?.pop().ok_or_else(missing)?;
    let caller = context.claims.user_id.map(|user| user.to_string());
    let is_own = caller.is_some_and(|user| object["owner"] == user || name.starts_with(&format!("{user}/")));
    let buckets = schema().known("storage.buckets");
    let row = context.services.actors.store().reads().get(buckets, &[Value::text(bucket)])?;
    let is_public = row.is_some_and(|row| row[buckets.at("public")] == Value::Bool(true));
    if !is_own && !is_public && !context.is_admin()? {
        return Err(missing());
    }
    if object["size"].as_i64().is_none_or(|size| size > BYTES_MAX) {
        return Err(ServiceError::bad("the picture is too large to look at"));
    }
    let hash = object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)?;
    let store = context.services.actors.store().clone();
    let bytes = tokio::task::spawn_blocking(move || store.blobs().read(&hash)).await;
    let bytes = bytes.map_err(|_| missing())??;
    let kind = object["mime_type"].as_str().filter(|kind| kind.starts_with("image/")).unwrap_or("image/png");
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}
