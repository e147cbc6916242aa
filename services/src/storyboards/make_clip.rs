//! A clip of a scene: its row first, then the job that draws it, whose end reaches the row in its own commit.

use actors::storyboard::clip_kinds::{ClipKind, Position, recommended};
use actors::storyboard::clip_result::CLIP;
use models::Value;
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::clip_frame::{self, Moment};
use super::draw_scene::job;
use super::owned;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::queue_job::queue;
use crate::rows::{insert, position, update};

/// Clips of one scene at most.
const CLIPS_MAX: usize = 200;

/// What is asked for; what is left out comes from the scene and the clips before.
#[derive(Clone, Debug, Default)]
pub struct ClipRequest {
    /// How it is made; by rule when absent.
    pub kind: Option<ClipKind>,
    /// What it shows.
    pub prompt: Option<String>,
    /// The picture that it begins with.
    pub reference_image_url: Option<String>,
    /// The picture that it ends with.
    pub end_frame_url: Option<String>,
    /// The movement that it follows.
    pub motion_preset_id: Option<Uuid>,
    /// The clip that it goes on from.
    pub parent_clip_id: Option<Uuid>,
    /// How long it is, in seconds.
    pub duration_seconds: Option<f64>,
    /// The model that draws.
    pub api_model_id: Option<Uuid>,
    /// What else `queue-job` takes of a video.
    pub more: Map<String, Json>,
}

