//! `GET` and `HEAD object/info/…`: what is known of a file, without its bytes.

use axum::Json;
use axum::extract::State;
use models::convert::format_timestamp;
use serde_json::{Value as Document, json};

use super::download::published;
use super::error::StorageError;
use super::object::{Object, readable};
use super::request::{Place, Requester};
use crate::app::App;

pub(crate) async fn with_token(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
) -> Result<Json<Document>, StorageError> {
    Ok(Json(describe(&readable(app.services.actors.store(), &claims, &place.bucket, &place.key)?)))
}

pub(crate) async fn public(State(app): State<App>, place: Place) -> Result<Json<Document>, StorageError> {
    Ok(Json(describe(&published(&app, &place)?)))
}

fn describe(object: &Object) -> Document {
    json!({
        "id": object.id, "name": object.name, "version": object.version(), "bucket_id": object.bucket,
        "size": object.size, "content_type": object.mime_type, "cache_control": object.cache_control,
        "etag": object.etag(), "metadata": object.user_metadata,
        "last_modified": format_timestamp(object.updated_at), "created_at": format_timestamp(object.created_at),
    })
}
