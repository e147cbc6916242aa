//! register-chat-worker, update-worker-url, get-active-worker-url, health-check-workers: servers that help out.
//!
//! This server calls only addresses that an administrator allowed: those an administrator registers, and those in
//! `system_config.config.allowedWorkerUrls`.

use std::time::Duration;

use actors::catalog::merge_config::MergeConfig;
use actors::language::health_entry;
use axum::http::StatusCode;
use language::Probe;
use models::value_words::{Takes, shown_text};
use serde_json::{Map, Value as Json, json};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

const SHORT_PROBE: Duration = Duration::from_secs(3);
const URL_BYTES_MAX: usize = 2048;

/// The fields of a registration.
const REGISTRATION: [Field<'_>; 2] = [("worker_url", Takes::Text), ("auto_registered", Takes::Flag)];
/// The fields of a new address.
const UPDATE: [Field<'_>; 5] = [
    ("worker_url", Takes::Text),
    ("auto_registered", Takes::Flag),
    ("registration_method", Takes::Anything),
    ("detection_method", Takes::Anything),
    ("timestamp", Takes::Anything),
];

fn client(timeout: Duration) -> Result<reqwest::Client, FunctionError> {
    let client = language::http_client().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    client.build().map_err(|error| FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Asks a worker how it fares; what is found counts for chats at once.
async fn probe(call: &Call, url: &str) -> Probe {
    call.context.services.chat.engines().probe(url).await
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
    let health = probe(&call, &url).await;
    let registration = json!({
        "auto_registered": body["auto_registered"] == Json::Bool(true),
        "registered_at": chrono::Utc::now().to_rfc3339(),
        "registered_by": call.context.claims.user_id,
    });
    members.insert("chatWorkerUrl".into(), json!(url));
    members.insert("chatWorkerRegistrationInfo".into(), registration.clone());
    members.insert("workerHealthCache".into(), json!({"chatWorker": health_entry(&url, &health)}));
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
    let health = probe(&call, &url).await;
    if !health.is_healthy() {
        let error = FunctionError::bad("Worker URL is not responding").with("success", false);
        return Err(error.with("details", health.error));
    }
    let now = chrono::Utc::now().to_rfc3339();
    for name in ["workerUrl", "worker_url"] {
        members.insert(name.into(), json!(url));
    }
    members.insert("workerUrlUpdatedAt".into(), json!(now));
    let registration = json!({
        "auto_registered": body["auto_registered"] == Json::Bool(true),
        "registration_method": body["registration_method"], "detection_method": body["detection_method"],
        "timestamp": body["timestamp"],
    });
    members.insert("workerRegistrationInfo".into(), registration);
    members.insert("workerHealthCache".into(), json!({"wanWorker": health_entry(&url, &health)}));
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
    let health = probe(&call, &url).await;
    let capabilities = if health.is_healthy() { info(&url).await? } else { Json::Null };
    let mut members = Map::new();
    members.insert("workerHealthCache".into(), json!({entry: health_entry(&url, &health)}));
    merge(&call, members, "check_worker").await?;
    let registration = if kind == "chat" {
        &config["chatWorkerRegistrationInfo"]
    } else {
        &config["workerRegistrationInfo"]
    };
    ok(json!({
        "success": true, "worker_url": url, "workerUrl": url, "isHealthy": health.is_healthy(),
        "healthError": health.error, "registrationInfo": registration, "worker_type": kind,
        "supportedEndpoints": if health.is_healthy() { json!(["/health"]) } else { json!([]) },
        "workerCapabilities": capabilities, "responseTimeMs": health.ms,
    }))
}

/// What a worker says of itself, if it does.
async fn info(url: &str) -> Result<Json, FunctionError> {
    let client = client(SHORT_PROBE)?;
    for path in ["/worker/info", "/v1/models"] {
        let Ok(answer) = client.get(format!("{url}{path}")).send().await else { continue };
        if !answer.status().is_success() || answer.content_length().is_none_or(|bytes| bytes > 64 << 10) {
            continue;
        }
        if let Ok(text) = answer.text().await
            && let Ok(info) = serde_json::from_str(&text)
        {
            return Ok(info);
        }
    }
    Ok(Json::Null)
}

/// health-check-workers.
pub(crate) async fn health(call: Call) -> Outcome {
    call.read_fields(&[])?;
    let config = call.context.services.chat.engines().system_config().await?;
    let mut results = Map::new();
    for (entry, names) in
        [("wanWorker", &["workerUrl", "wanWorkerUrl"][..]), ("chatWorker", &["chatWorkerUrl"][..])]
    {
        let url = names.iter().find_map(|name| config[*name].as_str().filter(|url| !url.is_empty()));
        let result = match url {
            Some(url) => health_entry(url, &probe(&call, url).await),
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
