//! `DELETE object/{bucket}` and `DELETE object/{bucket}/{key}`.

use actors::file::FileRefusal;
use actors::file::remove_objects::RemoveObjects;
use axum::Json;
use axum::extract::State;
use serde_json::{Value as Document, json};

use super::error::StorageError;
use super::object::Object;
use super::request::{BucketName, Members, Place, Requester};
use crate::app::App;

/// Files that one request may remove.
const KEYS_MAX: usize = 1000;

pub(crate) async fn several(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(bucket): BucketName,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let names = body.texts("prefixes", KEYS_MAX)?;
    let removed = app.services.actors.ask(&claims, RemoveObjects { bucket, names }).await?;
    let objects = removed.iter().map(|row| Ok(Object::from_row(row)?.to_json()));
    Ok(Json(Document::Array(objects.collect::<Result<_, StorageError>>()?)))
}

pub(crate) async fn one(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
) -> Result<Json<Document>, StorageError> {
    let message = RemoveObjects { bucket: place.bucket, names: vec![place.key] };
    if app.services.actors.ask(&claims, message).await?.is_empty() {
        return Err(FileRefusal::NoSuchKey.into());
    }
    Ok(Json(json!({"message": "Successfully deleted"})))
}
