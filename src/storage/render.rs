//! `render/image/…`: pictures made smaller on their way out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actors::file::picture::{self, PictureError, Resize, Transform};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use models::Claims;
use services::files::thumbnails::WIDTHS_PX;
use store::blob::BlobHash;
use store::shares::Owner;

use super::download::{guard_against_scripts, published, set};
use super::error::StorageError;
use super::object::{Object, find, readable};
use super::range::{Part, part};
use super::request::{Place, Requester, parameter};
use super::ticket::{self, Opens};
use super::transform::{from_parameters, from_query};
use crate::app::App;

/// Largest file that is made into another picture, in bytes.
const SOURCE_BYTES_MAX: u64 = 50 << 20;
/// How long a request waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Memory for pictures that may be asked for again, in bytes.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// And how many.
const KEPT_MAX: usize = 500;

static KEPT: Mutex<Kept> = Mutex::new(Kept { pictures: VecDeque::new(), bytes: 0 });

/// `GET render/image/authenticated/{bucket}/{key}`
pub(crate) async fn with_token(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Requester(claims): Requester,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let asked = from_query(query.as_deref()).map_err(StorageError::plain)?;
    let object = readable(app.services.actors.store(), &claims, &place.bucket, &place.key);
    serve(&app, owner, object.map_err(StorageError::plain)?, asked, &method, &headers).await
}

/// `GET render/image/public/{bucket}/{key}`
pub(crate) async fn public(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let asked = from_query(query.as_deref()).map_err(StorageError::plain)?;
    let object = published(&app, &place).map_err(StorageError::plain)?;
    serve(&app, owner, object, asked, &method, &headers).await
}

/// `GET render/image/sign/{bucket}/{key}?token=`: the token says what is made, not the URL.
pub(crate) async fn signed(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let token = parameter(query.as_deref(), "token");
    let url = format!("{}/{}", place.bucket, place.key);
    let opened = ticket::open(&app.keys, token.as_deref(), &url).map_err(StorageError::plain)?;
    let Opens::Download { transform, blob: None } = opened else {
        let message = "The token is for another use";
        return Err(StorageError::new(400, "InvalidSignature", "InvalidSignature", message).plain());
    };
    let asked = from_parameters(&transform.unwrap_or_default()).map_err(StorageError::plain)?;
    let object = find(app.services.actors.store(), &Claims::service(), &place.bucket, &place.key);
    serve(&app, owner, object.map_err(StorageError::plain)?, asked, &method, &headers).await
}

async fn serve(
    app: &App,
    owner: Owner,
    object: Object,
    asked: Transform,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, StorageError> {
    let name = blake3::hash(format!("{} {asked:?}", object.blob.hex()).as_bytes()).to_hex();
    let (etag, last_modified) = (format!("\"{}\"", &name[..32]), object.last_modified());
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    set(answer, header::ETAG, &etag);
    set(answer, header::LAST_MODIFIED, &last_modified);
    set(answer, header::CACHE_CONTROL, &object.cache_control);
    if part(headers, &etag, &last_modified, u64::MAX) == Part::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let (bytes, mime_type) = picture(app, owner, &object, asked).await?;
    set(answer, header::CONTENT_TYPE, mime_type);
    set(answer, header::CONTENT_LENGTH, &bytes.len().to_string());
    guard_against_scripts(answer, mime_type);
    if *method != Method::HEAD {
        *response.body_mut() = Body::from(bytes);
    }
    Ok(response)
}

async fn picture(
    app: &App,
    owner: Owner,
    object: &Object,
    asked: Transform,
) -> Result<(Bytes, &'static str), StorageError> {
    if object.size > SOURCE_BYTES_MAX {
        let refusal = actors::file::FileRefusal::TooLarge { bytes_max: SOURCE_BYTES_MAX };
        return Err(StorageError::from(refusal).plain());
    }
    let kept = |key: &Key| KEPT.lock().unwrap_or_else(PoisonError::into_inner).find(key);
    let key = (object.blob, asked);
    if let Some(found) = kept(&key) {
        return Ok(found);
    }
    let thumbnail = thumbnail_width(&asked);
    if let Some(width) = thumbnail {
        let (thumbnails, blob) = (app.thumbnails.clone(), object.blob);
        let found = tokio::task::spawn_blocking(move || thumbnails.find(&blob, width)).await?;
        if let Some((bytes, mime_type)) = found {
            return Ok((Bytes::from(bytes), mime_type));
        }
    }
    let turn = app.budgets.renders.hold(owner, 1, TURN_MAX).await;
    let Some(turn) = turn else { return Err(StorageError::too_many()) };
    // A request before this one may have made it.
    if let Some(found) = kept(&key) {
        return Ok(found);
    }
    let (store, thumbnails) = (app.services.actors.store().clone(), app.thumbnails.clone());
    let made = tokio::task::spawn_blocking(move || {
        // The turn lasts as long as the work, even when it is no longer waited for.
        let _turn = turn;
        let bytes = store.blobs().read(&key.0).map_err(StorageError::internal)?;
        let made = picture::transform(&bytes, &asked).map_err(|error| match error {
            PictureError::TooLarge { .. } => {
                StorageError::new(422, "InvalidRequest", "ImageTooLarge", error.to_string()).plain()
            }
            PictureError::Unreadable(_) => {
                StorageError::new(422, "InvalidRequest", "InvalidImage", error.to_string()).plain()
            }
        })?;
        if let Some(width) = thumbnail {
            thumbnails.keep(&store, &key.0, width, &made.0, made.1);
        }
        Ok::<_, StorageError>(made)
    });
    let (bytes, mime_type) = made.await??;
    let bytes = Bytes::from(bytes);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).keep(key, bytes.clone(), mime_type);
    Ok((bytes, mime_type))
}

/// The width of a thumbnail that is kept on disk; other sizes are made each time, or found in memory.
fn thumbnail_width(asked: &Transform) -> Option<u32> {
    let width = asked.width.filter(|width| WIDTHS_PX.contains(width))?;
    let usual = Transform { width: Some(width), resize: Resize::Contain, ..Transform::default() };
    (*asked == usual).then_some(width)
}

type Key = (BlobHash, Transform);

/// The pictures made last.
struct Kept {
    pictures: VecDeque<(Key, Bytes, &'static str)>,
    bytes: usize,
}

impl Kept {
    fn find(&self, key: &Key) -> Option<(Bytes, &'static str)> {
        let found = self.pictures.iter().find(|(other, ..)| other == key)?;
        Some((found.1.clone(), found.2))
    }

    fn keep(&mut self, key: Key, bytes: Bytes, mime_type: &'static str) {
        if bytes.len() > KEPT_BYTES_MAX / 4 {
            return;
        }
        self.bytes += bytes.len();
        self.pictures.push_back((key, bytes, mime_type));
        while self.bytes > KEPT_BYTES_MAX || self.pictures.len() > KEPT_MAX {
            let Some((_, oldest, _)) = self.pictures.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}
