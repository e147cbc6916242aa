//! One link by which anybody reads an episode, until it is taken back.
//!
//! The export keeps the id of the share that its link names. A link of an earlier share, or of none, opens nothing. The
//! pictures are the slices of the export's file.

use std::io::{Cursor, Read};

use actors::job_scheduler::{EXPORTS_BUCKET, QueueExport};
use actors::moderation::is_held;
use models::{Row, Value, schema};
use pages::image;
use serde_json::{Map, Value as Json, json};
use store::blob::BlobHash;
use store::query::Query;
use store::{Store, StoreError};
use uuid::Uuid;

use super::ask::export;
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::stored_address::stored_path;
use crate::ids::uuid;
use crate::rows::table;

/// Bytes of one slice at most.
const SLICE_BYTES_MAX: u64 = 16 << 20;
/// The beginning of a slice, which says how large it is.
const HEAD_BYTES: u64 = 64 << 10;
/// Slices of an export at most.
const SLICES_MAX: usize = 5000;

/// Makes a link to a completed export of slices of an episode; the one that there was opens nothing from then on.
pub async fn create(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let (row, mut metadata) = stored(context, id).await?;
    let exports = table("exports");
    if row[exports.at("episode_id")].is_null() || metadata["options"]["kind"] != "slices" {
        return Err(ServiceError::bad("only exports of episodes of kind slices are read by a link"));
    }
    if row[exports.at("status")].as_str() != Some("completed") {
        return Err(ServiceError::bad("export is not ready"));
    }
    let (store, scenes) = (context.services.actors.store().clone(), metadata["scenes"].clone());
    let base = context.services.links.base();
    let task = tokio::task::spawn_blocking(move || held(&store, &base, &scenes));
    let held =
        task.await.map_err(|_| ServiceError::new(Kind::Internal, "the read failed unexpectedly"))??;
    if let Some(scene) = held {
        return Err(ServiceError::content_refused(format!(
            "the picture of scene {} waits for an administrator's review, so no link shows it",
            scene + 1
        )));
    }
    let share = Uuid::new_v4();
    metadata.insert("share".into(), json!({"id": share, "created_at": chrono::Utc::now().to_rfc3339()}));
    write(context, row, metadata).await?;
    Ok(json!({"export_id": id, "url": context.services.links.reading(id, share)}))
}

/// The first scene whose picture, or one that it is composed of, is held back from public places. Blocks.
fn held(store: &Store, base: &str, scenes: &Json) -> Result<Option<usize>, StoreError> {
    for (place, scene) in scenes.as_array().into_iter().flatten().enumerate() {
        let panels = scene["panel_urls"].as_array().into_iter().flatten();
        for url in panels.chain([&scene["image_url"]]) {
            let path = url.as_str().and_then(|url| stored_path(base, url));
            let Some((bucket, name)) = path.as_deref().and_then(|path| path.split_once('/')) else {
                continue;
            };
            let object = object(store, bucket, name)?;
            if let Some(hash) = object["blob_hash"].as_str()
                && is_held(&store.reads(), hash, false)?
            {
                return Ok(Some(place));
            }
        }
    }
    Ok(None)
}

/// The row of a stored file, or null.
fn object(store: &Store, bucket: &str, name: &str) -> Result<Json, StoreError> {
    let query = Query::all(schema().known("storage.objects").id)
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    Ok(actors::rows::select(store, &query)?.pop().unwrap_or_default())
}

/// The link of an export, where it has one.
pub async fn current(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let (_, metadata) = stored(context, id).await?;
    let share = metadata.get("share").and_then(|share| uuid(&share["id"]));
    let share = share.ok_or_else(|| ServiceError::not_found("the export has no link"))?;
    Ok(json!({"export_id": id, "url": context.services.links.reading(id, share)}))
}

/// Takes the link of an export back.
pub async fn revoke(context: &Context, id: Uuid) -> Result<(), ServiceError> {
    let (row, mut metadata) = stored(context, id).await?;
    if metadata.remove("share").is_none() {
        return Err(ServiceError::not_found("the export has no link"));
    }
    write(context, row, metadata).await
}

