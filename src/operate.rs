//! For operators: health, online backup and check. The command line uses these while a server runs.

use std::path::PathBuf;

use actors::catalog::provider_key;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use store::check::{Contents, Integrity};
use store::progress::{Progress, paced};
use store::{Caller, Store, StoreError};

use crate::app::App;
use crate::caller;
use crate::ended_accounts;
use crate::start_log::{Mistake, device_mistakes, mistakes};

/// `GET /health`: whether we serve; to operators also what is the matter, how each actor fares, and which settings name
/// what is not there.
pub async fn health(State(app): State<App>, headers: HeaderMap) -> Response {
    let actors = app.services.actors.health();
    let trouble = app.services.actors.store().trouble();
    let has_room = app.services.actors.store().has_room();
    let integrity = app.services.actors.store().integrity();
    let usage = app.services.actors.store().usage();
    let is_whole = !matches!(integrity, Integrity::Damaged { .. });
    let backups_fail = app.backups.as_ref().is_some_and(|backups| backups.failed());
    let well =
        !backups_fail && trouble.is_none() && has_room && is_whole && actors.iter().all(|actor| actor.alive);
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let summary = if well { "ok" } else { "degraded" };
    // Paths, versions and models are for operators alone.
    if !may_see_details(&app, &headers) {
        return (status, axum::Json(json!({"status": summary}))).into_response();
    }
    let config = app.clone();
    // Looks at folders.
    let mistakes = tokio::task::spawn_blocking(move || {
        let blame = |mistake: Mistake| config.config.sources.blame(mistake.setting, mistake.reason);
        let all = mistakes(&config.config).into_iter().chain(device_mistakes(&config.devices));
        all.map(blame).collect::<Vec<String>>()
    });
    let mistakes = mistakes.await.unwrap_or_default();
    let detail: Vec<_> = actors
        .iter()
        .map(|actor| {
            json!({
                "actor": actor.actor, "alive": actor.alive, "decided": actor.decided, "panicked": actor.panicked,
                "refused_full": actor.refused_full, "respawned": actor.respawned,
            })
        })
        .collect();
    let body = json!({
        "status": summary,
        "version": env!("CARGO_PKG_VERSION"),
        "read_only": trouble.is_some(),
        "trouble": trouble,
        "disk_full": !has_room,
        "integrity": integrity_json(&integrity),
        "commits": app.services.actors.store().commits(),
        "flushes": app.services.actors.store().flushes(),
        "store": { "used_bytes": usage.used_bytes, "live_bytes": usage.live_bytes },
        "bodies_bytes": app.budgets.bodies.used(),
        "memory_bytes": app.budgets.memory.used(),
        "backups": app.backups.as_ref().map(|backups| backups.json()),
        "long_reads": app.budgets.turns.used(),
        "settings": mistakes,
        "devices": app.devices.json(),
        "sockets": app.budgets.sockets.used(),
        "subscriptions": app.budgets.subscriptions.used(),
        "actors": detail,
        "provider_keys_ignored": ignored_keys(&app),
        "chat": {
            "model": chat_model(&app), "replies_under_way": app.services.chat.active(),
        },
    });
    (status, axum::Json(body)).into_response()
}

/// `GET /ready`: whether requests are to be sent here. Not while the server stops, nor while an actor takes no messages;
/// a store that only refuses writes still answers reads.
pub async fn ready(State(app): State<App>) -> Response {
    let state = match () {
        () if app.sockets.is_stopping() => "stopping",
        () if !app.services.actors.health().iter().all(|actor| actor.alive) => "restarting",
        () => "ready",
    };
    let status = if state == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({"status": state}))).into_response()
}

/// Whether a caller sees what is for operators.
pub(crate) enum Details {
    /// The service key asks, or an administrator.
    Shown,
    /// It is not known who asks: without a key, or with one that is none.
    Unknown(String),
    /// Another account asks.
    Hidden,
}

/// Whether the service key asks, or an administrator.
pub(crate) fn details_for(app: &App, headers: &HeaderMap) -> Details {
    let claims = match caller::claims_from(headers, app) {
        Ok(claims) => claims,
        Err(bad) => return Details::Unknown(bad.message),
    };
    let reads = app.services.actors.store().reads();
    if claims.is_service() || Caller::new(&claims).is_admin(&reads).unwrap_or(false) {
        return Details::Shown;
    }
    let has_key = matches!(caller::bearer(headers), Ok(Some(_))) || headers.contains_key("apikey");
    if has_key { Details::Hidden } else { Details::Unknown("there is no key".into()) }
}

/// Whether the service key asks, or an administrator.
fn may_see_details(app: &App, headers: &HeaderMap) -> bool {
    matches!(details_for(app, headers), Details::Shown)
}

