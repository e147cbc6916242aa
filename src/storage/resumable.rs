//! `upload/resumable`: uploads in pieces that survive a lost connection and a restart (TUS 1.0.0).

use actors::file::put_object::{NewObject, PutObject};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::Claims;
use store::StoreError;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::error::StorageError;
use super::incoming::{drain, next_piece};
use super::request::{Place, Requester, header as header_text};
use super::sign::stands;
use super::ticket::{self, Opens};
use super::unfinished::{Held, LIFE, Note, Unfinished};
use super::upload::wants_upsert;
use super::upload_note::{DEFER_LENGTH, LENGTH, VERSION, begin, place_of, with_length};
use crate::app::App;

const EXTENSIONS: &str = "creation,creation-defer-length,creation-with-upload,termination,expiration";
const PIECE_TYPE: &str = "application/offset+octet-stream";
/// Bytes gathered before a thread writes them.
const GATHERED_BYTES: usize = 256 << 10;

/// What the server can do, for `OPTIONS`.
pub(crate) fn abilities(headers: &mut HeaderMap, bytes_max: u64) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("tus-resumable", VERSION);
    set("tus-version", VERSION);
    set("tus-extension", EXTENSIONS);
    set("tus-max-size", &bytes_max.to_string());
}

/// `POST upload/resumable`: begins one.
pub(crate) async fn create(
    State(app): State<App>,
    Requester(claims): Requester,
    request: Request,
) -> Result<Response, StorageError> {
    let upsert = wants_upsert(request.headers());
    create_as(&app, Ok((claims, upsert)), request, "/storage/v1/upload/resumable").await
}

/// `POST upload/resumable/sign`: the same with the token of `object/upload/sign`, in `x-signature`.
pub(crate) async fn create_signed(
    State(app): State<App>,
    request: Request,
) -> Result<Response, StorageError> {
    let asked = place_of(request.headers()).and_then(|place| signed(&app, request.headers(), &place));
    create_as(&app, asked, request, "/storage/v1/upload/resumable/sign").await
}

/// Begins an upload with these claims, and whether a file that is there may be replaced.
async fn create_as(
    app: &App,
    asked: Result<(Claims, bool), StorageError>,
    request: Request,
    address: &str,
) -> Result<Response, StorageError> {
    let (parts, body) = request.into_parts();
    let begun = asked.and_then(|(claims, upsert)| {
        let (note, bytes_max) = begin(app, &claims, &parts.headers, upsert)?;
        Ok((note, bytes_max, claims))
    });
    let (note, bytes_max, claims) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            return Err(error.plain());
        }
    };
    let uploads = Unfinished::of(&app.config.data);
    let id = {
        let (uploads, note) = (uploads.clone(), note.clone());
        spawn_blocking(move || uploads.begin(&note)).await?.map_err(StorageError::plain)?
    };
    let (held, ..) = uploads.hold(id).map_err(StorageError::plain)?;
    // The first piece may come along.
    let offset = if header_text(&parts.headers, "content-type") == Some(PIECE_TYPE) {
        append(app, &uploads, id, 0, note.length.unwrap_or(bytes_max), body)
            .await
            .map_err(StorageError::plain)?
    } else {
        0
    };
    if note.length == Some(offset) {
        finish(app, &claims, &uploads, id, held, note).await.map_err(StorageError::plain)?;
    }
    let mut response = answer(StatusCode::CREATED, offset);
    set(&mut response, header::LOCATION, &format!("{address}/{id}"));
    set_expiry(&mut response);
    Ok(response)
}

/// Who asks for an upload that is under way: the caller, or a holder of the token for its file.
enum Asks<'h> {
    Account(Claims),
    Token(&'h HeaderMap),
}

/// `HEAD upload/resumable/{id}`: how much has arrived.
pub(crate) async fn state(
    State(app): State<App>,
    Requester(claims): Requester,
    Path(id): Path<String>,
) -> Result<Response, StorageError> {
    state_as(&app, Asks::Account(claims), &id).await
}

/// The same under `upload/resumable/sign`.
pub(crate) async fn state_signed(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    state_as(&app, Asks::Token(&headers), &id).await
}

