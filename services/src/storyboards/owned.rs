//! Rows of storyboards that the caller may change; what is another account's is answered like what is missing.

use actors::rows::object;
use models::{Command, Row, TableInfo, Value};
use serde_json::Value as Json;
use store::{Caller, guard};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::ids::uuid;
use crate::rows::table;
use store::blob::BlobHash;
use store::query::Query;

/// Largest file that is read, in bytes: more than the buckets of pictures, sound and videos take.
const FILE_BYTES_MAX: i64 = 256 << 20;

/// A row of a table, by its id, as an object.
pub fn row(context: &Context, name: &'static str, what: &str, id: Uuid) -> Result<Json, ServiceError> {
    let table: &TableInfo = table(name);
    let missing = || ServiceError::not_found(format!("{what} not found"));
    let reads = context.services.actors.store().reads();
    let row: Row = reads.get(table, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    let caller = Caller::new(&context.claims);
    match guard::allows(&reads, &caller, table, Command::Update, &row)? {
        true => Ok(object(table, &row)),
        false => Err(missing()),
    }
}

/// A storyboard.
pub fn project(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    row(context, "storyboard_projects", "Storyboard", id)
}

/// A scene and its storyboard.
pub fn scene(context: &Context, id: Uuid) -> Result<(Json, Json), ServiceError> {
    let scene = row(context, "storyboard_scenes", "Scene", id)?;
    let missing = || ServiceError::not_found("Scene not found");
    let project = project(context, uuid(&scene["project_id"]).ok_or_else(missing)?)?;
    Ok((scene, project))
}

/// A clip.
pub fn clip(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    row(context, "storyboard_clips", "Clip", id)
}

/// The bytes of a stored file that a row of an account names, if it lies in the account's own folder and is not too
/// large.
pub async fn file(context: &Context, user: &str, address: &str) -> Result<Vec<u8>, ServiceError> {
    file_up_to(context, user, address, FILE_BYTES_MAX).await
}

/// The same, with a limit in bytes.
pub async fn file_up_to(
    context: &Context,
    user: &str,
    address: &str,
    bytes_max: i64,
) -> Result<Vec<u8>, ServiceError> {
    let missing = || ServiceError::not_found(format!("there is no file {address} of this account"));
    let path = stored_path(&context.services.links.base(), address).ok_or_else(missing)?;
    let (bucket, name) = path.split_once('/').ok_or_else(missing)?;
    if !name.starts_with(&format!("{user}/")) {
        return Err(missing());
    }
    let query = Query::all(table("storage.objects").id)
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let object = context.rows(query).await?.pop().ok_or_else(missing)?;
    // Before it is in memory.
    if object["size"].as_i64().is_none_or(|size| size > bytes_max) {
        let message =
            format!("the file {address} has more than {} MiB, the most that is read", bytes_max >> 20);
        return Err(ServiceError::bad(message));
    }
    let hash = object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)?;
    let store = context.services.actors.store().clone();
    let bytes = tokio::task::spawn_blocking(move || store.blobs().read(&hash)).await;
    Ok(bytes.map_err(|_| missing())??)
}