async fn stored(context: &Context, id: Uuid) -> Result<(Row, Map<String, Json>), ServiceError> {
    let shown = export(context, id).await?;
    let row = context.services.actors.store().reads().get(table("exports"), &[Value::Uuid(id)])?;
    let row = row.ok_or_else(|| ServiceError::not_found("export not found"))?;
    Ok((row, shown["metadata_"].as_object().cloned().unwrap_or_default()))
}

async fn write(context: &Context, mut row: Row, metadata: Map<String, Json>) -> Result<(), ServiceError> {
    row[table("exports").at("metadata_")] = Value::json(&Json::Object(metadata));
    context.ask(QueueExport { export: row, job: None }).await?;
    Ok(())
}

/// What a link shows.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Title of the episode.
    pub title: String,
    /// Title of its story.
    pub series: String,
    file: BlobHash,
}

/// What the link of a share shows; `None` where there is none any more. Blocks.
pub fn find(services: &Services, id: Uuid, share: Uuid) -> Result<Option<Shared>, StoreError> {
    let store = services.actors.store();
    let get = |table: &'static str, id: &Json| match uuid(id) {
        Some(id) => actors::rows::get(store, table, id),
        None => Ok(None),
    };
    let Some(export) = actors::rows::get(store, "exports", id)? else { return Ok(None) };
    if uuid(&export["metadata_"]["share"]["id"]) != Some(share) {
        return Ok(None);
    }
    let Some(episode) = get("episodes", &export["episode_id"])? else { return Ok(None) };
    let Some(story) = get("stories", &episode["story_id"])? else { return Ok(None) };
    let Some(project) = get("projects", &story["project_id"])? else { return Ok(None) };
    // The row is its owner's to write, so whose file it names is looked at.
    let folder = format!("{EXPORTS_BUCKET}/{}/", project["user_id"].as_str().unwrap_or_default());
    let url = export["output_url"].as_str().filter(|url| url.starts_with(&folder));
    let Some((bucket, name)) = url.and_then(|url| url.split_once('/')) else { return Ok(None) };
    // A picture that is reported later closes the page until it was looked at.
    if held(store, &services.links.base(), &export["metadata_"]["scenes"])?.is_some() {
        return Ok(None);
    }
    let object = object(store, bucket, name)?;
    let Some(file) = object["blob_hash"].as_str().and_then(BlobHash::parse) else { return Ok(None) };
    let text = |row: &Json| row["title"].as_str().unwrap_or_default().to_string();
    Ok(Some(Shared { title: text(&episode), series: text(&story), file }))
}

/// Names of the slices with their widths and heights, in their order. Blocks.
pub fn pictures(store: &Store, shared: &Shared) -> Result<Vec<(String, u32, u32)>, String> {
    let mut archive = opened(store, &shared.file)?;
    let mut found = Vec::new();
    for place in 0..archive.len().min(SLICES_MAX) {
        let entry = archive.by_index(place).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.to_string();
        let mut bytes = Vec::new();
        entry.take(HEAD_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let size = reader.map_err(image::ImageError::IoError).and_then(image::ImageReader::into_dimensions);
        let (width, height) = size.map_err(|error| error.to_string())?;
        found.push((name, width, height));
    }
    Ok(found)
}

/// The bytes of a slice and their MIME type; `None` where there is none of that name. Blocks.
pub fn read(store: &Store, shared: &Shared, name: &str) -> Result<Option<(Vec<u8>, &'static str)>, String> {
    let mut archive = opened(store, &shared.file)?;
    let entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    entry.take(SLICE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Some((bytes, if name.ends_with(".png") { "image/png" } else { "image/jpeg" })))
}

fn opened(store: &Store, file: &BlobHash) -> Result<zip::ZipArchive<std::fs::File>, String> {
    let file = std::fs::File::open(store.blobs().path(file)).map_err(|error| error.to_string())?;
    zip::ZipArchive::new(file).map_err(|error| error.to_string())
}
