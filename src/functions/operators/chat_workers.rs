//! register-chat-worker, update-worker-url, get-active-worker-url, health-check-workers: servers that help out.
//!
//! This server calls only addresses that an administrator allowed: those an administrator registers, and those in
//! `system_config.config.allowedWorkerUrls`.

use actors::catalog::merge_config::MergeConfig;
use actors::language::{WorkerKind, health_entry};
use language::{Probe, WorkerAbout};
use models::value_words::{Takes, shown_text};
use serde_json::{Map, Value as Json, json};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

const URL_BYTES_MAX: usize = 2048;

/// The fields of a registration.
const REGISTRATION: [Field<'_>; 2] = [("worker_url", Takes::Text), ("auto_registered", Takes::Flag)];
/// The fields of a new address.
const UPDATE: [Field<'_>; 6] = [
    ("worker_url", Takes::Text),
    ("worker_type", Takes::Text),
    ("auto_registered", Takes::Flag),
    ("registration_method", Takes::Anything),
    ("detection_method", Takes::Anything),
    ("timestamp", Takes::Anything),
];

/// Asks a worker how it fares; what is found counts for chats at once.
async fn probe(call: &Call, url: &str) -> (Probe, Option<WorkerAbout>) {
    let engines = call.context.services.chat.engines();
    let probe = engines.probe(url).await;
    let about = engines.describe(url, &probe).await;
    (probe, about)
}

/// The address of a request.
fn worker_url(body: &Json) -> Result<String, FunctionError> {
    let url = body["worker_url"].as_str().unwrap_or_default().trim();
    let url = url.trim_end_matches('/');
    if url.is_empty() {
        return Err(FunctionError::missing(&["worker_url"]).with("success", false));
    }
    match reqwest::Url::parse(url) {
        Ok(parsed)
            if url.len() <= URL_BYTES_MAX
                && matches!(parsed.scheme(), "http" | "https")
                && parsed.has_host() =>
        {
            Ok(url.to_string())
        }
        _ => {
            let message = format!("worker_url: {} is no http or https address", shown_text(url));
            Err(FunctionError::bad(message).of_field("worker_url").with("success", false))
        }
    }
}

/// Administrators allow an address by giving it; others give one that was allowed before.
fn allow(
    call: &Call,
    config: &Json,
    url: &str,
    members: &mut Map<String, Json>,
) -> Result<(), FunctionError> {
    let mut allowed: Vec<Json> = config["allowedWorkerUrls"].as_array().cloned().unwrap_or_default();
    if allowed.iter().any(|known| known.as_str().is_some_and(|known| known.trim_end_matches('/') == url)) {
        return Ok(());
    }
    if call.context.claims.is_service() {
        let message = "worker_url: no administrator has allowed this address; one does by registering it with an \
                       account of theirs, or by adding it to allowedWorkerUrls of system_config";
        return Err(FunctionError::forbidden(message).of_field("worker_url"));
    }
    allowed.push(json!(url));
    members.insert("allowedWorkerUrls".into(), Json::Array(allowed));
    Ok(())
}

async fn merge(call: &Call, members: Map<String, Json>, action: &'static str) -> Result<(), FunctionError> {
    call.context.ask(MergeConfig { members, action }).await?;
    Ok(())
}

/// register-chat-worker.
pub(crate) async fn register(call: Call) -> Outcome {
    let body = call.read_fields(&REGISTRATION)?;
    let url = worker_url(&body)?;
    let config = call.context.services.chat.engines().system_config().await?;
    let mut members = Map::new();
    allow(&call, &config, &url, &mut members)?;
    let (health, about) = probe(&call, &url).await;
    let registration = json!({
        "auto_registered": body["auto_registered"] == Json::Bool(true),
        "registered_at": chrono::Utc::now().to_rfc3339(),
        "registered_by": call.context.claims.user_id,
    });
    members.insert("chatWorkerUrl".into(), json!(url));
    members.insert("chatWorkerRegistrationInfo".into(), registration.clone());
    members.insert(
        "workerHealthCache".into(),
        json!({"chatWorker": health_entry(&url, &health, about.as_ref())}),
    );
    merge(&call, members, "register_chat_worker").await?;
    ok(json!({
        "success": true, "workerUrl": url, "healthStatus": if health.is_healthy() { "healthy" } else { "unhealthy" },
        "responseTimeMs": health.ms, "registrationInfo": registration,
    }))
}

/// update-worker-url.
pub(crate) async fn update(call: Call) -> Outcome {
    let body = call.read_fields(&UPDATE)?;
    let url = worker_url(&body)?;
    let config = call.context.services.chat.engines().system_config().await?;
    let mut members = Map::new();
    allow(&call, &config, &url, &mut members)?;
    let (health, about) = probe(&call, &url).await;
    if !health.is_healthy() {
        let error = FunctionError::bad("Worker URL is not responding").with("success", false);
        return Err(error.with("details", health.error));
    }
    let now = chrono::Utc::now().to_rfc3339();
    let (kind, names) = match body["worker_type"].as_str().unwrap_or("wan") {
        "wan" => (WorkerKind::Wan, &["workerUrl", "worker_url"][..]),
        "sdxl" => (WorkerKind::Sdxl, &["sdxlWorkerUrl"][..]),
        other => {
            let error = FunctionError::none_of("worker_type", other, &["wan", "sdxl"]);
            return Err(error.with("success", false));
        }
    };
    for name in names {
        members.insert((*name).into(), json!(url));
    }
    members.insert("workerUrlUpdatedAt".into(), json!(now));
    let registration = json!({
        "auto_registered": body["auto_registered"] == Json::Bool(true),
        "registration_method": body["registration_method"], "detection_method": body["detection_method"],
        "timestamp": body["timestamp"],
    });
    members.insert("workerRegistrationInfo".into(), registration);
    members.insert(
        "workerHealthCache".into(),
        json!({kind.entry(): health_entry(&url, &health, about.as_ref())}),
    );
    merge(&call, members, "update_worker_url").await?;
    ok(json!({
        "success": true, "message": "Worker URL updated", "worker_url": url, "workerUrl": url, "updatedAt": now,
        "responseTimeMs": health.ms,
    }))
}

/// get-active-worker-url.
pub(crate) async fn active(call: Call) -> Outcome {
    let body = call.read_fields(&[("worker_type", Takes::Text)])?;
    let given = call.parameter("worker_type");
    let kind = body["worker_type"].as_str().map(str::to_string).or(given).unwrap_or_else(|| "wan".into());
    let (names, entry): (&[&str], &str) = match kind.as_str() {
        "chat" => (&["chatWorkerUrl", "workerUrl"], "chatWorker"),
        "sdxl" => (&["sdxlWorkerUrl", "wanWorkerUrl", "workerUrl"], "sdxlWorker"),
        "wan" => (&["wanWorkerUrl", "workerUrl"], "wanWorker"),
        other => {
            let error = FunctionError::none_of("worker_type", other, &["chat", "sdxl", "wan"]);
            return Err(error.with("success", false));
        }
    };
    let config = call.context.services.chat.engines().system_config().await?;
    let url = names.iter().find_map(|name| config[*name].as_str().filter(|url| !url.is_empty()));
    let Some(url) = url.map(str::to_string) else {
        let message = format!("No {kind} worker URL is registered");
        return Err(FunctionError::not_found(message).with("success", false).with("worker_type", kind));
    };
    let (health, about) = probe(&call, &url).await;
    let mut members = Map::new();
    members.insert("workerHealthCache".into(), json!({entry: health_entry(&url, &health, about.as_ref())}));
    merge(&call, members, "check_worker").await?;
    let registration = if kind == "chat" {
        &config["chatWorkerRegistrationInfo"]
    } else {
        &config["workerRegistrationInfo"]
    };
    ok(json!({
        "success": true, "worker_url": url, "workerUrl": url, "isHealthy": health.is_healthy(),
        "healthError": health.error, "registrationInfo": registration, "worker_type": kind,
        "supportedEndpoints": about.as_ref().map(|about| about.endpoints.clone()).unwrap_or_default(),
        "workerCapabilities": about.map(|about| about.info), "responseTimeMs": health.ms,
    }))
}

/// health-check-workers.
pub(crate) async fn health(call: Call) -> Outcome {
    call.read_fields(&[])?;
    let config = call.context.services.chat.engines().system_config().await?;
    let mut results = Map::new();
    for kind in [WorkerKind::Wan, WorkerKind::Sdxl, WorkerKind::Chat] {
        let entry = kind.entry();
        let result = match kind.url(&config) {
            Some(url) => {
                let (health, about) = probe(&call, url).await;
                health_entry(url, &health, about.as_ref())
            }
            // A kind without an address of its own is none that is missed.
            None if kind == WorkerKind::Sdxl => continue,
            None => json!({
                "isHealthy": false, "lastChecked": chrono::Utc::now().to_rfc3339(), "responseTimeMs": null,
                "healthError": "no URL is registered", "workerUrl": null,
            }),
        };
        results.insert(entry.into(), result);
    }
    let mut members = Map::new();
    members.insert("workerHealthCache".into(), Json::Object(results.clone()));
    merge(&call, members, "health_check_workers").await?;
    ok(json!({"success": true, "healthResults": results, "timestamp": chrono::Utc::now().to_rfc3339()}))
}