/// A clip that waits to be drawn.
#[derive(Debug)]
pub struct MadeClip {
    /// Its row.
    pub clip: Json,
    /// Its job.
    pub job: Uuid,
    /// Why it is of this kind, where that was not asked for.
    pub reason: Option<&'static str>,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

/// Makes a clip.
pub async fn make(context: &Context, scene_id: Uuid, asked: ClipRequest) -> Result<MadeClip, ServiceError> {
    let user = context.user()?;
    let (scene, project) = owned::scene(context, scene_id)?;
    let clips = clips_of(context, scene_id).await?;
    if clips.len() >= CLIPS_MAX {
        return Err(ServiceError::new(Kind::Conflict, format!("a scene has at most {CLIPS_MAX} clips")));
    }
    let (kind, reason) = match asked.kind {
        Some(kind) => (kind, None),
        None => {
            let before = clips.last().and_then(|clip| clip["clip_type"].as_str()).unwrap_or_default();
            let position = Position {
                index: clips.len() as u64,
                before,
                has_motion: asked.motion_preset_id.is_some(),
                ..Position::default()
            };
            let (kind, reason) = recommended(position);
            (kind, Some(reason))
        }
    };
    let motion = motion(context, kind, asked.motion_preset_id).await?;
    let model = model(context, kind, asked.api_model_id).await?;
    let mut warnings = Vec::new();
    let prompt = prompt(&asked, &scene)?;
    let approved = scene.pointer("/metadata/approved/url").and_then(Json::as_str).map(str::to_string);
    let mut reference = asked.reference_image_url.clone().map(|url| (url, None));
    let mut parent = asked.parent_clip_id;
    match kind {
        ClipKind::Extended => {
            parent = parent.or_else(|| last_finished(&clips));
            let missing = || {
                let reason = "missing, and the scene has no finished clip to go on from";
                ServiceError::field("parent_clip_id", reason)
            };
            parent = Some(parent.ok_or_else(missing)?);
        }
        ClipKind::Keyframed if asked.end_frame_url.is_none() => {
            return Err(ServiceError::field(
                "end_frame_url",
                "missing: a keyframed clip ends with a picture",
            ));
        }
        _ if reference.is_none() => reference = approved.map(|url| (url, Some("generated"))),
        _ => {}
    }
    if reference.is_none() && matches!(kind, ClipKind::Quick | ClipKind::Long | ClipKind::Keyframed) {
        if kind == ClipKind::Keyframed {
            let reason =
                "missing, and no picture of the scene is approved: a keyframed clip begins with a picture";
            return Err(ServiceError::field("reference_image_url", reason));
        }
        let reason =
            "no picture was given and none of the scene is approved, so the clip begins with its words";
        warnings.push(format!("reference_image_url: {reason}"));
    }
    let frame = match (kind, parent) {
        (ClipKind::Extended, Some(parent)) => {
            let frame = clip_frame::extract(context, parent, Moment::Last, None).await;
            Some(frame.map_err(|error| error.of_field("parent_clip_id"))?)
        }
        _ => None,
    };
    if let Some(url) = frame.as_ref().and_then(|frame| frame["frame_url"].as_str()) {
        reference = Some((url.to_string(), Some("extracted_frame")));
    }
    let words = motion.as_ref().and_then(|preset| preset["description"].as_str());
    let drawn = words.map_or_else(|| prompt.clone(), |words| format!("{prompt}, {words}"));
    let seconds = asked
        .duration_seconds
        .or_else(|| motion.as_ref().and_then(|preset| preset["duration_seconds"].as_f64()))
        .unwrap_or(kind.seconds());
    let order = clips.iter().filter_map(|clip| clip["clip_order"].as_i64()).max().map_or(0, |last| last + 1);
    let or_null = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let id_or_null = |id: Option<Uuid>| id.map_or(Value::Null, Value::Uuid);
    let mut values = vec![
        ("scene_id", Value::Uuid(scene_id)),
        ("clip_type", Value::text(kind.name())),
        ("clip_order", Value::Int(order)),
        ("prompt", Value::text(&*prompt)),
        ("enhanced_prompt", if drawn == prompt { Value::Null } else { Value::text(&*drawn) }),
        ("status", Value::text("pending")),
        ("duration_seconds", Decimal::from_f64(seconds).map_or(Value::Null, Value::Numeric)),
        ("motion_preset_id", id_or_null(asked.motion_preset_id)),
        ("parent_clip_id", id_or_null(parent)),
        ("api_model_id", id_or_null(asked.api_model_id)),
        ("end_frame_url", or_null(asked.end_frame_url.as_deref())),
    ];
    if let Some((url, source)) = &reference {
        values.push(("reference_image_url", Value::text(&**url)));
        values.push(("reference_image_source", or_null(*source)));
    }
    let id = insert(context, "storyboard_clips", values).await?;
    let mut fields = asked.more.clone();
    let is_fine = matches!(project["quality_preset"].as_str(), Some("high" | "best" | "quality"));
    fields.entry("job_type").or_insert(json!(if is_fine { "video_high" } else { "video_fast" }));
    fields.insert("prompt".into(), json!(drawn));
    if !["num_frames", "duration_seconds", "duration"].iter().any(|name| fields.contains_key(*name)) {
        fields.insert("duration_seconds".into(), json!(seconds));
    }
    if let Some(model) = model {
        fields.insert("api_model_id".into(), json!(model));
    }
    let metadata = json!({
        "destination": CLIP, "clip_id": id, "clip_type": kind.name(), "tasks": kind.tasks(),
        "contentType": project["content_mode"], "aspect_ratio": project["aspect_ratio"],
        "start_reference_url": reference.as_ref().map(|(url, _)| url), "end_reference_url": asked.end_frame_url,
        "motion_video_url": motion.as_ref().and_then(|preset| preset["video_url"].as_str()).filter(|it| !it.is_empty()),
    });
    fields.insert("metadata".into(), metadata);
    let request = job(fields);
    let queued = match request {
        Ok(request) => queue(context, user, request).await,
        Err(error) => Err(error),
    };
    let queued = match queued {
        Ok(queued) => queued,
        Err(error) => {
            let notes = Value::json(&json!({"error": error.to_string()}));
            let failed = vec![("status", Value::text("failed")), ("generation_metadata", notes)];
            update(context, "storyboard_clips", id, failed).await?;
            return Err(error.with("clip_id", id.to_string()));
        }
    };
    warnings.extend(queued.warnings);
    if let Some(frame) = frame.as_ref().and_then(|frame| uuid(&frame["id"])) {
        let used = vec![("used_in_clip_id", Value::Uuid(id)), ("is_chain_frame", Value::Bool(true))];
        update(context, "storyboard_frames", frame, used).await?;
    }
    update(context, "storyboard_clips", id, vec![("job_id", Value::Uuid(queued.id))]).await?;
    Ok(MadeClip { clip: owned::clip(context, id)?, job: queued.id, reason, warnings })
}

/// The clips of a scene, in order.
pub(super) async fn clips_of(context: &Context, scene: Uuid) -> Result<Vec<Json>, ServiceError> {
    let query = Query::all(position("storyboard_clips"))
        .equal("scene_id", Value::Uuid(scene))
        .order("clip_order", false)
        .order("created_at", false);
    context.rows(query).await
}

fn last_finished(clips: &[Json]) -> Option<Uuid> {
    let finished = clips.iter().rev().find(|clip| clip["video_url"].is_string());
    finished.and_then(|clip| uuid(&clip["id"]))
}

fn prompt(asked: &ClipRequest, scene: &Json) -> Result<String, ServiceError> {
    let given = asked.prompt.as_deref();
    let stored = ["/metadata/prompt", "/description", "/title"];
    let stored = stored.iter().filter_map(|place| scene.pointer(place)?.as_str());
    let words = given.into_iter().chain(stored).map(str::trim).find(|words| !words.is_empty());
    let missing = || ServiceError::field("prompt", "missing, and the scene has no description to film");
    words.map(str::to_string).ok_or_else(missing)
}

/// The movement of a controlled clip, if the caller may see it.
async fn motion(context: &Context, kind: ClipKind, id: Option<Uuid>) -> Result<Option<Json>, ServiceError> {
    let Some(id) = id else {
        return match kind {
            ClipKind::Controlled => Err(ServiceError::field(
                "motion_preset_id",
                "missing: a controlled clip follows a motion preset",
            )),
            _ => Ok(None),
        };
    };
    let missing = || ServiceError::field("motion_preset_id", "there is no such motion preset");
    let preset = context.row("motion_presets", id).await?.ok_or_else(missing)?;
    let is_built_in = preset["is_builtin"] == true && preset["is_active"] == true;
    let is_own = context.claims.user_id.is_some_and(|user| preset["user_id"] == user.to_string());
    if is_built_in || is_own { Ok(Some(preset)) } else { Err(missing()) }
}

/// A model of the catalogue must have one of the tasks that the clip takes.
async fn model(context: &Context, kind: ClipKind, id: Option<Uuid>) -> Result<Option<Uuid>, ServiceError> {
    let Some(id) = id else { return Ok(None) };
    let missing = || ServiceError::field("api_model_id", "there is no such model");
    let row =
        context.row("api_models", id).await?.filter(|row| row["is_active"] == true).ok_or_else(missing)?;
    let tasks: Vec<&str> = row["tasks"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let fits = tasks.is_empty() || kind.tasks().iter().any(|task| tasks.contains(task));
    if fits {
        return Ok(Some(id));
    }
    let reason = format!(
        "the model does {}, and a {} clip takes {}",
        tasks.join(", "),
        kind.name(),
        kind.tasks().join(" or ")
    );
    Err(ServiceError::field("api_model_id", reason))
}
