//! What is a resumable upload to become? Where it goes and how long it is, as its first request or a later one says it.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::Claims;
use store::StoreError;
use uuid::Uuid;

use super::error::StorageError;
use super::request::{Place, header as header_text};
use super::unfinished::{Note, Unfinished};
use super::upload::{Admitted, admit, cache_control, metadata_of};
use crate::app::App;

/// The version of TUS.
pub(super) const VERSION: &str = "1.0.0";
pub(super) const DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// A member of `Upload-Metadata`.
fn member(headers: &HeaderMap, name: &str) -> Option<String> {
    let given = header_text(headers, "upload-metadata").unwrap_or_default();
    let pair = given.split(',').map(str::trim).find(|pair| pair.split(' ').next() == Some(name))?;
    let bytes = STANDARD.decode(pair.split_once(' ').map_or("", |(_, value)| value.trim())).ok()?;
    String::from_utf8(bytes).ok()
}

/// Where an upload goes.
pub(super) fn place_of(headers: &HeaderMap) -> Result<Place, StorageError> {
    let needed = |name: &str| {
        member(headers, name)
            .ok_or_else(|| StorageError::invalid(format!("Upload-Metadata must have {name}")))
    };
    Ok(Place { bucket: needed("bucketName")?, key: needed("objectName")? })
}

/// The length that a request says, and whether it may say so later.
fn length_of(headers: &HeaderMap) -> Result<Option<u64>, StorageError> {
    let said = header_text(headers, LENGTH.as_str()).map(|text| text.trim().parse::<u64>());
    match (said, header_text(headers, DEFER_LENGTH.as_str()).map(str::trim)) {
        (Some(Ok(length)), None) => Ok(Some(length)),
        (None, Some("1")) => Ok(None),
        (None, Some(_)) => Err(StorageError::invalid("Upload-Defer-Length must be 1")),
        (Some(_), Some(_)) => {
            Err(StorageError::invalid("Upload-Length and Upload-Defer-Length exclude each other"))
        }
        (Some(Err(_)) | None, None) => {
            let message = "Upload-Length must be a natural number, unless Upload-Defer-Length is 1";
            Err(StorageError::invalid(message))
        }
    }
}

/// The note of an upload with the length that a piece says, if it had none, and how many bytes it may have in all.
pub(super) fn with_length(
    app: &App,
    uploads: &Unfinished,
    id: Uuid,
    claims: &Claims,
    note: Note,
    offset: u64,
    headers: &HeaderMap,
) -> Result<(Note, u64), StorageError> {
    let said = header_text(headers, LENGTH.as_str()).map(|text| text.trim().parse::<u64>());
    let said =
        said.transpose().map_err(|_| StorageError::invalid("Upload-Length must be a natural number"))?;
    match (note.length, said) {
        (Some(length), None) => Ok((note, length)),
        (Some(length), Some(said)) if said == length => Ok((note, length)),
        (Some(length), Some(_)) => {
            Err(StorageError::invalid(format!("Upload-Length is {length}, and does not change")))
        }
        (None, said) => {
            let place = Place { bucket: note.bucket.clone(), key: note.key.clone() };
            let limits = admit(app, claims, &place, note.upsert, &HeaderMap::new())?;
            let Some(length) = said else { return Ok((note, limits.bytes_max)) };
            if length < offset {
                let message = format!("Upload-Length must be at least {offset}, which have arrived");
                return Err(StorageError::invalid(message));
            }
            check_length(app, &limits, length, &note.mime_type, length - offset)?;
            let note = Note { length: Some(length), ..note };
            uploads.write_note(id, &note)?;
            Ok((note, length))
        }
    }
}

/// Refuses a length that the bucket, the server or the disk has no room for; `coming` bytes of it have not arrived.
fn check_length(
    app: &App,
    limits: &Admitted,
    length: u64,
    mime_type: &str,
    coming: u64,
) -> Result<(), StorageError> {
    if length > limits.bytes_max {
        return Err(actors::file::FileRefusal::TooLarge { bytes_max: limits.bytes_max }.into());
    }
    actors::file::buckets::check_fits(&limits.bucket, length, mime_type)?;
    match app.services.actors.store().has_room_for(coming) {
        true => Ok(()),
        false => Err(StoreError::DiskFull.into()),
    }
}

/// What an upload is to become, if the caller may make that, and how many bytes it may have.
pub(super) fn begin(
    app: &App,
    claims: &Claims,
    headers: &HeaderMap,
    upsert: bool,
) -> Result<(Note, u64), StorageError> {
    if header_text(headers, "tus-resumable").is_some_and(|version| version != VERSION) {
        let message = format!("Tus-Resumable must be {VERSION}");
        return Err(StorageError::new(412, "invalid_request", "UnsupportedVersion", message));
    }
    let length = length_of(headers)?;
    let place = place_of(headers)?;
    let member = |name: &str| member(headers, name);
    actors::file::key::check_key(&place.key)?;
    // The length of this request is not that of the file.
    let limits = admit(app, claims, &place, upsert, &HeaderMap::new())?;
    let mime_type = member("contentType").unwrap_or_else(|| "application/octet-stream".into());
    check_length(app, &limits, length.unwrap_or_default(), &mime_type, length.unwrap_or_default())?;
    let cache_control = member("cacheControl").map(|text| cache_control(&text)).transpose()?;
    let metadata = member("metadata").map(|text| metadata_of(text.as_bytes())).transpose()?;
    let owner = claims.user_id.filter(|_| !claims.is_service());
    let note = Note {
        bucket: place.bucket,
        key: place.key,
        owner,
        length,
        mime_type,
        cache_control,
        metadata,
        upsert,
    };
    Ok((note, limits.bytes_max))
}
