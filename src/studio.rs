//! The page at `/` with its files, which `studio/` is the source of.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::{Value as Document, json};

use crate::app::App;
use crate::sign_up;

/// What `npm run build` makes in `studio/`; committed, so that a build needs no Node.
#[derive(RustEmbed)]
#[folder = "studio/dist"]
struct Files;

/// What the page may do: talk to this server, and show what it made itself.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
                      object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Below these every answer is an API's, and never the page.
const APIS: [&str; 11] = [
    "/admin/",
    "/assets/",
    "/auth/",
    "/functions/",
    "/graphql/",
    "/read/",
    "/realtime/",
    "/rest/",
    "/sdapi/",
    "/storage/",
    "/v1/",
];

/// The page, its files, and what it needs to know of the server.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| page(&headers)))
        .route("/assets/{name}", get(asset))
        .route("/icon.svg", get(async |headers: HeaderMap| file("icon.svg", &headers)))
        .route("/icon.png", get(async |headers: HeaderMap| file("icon.png", &headers)))
        .route(
            "/manifest.webmanifest",
            get(async |headers: HeaderMap| file("manifest.webmanifest", &headers)),
        )
        .route("/studio/config.json", get(configuration))
}

/// Whether a path that is none of ours was opened by a browser as a page.
pub(crate) fn is_asked_for(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let path = request.uri().path();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && accepts.is_some_and(|accept| accept.contains("text/html"))
        && !APIS.iter().any(|api| path.starts_with(api) || path == api.trim_end_matches('/'))
}

/// The page; it names the current files, and is asked for each time.
pub(crate) fn page(headers: &HeaderMap) -> Response {
    let mut response = file("index.html", headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A file with a hash in its name never changes.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let mut response = file(&format!("assets/{name}"), &headers);
    if response.status().is_success() {
        let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, for_good);
    }
    response
}

/// Public: what a client needs before it has an account.
async fn configuration(State(app): State<App>) -> Response {
    let known: Document = json!({
        "anon_key": app.keys.anon_key(),
        "sign_up": sign_up::is_open(&app),
        "password_chars_min": app.config.password_chars_min,
        "first_start": app.welcome.is_expected(),
        "credits": app.config.charges_credits(),
        "realtime": true,
        "mail": app.mailer.is_some(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(known)).into_response()
}

/// A file of the page, in the smallest form that the browser takes.
fn file(name: &str, headers: &HeaderMap) -> Response {
    let accepts =
        headers.get(header::ACCEPT_ENCODING).and_then(|accepts| accepts.to_str().ok()).unwrap_or("");
    let takes =
        |coding: &str| accepts.split(',').any(|one| one.split(';').next().map(str::trim) == Some(coding));
    let compressed = [("br", "br"), ("gzip", "gz")].into_iter().filter(|(coding, _)| takes(coding));
    let found = compressed
        .filter_map(|(coding, ending)| Some((Some(coding), Files::get(&format!("{name}.{ending}"))?)))
        .next()
        .or_else(|| Some((None, Files::get(name)?)));
    let Some((coding, EmbeddedFile { data, .. })) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = Response::new(Body::from(data.into_owned()));
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
