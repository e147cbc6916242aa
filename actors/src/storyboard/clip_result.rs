//! What becomes of the job of a clip or of a scene's picture reaches the storyboard in the commit that ends it.

use models::{Row, TableInfo, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::{Value as Json, json};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use crate::job_scheduler::{FinishedAsset, WORKSPACE_BUCKET};

/// `metadata.destination` of a job for a clip.
pub const CLIP: &str = "storyboard_clip";
/// `metadata.destination` of a job for a scene's picture.
pub const SCENE: &str = "storyboard_scene";
/// Pictures that a scene remembers; the oldest go first.
const PICTURES_MAX: usize = 50;

fn id_of(metadata: &Json, name: &str) -> Option<Value> {
    metadata[name].as_str().and_then(|text| Uuid::parse_str(text).ok()).map(Value::Uuid)
}

/// A row that a job's metadata names, if its storyboard is the account's that the job is for.
fn own_row(
    transaction: &Transaction,
    table: &TableInfo,
    id: &Value,
    user: &Value,
) -> Result<Option<Row>, StoreError> {
    let [scenes, projects] = ["storyboard_scenes", "storyboard_projects"].map(|name| schema().known(name));
    let reads = transaction.reads();
    let get = |table: &TableInfo, id: &Value| reads.get(table, std::slice::from_ref(id));
    let Some(row) = get(table, id)? else { return Ok(None) };
    let scene = match table.id == scenes.id {
        true => Some(row.clone()),
        false => get(scenes, &row[table.at("scene_id")])?,
    };
    let Some(scene) = scene else { return Ok(None) };
    let project = get(projects, &scene[scenes.at("project_id")])?;
    let is_own = project.is_some_and(|project| project[projects.at("user_id")] == *user);
    Ok(is_own.then_some(row))
}

/// Brings the results of a job to the clip or the scene that it is for.
pub(crate) fn deliver(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    assets: &[FinishedAsset],
) -> Result<(), StoreError> {
    let jobs = schema().known("jobs");
    let metadata = job[jobs.at("metadata")].as_json().unwrap_or_default();
    let user = &job[jobs.at("user_id")];
    let stored = |path: &str| Value::text(format!("{WORKSPACE_BUCKET}/{path}"));
    match metadata["destination"].as_str() {
        Some(CLIP) => {
            let clips = schema().known("storyboard_clips");
            let Some(asset) = assets.iter().find(|asset| asset.asset_type == "video") else { return Ok(()) };
            let Some(id) = id_of(&metadata, "clip_id") else { return Ok(()) };
            let Some(clip) = own_row(transaction, clips, &id, user)? else { return Ok(()) };
            let mut row = clip.clone();
            let mut set = |column: &str, value: Value| row[clips.at(column)] = value;
            set("video_url", stored(&asset.path));
            set("thumbnail_url", asset.thumbnail_path.as_deref().map_or(Value::Null, stored));
            set("job_id", job[jobs.at("id")].clone());
            set("model_used", Value::text(&*asset.model_used));
            set("status", Value::text("completed"));
            set("generation_metadata", Value::json(&asset.settings));
            let exact = asset.settings["num_frames"].as_f64().zip(asset.settings["fps"].as_f64());
            let seconds = exact.map(|(frames, fps)| frames / fps.max(1.0));
            let seconds = seconds.or(asset.duration_s.map(|seconds| seconds as f64));
            if let Some(seconds) = seconds.and_then(Decimal::from_f64) {
                set("duration_seconds", Value::Numeric(seconds.round_dp(3)));
            }
            transaction.update(service, clips, &clip, row)?;
        }
        Some(SCENE) => {
            let scenes = schema().known("storyboard_scenes");
            let Some(id) = id_of(&metadata, "storyboard_scene_id") else { return Ok(()) };
            let Some(scene) = own_row(transaction, scenes, &id, user)? else { return Ok(()) };
            let mut notes =
                scene[scenes.at("metadata")].as_json().filter(Json::is_object).unwrap_or(json!({}));
            let mut pictures = notes["pictures"].as_array().cloned().unwrap_or_default();
            let job_id = job[jobs.at("id")].as_uuid();
            for asset in assets.iter().filter(|asset| asset.asset_type == "image") {
                let url = format!("{WORKSPACE_BUCKET}/{}", asset.path);
                pictures.push(json!({"url": url, "job_id": job_id, "seed": asset.seed}));
            }
            let surplus = pictures.len().saturating_sub(PICTURES_MAX);
            pictures.drain(..surplus);
            notes["pictures"] = Json::Array(pictures);
            let mut row = scene.clone();
            row[scenes.at("metadata")] = Value::json(&notes);
            if row[scenes.at("status")].as_str() == Some("planned") {
                row[scenes.at("status")] = Value::text("drawn");
            }
            transaction.update(service, scenes, &scene, row)?;
        }
        _ => {}
    }
    Ok(())
}

/// A clip says how its job stands; that it is done is for [`deliver`] to say.
pub(crate) fn follow(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let (jobs, clips) = (event.table, schema().known("storyboard_clips"));
    let (Some(old), Some(new)) = (event.old, new) else { return Ok(()) };
    let status = jobs.at("status");
    let now = match new[status].as_str() {
        Some(now @ ("processing" | "failed" | "cancelled")) if old[status] != new[status] => now,
        _ => return Ok(()),
    };
    let metadata = &new[jobs.at("metadata")];
    // Few jobs are for clips: the others are not read.
    if !matches!(metadata, Value::Json(text) if text.contains(CLIP)) {
        return Ok(());
    }
    let metadata = metadata.as_json().unwrap_or_default();
    let id = id_of(&metadata, "clip_id").filter(|_| metadata["destination"] == CLIP);
    let Some(id) = id else { return Ok(()) };
    let Some(clip) = own_row(transaction, clips, &id, &new[jobs.at("user_id")])? else { return Ok(()) };
    let is_of_job = |value: &Value| value.is_null() || *value == new[jobs.at("id")];
    if !is_of_job(&clip[clips.at("job_id")]) {
        return Ok(());
    }
    let mut row = clip.clone();
    row[clips.at("status")] = Value::text(now);
    row[clips.at("job_id")] = new[jobs.at("id")].clone();
    if now == "failed" {
        let mut notes =
            row[clips.at("generation_metadata")].as_json().filter(Json::is_object).unwrap_or(json!({}));
        notes["error"] = json!(new[jobs.at("error_message")].as_str());
        row[clips.at("generation_metadata")] = Value::json(&notes);
    }
    let service = event.claims.elevated();
    transaction.update(&Caller::new(&service), clips, &clip, row)?;
    Ok(())
}
