//! Jobs with a destination: a scene of a conversation, or a character's portrait.

use models::{Row, Value, schema};
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::WORKSPACE_BUCKET;
use super::finished_asset::FinishedAsset;
use super::job_payload::JobPayload;
use super::job_rows::{by_id, entries, first, jobs, set};
use super::keep_portrait::{KeepPortrait, keep_portraits};
use crate::refusal::Refusal;

/// Brings the pictures of a job to where its payload or `metadata.destination` says. Answers with what the job's
/// metadata is to say of it: `further` warnings after those that are there, and what is not kept and why.
pub(super) fn deliver(
    transaction: &Transaction,
    service: &Caller,
    job: &Row,
    assets: &[FinishedAsset],
    further: Vec<String>,
) -> Result<Map<String, Json>, Refusal> {
    let jobs = jobs();
    let metadata = job[jobs.at("metadata")].as_json().unwrap_or_default();
    let mut members = Map::new();
    let mut warnings: Vec<String> = serde_json::from_value(metadata["warnings"].clone()).unwrap_or_default();
    let said = warnings.len();
    warnings.extend(further);
    if warnings.len() > said {
        members.insert("warnings".into(), json!(warnings));
    }
    let Some(asset) = assets.iter().find(|asset| asset.asset_type == "image") else { return Ok(members) };
    let destination = metadata["destination"].as_str();
    if destination == Some("roleplay_scene") {
        scene(transaction, job, &metadata, asset)?;
    }
    let wanted = match asked_for(transaction, job)? {
        Some(wanted) => Some(wanted),
        None if destination == Some("character_portrait") => id_of(&metadata, "character_id")
            .map(|id| KeepPortrait { character_id: Some(id), pose_key: None, becomes_reference: true }),
        None => None,
    };
    if let Some(wanted) = wanted {
        let kept = keep_portraits(transaction, service, job, assets, &wanted, &mut warnings)?;
        store::crash::point("portraits_kept");
        members.insert("kept".into(), json!(kept));
        if warnings.len() > said {
            members.insert("warnings".into(), json!(warnings));
        }
    }
    Ok(members)
}

/// What the job's payload says of keeping its pictures; its owner cannot write there.
fn asked_for(transaction: &Transaction, job: &Row) -> Result<Option<KeepPortrait>, Refusal> {
    let Some(id) = job[jobs().at("id")].as_uuid() else { return Ok(None) };
    let Some(entry) = by_id(transaction, entries(), id)? else { return Ok(None) };
    let payload = entry[entries().at("payload")].as_json().unwrap_or_default();
    // What does not read was never drawn here; a remote worker's pictures are delivered all the same.
    Ok(JobPayload::read(&payload).ok().and_then(|payload| payload.keep_portrait))
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