async fn state_as(app: &App, asks: Asks<'_>, id: &str) -> Result<Response, StorageError> {
    let uploads = Unfinished::of(&app.config.data);
    let finished = |length: u64| {
        let mut response = answer(StatusCode::OK, length);
        set(&mut response, LENGTH, &length.to_string());
        set(&mut response, header::CACHE_CONTROL, "no-store");
        response
    };
    // The answer to the last piece was lost, and the upload is whole.
    if let Ok(id) = Uuid::parse_str(id) {
        let length = match &asks {
            Asks::Account(claims) => {
                uploads.length_of_finished(id, claims.user_id.filter(|_| !claims.is_service()))
            }
            // What the token is for is asked for below where the upload is not whole.
            Asks::Token(headers) => ticket::open_any(&app.keys, header_text(headers, "x-signature"))
                .ok()
                .filter(|(_, opens)| matches!(opens, Opens::Upload { .. }))
                .and_then(|(place, _)| uploads.length_of_finished_at(id, &place)),
        };
        if let Some(length) = length {
            return Ok(finished(length));
        }
    }
    let (id, held, note, offset, claims) = hold(app, &uploads, asks, id)?;
    let Some(length) = note.length else {
        let mut response = answer(StatusCode::OK, offset);
        set(&mut response, DEFER_LENGTH, "1");
        set(&mut response, header::CACHE_CONTROL, "no-store");
        return Ok(response);
    };
    if offset == length {
        // The server died between the last byte and the row; the client would take it for done.
        finish(app, &claims, &uploads, id, held, note).await.map_err(StorageError::plain)?;
    }
    let mut response = finished(length);
    set(&mut response, HeaderName::from_static("upload-offset"), &offset.to_string());
    Ok(response)
}

