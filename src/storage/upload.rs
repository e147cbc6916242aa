//! `POST` and `PUT object/{bucket}/{key}`: a file arrives, raw or as a form.

use actors::file::buckets::{check_fits, size_limit};
use actors::file::put_object::{NewObject, PutObject};
use axum::Json;
use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::{Claims, Command, Row, Value, schema};
use serde_json::{Value as Document, json};
use store::shares::{Held, Owner};
use store::{Caller, Store, StoreError, guard};
use syntax::half_characters;

use super::error::StorageError;
use super::incoming::{Incoming, drain, next_piece};
use super::object::{Object, bucket, find_row};
use super::request::{Place, Requester, header as header_text};
use crate::app::App;

/// Longest `cacheControl` of a form, in bytes.
const CACHE_CONTROL_BYTES_MAX: usize = 256;
/// Longest metadata, in bytes of JSON.
const METADATA_BYTES_MAX: usize = 1 << 20;
/// What the parts of a form may take beside the file.
const FORM_BYTES: u64 = (METADATA_BYTES_MAX as u64) + (16 << 10);
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// `POST`: refuses a path that is taken unless `x-upsert: true`.
pub(crate) async fn create(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
    request: Request,
) -> Result<Response, StorageError> {
    let upsert = wants_upsert(request.headers());
    receive(&app, &claims, place, upsert, request).await
}

/// `PUT`: replaces what is there.
pub(crate) async fn replace(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
    request: Request,
) -> Result<Response, StorageError> {
    receive(&app, &claims, place, true, request).await
}

pub(crate) fn wants_upsert(headers: &HeaderMap) -> bool {
    header_text(headers, "x-upsert").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Takes the body in and puts it where it belongs.
pub(crate) async fn receive(
    app: &App,
    claims: &Claims,
    place: Place,
    upsert: bool,
    request: Request,
) -> Result<Response, StorageError> {
    debug_assert!(matches!(*request.method(), Method::POST | Method::PUT));
    let (parts, body) = request.into_parts();
    let admitted = admit(app, claims, &place, upsert, &parts.headers).and_then(|limits| {
        let owner = parts.extensions.get::<Owner>().copied().unwrap_or(Owner::Service);
        // With too many others under way the client is asked to come back.
        let held = app.budgets.uploads.try_hold(owner, 1).ok_or_else(StorageError::too_many)?;
        Ok((limits, held))
    });
    let (limits, held) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            return Err(error);
        }
    };
    let content_type = header_text(&parts.headers, header::CONTENT_TYPE.as_str()).unwrap_or(UNKNOWN_TYPE);
    let arrived = if content_type.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        form(app, &limits, held, Request::from_parts(parts, body)).await?
    } else {
        let content_type = content_type.to_string();
        raw(app, &limits, held, &parts.headers, content_type, body).await?
    };
    let object = NewObject {
        bucket: place.bucket,
        name: place.key,
        owner: None,
        blob: arrived.blob.0,
        size: arrived.blob.1,
        mime_type: arrived.mime_type,
        cache_control: arrived.cache_control,
        user_metadata: arrived.metadata,
    };
    let row = app.services.actors.ask(claims, PutObject { object, upsert }).await?;
    let object = Object::from_row(&row)?;
    let body = json!({"Id": object.id, "Key": format!("{}/{}", object.bucket, object.name)});
    Ok(Json(body).into_response())
}

/// What an upload may be.
pub(crate) struct Admitted {
    pub bucket: Row,
    pub bytes_max: u64,
}

/// Refuses before the bytes arrive what would be refused after.
pub(crate) fn admit(
    app: &App,
    claims: &Claims,
    place: &Place,
    upsert: bool,
    headers: &HeaderMap,
) -> Result<Admitted, StorageError> {
    let store = app.services.actors.store();
    let bucket = bucket(store, &place.bucket)?;
    may_write(store, claims, place, upsert)?;
    let bytes_max = size_limit(&bucket).unwrap_or(u64::MAX).min(app.config.file_bytes_max);
    let announced = header_text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max.saturating_add(FORM_BYTES)) {
        return Err(actors::file::FileRefusal::TooLarge { bytes_max }.into());
    }
    Ok(Admitted { bucket, bytes_max })
}

/// Whether the policies let this caller put a file there.
pub(crate) fn may_write(
    store: &Store,
    claims: &Claims,
    place: &Place,
    upsert: bool,
) -> Result<(), StorageError> {
    let objects = schema().known("storage.objects");
    let mut row = objects.default_row();
    row[objects.at("bucket_id")] = Value::text(&place.bucket);
    row[objects.at("name")] = Value::text(&place.key);
    row[objects.at("owner")] = claims.user_id.map_or(Value::Null, Value::Uuid);
    let caller = Caller::new(claims);
    let allows = |command, row: &Row| guard::allows(&store.reads(), &caller, objects, command, row);
    let old = find_row(store, &Claims::service(), &place.bucket, &place.key)?;
    let allowed = match &old {
        Some(old) if upsert => allows(Command::Update, old)? && allows(Command::Update, &row)?,
        _ => allows(Command::Insert, &row)?,
    };
    if !allowed {
        return Err(StorageError::denied());
    }
    if old.is_some() && !upsert {
        let (table, constraint, key) = ("objects".into(), "objects_bucket_id_name_key".into(), String::new());
        return Err(StoreError::Duplicate { table, constraint, key }.into());
    }
    Ok(())
}

