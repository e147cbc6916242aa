//! A provider reports about a prediction.

use actors::file::NewObject;
use actors::job_scheduler::{
    CancelJob, CompleteJob, FinishedAsset, PROVIDER_QUEUE, RenewLease, WORKSPACE_BUCKET, asset_settings,
};
use models::Value;
use models::json::PathStep;
use serde_json::{Map, Value as Json, json};
use store::query::{Comparison, Field, Filter, Operator, Query, Test};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::fetch_picture::download;
use crate::replicate::fail_job::fail;
use crate::rows::table;

/// The job that a prediction stands for, whatever its state; of one account where one asks. One that has not ended
/// comes first.
pub async fn job_of(
    context: &Context,
    prediction: &str,
    user: Option<Uuid>,
) -> Result<Option<Json>, ServiceError> {
    let entries = table("queue.entries");
    let mut field = Field::column(entries.at("payload"));
    field.path = vec![PathStep::Key("prediction_id".into())];
    field.as_text = true;
    let operator = Operator::Compare(Comparison::Equal, Value::text(prediction));
    let mut of_prediction = Query::all(entries.id)
        .equal("queue", Value::text(PROVIDER_QUEUE))
        .filter(Filter::Test(Test { field, operator }));
    if let Some(user) = user {
        of_prediction = of_prediction.equal("user_id", Value::Uuid(user));
    }
    let waiting = of_prediction.clone().equal("state", Value::text("waiting")).limit(1);
    for query in [waiting, of_prediction.order("created_at", true).limit(1)] {
        let found = context.rows(query).await?.into_iter().next();
        let id = found.and_then(|entry| Uuid::parse_str(entry["id"].as_str()?).ok());
        if let Some(id) = id {
            return context.row("jobs", id).await;
        }
    }
    Ok(None)
}

/// How a job ended, in the provider's words; `None` while it has not.
pub fn ended(job: &Json) -> Option<&'static str> {
    match job["status"].as_str() {
        Some("completed") => Some("succeeded"),
        Some("failed") => Some("failed"),
        Some("cancelled") => Some("canceled"),
        _ => None,
    }
}

/// Brings a job to where its prediction is; answers with the job's status.
pub async fn take(context: &Context, job: &Json, report: &Json) -> Result<&'static str, ServiceError> {
    let Some(id) = job["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()) else { return Ok("failed") };
    match report["status"].as_str() {
        Some("succeeded") => {
            let urls = urls(&report["output"]);
            let plain =
                |url: &&String| !["output.png", "grid", "combined"].iter().any(|name| url.contains(name));
            let url = urls.iter().find(plain).or(urls.first());
            let url = url.ok_or_else(|| ServiceError::field("output", "no URL of a picture"))?;
            match download(url, context.services.settings.fetch_private_addresses).await {
                Ok((bytes, mime_type)) => finish(context, job, id, report, bytes, mime_type).await?,
                Err(reason) => {
                    fail(context, id, &format!("the provider's picture could not be fetched: {reason}"))
                        .await?;
                    return Err(ServiceError::field("output", reason));
                }
            }
            Ok("completed")
        }
        Some("failed") => {
            let reason = report["error"].as_str().unwrap_or("the provider failed");
            fail(context, id, reason).await?;
            Ok("failed")
        }
        Some("canceled" | "cancelled" | "aborted") => {
            let message = "cancelled by the provider".to_string();
            context.ask_elevated(CancelJob { id, message }).await?;
            Ok("cancelled")
        }
        _ => {
            context
                .ask_elevated(RenewLease { id, attempt: None, lease_s: None, metadata: Map::new() })
                .await?;
            Ok("processing")
        }
    }
}

/// The URLs in a prediction's output, whatever its shape.
pub(crate) fn urls(output: &Json) -> Vec<String> {
    match output {
        Json::String(url) => vec![url.clone()],
        Json::Array(items) => items.iter().flat_map(urls).collect(),
        Json::Object(members) => {
            ["url", "image", "images"].iter().filter_map(|name| members.get(*name)).flat_map(urls).collect()
        }
        _ => Vec::new(),
    }
}

/// Ends a job with its picture.
pub(crate) async fn finish(
    context: &Context,
    job: &Json,
    id: Uuid,
    report: &Json,
    bytes: Vec<u8>,
    mime_type: String,
) -> Result<(), ServiceError> {
    let user = job["user_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
    let store = context.services.actors.store().clone();
    let base = format!("{user}/{id}_{}", chrono::Utc::now().timestamp_millis());
    let extension = mime_type.rsplit('/').next().unwrap_or("png").to_string();
    let work = tokio::task::spawn_blocking(move || {
        let thumbnail = actors::file::picture::thumbnail_webp(&bytes).ok();
        let mut files = Vec::new();
        let main = (bytes, format!("{base}.{extension}"), mime_type);
        let small = thumbnail.map(|bytes| (bytes, format!("{base}.thumb.webp"), "image/webp".to_string()));
        for (bytes, name, mime_type) in [Some(main), small].into_iter().flatten() {
            files.push(NewObject::write(&store, WORKSPACE_BUCKET, |_| name, user, &bytes, &mime_type)?);
        }
        Ok::<_, store::StoreError>(files)
    });
    let failed = |_| ServiceError::new(Kind::Internal, "writing the picture failed");
    let files = work.await.map_err(failed)??;
    let seed = report["input"]["seed"].as_i64().or_else(|| job["metadata"]["seed"].as_i64());
    // An unknown one is made up, so that no two pictures count as the same for it.
    let seed = seed.unwrap_or_else(|| i64::from(rand::random::<u32>() >> 1));
    let mut settings = Map::new();
    let provider = job["metadata"]["provider"].as_str().unwrap_or("replicate");
    settings.insert("provider".into(), json!(provider));
    settings.insert("input".into(), report["input"].clone());
    let asset = FinishedAsset {
        index: 0,
        asset_type: "image",
        path: files.first().map(|file| file.name.clone()).unwrap_or_default(),
        thumbnail_path: files.get(1).map(|file| file.name.clone()),
        mime_type: files.first().map(|file| file.mime_type.clone()).unwrap_or_default(),
        files,
        size: None,
        duration_s: None,
        seed,
        model_used: job["model_type"].as_str().unwrap_or(provider).to_string(),
        size_px: None,
        settings: asset_settings(job, &settings),
    };
    let (metadata, warnings) = (Map::new(), Vec::new());
    let decision = CompleteJob { id, attempt: None, assets: vec![asset], metadata, warnings };
    context.ask_elevated(decision).await?;
    Ok(())
}
