//! Every route on one screen, and what is around each request.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use models::Claims;
use serde_json::json;
use store::shares::Owner;
use tower::{Service, service_fn};
use tracing::Instrument;

use crate::app::App;
use crate::bodies::{self, Arrival};
use crate::budgets::client_of;
use crate::caller::BadToken;
use crate::metrics::route::{self, Taken};
use crate::request_line::TARGET_BYTES_MAX;
use crate::{
    answers, cors, ended_accounts, functions, gotrue, imports, metrics, openai, operate, owner, postgrest,
    reader, realtime, sdapi, storage, studio, traces, webtoons,
};

/// Names a request, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a browser may do with an answer that it opens as a page: nothing. The page itself has a policy of its own.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Room for what every answer has, so that its map grows once.
const COMMON_HEADERS: usize = 8;

/// Everything the server answers, on one screen: `/rest/v1` by [`postgrest::answer`], the rest by the router.
///
/// Rows are read far more often than anything else is asked for, and a router with layers costs as much as finding a
/// row (`benches/http.rs`).
pub fn service(
    app: App,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let routes = Router::new()
        .route("/health", get(operate::health))
        .route("/ready", get(operate::ready))
        .route("/metrics", get(metrics::serve::metrics))
        .route("/admin/v1/backup", post(operate::backup))
        .route("/admin/v1/check", post(operate::check))
        .route("/admin/v1/import", post(imports::import))
        .nest("/auth/v1", gotrue::routes())
        .nest("/functions/v1", functions::routes())
        .nest("/realtime/v1", realtime::routes())
        .nest("/storage/v1", storage::routes())
        .nest("/v1", openai::routes().merge(webtoons::routes()))
        .nest("/sdapi/v1", sdapi::routes())
        .merge(reader::routes())
        .merge(studio::routes())
        .layer(from_fn(route::note))
        .fallback(no_route)
        .with_state(app.clone());
    service_fn(move |request| answer(app.clone(), routes.clone(), request))
}

async fn no_route(request: Request) -> Response {
    if studio::is_asked_for(&request) {
        return studio::page(request.headers());
    }
    (StatusCode::NOT_FOUND, axum::Json(json!({"code": "NOT_FOUND", "message": "no such route"})))
        .into_response()
}

/// Around every request: cross-origin rules, request id, limits, error bodies, one log line.
async fn answer(app: App, mut routes: Router, mut request: Request) -> Result<Response, Infallible> {
    let started = std::time::Instant::now();
    let _under_way = app.metrics.request();
    let request_id = match request.headers().get(REQUEST_ID).filter(|id| is_request_id(id)) {
        Some(id) => id.clone(),
        None => {
            let id = new_request_id();
            request.headers_mut().insert(REQUEST_ID, id.clone());
            id
        }
    };
    forgive_slash(&mut request);
    let span = tracing::info_span!("request", request_id = request_id.to_str().unwrap_or_default());
    traces::follow(&span, request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    // Rows are asked for without the router.
    let taken = (!postgrest::is_below(uri.path())).then(Taken::default);
    if let Some(taken) = &taken {
        request.extensions_mut().insert(taken.clone());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    // Files arrive on the disk, and say themselves what a browser may do with them.
    let is_file = uri.path().starts_with("/storage/v1/");
    let preflight = (method == Method::OPTIONS).then(|| {
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        (asked, uri.path().starts_with(storage::RESUMABLE))
    });
    let too_long = uri.path().len() + uri.query().map_or(0, str::len) > TARGET_BYTES_MAX;
    if !request.body().is_end_stream() {
        DefaultBodyLimit::max(app.config.body_bytes_max).apply(&mut request);
    }
    let mut response = if preflight.is_some() {
        StatusCode::OK.into_response()
    } else if too_long {
        let body = json!({"code": "PGRST100", "message": "URI too long", "details": null, "hint": null});
        (StatusCode::URI_TOO_LONG, axum::Json(body)).into_response()
    } else {
        let (owner, asks) = owner::owner_of(&app, &request);
        request.extensions_mut().insert(owner);
        match app.rates.admits(owner, client_of(&request, &app.config)) {
            true => {
                let handled = handled(&app, &mut routes, request, owner, asks, is_file);
                handled.instrument(span.clone()).await?
            }
            false => {
                app.metrics.refused();
                too_many("too many requests from one address or account")
            }
        }
    };
    let status = response.status();
    // The client takes an error without a JSON body for a success; the framework's own refusals are plain text.
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if (status.is_client_error() || status.is_server_error()) && !is_json && method != Method::HEAD {
        let reason = status.canonical_reason().unwrap_or("error");
        let body =
            json!({"code": status.as_u16().to_string(), "message": reason, "details": null, "hint": null});
        response = (status, axum::Json(body)).into_response();
    }
    let headers = response.headers_mut();
    headers.reserve(COMMON_HEADERS);
    cors::allow(headers, &app.config.cors_origins, origin);
    // What an answer says it is counts, and nothing of it is a page of this origin.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_file {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if let Some((asked, resumable)) =
        preflight.filter(|_| headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN))
    {
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let default = HeaderValue::from_static("authorization, x-client-info, apikey, content-type");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(default));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        if resumable {
            storage::resumable_abilities(headers, app.config.file_bytes_max);
        }
    }
    let took = started.elapsed();
    if tracing::enabled!(tracing::Level::INFO) {
        let request_id = request_id.to_str().unwrap_or_default();
        let path = uri.path();
        tracing::info!(request_id, %method, path, status = status.as_u16(), ms = took.as_millis() as u64);
    }
    let template = route::template(uri.path(), taken.as_ref());
    traces::describe(&span, &method, &template, status);
    app.metrics.answered(&method, template, status, took);
    headers.insert(REQUEST_ID, request_id);
    Ok(response)
}

