//! `object/sign/…` and `object/upload/sign/…`: URLs that need no key.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use models::Claims;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Document, json};
use uuid::Uuid;

use super::download::serve;
use super::error::StorageError;
use super::incoming::drain;
use super::object::{bucket, find, readable};
use super::request::{BucketName, Members, Place, Requester, parameter};
use super::ticket::{self, Opens};
use super::transform::{from_json, parameters};
use super::upload::{may_write, receive, wants_upsert};
use crate::app::App;
use crate::caller::{Bad, BadToken};
use crate::config::Config;
use crate::keys::Keys;

/// Files that one request may sign.
const PATHS_MAX: usize = 1000;
/// Life of a token for an upload, in seconds.
const UPLOAD_LIFE_S: u64 = 2 * 3600;
/// What stands for itself in the path of a URL.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An absolute URL by which anybody may read a file for a while; with a hash only as long as the file has these bytes. No policy
/// is asked: that is the caller's part.
pub fn signed_url(
    keys: &Keys,
    config: &Config,
    (bucket, key): (&str, &str),
    blob: Option<&str>,
    expires_in_s: u64,
) -> Result<String, String> {
    let url = format!("{bucket}/{key}");
    let opens = Opens::Download { transform: None, blob: blob.map(str::to_string) };
    let token = ticket::sign(keys, &url, opens, expires_in_s);
    let token = token.map_err(|_| "the URL cannot be signed".to_string())?;
    let path = utf8_percent_encode(&url, IN_PATH);
    Ok(format!("{}/storage/v1/object/sign/{path}?token={token}", config.url()))
}

/// An absolute URL to which its holder may upload a file, with the server's rights, for two hours; one that is there is
/// replaced.
pub fn signed_upload_url(keys: &Keys, config: &Config, bucket: &str, key: &str) -> Result<String, String> {
    let url = format!("{bucket}/{key}");
    let token = ticket::sign(keys, &url, Opens::Upload { owner: None, upsert: true }, UPLOAD_LIFE_S);
    let token = token.map_err(|_| "the URL cannot be signed".to_string())?;
    let path = utf8_percent_encode(&url, IN_PATH);
    Ok(format!("{}/storage/v1/object/upload/sign/{path}?token={token}", config.url()))
}

/// `POST object/sign/{bucket}/{key}`
pub(crate) async fn one(
    State(app): State<App>,
    Requester(claims): Requester,
    mut place: Place,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let expires_in_s = expiry(&body)?;
    let transform = match body.get("transform") {
        None | Some(Document::Null) => None,
        Some(asked) => Some(parameters(&from_json(asked)?)),
    };
    place.key = readable(app.services.actors.store(), &claims, &place.bucket, &place.key)?.name;
    Ok(Json(json!({"signedURL": signed_path(&app.keys, &place, transform, expires_in_s)?})))
}

/// `POST object/sign/{bucket}`: each path has its own answer.
pub(crate) async fn several(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let expires_in_s = expiry(&body)?;
    bucket(app.services.actors.store(), &id)?;
    let mut answers = Vec::new();
    for key in body.texts("paths", PATHS_MAX)? {
        let mut place = Place { bucket: id.clone(), key };
        answers.push(match readable(app.services.actors.store(), &claims, &id, &place.key) {
            Ok(object) => {
                let path = std::mem::replace(&mut place.key, object.name);
                let signed = signed_path(&app.keys, &place, None, expires_in_s)?;
                json!({"error": null, "path": path, "signedURL": signed})
            }
            Err(error) if error.status.is_server_error() => return Err(error),
            Err(_) => {
                let error = "Either the object does not exist or you do not have access to it";
                json!({"error": error, "path": place.key, "signedURL": null})
            }
        });
    }
    Ok(Json(Document::Array(answers)))
}

/// `GET object/sign/{bucket}/{key}?token=`
pub(crate) async fn download(
    State(app): State<App>,
    place: Place,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let token = parameter(query.as_deref(), "token");
    match ticket::open(&app.keys, token.as_deref(), &format!("{}/{}", place.bucket, place.key))? {
        Opens::Download { transform: None, blob } => {
            let object = find(app.services.actors.store(), &Claims::service(), &place.bucket, &place.key)?;
            if blob.is_some_and(|blob| blob != object.blob.hex()) {
                let message = "The file was changed after it was signed";
                return Err(StorageError::new(409, "Conflict", "FileChanged", message).plain());
            }
            serve(&app, &object, &method, &headers, query.as_deref()).await
        }
        // A picture was promised, perhaps a small one on purpose; not the file behind it.
        _ => Err(StorageError::new(
            400,
            "InvalidSignature",
            "InvalidSignature",
            "The token is for another use",
        )),
    }
}

/// `POST object/upload/sign/{bucket}/{key}`
pub(crate) async fn upload(
    State(app): State<App>,
    Requester(claims): Requester,
    place: Place,
    headers: HeaderMap,
) -> Result<Json<Document>, StorageError> {
    bucket(app.services.actors.store(), &place.bucket)?;
    let upsert = wants_upsert(&headers);
    may_write(app.services.actors.store(), &claims, &place, upsert)?;
    let url = format!("{}/{}", place.bucket, place.key);
    let opens = Opens::Upload { owner: claims.user_id.filter(|_| !claims.is_service()), upsert };
    let token = ticket::sign(&app.keys, &url, opens, UPLOAD_LIFE_S)?;
    Ok(Json(json!({"url": format!("/object/upload/sign/{url}?token={token}"), "token": token})))
}

/// `PUT object/upload/sign/{bucket}/{key}?token=`
pub(crate) async fn upload_with_token(
    State(app): State<App>,
    place: Place,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, StorageError> {
    let token = parameter(query.as_deref(), "token");
    let refusal = match ticket::open(&app.keys, token.as_deref(), &format!("{}/{}", place.bucket, place.key))
    {
        Ok(Opens::Upload { owner, upsert }) => {
            // Policies are asked again, as for the account that signed.
            let claims = owner.map_or_else(Claims::service, Claims::user);
            match owner.map(|owner| stands(&app, owner)).transpose() {
                Ok(_) => return receive(&app, &claims, place, upsert, request).await,
                Err(refusal) => refusal,
            }
        }
        Ok(Opens::Download { .. }) => {
            StorageError::new(400, "InvalidSignature", "InvalidSignature", "The token is for another use")
        }
        Err(error) => error,
    };
    drain(&mut request.into_body().into_data_stream()).await;
    Err(refusal)
}

/// Whether the account that signed still stands.
pub(super) fn stands(app: &App, owner: Uuid) -> Result<(), StorageError> {
    let standing = app.services.actors.accounts().standing(owner, None)?;
    match standing.refusal() {
        None => Ok(()),
        Some(reason) => Err(BadToken { message: reason.into(), kind: Bad::Ended(standing) }.into()),
    }
}

fn expiry(body: &Members) -> Result<u64, StorageError> {
    match body.number("expiresIn")? {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(StorageError::invalid("body/expiresIn must be >= 1")),
    }
}

/// Relative to `/storage/v1` and not encoded: clients do that.
fn signed_path(
    keys: &Keys,
    place: &Place,
    transform: Option<BTreeMap<String, String>>,
    expires_in_s: u64,
) -> Result<String, StorageError> {
    let url = format!("{}/{}", place.bucket, place.key);
    let kind = if transform.is_some() { "render/image/sign" } else { "object/sign" };
    let token = ticket::sign(keys, &url, Opens::Download { transform, blob: None }, expires_in_s)?;
    Ok(format!("/{kind}/{url}?token={token}"))
}
