//! Artifacts: what nodes made of a scene, version by version.

use std::collections::HashSet;

use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::{records, scenes};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Versions that a lineage goes back at most.
const LINEAGE_MAX: usize = 1000;

/// A scene's artifacts, by type and version; of one type where one is named.
pub async fn list(context: &Context, scene: Uuid, kind: Option<&str>) -> Result<Vec<Json>, ServiceError> {
    scenes::scene(context, scene).await?;
    let mut query = Query::all(position("artifacts")).equal("scene_id", Value::Uuid(scene));
    if let Some(kind) = kind {
        query = query.equal("type", Value::text(kind));
    }
    records::find(context, query.order("type", false).order("version", false)).await
}

/// The latest artifact of each type of a scene.
pub async fn latest(context: &Context, scene: Uuid) -> Result<Vec<Json>, ServiceError> {
    let mut latest: Vec<Json> = Vec::new();
    for artifact in list(context, scene, None).await? {
        match latest.last_mut().filter(|last| last["type"] == artifact["type"]) {
            Some(last) => *last = artifact,
            None => latest.push(artifact),
        }
    }
    Ok(latest)
}

/// The latest artifact of one type.
pub async fn latest_of(context: &Context, scene: Uuid, kind: &str) -> Result<Option<Json>, ServiceError> {
    let query = Query::all(position("artifacts"))
        .equal("scene_id", Value::Uuid(scene))
        .equal("type", Value::text(kind))
        .order("version", true)
        .limit(1);
    Ok(records::find(context, query).await?.into_iter().next())
}

/// An artifact.
pub async fn artifact(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "artifacts", id, "artifact").await
}

/// An artifact and what it came from, itself first; a circle ends where it would begin again.
pub async fn lineage(context: &Context, id: Uuid) -> Result<Vec<Json>, ServiceError> {
    let mut line = vec![artifact(context, id).await?];
    let mut seen = HashSet::from([id]);
    while line.len() < LINEAGE_MAX {
        let Some(parent) = line.last().and_then(|last| uuid(&last["parent_id"])) else { break };
        if !seen.insert(parent) {
            break;
        }
        let query = Query::all(position("artifacts")).equal("id", Value::Uuid(parent)).limit(1);
        let Some(row) = records::find(context, query).await?.into_iter().next() else { break };
        line.push(row);
    }
    Ok(line)
}

/// How far a scene is.
pub async fn status(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = scenes::scene(context, id).await?;
    let latest = latest(context, id).await?;
    let is_there = |kind: &&str| latest.iter().any(|artifact| artifact["type"] == **kind);
    let named: Map<String, Json> = latest
        .iter()
        .filter_map(|artifact| {
            let about = json!({"artifact_id": artifact["id"], "version": artifact["version"]});
            Some((artifact["type"].as_str()?.to_string(), about))
        })
        .collect();
    Ok(json!({
        "scene_id": id, "planning_locked": row["planning_locked"],
        "planning_complete": scenes::PLANNED.iter().all(is_there),
        "render_complete": is_there(&"render_result"), "latest_artifacts": named,
    }))
}

/// The types of a plan that a scene lacks.
pub async fn missing(context: &Context, scene: Uuid) -> Result<Vec<&'static str>, ServiceError> {
    let latest = latest(context, scene).await?;
    let is_there = |kind: &&str| latest.iter().any(|artifact| artifact["type"] == **kind);
    Ok(scenes::PLANNED.into_iter().filter(|kind| !is_there(kind)).collect())
}

/// Approves a picture: a new version with `approved` true, whose parent is what is approved; the latest where none is
/// named.
pub async fn approve(context: &Context, scene: Uuid, target: Option<Uuid>) -> Result<Json, ServiceError> {
    scenes::scene(context, scene).await?;
    let target = match target {
        Some(id) => artifact(context, id).await?,
        None => latest_of(context, scene, "render_result")
            .await?
            .ok_or_else(|| ServiceError::bad("the scene has no render_result to approve"))?,
    };
    if uuid(&target["scene_id"]) != Some(scene) || target["type"] != "render_result" {
        return Err(ServiceError::bad("artifact_id is no render_result of the scene"));
    }
    let mut payload = target["payload"].clone();
    payload["approved"] = json!(true);
    // The version says who approved, not who drew.
    if let Some(members) = payload.as_object_mut() {
        members.remove("request_id");
    }
    let values = vec![
        ("scene_id", Value::Uuid(scene)),
        ("type", Value::text("render_result")),
        ("version", Value::Int(1)),
        ("parent_id", Value::Uuid(uuid(&target["id"]).unwrap_or_default())),
        ("payload", Value::json(&payload)),
    ];
    records::insert(context, "artifacts", values).await
}