/// The answer of a route, with what it takes from what all share.
async fn handled(
    app: &App,
    routes: &mut Router,
    request: Request,
    owner: Owner,
    asks: Result<Claims, BadToken>,
    is_file: bool,
) -> Result<Response, Infallible> {
    let only_reads = owner::only_reads(request.method(), request.uri().path());
    let leaves = gotrue::is_deletion_of_oneself(request.method(), request.uri().path());
    let (request, arrival) = bodies::watch(request, &app.budgets.bodies, owner, is_file);
    let answered = async {
        match postgrest::is_below(request.uri().path()) {
            true => Ok(postgrest::answer(app.clone(), request, asks).await),
            false => routes.call(request).await,
        }
    };
    let response = match leaves {
        // The end of the account is what was asked for.
        true => answered.await?,
        false => ended_accounts::end_with(app, owner, answered).await?,
    };
    // Of a caller that may not ask the body is only read to be thrown away.
    let heard = response.status() != StatusCode::UNAUTHORIZED;
    let unfinished = arrival.filter(|_| heard).and_then(|arrival| unfinished(&arrival));
    let response = unfinished.unwrap_or(response);
    let pause = Duration::from_secs(app.config.answer_pause_s_max);
    Ok(answers::account(response, &app.budgets.memory, owner, only_reads, pause)
        .unwrap_or_else(|| too_many("too many large answers at one time")))
}

/// Where a slash at the end of a path says nothing.
const SLASH_SAYS_NOTHING: [&str; 4] = ["/v1/", "/sdapi/v1/", "/functions/v1/", "/auth/v1/"];

/// Takes away the slash at the end of a path, which some clients put there.
fn forgive_slash(request: &mut Request) {
    let path = request.uri().path();
    if !path.ends_with('/') || !SLASH_SAYS_NOTHING.iter().any(|door| path.starts_with(door)) {
        return;
    }
    let plain = path.trim_end_matches('/');
    let target = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain.to_string(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse().ok().or(parts.path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The answer to a request whose body did not arrive whole.
fn unfinished(arrival: &Arrival) -> Option<Response> {
    if arrival.found_no_room() {
        return Some(too_many("too many large requests at one time"));
    }
    let body = json!({"code": "408", "message": "the request did not go on", "details": null, "hint": null});
    arrival.was_too_slow().then(|| (StatusCode::REQUEST_TIMEOUT, axum::Json(body)).into_response())
}

/// Others need what is left.
fn too_many(message: &str) -> Response {
    let body = json!({"code": "429", "message": message, "details": null, "hint": null});
    let mut response = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Whether a client's name for its request may stand in logs, rows and answers as it is.
fn is_request_id(id: &HeaderValue) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
}

/// A name for a request whose client gave none.
fn new_request_id() -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    // In the order of time, so that the audit trail's index by requests grows at its end. The rest is from the thread's own
    // generator: the system's costs a call into the kernel each time.
    let millis =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let id = uuid::Builder::from_unix_timestamp_millis(millis as u64, &rand::random()).into_uuid();
    let text = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}
