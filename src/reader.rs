//! `/read/…`: an episode as a page for people without an account, behind one signed link that its owner can revoke.
//!
//! A link names an export and the share that was made of it; what opens it is that the export still has this share.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use services::webtoon::exports::share::{self, Shared};
use uuid::Uuid;

use crate::app::App;
use crate::keys::Keys;
use crate::long_work;

/// What the page may do: show its own pictures.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Bytes of a signature in a link.
const SIGNATURE_BYTES: usize = 16;

/// The page and its pictures.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/read/{token}", get(page)).route("/read/{token}/{name}", get(picture))
}

/// The path of a link.
pub(crate) fn path(keys: &Keys, export: Uuid, share: Uuid) -> String {
    let mut token = [export.as_bytes().as_slice(), share.as_bytes()].concat();
    let signature = signature(keys, &token);
    token.extend_from_slice(&signature);
    format!("/read/{}", URL_SAFE_NO_PAD.encode(token))
}

/// A key of its own, so that no other signature passes for one of these.
fn signature(keys: &Keys, names: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let key = blake3::derive_key("playhouse reading links v1", keys.jwt_secret().as_bytes());
    let mut signature = [0; SIGNATURE_BYTES];
    signature.copy_from_slice(&blake3::keyed_hash(&key, names).as_bytes()[..SIGNATURE_BYTES]);
    signature
}

/// The export and the share that a token of ours names.
fn open(keys: &Keys, token: &str) -> Option<(Uuid, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == 32 + SIGNATURE_BYTES)?;
    let (names, given) = bytes.split_at(32);
    let expected = signature(keys, names);
    // All bytes are compared, whichever differs first.
    let differs = expected.iter().zip(given).fold(0, |differs, (one, other)| differs | (one ^ other));
    let id = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    if differs == 0 { Some((id(&names[..16])?, id(&names[16..])?)) } else { None }
}

/// What a link shows, if it still does.
async fn shared(app: &App, token: &str) -> Option<Shared> {
    let (export, share) = open(&app.keys, token)?;
    let services = app.services.clone();
    match long_work::spawn(move || share::find(&services, export, share)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(%error, %export, "a shared episode could not be read");
            None
        }
        Err(_) => None,
    }
}

async fn page(State(app): State<App>, Path(token): Path<String>) -> Response {
    match shared(&app, &token).await {
        Some(shared) => {
            let (store, of) = (app.services.actors.store().clone(), shared.clone());
            let pictures = long_work::spawn(move || share::pictures(&store, &of)).await;
            let pictures = match pictures {
                Ok(Ok(pictures)) => pictures,
                Ok(Err(error)) => {
                    tracing::error!(%error, "the slices of a shared episode could not be read");
                    return html(StatusCode::INTERNAL_SERVER_ERROR, &gone());
                }
                Err(_) => return html(StatusCode::INTERNAL_SERVER_ERROR, &gone()),
            };
            let address = format!("{}/read/{token}", app.services.links.base());
            html(StatusCode::OK, &document(&shared, &pictures, &address))
        }
        None => html(StatusCode::NOT_FOUND, &gone()),
    }
}

async fn picture(State(app): State<App>, Path((token, name)): Path<(String, String)>) -> Response {
    let Some(shared) = shared(&app, &token).await else { return StatusCode::NOT_FOUND.into_response() };
    let store = app.services.actors.store().clone();
    let read = long_work::spawn(move || share::read(&store, &shared, &name)).await;
    match read {
        Ok(Ok(Some((bytes, mime_type)))) => {
            let headers = [
                (header::CONTENT_TYPE, mime_type),
                // A revoked link shows nothing from then on, apart from what readers have kept for a minute.
                (header::CACHE_CONTROL, "private, max-age=60"),
            ];
            (headers, Body::from(bytes)).into_response()
        }
        Ok(Ok(None)) | Err(_) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "a picture of a shared episode could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn html(status: StatusCode, text: &str) -> Response {
    let mut response = (status, text.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Who has the link reads; search machines are not asked to.
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

const ICON: &str = "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n";
const STYLE: &str = "body{margin:0;background:#111;color:#eee;font:16px/1.5 system-ui,sans-serif}\
    header,footer{max-width:800px;margin:0 auto;padding:16px;box-sizing:border-box}h1{font-size:1.3rem;margin:0}\
    p{margin:0;color:#aaa}main{max-width:800px;margin:0 auto;background:#fff}img{display:block;width:100%;height:auto}";

/// The page. Slices, with their widths and heights, lie one below the other without a gap.
fn document(shared: &Shared, slices: &[(String, u32, u32)], address: &str) -> String {
    let (title, series, address) = (escaped(&shared.title), escaped(&shared.series), escaped(address));
    let token = address.rsplit('/').next().unwrap_or_default();
    let mut pictures = String::new();
    for (place, (name, width, height)) in slices.iter().enumerate() {
        let loading = if place < 2 { "eager" } else { "lazy" };
        let name = escaped(name);
        pictures.push_str(&format!(
            "<img src=\"/read/{token}/{name}\" width=\"{width}\" height=\"{height}\" loading=\"{loading}\" alt=\"{title}, part {}\">\n",
            place + 1
        ));
    }
    let preview = slices.first().map(|(name, width, height)| {
        let name = escaped(name);
        format!(
            "<meta property=\"og:image\" content=\"{address}/{name}\">\n<meta property=\"og:image:width\" content=\"{width}\">\n\
             <meta property=\"og:image:height\" content=\"{height}\">\n<meta name=\"twitter:card\" content=\"summary_large_image\">\n"
        )
    });
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n{ICON}\
         <meta property=\"og:type\" content=\"article\">\n<meta property=\"og:title\" content=\"{title}\">\n\
         <meta property=\"og:site_name\" content=\"{series}\">\n<meta property=\"og:url\" content=\"{address}\">\n{}\
         <style>{STYLE}</style>\n</head>\n<body>\n<header><h1>{title}</h1><p>{series}</p></header>\n<main>\n{pictures}</main>\n\
         <footer><p>{series}</p></footer>\n</body>\n</html>\n",
        preview.unwrap_or_default()
    )
}

fn gone() -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Not here</title>\n{ICON}<style>{STYLE}</style>\n\
         </head>\n<body>\n<header><h1>Nothing to read here</h1><p>The link is not right, or it was taken back.</p></header>\n\
         </body>\n</html>\n"
    )
}

/// Text as it stands in HTML, also within quotation marks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            one => safe.push(one),
        }
    }
    safe
}
