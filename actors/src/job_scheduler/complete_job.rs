//! Results: the files' rows, the assets, the job's end and what the job was for land in one commit.

use models::{Aggregate, Row, Value, schema};
use serde_json::{Map, Value as Json};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::finished_asset::{FinishedAsset, prompt};
use super::job_rows::{by_id, entries, is_current, jobs, merged, set};
use super::{WORKSPACE_BUCKET, scene_and_portrait};
use crate::aggregate::Decision;
use crate::file::{object_row, put_object_rows};
use crate::moderation::{self, Flagged, Reason, pictures_of_minors};
use crate::refusal::Refusal;
use crate::storyboard::clip_result;

/// Ends a job with its results.
#[derive(Debug)]
pub struct CompleteJob {
    /// The job.
    pub id: Uuid,
    /// Which attempt; a report of another one changes nothing. `None` where the reporter does not know.
    pub attempt: Option<i64>,
    /// The results.
    pub assets: Vec<FinishedAsset>,
    /// Members to set in the job's metadata.
    pub metadata: Map<String, Json>,
    /// What to add to the warnings in the job's metadata.
    pub warnings: Vec<String>,
}

impl Decision for CompleteJob {
    /// The job as it is now; `None` when the report came too late or the job is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let jobs = jobs();
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        if !is_current(&job, self.attempt) {
            return Ok(None);
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (mut first_image, mut first_video) = (Value::Null, Value::Null);
        let about = job[jobs.at("metadata")].as_json().unwrap_or_default();
        let is_nsfw = about["contentType"] == "nsfw";
        let shows_minor = shows_minor(transaction, self.id)?;
        for asset in &self.assets {
            for file in &asset.files {
                put_object_rows(transaction, &service, file.clone(), true)?;
                if shows_minor {
                    pictures_of_minors::note(transaction, &file.blob.hex())?;
                }
            }
            if shows_minor {
                note_stored(transaction, asset)?;
            }
            write_asset(transaction, &service, &job, asset)?;
            let mut image_id = None;
            if asset.asset_type == "image" {
                let image = write_image(transaction, &service, &job, asset, is_nsfw)?;
                image_id = image.as_uuid();
                if first_image.is_null() {
                    first_image = image;
                }
            } else {
                let video = write_video(transaction, &service, &job, asset)?;
                if first_video.is_null() {
                    first_video = video;
                }
            }
            if is_nsfw {
                hold_back(transaction, &service, &job, asset, image_id)?;
            }
        }
        let mut metadata = self.metadata;
        let warnings = self.warnings;
        metadata.extend(scene_and_portrait::deliver(transaction, &service, &job, &self.assets, warnings)?);
        clip_result::deliver(transaction, &service, &job, &self.assets)?;
        let metadata = merged(&job, metadata);
        let mut values = vec![
            ("status", Value::text("completed")),
            ("completed_at", Value::now()),
            ("error_message", Value::Null),
            ("metadata", metadata),
        ];
        if is_nsfw && !self.assets.is_empty() {
            values.push(("moderation_status", Value::text("flagged")));
        }
        for (column, row) in [("image_id", first_image), ("video_id", first_video)] {
            if !row.is_null() {
                values.push((column, row));
            }
        }
        set(transaction, jobs, &job, &values).map(Some)
    }
}

/// Whether a minor is in a job, as the queue keeps it.
fn shows_minor(transaction: &Transaction, job: Uuid) -> Result<bool, Refusal> {
    let entries = entries();
    let entry = by_id(transaction, entries, job)?;
    let payload = entry.and_then(|entry| entry[entries.at("payload")].as_json()).unwrap_or_default();
    Ok(payload["shows_minor"] == true)
}

