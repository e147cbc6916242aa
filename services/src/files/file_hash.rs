//! The hash of a stored file's bytes, by its name.

use std::collections::BTreeMap;

use models::Value;
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// The hashes of the bytes of files, by `bucket/path`; one that is not there has none.
pub(crate) async fn hashes_of(
    context: &Context,
    objects: &[String],
) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut hashes = BTreeMap::new();
    for object in objects {
        if let Some(hash) = hash_of(context, object).await? {
            hashes.insert(object.clone(), hash);
        }
    }
    Ok(hashes)
}

/// The hash of a file's bytes.
pub(crate) async fn hash_of(context: &Context, object: &str) -> Result<Option<String>, ServiceError> {
    let Some((bucket, path)) = object.split_once('/') else { return Ok(None) };
    let file = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(path))
        .limit(1);
    let file = context.rows(file).await?.pop();
    Ok(file.and_then(|file| file["blob_hash"].as_str().map(str::to_string)))
}
