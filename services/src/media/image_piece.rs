//! A picture of a scene: a job of the queue as any other, whose picture is kept beside the script.

use std::time::Duration;

use actors::file::NewObject;
use actors::job_scheduler::WORKSPACE_BUCKET;
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::run::{Run, Stop, same_bytes, url};
use crate::error::{Kind, ServiceError};
use crate::jobs::await_job;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::rows::position;

/// How long a picture may take, with its time in the queue.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Makes it: its file, the columns that it changes, and notes. `tries` is how often it was tried before.
pub(super) async fn make(
    run: &Run,
    piece: &Json,
    id: Uuid,
    tries: u64,
) -> Result<(NewObject, Vec<(&'static str, Value)>, Map<String, Json>), Stop> {
    let begun = std::time::Instant::now();
    let request = request(piece, id, tries)?;
    let queued = queue(&run.context, run.user, request).await?;
    let ended = await_job::ended(&run.context, queued.id, TIME_MAX).await;
    let (_, assets) = match ended {
        Ok(ended) => ended,
        // The process stops: the next one goes on with the same job.
        Err(error) if error.kind() == Kind::Unavailable => return Err(Stop::Ended),
        Err(error) => return Err(Stop::Failed(error)),
    };
    let lost = || Stop::Unfetched(ServiceError::not_found("the picture is drawn, but its file is gone"));
    let asset = assets.into_iter().next().ok_or_else(lost)?;
    let path = asset["temp_storage_path"].as_str().ok_or_else(lost)?;
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(WORKSPACE_BUCKET))
        .equal("name", Value::text(path))
        .limit(1);
    let stored = run.context.rows(query).await?.pop().ok_or_else(lost)?;
    let ending = path.rsplit('.').next().unwrap_or("png");
    let name = run.place(run.video.unwrap_or(id), &format!("picture-{id}.{ending}"));
    let object = same_bytes(&stored, name, run.user).ok_or_else(lost)?;
    let whole = |value: &Json| value.as_i64().map_or(Value::Null, Value::Int);
    let values = vec![
        ("image_url", Value::text(url(&object))),
        ("width", whole(&asset["width"])),
        ("height", whole(&asset["height"])),
        ("file_size_bytes", whole(&stored["size"])),
        ("generation_time_seconds", Value::Float(begun.elapsed().as_secs_f64())),
        ("model_id", asset["model_used"].as_str().map_or(Value::Null, Value::text)),
        ("progress", Value::Int(100)),
    ];
    let facts = json!({"job_id": queued.id, "seed": asset["generation_seed"], "warnings": queued.warnings});
    let facts = facts.as_object().cloned().unwrap_or_default();
    Ok((object, values, facts))
}

/// The job of a picture. Its key is the piece's and the try's, so that a job that goes on finds the same one.
fn request(piece: &Json, id: Uuid, tries: u64) -> Result<JobRequest, ServiceError> {
    let text = |column: &str| piece[column].as_str().map(str::trim).filter(|text| !text.is_empty());
    let words = ["image_prompt", "text_prompt", "scene_description"].iter().find_map(|column| text(column));
    let words = words.ok_or_else(|| ServiceError::field("image_prompt", "there is nothing to draw"))?;
    let prompt = text("style").map_or_else(|| words.to_string(), |style| format!("{words}, {style}"));
    let mut fields = piece["meta"]["options"].as_object().cloned().unwrap_or_default();
    fields.entry("job_type").or_insert(json!("sdxl_image_fast"));
    fields.insert("prompt".into(), json!(prompt));
    let made = piece["meta"]["made"].as_u64().unwrap_or(0);
    if piece["character_id"].is_string() && !fields.contains_key("character_id") {
        fields.insert("character_id".into(), piece["character_id"].clone());
    }
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata["source"] = json!("script");
    metadata["skip_enhancement"] = json!(true);
    for (name, column) in
        [("aspect_ratio", &piece["aspect_ratio"]), ("contentType", &piece["meta"]["content_mode"])]
    {
        if metadata[name].is_null() && !column.is_null() {
            metadata[name] = column.clone();
        }
    }
    let mut request: JobRequest = serde_json::from_value(Json::Object(fields))
        .map_err(|error| ServiceError::field("image_options", error.to_string()))?;
    // No client names it in a document.
    request.idempotency_key = Some(format!("script:{id}:{made}:{tries}"));
    Ok(request)
}
