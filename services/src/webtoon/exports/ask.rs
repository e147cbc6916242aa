//! Asking for exports and for what became of them.

use actors::job_scheduler::{
    EXPORT_JOB, EXPORT_QUEUE, ExportPart, ExportPayload, QueueExport, QueueJob, StoredPayload,
};
use models::{Row, Value};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::super::{episodes, projects, records, stories};
use super::options::{Kind, Options};
use super::scenes::{self, SceneShown};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::table;

/// Life of the address of a file, in seconds.
const SIGNED_S: u64 = 3600;

/// Whose a story is: files of its exports lie in the folder of that account.
async fn owner_of_story(context: &Context, story: &Json) -> Result<Uuid, ServiceError> {
    let missing = || ServiceError::bad("the story belongs to no project");
    let story = stories::story(context, uuid(story).ok_or_else(missing)?).await?;
    let project = projects::project(context, uuid(&story["project_id"]).ok_or_else(missing)?).await?;
    uuid(&project["user_id"]).ok_or_else(missing)
}

async fn owner_of_export(context: &Context, export: &Json) -> Result<Uuid, ServiceError> {
    let story = match (uuid(&export["scene_id"]), uuid(&export["episode_id"])) {
        (Some(scene), _) => records::get(context, "scenes", scene, "scene").await?["story_id"].clone(),
        (None, Some(episode)) => {
            records::get(context, "episodes", episode, "episode").await?["story_id"].clone()
        }
        (None, None) => return Err(ServiceError::bad("what was exported is deleted")),
    };
    owner_of_story(context, &story).await
}

/// Exports a scene.
pub async fn scene(context: &Context, id: Uuid, options: Options) -> Result<Json, ServiceError> {
    records::get(context, "scenes", id, "scene").await?;
    begin(context, ("scene_id", id), options).await
}

/// Exports an episode.
pub async fn episode(context: &Context, id: Uuid, options: Options) -> Result<Json, ServiceError> {
    episodes::episode(context, id).await?;
    begin(context, ("episode_id", id), options).await
}

async fn begin(
    context: &Context,
    (column, id): (&str, Uuid),
    options: Options,
) -> Result<Json, ServiceError> {
    let kind = options.read()?;
    let exports = table("exports");
    let mut row = exports.default_row();
    row[exports.at("id")] = Value::Uuid(Uuid::new_v4());
    row[exports.at(column)] = Value::Uuid(id);
    let shown = scenes::of_export(context, &actors::rows::object(exports, &row)).await?;
    write(context, row, Map::new(), kind, options, &shown).await
}

/// Collects pictures, layers and bubbles anew, and makes the file anew where one was asked for.
pub async fn finalize(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let (export, row) = stored(context, id).await?;
    let metadata = export["metadata_"].as_object().cloned().unwrap_or_default();
    let options: Options = serde_json::from_value(metadata.get("options").cloned().unwrap_or(json!({})))
        .map_err(|error| ServiceError::bad(format!("the options of this export are damaged: {error}")))?;
    let kind = options.read()?;
    let shown = scenes::of_export(context, &export).await?;
    require_pictures(&shown)?;
    write(context, row, metadata, kind, options, &shown).await
}

fn require_pictures(shown: &[SceneShown]) -> Result<(), ServiceError> {
    if shown.is_empty() {
        return Err(ServiceError::bad("render output missing: there are no scenes"));
    }
    let missing: Vec<String> = shown
        .iter()
        .filter(|scene| scene.image_url.is_none())
        .map(|scene| scene.scene_id.to_string())
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ServiceError::bad(format!("render output missing of scenes {}", missing.join(", ")))),
    }
}

/// Writes the export as it stands, and queues the job that makes its file.
async fn write(
    context: &Context,
    mut row: Row,
    mut metadata: Map<String, Json>,
    kind: Kind,
    options: Options,
    shown: &[SceneShown],
) -> Result<Json, ServiceError> {
    let exports = table("exports");
    let complete = require_pictures(shown);
    metadata.insert("options".into(), json!(options));
    metadata.insert("scenes".into(), shown.iter().map(SceneShown::in_manifest).collect());
    metadata.insert("error".into(), Json::Null);
    let mut job = None;
    let status = match kind {
        Kind::Manifest if complete.is_ok() => {
            if !row[exports.at("scene_id")].is_null() {
                let url = shown.first().and_then(|scene| scene.image_url.clone());
                row[exports.at("output_url")] = url.map_or(Value::Null, Value::Text);
            }
            "completed"
        }
        // Its pictures are not there yet; `finalize` collects them.
        Kind::Manifest => "queued",
        _ => {
            // A file is made of what there is now, so it has to be there.
            complete?;
            job = Some(new_job(context, &mut row, &mut metadata, ExportPart::File).await?);
            "queued"
        }
    };
    row[exports.at("status")] = Value::text(status);
    row[exports.at("metadata_")] = Value::json(&Json::Object(metadata));
    let stored = context.ask(QueueExport { export: row, job }).await?;
    Ok(actors::rows::object(exports, &stored))
}

