//! system-metrics, get-schema-info, sync-provider-balances, generate-content: the server as its page for operators sees it.

use actors::job_scheduler::{IMAGE_QUEUE, VIDEO_QUEUE};
use axum::http::StatusCode;
use models::value_words::Takes;
use models::{Value, schema};
use serde_json::{Value as Json, json};
use services::balances;
use store::query::Query;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Jobs counted in a queue.
const WAITING_MAX: u64 = 100_000;
/// The kinds of workers, where their address stands, and where their health.
const WORKERS: [(&str, &str, &str); 3] = [
    ("chat", "chatWorkerUrl", "chatWorker"),
    ("sdxl", "sdxlWorkerUrl", "sdxlWorker"),
    ("wan", "workerUrl", "wanWorker"),
];

/// system-metrics: workers as they were found last, what waits, and about how long it takes.
pub(crate) async fn metrics(call: Call) -> Outcome {
    call.read_fields(&[])?;
    let config = call.context.services.chat.engines().system_config().await?;
    let mut workers = json!({});
    for (kind, address, entry) in WORKERS {
        let health = &config["workerHealthCache"][entry];
        let url = config[address].as_str().or(health["workerUrl"].as_str()).filter(|url| !url.is_empty());
        let known = url.map(|url| {
            let status = match health["isHealthy"].as_bool() {
                Some(true) => "healthy",
                Some(false) => "unhealthy",
                None => "unknown",
            };
            json!({"type": kind, "url": url, "lastChecked": health["lastChecked"],
                   "responseTime": health["responseTimeMs"], "status": status})
        });
        workers[kind] = Json::Array(known.into_iter().collect());
    }
    let images = waiting(&call, IMAGE_QUEUE).await?;
    let videos = waiting(&call, VIDEO_QUEUE).await?;
    ok(json!({
        "timestamp": chrono::Utc::now().to_rfc3339(), "workers": workers,
        "queues": {"sdxl_queue": images, "wan_queue": videos},
        "etaEstimates": {"sdxl": eta(images), "wan": eta(videos)},
    }))
}

/// How many jobs wait in a queue.
async fn waiting(call: &Call, queue: &str) -> Result<usize, FunctionError> {
    let query = Query::all(schema().known("queue.entries").id)
        .equal("state", Value::text("waiting"))
        .equal("queue", Value::text(queue))
        .limit(WAITING_MAX);
    Ok(call.context.rows(query).await?.len())
}

/// About how long a queue takes, in the words of the documents.
fn eta(waiting: usize) -> &'static str {
    match waiting {
        0 => "immediate",
        1..=3 => "< 1 min",
        4..=10 => "1-3 mins",
        11..=20 => "3-10 mins",
        _ => "> 10 mins",
    }
}

/// get-schema-info: tables, buckets and functions. Queries in the caller's words are not run.
pub(crate) async fn schema_info(call: Call, functions: Vec<&str>) -> Outcome {
    let body = call.read_fields(&[("action", Takes::Text), ("query", Takes::Text)])?;
    match body["action"].as_str().unwrap_or("schema") {
        "schema" if body["query"].is_null() => {}
        "schema" | "query" => {
            let field = if body["query"].is_null() { "action" } else { "query" };
            let message =
                format!("{field}: queries in words of the caller are not run here; read tables at /rest/v1");
            return Err(FunctionError::bad(message).of_field(field).with("accepted", json!(["schema"])));
        }
        other => return Err(FunctionError::none_of("action", other, &["schema"])),
    }
    let tables: Vec<Json> = schema()
        .tables
        .iter()
        .filter(|table| table.table.schema == "public")
        .map(|table| {
            let columns: Vec<Json> = table
                .table
                .columns
                .iter()
                .map(|column| {
                    json!({"name": column.name, "type": column.kind.schema_name(), "nullable": column.is_nullable})
                })
                .collect();
            json!({"name": table.table.name, "purpose": table.table.purpose, "columns": columns,
                   "primary_key": table.table.primary_key})
        })
        .collect();
    let buckets =
        call.context.rows(Query::all(schema().known("storage.buckets").id).order("id", false)).await?;
    let buckets: Vec<Json> = buckets
        .iter()
        .map(|bucket| json!({"id": bucket["id"], "name": bucket["name"], "public": bucket["public"]}))
        .collect();
    ok(json!({
        "tables": tables, "buckets": buckets, "edgeFunctions": functions,
        "timestamp": chrono::Utc::now().to_rfc3339(),
    }))
}

/// sync-provider-balances: asks every provider that says how what is left.
pub(crate) async fn sync_balances(call: Call) -> Outcome {
    call.read_fields(&[])?;
    let results = balances::sync(&call.context).await?;
    let synced = results.iter().filter(|result| result["success"] == json!(true)).count();
    ok(json!({"success": true, "synced": synced, "failed": results.len() - synced, "results": results,
              "timestamp": chrono::Utc::now().to_rfc3339()}))
}

/// generate-content: gone, as in the documents.
pub(crate) async fn generate_content(_: Call) -> Outcome {
    let message = "generate-content is no longer there; use queue-job, replicate-image or fal-image";
    Err(FunctionError::new(StatusCode::GONE, message).with("message", message).with("deprecated", true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_in_the_words_of_the_documents() {
        for (waiting, words) in
            [(0, "immediate"), (3, "< 1 min"), (10, "1-3 mins"), (20, "3-10 mins"), (21, "> 10 mins")]
        {
            assert_eq!(eta(waiting), words);
        }
    }
}
