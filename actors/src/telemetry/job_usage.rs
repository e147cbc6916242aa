//! A job is a call of a model as well: it is counted when it ends, in the commit that ends it.

use models::{Row, TableInfo, Value, schema};
use rust_decimal::Decimal;
use serde_json::json;
use store::{Caller, StoreError, Transaction};

use super::usage_row::{self, UsageRow};
use crate::catalog::local_provider::{LOCAL, WORKERS, provider_row};

/// Counts a job that has ended. One that was never begun called no model.
pub(crate) fn count(
    transaction: &Transaction,
    service: &Caller,
    jobs: &TableInfo,
    job: &Row,
    entry: &Row,
) -> Result<(), StoreError> {
    let Some(started) = job[jobs.at("started_at")].as_micros() else { return Ok(()) };
    let (entries, assets) = (schema().known("queue.entries"), schema().known("workspace_assets"));
    let status = job[jobs.at("status")].as_str().unwrap_or_default();
    let completed = status == "completed";
    let results = match completed {
        true => transaction.reads().referring(assets, assets.at("job_id"), &job[jobs.at("id")])?.len() as i64,
        false => 0,
    };
    let models = schema().known("api_models");
    let model = match &job[jobs.at("api_model_id")] {
        Value::Null => None,
        id => transaction.reads().get(models, std::slice::from_ref(id))?,
    };
    let (provider, model_id, key) = match &model {
        Some(row) => (
            row[models.at("provider_id")].clone(),
            row[models.at("id")].clone(),
            row[models.at("model_key")].as_str().map(str::to_string),
        ),
        None => {
            let worker = entry[entries.at("worker")].as_str();
            let name = if worker == Some(LOCAL) { LOCAL } else { WORKERS };
            let providers = schema().known("api_providers");
            let row = provider_row(transaction, service, name)?;
            let used = job[jobs.at("model_type")].as_str().map(str::to_string);
            (row[providers.at("id")].clone(), Value::Null, used)
        }
    };
    let cost = match &entry[entries.at("cost_usd")] {
        Value::Numeric(cost) => Some(if completed { *cost } else { Decimal::ZERO }),
        _ => None,
    };
    let credits = entry[entries.at("credits")].as_i64().unwrap_or(0);
    let is_video = job[jobs.at("format")].as_str() == Some("video");
    let took = chrono::Utc::now().timestamp_micros().saturating_sub(started).max(0) / 1000;
    let error = job[jobs.at("error_message")].as_str().map(str::to_string);
    usage_row::write(
        transaction,
        service,
        UsageRow {
            provider,
            model: model_id,
            user_id: job[jobs.at("user_id")].as_uuid(),
            request_type: if is_video { "video" } else { "image" },
            purpose: job[jobs.at("job_type")].as_str().unwrap_or_default().to_string(),
            about: json!({
                "model": key, "job_id": job[jobs.at("id")].as_uuid(), "results": results,
                "worker": entry[entries.at("worker")].as_str(),
            }),
            tokens_input: None,
            tokens_output: None,
            tokens_cached: None,
            response_time_ms: took,
            status: match status {
                "completed" => 200,
                "cancelled" => 499,
                _ => 502,
            },
            error: if completed { None } else { error.or_else(|| Some(status.to_string())) },
            cost_usd: cost,
            cost_credits: Some(if completed { credits } else { 0 }),
        },
    )
}