/// A job for a part of an export, which names the job.
async fn new_job(
    context: &Context,
    row: &mut Row,
    metadata: &mut Map<String, Json>,
    part: ExportPart,
) -> Result<QueueJob, ServiceError> {
    let (exports, jobs) = (table("exports"), table("jobs"));
    let owner = owner_of_export(context, &actors::rows::object(exports, row)).await?;
    let payload = ExportPayload { export_id: row[exports.at("id")].as_uuid().unwrap_or_default(), part };
    let id = Uuid::new_v4();
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(owner));
    set("job_type", Value::text(EXPORT_JOB));
    set("metadata", Value::json(&json!(payload)));
    let progress = json!({"done": 0, "total": 0, "message": "waits in the queue"});
    match part {
        ExportPart::File => {
            metadata.insert("job_id".into(), json!(id));
            metadata.insert("progress".into(), progress);
        }
        ExportPart::Video => {
            let video = json!({"job_id": id, "status": "queued", "progress": progress, "error": null});
            metadata.insert("video".into(), video);
        }
    }
    Ok(QueueJob {
        job,
        queue: EXPORT_QUEUE,
        payload: StoredPayload::Export(payload),
        priority: 0,
        idempotency_key: None,
        credits: 0,
        cost_usd: None,
        preset: None,
        ab_test: None,
        limits: context.services.settings.queue_limits,
    })
}

/// Makes the film of an episode whose export is complete.
pub async fn generate_video(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let (export, mut row) = stored(context, id).await?;
    if uuid(&export["episode_id"]).is_none() {
        return Err(ServiceError::bad("only exports of episodes have a video"));
    }
    if export["status"] != "completed" {
        return Err(ServiceError::bad(format!(
            "the export is {}, and a video needs a completed one",
            text(&export["status"])
        )));
    }
    require_pictures(&scenes::of_export(context, &export).await?)?;
    let mut metadata = export["metadata_"].as_object().cloned().unwrap_or_default();
    let job = new_job(context, &mut row, &mut metadata, ExportPart::Video).await?;
    let exports = table("exports");
    row[exports.at("metadata_")] = Value::json(&Json::Object(metadata));
    let stored = context.ask(QueueExport { export: row, job: Some(job) }).await?;
    Ok(actors::rows::object(exports, &stored))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or("unknown")
}

/// An export as the caller may see it, as JSON and as a row.
async fn stored(context: &Context, id: Uuid) -> Result<(Json, Row), ServiceError> {
    let export = export(context, id).await?;
    let row = context.services.actors.store().reads().get(table("exports"), &[Value::Uuid(id)])?;
    let row = row.ok_or_else(|| ServiceError::not_found("export not found"))?;
    Ok((export, row))
}

/// An export.
pub async fn export(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "exports", id, "export").await
}

/// Where its file is read for an hour, or its manifest.
pub async fn download(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let export = export(context, id).await?;
    let metadata = &export["metadata_"];
    if export["status"] != "completed" {
        let why = metadata["error"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(ServiceError::bad(format!(
            "export is not ready, it is {}{why}",
            text(&export["status"])
        )));
    }
    if metadata["job_id"].is_null() {
        return Ok(json!({"manifest": {
            "export_id": id, "scene_id": export["scene_id"], "episode_id": export["episode_id"],
            "scenes": metadata["scenes"],
        }}));
    }
    let url = signed(context, text(&export["output_url"]))?;
    Ok(json!({"download_url": url, "files": metadata["files"], "warnings": metadata["warnings"]}))
}

/// How the film of an export stands.
pub async fn video(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let export = export(context, id).await?;
    let video = &export["metadata_"]["video"];
    if video.is_null() {
        return Err(ServiceError::not_found(
            "no video was asked for; POST /exports/{export_id}/generate-video does",
        ));
    }
    let url = match video["output_url"].as_str() {
        Some(url) => json!(signed(context, url)?),
        None => Json::Null,
    };
    Ok(json!({
        "export_id": id, "status": video["status"], "video_url": url, "job_id": video["job_id"],
        "progress": video["progress"], "error": video["error"], "warnings": video["warnings"],
    }))
}

/// An address by which a stored file is read for an hour. The caller sees the export that names it; files of other folders
/// than its owner's are not signed, for the row is the client's to write.
fn signed(context: &Context, stored: &str) -> Result<String, ServiceError> {
    let gone = || ServiceError::bad("the file of this export is gone; finalize makes it anew");
    let (bucket, path) = stored.split_once('/').ok_or_else(gone)?;
    let owner = context.claims.user_id.map(|user| format!("{user}/"));
    let is_own = owner.is_some_and(|owner| path.starts_with(&owner)) || context.is_admin()?;
    if bucket != actors::job_scheduler::EXPORTS_BUCKET || !is_own {
        return Err(gone());
    }
    context
        .services
        .links
        .signed(bucket, path, SIGNED_S)
        .map_err(|reason| ServiceError::new(crate::error::Kind::Internal, reason))
}
