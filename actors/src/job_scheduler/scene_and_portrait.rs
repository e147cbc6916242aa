//! Jobs with a destination: a scene of a conversation, or a character's portrait.

use models::{Row, Value, schema};
use serde_json::{Value as Json, json};
use store::query::Query;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::finished_asset::{FinishedAsset, prompt};
use super::job_rows::{by_id, first, jobs, set};
use super::workspace::copy_file;
use super::{LIBRARY_BUCKET, WORKSPACE_BUCKET};
use crate::refusal::Refusal;

/// Brings the first picture of a job to where `metadata.destination` says.
pub(super) fn deliver(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    assets: &[FinishedAsset],
) -> Result<(), Refusal> {
    let jobs = jobs();
    let metadata = job[jobs.at("metadata")].as_json().unwrap_or_default();
    let Some(asset) = assets.iter().find(|asset| asset.asset_type == "image") else { return Ok(()) };
    match metadata["destination"].as_str() {
        Some("roleplay_scene") => scene(transaction, job, &metadata, asset),
        Some("character_portrait") => portrait(transaction, service, job, &metadata, asset),
        _ => Ok(()),
    }
}

fn id_of(metadata: &Json, name: &str) -> Option<Uuid> {
    metadata[name].as_str().and_then(|text| Uuid::parse_str(text).ok())
}

fn scene(
    transaction: &Transaction,
    job: &Row,
    metadata: &Json,
    asset: &FinishedAsset,
) -> Result<(), Refusal> {
    let (jobs, scenes) = (jobs(), schema().known("character_scenes"));
    let conversations = schema().known("conversations");
    let user = &job[jobs.at("user_id")];
    let conversation = match id_of(metadata, "conversation_id") {
        Some(id) => by_id(transaction, conversations, id)?,
        None => None,
    };
    // The picture goes only into what belongs to the job's account.
    let conversation = conversation.filter(|row| row[conversations.at("user_id")] == *user);
    let scene = match id_of(metadata, "scene_id") {
        Some(id) => by_id(transaction, scenes, id)?,
        None => {
            let (Some(conversation), Some(character)) = (&conversation, id_of(metadata, "character_id"))
            else {
                return Ok(());
            };
            let newest = Query::all(scenes.id)
                .equal("conversation_id", conversation[conversations.at("id")].clone())
                .equal("character_id", Value::Uuid(character))
                .order("created_at", true);
            first(transaction, newest)?
        }
    };
    if let Some(scene) = scene
        && owns_scene(transaction, &scene, user)?
    {
        set(
            transaction,
            scenes,
            &scene,
            &[
                ("image_url", Value::text(format!("{WORKSPACE_BUCKET}/{}", asset.path))),
                ("job_id", job[jobs.at("id")].clone()),
            ],
        )?;
    }
    // A provider's pictures are the scene's alone.
    if let Some(conversation) = conversation.filter(|_| metadata["provider"].as_str() != Some("replicate")) {
        let path = Value::text(&*asset.path);
        set(transaction, conversations, &conversation, &[("last_scene_image", path)])?;
    }
    Ok(())
}

fn owns_scene(transaction: &Transaction, scene: &Row, user: &Value) -> Result<bool, Refusal> {
    let (scenes, characters, conversations) =
        (schema().known("character_scenes"), schema().known("characters"), schema().known("conversations"));
    for (column, table) in [("conversation_id", conversations), ("character_id", characters)] {
        if let Some(id) = scene[scenes.at(column)].as_uuid()
            && let Some(row) = by_id(transaction, table, id)?
        {
            return Ok(row[table.at("user_id")] == *user);
        }
    }
    Ok(false)
}

fn portrait(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    metadata: &Json,
    asset: &FinishedAsset,
) -> Result<(), Refusal> {
    let (jobs, characters) = (jobs(), schema().known("characters"));
    let Some(character_id) = id_of(metadata, "character_id") else { return Ok(()) };
    let Some(character) = by_id(transaction, characters, character_id)? else { return Ok(()) };
    let (Some(job_id), Some(user_id)) = (job[jobs.at("id")].as_uuid(), job[jobs.at("user_id")].as_uuid())
    else {
        return Ok(());
    };
    if character[characters.at("user_id")].as_uuid() != Some(user_id) {
        return Ok(());
    }
    let subtype = asset.mime_type.rsplit('/').next().unwrap_or("png");
    let base = format!("{user_id}/{job_id}_{character_id}");
    let (key, thumbnail) = (format!("{base}.{subtype}"), format!("{base}.thumb.webp"));
    copy_file(transaction, service, (WORKSPACE_BUCKET, &asset.path), (LIBRARY_BUCKET, &key))?;
    let has_thumbnail = match &asset.thumbnail_path {
        Some(path) => {
            copy_file(transaction, service, (WORKSPACE_BUCKET, path), (LIBRARY_BUCKET, &thumbnail))?.is_some()
        }
        None => false,
    };
    let library = schema().known("user_library");
    let mut row = library.default_row();
    let mut put = |column: &str, value: Value| row[library.at(column)] = value;
    put("user_id", Value::Uuid(user_id));
    put("asset_type", Value::text("image"));
    put("storage_path", Value::text(&*key));
    put("thumbnail_path", if has_thumbnail { Value::Text(thumbnail) } else { Value::Null });
    put("file_size_bytes", Value::Int(file_size(transaction, &asset.path)?));
    put("mime_type", Value::text(&*asset.mime_type));
    put("original_prompt", prompt(job));
    put("model_used", Value::text(&*asset.model_used));
    put("generation_seed", Value::Int(asset.seed));
    put("tags", Value::TextArray(vec![Some("character".into()), Some("portrait".into())]));
    put("content_category", Value::text("character"));
    put("output_type", Value::text("portrait"));
    put("character_id", Value::Uuid(character_id));
    let about = json!({"character_id": character_id, "job_id": job_id, "type": "character_portrait"});
    put("roleplay_metadata", Value::json(&about));
    if let Some((width, height)) = asset.size_px {
        put("width", Value::Int(i64::from(width)));
        put("height", Value::Int(i64::from(height)));
    }
    transaction.insert(service, library, row)?;
    let url = Value::text(format!("{LIBRARY_BUCKET}/{key}"));
    // The counter of portraits changed the character meanwhile: read it again.
    let Some(character) = by_id(transaction, characters, character_id)? else { return Ok(()) };
    let seed = i32::try_from(asset.seed).map_or(Value::Null, |seed| Value::Int(i64::from(seed)));
    set(
        transaction,
        characters,
        &character,
        &[("image_url", url.clone()), ("reference_image_url", url), ("seed_locked", seed)],
    )?;
    Ok(())
}

fn file_size(transaction: &Transaction, path: &str) -> Result<i64, Refusal> {
    let objects = schema().known("storage.objects");
    let object = crate::file::object_row(transaction, WORKSPACE_BUCKET, path)?;
    Ok(object.and_then(|object| object[objects.at("size")].as_i64()).unwrap_or(0))
}