/// Notes the files that lie there already: those of remote workers do before their job ends.
fn note_stored(transaction: &Transaction, asset: &FinishedAsset) -> Result<(), Refusal> {
    let objects = schema().known("storage.objects");
    for path in [Some(&asset.path), asset.thumbnail_path.as_ref()].into_iter().flatten() {
        let Some(object) = object_row(transaction, WORKSPACE_BUCKET, path)? else { continue };
        pictures_of_minors::note(transaction, object[objects.at("blob_hash")].as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn write_asset(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    asset: &FinishedAsset,
) -> Result<(), Refusal> {
    let (jobs, assets) = (jobs(), schema().known("workspace_assets"));
    let stored = object_row(transaction, WORKSPACE_BUCKET, &asset.path)?;
    let objects = schema().known("storage.objects");
    let size = stored.and_then(|object| object[objects.at("size")].as_i64()).or(asset.size).unwrap_or(0);
    let mut row = assets.default_row();
    row[assets.at("job_id")] = job[jobs.at("id")].clone();
    row[assets.at("asset_index")] = Value::Int(i64::from(asset.index));
    let key = [assets.at("job_id"), assets.at("asset_index")];
    let old = transaction.conflicting(assets, &key, &row)?;
    let mut row = old.clone().unwrap_or(row);
    let mut set = |column: &str, value: Value| row[assets.at(column)] = value;
    let pixels = |side: Option<u32>| side.map_or(Value::Null, |side| Value::Int(i64::from(side)));
    set("user_id", job[jobs.at("user_id")].clone());
    set("asset_type", Value::text(asset.asset_type));
    set("temp_storage_path", Value::text(&*asset.path));
    set("thumbnail_path", asset.thumbnail_path.as_deref().map_or(Value::Null, Value::text));
    set("file_size_bytes", Value::Int(size));
    set("mime_type", Value::text(&*asset.mime_type));
    set("duration_seconds", asset.duration_s.map_or(Value::Null, |seconds| Value::Numeric(seconds.into())));
    set("generation_seed", Value::Int(asset.seed));
    set("original_prompt", prompt(job));
    set("model_used", Value::text(&*asset.model_used));
    set("generation_settings", Value::json(&asset.settings));
    set("width", pixels(asset.size_px.map(|size| size.0)));
    set("height", pixels(asset.size_px.map(|size| size.1)));
    match old {
        Some(old) => transaction.update(service, assets, &old, row)?,
        None => transaction.insert(service, assets, row)?,
    };
    Ok(())
}

/// What a job of the nsfw tier drew waits for its review before it is shown in public places, and so does its thumbnail.
fn hold_back(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    asset: &FinishedAsset,
    image_id: Option<Uuid>,
) -> Result<(), Refusal> {
    let (jobs, objects) = (jobs(), schema().known("storage.objects"));
    let pictures = schema().known("storage.reviewed_pictures");
    let mut shown_as = None;
    for path in [Some(&asset.path), asset.thumbnail_path.as_ref()].into_iter().flatten() {
        let Some(object) = object_row(transaction, WORKSPACE_BUCKET, path)? else { continue };
        let flagged = Flagged {
            path: format!("{WORKSPACE_BUCKET}/{path}"),
            blob_hash: object[objects.at("blob_hash")].as_str().unwrap_or_default().to_string(),
            user_id: job[jobs.at("user_id")].as_uuid(),
            job_id: job[jobs.at("id")].as_uuid(),
            image_id: if shown_as.is_none() { image_id } else { None },
            shown_as,
            reason: Reason::Nsfw,
        };
        let row = moderation::flag(transaction, service, flagged)?;
        shown_as = shown_as.or(row[pictures.at("id")].as_uuid());
    }
    Ok(())
}

/// The row of the legacy library that stands for a picture; answers with its id.
fn write_image(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    asset: &FinishedAsset,
    is_nsfw: bool,
) -> Result<Value, Refusal> {
    let (jobs, images) = (jobs(), schema().known("images"));
    let mut row = images.default_row();
    let mut set = |column: &str, value: Value| row[images.at(column)] = value;
    for column in [
        "user_id",
        "project_id",
        "enhanced_prompt",
        "quality",
        "original_prompt",
        "prompt_test_id",
        "test_metadata",
    ] {
        set(column, job[jobs.at(column)].clone());
    }
    set("prompt", prompt(job));
    set("image_url", Value::text(format!("{WORKSPACE_BUCKET}/{}", asset.path)));
    let thumbnail = asset.thumbnail_path.as_deref().map(|path| format!("{WORKSPACE_BUCKET}/{path}"));
    set("thumbnail_url", thumbnail.map_or(Value::Null, Value::Text));
    set("status", Value::text("completed"));
    set("format", Value::text(asset.mime_type.rsplit('/').next().unwrap_or("png")));
    set("job_id", job[jobs.at("id")].clone());
    set("image_index", Value::Int(i64::from(asset.index)));
    set("metadata", Value::json(&asset.settings));
    if is_nsfw {
        row[images.at("moderation_status")] = Value::text("flagged");
    }
    if row[images.at("quality")].is_null() {
        row[images.at("quality")] = Value::text("fast");
    }
    row[images.at("seed")] = Value::Int(asset.seed);
    let row = transaction.insert(service, images, row)?;
    Ok(row[images.at("id")].clone())
}

/// The row of the legacy library that stands for a video; answers with its id.
fn write_video(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    asset: &FinishedAsset,
) -> Result<Value, Refusal> {
    let (jobs, videos) = (jobs(), schema().known("videos"));
    let mut row = videos.default_row();
    let mut set = |column: &str, value: Value| row[videos.at(column)] = value;
    for column in ["user_id", "project_id", "enhanced_prompt", "original_prompt", "compel_weights"] {
        set(column, job[jobs.at(column)].clone());
    }
    let stored = |path: &str| Value::text(format!("{WORKSPACE_BUCKET}/{path}"));
    set("video_url", stored(&asset.path));
    set("thumbnail_url", asset.thumbnail_path.as_deref().map_or(Value::Null, stored));
    set("status", Value::text("completed"));
    set("completed_at", Value::now());
    set("duration", asset.duration_s.map_or(Value::Null, Value::Int));
    set("format", Value::text(asset.mime_type.rsplit('/').next().unwrap_or("mp4")));
    if let Some((width, height)) = asset.size_px {
        set("resolution", Value::text(format!("{width}x{height}")));
    }
    set("metadata", Value::json(&asset.settings));
    let row = transaction.insert(service, videos, row)?;
    Ok(row[videos.at("id")].clone())
}
