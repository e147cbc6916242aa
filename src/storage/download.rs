//! `GET` and `HEAD` of a file: by policy, or of a public bucket without any key.

use std::io::{Read, Seek, SeekFrom};

use actors::file::FileRefusal;
use actors::file::buckets::{essence, is_public};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;

use super::error::StorageError;
use super::object::{Object, bucket, readable};
use super::range::{Part, part};
use super::request::{Place, Requester, parameter};
use crate::app::App;

/// Files up to this size are read at once.
const WHOLE_BYTES_MAX: u64 = 256 << 10;
/// Bytes that one read of a larger file takes.
const PIECE_BYTES: usize = 128 << 10;

/// `GET object/{bucket}/{key}`, `GET object/authenticated/{bucket}/{key}`.
pub(crate) async fn with_token(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let object = readable(app.services.actors.store(), &claims, &place.bucket, &place.key)?;
    serve(&app, &object, &method, &headers, query.as_deref()).await
}

/// `GET object/public/{bucket}/{key}`.
pub(crate) async fn public(
    State(app): State<App>,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let object = published(&app, &place)?;
    serve(&app, &object, &method, &headers, query.as_deref()).await
}

/// A file of a public bucket; a private bucket is as good as none.
pub(crate) fn published(app: &App, place: &Place) -> Result<Object, StorageError> {
    let store = app.services.actors.store();
    if !is_public(&bucket(store, &place.bucket)?) {
        return Err(FileRefusal::NoSuchBucket.into());
    }
    super::object::published(store, &place.bucket, &place.key)
}

/// Answers with a file, as its headers and the `download` parameter ask.
pub(crate) async fn serve(
    app: &App,
    object: &Object,
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Response, StorageError> {
    let (etag, last_modified) = (object.etag(), object.last_modified());
    let part = part(headers, &etag, &last_modified, object.size);
    let (status, first, len) = match part {
        Part::Whole => (StatusCode::OK, 0, object.size),
        Part::Bytes(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Unsatisfiable => {
            let error = StorageError::new(
                416,
                "InvalidRange",
                "InvalidRange",
                "The requested range is not satisfiable",
            );
            let mut response = error.plain().into_response();
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", object.size));
            return Ok(response);
        }
    };
    let has_body = status != StatusCode::NOT_MODIFIED && *method != Method::HEAD;
    let body = if has_body { read(app, object, first, len).await? } else { Body::empty() };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let answer = response.headers_mut();
    set(answer, header::ETAG, &etag);
    set(answer, header::LAST_MODIFIED, &last_modified);
    set(answer, header::CACHE_CONTROL, &object.cache_control);
    set(answer, header::ACCEPT_RANGES, "bytes");
    if status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    set(answer, header::CONTENT_TYPE, &object.mime_type);
    set(answer, header::CONTENT_LENGTH, &len.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", first + len - 1, object.size);
        set(answer, header::CONTENT_RANGE, &range);
    }
    guard_against_scripts(answer, &object.mime_type);
    if let Some(name) = parameter(query, "download") {
        set(answer, header::CONTENT_DISPOSITION, &attachment(&name));
    }
    Ok(response)
}

/// Uploads come from the same origin as the API: a page among them must not act as one of ours.
pub(crate) fn guard_against_scripts(headers: &mut HeaderMap, mime_type: &str) {
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let kind = essence(mime_type).to_ascii_lowercase();
    let is_media = ["image/", "audio/", "video/"].iter().any(|prefix| kind.starts_with(prefix));
    if !is_media || kind.contains("xml") {
        let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
        set(headers, header::CONTENT_SECURITY_POLICY, policy);
    }
}

pub(crate) fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `attachment`, with a file name when one is given.
fn attachment(name: &str) -> String {
    if name.is_empty() {
        return "attachment".into();
    }
    let plain: String = name
        .chars()
        .take(255)
        .map(|character| match character {
            '"' | '\\' | '/' => '_',
            character if character.is_ascii_graphic() || character == ' ' => character,
            _ => '_',
        })
        .collect();
    let name: String = name.chars().filter(|character| !character.is_control()).take(255).collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        utf8_percent_encode(&name, NON_ALPHANUMERIC)
    )
}

/// The bytes of a file: small parts at once, large ones piece by piece.
async fn read(app: &App, object: &Object, first: u64, len: u64) -> Result<Body, StorageError> {
    let path = app.services.actors.store().blobs().path(&object.blob);
    let gone = |error: std::io::Error| match error.kind() {
        // Removed, and swept, since its row was read.
        std::io::ErrorKind::NotFound => StorageError::from(FileRefusal::NoSuchKey),
        _ => StorageError::internal(error),
    };
    let mut file = spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        if first > 0 {
            file.seek(SeekFrom::Start(first))?;
        }
        if len > WHOLE_BYTES_MAX {
            return Ok((Some(file), Vec::new()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        file.take(len).read_to_end(&mut bytes)?;
        Ok((None, bytes))
    })
    .await?
    .map_err(gone)?;
    Ok(match file.0.take() {
        None => Body::from(file.1),
        Some(large) => {
            let pieces = tokio::fs::File::from_std(large).take(len);
            Body::from_stream(ReaderStream::with_capacity(pieces, PIECE_BYTES))
        }
    })
}
