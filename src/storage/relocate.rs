//! `POST object/move` and `POST object/copy`.

use actors::file::FileRefusal;
use actors::file::copy_object::CopyObject;
use actors::file::key::check_key;
use actors::file::move_object::MoveObject;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::Row;
use serde_json::{Value as Document, json};

use super::error::StorageError;
use super::object::Object;
use super::request::{Members, Requester};
use super::upload::wants_upsert;
use crate::app::App;

pub(crate) async fn move_object(
    State(app): State<App>,
    Requester(claims): Requester,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let (from, to) = ends(&body)?;
    let row = app.services.actors.ask(&claims, MoveObject { from, to }).await?;
    let mut answer = named(&row)?;
    answer["message"] = json!("Successfully moved");
    Ok(Json(answer))
}

pub(crate) async fn copy_object(
    State(app): State<App>,
    Requester(claims): Requester,
    headers: HeaderMap,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let (from, to) = ends(&body)?;
    let with_metadata = body.flag("copyMetadata")?.unwrap_or(true);
    let message = CopyObject { from, to, with_metadata, upsert: wants_upsert(&headers) };
    let row = app.services.actors.ask(&claims, message).await?;
    Ok(Json(named(&row)?))
}

/// Where a file is and where it goes.
type Ends = ((String, String), (String, String));

fn ends(body: &Members) -> Result<Ends, StorageError> {
    body.require(&["bucketId", "sourceKey", "destinationKey"])?;
    let bucket = body.needed("bucketId")?;
    let target = body.text("destinationBucket")?.unwrap_or(bucket);
    let (source, destination) = (body.needed("sourceKey")?, body.needed("destinationKey")?);
    check_key(destination)?;
    check_key(source).map_err(|_| FileRefusal::NoSuchKey)?;
    Ok(((bucket.into(), source.into()), (target.into(), destination.into())))
}

fn named(row: &Row) -> Result<Document, StorageError> {
    let object = Object::from_row(row)?;
    Ok(json!({"Id": object.id, "Key": format!("{}/{}", object.bucket, object.name)}))
}