/// `PATCH upload/resumable/{id}`: the next piece.
pub(crate) async fn go_on(
    State(app): State<App>,
    Requester(claims): Requester,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, StorageError> {
    go_on_as(&app, Asks::Account(claims), &id, request.headers().clone(), request.into_body()).await
}

/// The same under `upload/resumable/sign`.
pub(crate) async fn go_on_signed(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, StorageError> {
    let headers = request.headers().clone();
    go_on_as(&app, Asks::Token(&headers), &id, headers.clone(), request.into_body()).await
}

async fn go_on_as(
    app: &App,
    asks: Asks<'_>,
    id: &str,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, StorageError> {
    let uploads = Unfinished::of(&app.config.data);
    let checked = hold(app, &uploads, asks, id).and_then(|found| {
        let said = |name: &str| header_text(&headers, name);
        if said("content-type") != Some(PIECE_TYPE) {
            return Err(
                StorageError::new(415, "invalid_mime_type", "InvalidMimeType", "Wrong content type").plain()
            );
        }
        let offset = found.3;
        if said("upload-offset").and_then(|text| text.parse().ok()) != Some(offset) {
            let message = format!("Upload-Offset must be {offset}");
            return Err(StorageError::new(409, "conflict", "InvalidUploadOffset", message).plain());
        }
        let (id, held, note, offset, claims) = found;
        let (note, bytes_max) =
            with_length(app, &uploads, id, &claims, note, offset, &headers).map_err(StorageError::plain)?;
        Ok((id, held, note, offset, claims, bytes_max))
    });
    let (id, held, note, offset, claims, bytes_max) = match checked {
        Ok(found) => found,
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            return Err(error);
        }
    };
    let offset = append(app, &uploads, id, offset, bytes_max, body).await.map_err(StorageError::plain)?;
    if note.length == Some(offset) {
        finish(app, &claims, &uploads, id, held, note).await.map_err(StorageError::plain)?;
    }
    let mut response = answer(StatusCode::NO_CONTENT, offset);
    set_expiry(&mut response);
    Ok(response)
}

/// `DELETE upload/resumable/{id}`: gives one up.
pub(crate) async fn give_up(
    State(app): State<App>,
    Requester(claims): Requester,
    Path(id): Path<String>,
) -> Result<Response, StorageError> {
    give_up_as(&app, Asks::Account(claims), &id)
}

/// The same under `upload/resumable/sign`.
pub(crate) async fn give_up_signed(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    give_up_as(&app, Asks::Token(&headers), &id)
}

fn give_up_as(app: &App, asks: Asks<'_>, id: &str) -> Result<Response, StorageError> {
    let uploads = Unfinished::of(&app.config.data);
    let (id, _held, ..) = hold(app, &uploads, asks, id)?;
    uploads.remove(id);
    Ok(answer(StatusCode::NO_CONTENT, 0))
}

/// The claims that the token in `x-signature` stands for, and whether it lets a file be replaced.
fn signed(app: &App, headers: &HeaderMap, place: &Place) -> Result<(Claims, bool), StorageError> {
    let url = format!("{}/{}", place.bucket, place.key);
    match ticket::open(&app.keys, header_text(headers, "x-signature"), &url)? {
        Opens::Upload { owner, upsert } => {
            owner.map(|owner| stands(app, owner)).transpose()?;
            // Policies are asked again, as for the account that signed.
            Ok((owner.map_or_else(Claims::service, Claims::user), upsert))
        }
        Opens::Download { .. } => Err(StorageError::new(
            400,
            "InvalidSignature",
            "InvalidSignature",
            "The token is for another use",
        )),
    }
}

/// An upload of the caller's own, or for whose file they have a token; another's is as good as none. With the claims that
/// it goes on under.
fn hold(
    app: &App,
    uploads: &Unfinished,
    asks: Asks<'_>,
    id: &str,
) -> Result<(Uuid, Held, Note, u64, Claims), StorageError> {
    let missing = || StorageError::new(404, "not_found", "NoSuchUpload", "The upload was not found").plain();
    let id = Uuid::parse_str(id).map_err(|_| missing())?;
    let (held, note, offset) = uploads.hold(id).map_err(StorageError::plain)?;
    let claims = match asks {
        Asks::Account(claims) => claims,
        Asks::Token(headers) => {
            let place = Place { bucket: note.bucket.clone(), key: note.key.clone() };
            signed(app, headers, &place).map_err(StorageError::plain)?.0
        }
    };
    if !claims.is_service() && (claims.user_id.is_none() || claims.user_id != note.owner) {
        return Err(missing());
    }
    Ok((id, held, note, offset, claims))
}

/// Takes a piece in, up to `length` bytes in all. What arrived of it before the connection was lost is kept.
async fn append(
    app: &App,
    uploads: &Unfinished,
    id: Uuid,
    mut offset: u64,
    length: u64,
    body: Body,
) -> Result<u64, StorageError> {
    let mut stream = body.into_data_stream();
    let mut gathered = Vec::new();
    let taken = loop {
        let piece = next_piece(&mut stream).await;
        let is_last = !matches!(piece, Ok(Some(_)));
        if let Ok(Some(bytes)) = &piece {
            if offset + (gathered.len() + bytes.len()) as u64 > length {
                break Err(StorageError::new(
                    413,
                    "Payload too large",
                    "EntityTooLarge",
                    "More than Upload-Length",
                ));
            }
            gathered.extend_from_slice(bytes);
        }
        if gathered.len() >= GATHERED_BYTES || (is_last && !gathered.is_empty()) {
            if !app.services.actors.store().has_room() {
                break Err(StoreError::DiskFull.into());
            }
            let (uploads, bytes) = (uploads.clone(), std::mem::take(&mut gathered));
            offset += bytes.len() as u64;
            spawn_blocking(move || uploads.append(id, &bytes)).await??;
        }
        match piece {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if taken.is_err() {
        drain(&mut stream).await;
    }
    let uploads = uploads.clone();
    spawn_blocking(move || uploads.sync(id)).await??;
    taken.map(|()| offset)
}

/// Everything has arrived: blob first, then the row, then the upload is forgotten.
async fn finish(
    app: &App,
    claims: &Claims,
    uploads: &Unfinished,
    id: Uuid,
    held: Held,
    note: Note,
) -> Result<(), StorageError> {
    let (uploads, store) = (uploads.clone(), app.services.actors.store().clone());
    let blob = {
        let uploads = uploads.clone();
        spawn_blocking(move || uploads.to_blob(id, &store)).await??
    };
    let done = note.clone();
    let length = note.length.unwrap_or_default();
    let object = NewObject {
        bucket: note.bucket,
        name: note.key,
        owner: note.owner,
        blob,
        size: length,
        mime_type: note.mime_type,
        cache_control: note.cache_control,
        user_metadata: note.metadata,
    };
    let put = app.services.actors.ask(claims, PutObject { object, upsert: note.upsert }).await;
    let refused = put.map(|_| ()).map_err(StorageError::from);
    // Whatever the store refused it would refuse again; a busy one may take it later.
    match &refused {
        Ok(()) => uploads.finished(id, &done, length),
        Err(error) if error.status.is_client_error() && error.status != 429 => uploads.remove(id),
        Err(_) => {}
    }
    drop(held);
    refused
}

fn answer(status: StatusCode, offset: u64) -> Response {
    let mut response = status.into_response();
    set(&mut response, HeaderName::from_static("tus-resumable"), VERSION);
    set(&mut response, HeaderName::from_static("upload-offset"), &offset.to_string());
    response
}

fn set_expiry(response: &mut Response) {
    let expires = chrono::Utc::now() + LIFE;
    let text = super::object::http_date(expires.timestamp_micros());
    set(response, HeaderName::from_static("upload-expires"), &text);
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    super::download::set(response.headers_mut(), name, value);
}