/// Providers whose `secret_name` is not read, and what it is.
fn ignored_keys(app: &App) -> serde_json::Value {
    match provider_key::ignored_names(app.services.actors.store()) {
        Ok(named) => named
            .into_iter()
            .map(|(provider, name)| json!({"provider": provider, "secret_name": name}))
            .collect(),
        Err(error) => json!(error.to_string()),
    }
}

/// What the check after the start has found so far.
fn integrity_json(integrity: &Integrity) -> serde_json::Value {
    match integrity {
        Integrity::Unknown => json!({"state": "unknown"}),
        Integrity::Checking => json!({"state": "checking"}),
        Integrity::Sound { rows } => json!({"state": "sound", "rows": rows}),
        Integrity::Damaged { faults, listed } => {
            json!({"state": "damaged", "faults": faults, "listed": listed})
        }
        Integrity::Failed { reason } => json!({"state": "failed", "reason": reason}),
    }
}

/// How the chat model of this machine fares.
fn chat_model(app: &App) -> serde_json::Value {
    use actors::language::LocalStatus;
    match app.services.chat.engines().local_status() {
        LocalStatus::Absent => json!({"state": "absent"}),
        LocalStatus::Fetching(bytes) => json!({"state": "fetching", "bytes": bytes}),
        LocalStatus::Failed(reason) => json!({"state": "failed", "reason": reason}),
        LocalStatus::Present(_) => json!({"state": "present"}),
        LocalStatus::Loaded(name) => json!({"state": "loaded", "name": name}),
    }
}

fn refuse(status: StatusCode, message: impl Into<String>) -> Response {
    (status, axum::Json(json!({"code": status.as_u16().to_string(), "message": message.into()})))
        .into_response()
}

/// Why a caller may not operate; `None` for the service key.
fn forbidden(app: &App, headers: &HeaderMap) -> Option<Response> {
    match caller::claims_from(headers, app) {
        Ok(claims) if claims.is_service() => None,
        _ => Some(refuse(StatusCode::FORBIDDEN, "this needs the service_role key")),
    }
}

/// Where a backup goes.
#[derive(Debug, Deserialize)]
pub struct BackupRequest {
    target: PathBuf,
}

/// `POST /admin/v1/backup {target}`: writes a backup into a new folder on the server.
pub async fn backup(
    State(app): State<App>,
    headers: HeaderMap,
    axum::Json(request): axum::Json<BackupRequest>,
) -> Response {
    if let Some(refusal) = forbidden(&app, &headers) {
        return refusal;
    }
    let store = app.services.actors.store().clone();
    match tokio::task::spawn_blocking(move || store.backup_with(&request.target, &mut log_progress("backup")))
        .await
    {
        Ok(Ok(manifest)) => axum::Json(manifest).into_response(),
        Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, error.to_string()),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the backup failed unexpectedly"),
    }
}

/// What is to be checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckRequest {
    /// Leave out the contents of blobs.
    quick: bool,
}

/// `POST /admin/v1/check`: looks the whole store over.
pub async fn check(
    State(app): State<App>,
    headers: HeaderMap,
    body: Option<axum::Json<CheckRequest>>,
) -> Response {
    if let Some(refusal) = forbidden(&app, &headers) {
        return refusal;
    }
    let contents = Contents::of(body.is_some_and(|asked| asked.quick));
    let store = app.services.actors.store().clone();
    match tokio::task::spawn_blocking(move || look_over(&store, contents, &mut log_progress("check"))).await {
        Ok(Ok(report)) => axum::Json(report).into_response(),
        Ok(Err(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the check failed unexpectedly"),
    }
}

/// Looks a store over, and what accounts that are gone have left in it and beside it. Blocks.
pub fn look_over(
    store: &Store,
    contents: Contents,
    progress: &mut dyn FnMut(Progress),
) -> Result<serde_json::Value, StoreError> {
    let mut report = report_json(&store.check_with(contents, progress)?);
    report["left_behind"] = ended_accounts::left_behind(store)?.into();
    Ok(report)
}

/// Says in the log every few seconds how far something is.
fn log_progress(work: &'static str) -> impl FnMut(Progress) {
    paced(move |progress| tracing::info!(work, "{progress}"))
}

/// A check's report as JSON.
fn report_json(report: &store::check::Report) -> serde_json::Value {
    let orphans: Vec<String> = report.orphans.iter().map(store::blob::BlobHash::hex).collect();
    json!({
        "rows": report.rows, "index_entries": report.entries, "blobs": report.blobs, "faults": report.faults,
        "listed": report.listed, "orphans": orphans,
    })
}