struct Arrived {
    blob: (store::blob::BlobHash, u64),
    mime_type: String,
    cache_control: Option<String>,
    metadata: Option<Document>,
}

async fn raw(
    app: &App,
    limits: &Admitted,
    held: Held,
    headers: &HeaderMap,
    mime_type: String,
    body: Body,
) -> Result<Arrived, StorageError> {
    let mut stream = body.into_data_stream();
    let taken = async {
        check_fits(&limits.bucket, 0, &mime_type)?;
        let metadata = match header_text(headers, "x-metadata") {
            Some(text) => Some(metadata_of(&STANDARD.decode(text.trim()).unwrap_or_default())?),
            None => None,
        };
        let cache_control = header_text(headers, "cache-control").map(str::to_string);
        let mut incoming = Incoming::begin(app.services.actors.store(), limits.bytes_max, held);
        while let Some(bytes) = next_piece(&mut stream).await? {
            incoming.push(&bytes).await?;
        }
        let blob = incoming.finish().await?;
        Ok(Arrived { blob, mime_type, cache_control, metadata })
    };
    let taken = taken.await;
    if taken.is_err() {
        drain(&mut stream).await;
    }
    taken
}

/// The fields `cacheControl` and `metadata`, and one file whose part may have any name, even none.
async fn form(app: &App, limits: &Admitted, held: Held, request: Request) -> Result<Arrived, StorageError> {
    let unreadable = |error: &dyn std::fmt::Display| StorageError::invalid(format!("bad form: {error}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| unreadable(&error))?;
    let (mut file, mut cache_control, mut metadata) = (None, None, None);
    let mut held = Some(held);
    loop {
        let taken = async {
            let Some(field) = form.next_field().await.map_err(|error| unreadable(&error))? else {
                return Ok(false);
            };
            match (field.name().unwrap_or_default(), field.file_name().is_some()) {
                ("cacheControl", false) => {
                    let text = text_of(field, CACHE_CONTROL_BYTES_MAX).await?;
                    cache_control = Some(super::upload::cache_control(&String::from_utf8_lossy(&text))?);
                }
                ("metadata", false) => {
                    metadata = Some(metadata_of(&text_of(field, METADATA_BYTES_MAX).await?)?);
                }
                _ if file.is_none() => {
                    let mime_type = field.content_type().unwrap_or(UNKNOWN_TYPE).to_string();
                    check_fits(&limits.bucket, 0, &mime_type)?;
                    let held = held.take().ok_or_else(StorageError::too_many)?;
                    file = Some((file_of(app, limits, held, field).await?, mime_type));
                }
                // A form has one file; what else it holds says nothing to us.
                _ => {
                    text_of(field, METADATA_BYTES_MAX).await?;
                }
            }
            Ok(true)
        };
        match taken.await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                // The rest is read field by field, as it came.
                while let Ok(Some(field)) = form.next_field().await {
                    drain(&mut Box::pin(field)).await;
                }
                return Err(error);
            }
        }
    }
    let Some((blob, mime_type)) = file else { return Err(StorageError::invalid("the form has no file")) };
    Ok(Arrived { blob, mime_type, cache_control, metadata })
}

async fn file_of(
    app: &App,
    limits: &Admitted,
    held: Held,
    field: Field<'_>,
) -> Result<(store::blob::BlobHash, u64), StorageError> {
    let mut incoming = Incoming::begin(app.services.actors.store(), limits.bytes_max, held);
    let mut field = Box::pin(field);
    let taken = async {
        while let Some(bytes) = next_piece(&mut field).await? {
            incoming.push(&bytes).await?;
        }
        incoming.finish().await
    };
    let taken = taken.await;
    if taken.is_err() {
        drain(&mut field).await;
    }
    taken
}

async fn text_of(field: Field<'_>, bytes_max: usize) -> Result<Vec<u8>, StorageError> {
    let mut text = Vec::new();
    let mut field = Box::pin(field);
    while let Some(bytes) = next_piece(&mut field).await? {
        if text.len() + bytes.len() > bytes_max {
            // Names are the client's own, of any length.
            let name: String = field.name().unwrap_or_default().chars().take(64).collect();
            return Err(too_large(&format!("the form's field {name:?}"), bytes_max));
        }
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

fn too_large(what: &str, bytes_max: usize) -> StorageError {
    let message = format!("{what} has more than {bytes_max} bytes");
    StorageError::new(413, "Payload too large", "EntityTooLarge", message)
}

/// What an uploader says of how long a file may be kept: seconds, or the text of a header.
pub(crate) fn cache_control(text: &str) -> Result<String, StorageError> {
    let text = text.trim();
    if text.len() > CACHE_CONTROL_BYTES_MAX {
        return Err(too_large("cacheControl", CACHE_CONTROL_BYTES_MAX));
    }
    let is_seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(if is_seconds { format!("max-age={text}") } else { text.to_string() })
}

/// What an uploader says of a file: a JSON object.
pub(crate) fn metadata_of(text: &[u8]) -> Result<Document, StorageError> {
    if text.len() > METADATA_BYTES_MAX {
        return Err(too_large("metadata", METADATA_BYTES_MAX));
    }
    match serde_json::from_slice(&half_characters::mend(text)) {
        Ok(document @ Document::Object(_)) => {
            models::convert::from_json(models::ColumnType::Jsonb, &document)
                .map_err(|error| StorageError::invalid(format!("metadata: {error}")))?;
            Ok(document)
        }
        _ => Err(StorageError::invalid("metadata must be a JSON object")),
    }
}
