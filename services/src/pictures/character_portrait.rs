//! Portraits of a character: drawn, kept in the library, and given to the character as its face.

use std::time::Duration;

use actors::content_rules::ContentRating;
use actors::conversation::sheet::Sheet;
use actors::file::{NewObject, put_object::PutObject};
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::conversations::participants;
use crate::error::ServiceError;
use crate::jobs::await_job;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::prompts::templates;
use crate::rows::{self, position, table};

const TIME_MAX: Duration = Duration::from_secs(540);
const TAGS_MAX: usize = 8;
const OVERRIDE_CHARS_MAX: usize = 200;
/// Where portraits are kept.
pub const BUCKET: &str = "user-library";

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortraitRequest {
    /// The character; without it `character_data` says what it looks like.
    pub character_id: Option<Uuid>,
    /// Columns of a character that is not stored yet.
    pub character_data: Json,
    /// Words for `pose`, `expression`, `outfit` and `camera`.
    pub presets: Json,
    /// A picture to begin with.
    pub reference_image_url: Option<String>,
    /// How much of it stays.
    pub reference_strength: Option<f64>,
    /// `sfw` or `nsfw`; the character's own otherwise.
    pub content_rating: Option<String>,
    /// More words for the prompt.
    pub prompt_override: Option<String>,
    /// How many pictures.
    pub num_images: Option<u64>,
    /// The canon pose that is drawn.
    pub canon_pose_key: Option<String>,
    /// The seed of the first picture.
    #[serde(deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// A second request of an account with the same key gets the pictures of the first.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

/// Portraits that were drawn and kept.
pub struct Portraits {
    /// The job that drew them.
    pub job: Uuid,
    /// Where they lie in the bucket `user-library`, in order; at least one.
    pub names: Vec<String>,
    /// Their rows in `character_portraits`; none of a character that is not stored.
    pub portraits: Vec<Uuid>,
    /// The library's row of the canon pose.
    pub canon: Option<Uuid>,
}

/// Draws portraits and keeps them.
pub async fn draw(context: &Context, mut request: PortraitRequest) -> Result<Portraits, ServiceError> {
    let user = context.user()?;
    let sheet = sheet(context, &request)?;
    if let Some(id) = request.character_id {
        let is_own = sheet.user_id().and_then(|owner| Uuid::parse_str(owner).ok()) == Some(user);
        if !is_own && !context.is_admin()? {
            let error = ServiceError::forbidden("only the owner draws a character's portraits");
            return Err(error.with("characterId", id.to_string()));
        }
    }
    let rating = request.content_rating.as_deref();
    let rating = rating.unwrap_or(if sheet.is_nsfw() { "nsfw" } else { "sfw" });
    let tier = age_gate::rating(context, "contentRating", Some(rating))?;
    sheet.admit(tier, context.may_have_nsfw()?)?;
    let pose = pose(context, &request, tier).await?;
    let prompt = prompt(&sheet, &request, pose.as_deref());
    let count = request.num_images.unwrap_or(1).clamp(1, 4);
    let mut job = JobRequest {
        job_type: "image_high".into(),
        prompt: Some(prompt.clone()),
        num_images: Some(count),
        seed: request.seed,
        metadata: Map::from_iter([
            ("contentType".into(), json!(tier.name())),
            ("character_id".into(), json!(request.character_id)),
            ("skip_enhancement".into(), json!(true)),
            ("source".into(), json!("character-portrait")),
        ]),
        idempotency_key: request.idempotency_key.take(),
        ..JobRequest::default()
    };
    if let Some(reference) = request.reference_image_url.as_deref().filter(|url| !url.trim().is_empty()) {
        let strength = request.reference_strength.unwrap_or(0.75).clamp(0.1, 1.0);
        job.reference_image_url = Some(reference.into());
        job.metadata.insert("reference_mode".into(), json!("modify"));
        job.denoise_strength = Some(((1.0 - strength) * 100.0).round() / 100.0);
    }
    let job = queue(context, user, job).await?.id;
    let (_, assets) = await_job::ended(context, job, TIME_MAX).await?;
    let mut kept = Vec::new();
    for (index, asset) in assets.iter().take(count as usize).enumerate() {
        kept.push(keep(context, user, &request, &prompt, asset, Kept::Portrait(index)).await?);
    }
    let first = kept.first().ok_or_else(|| ServiceError::not_found("the picture is gone"))?;
    let mut canon = None;
    if let Some(id) = request.character_id {
        let path = format!("{BUCKET}/{}", first.name);
        rows::update(context, "characters", id, vec![("image_url", Value::text(&*path))]).await?;
        if request.canon_pose_key.is_some() {
            // A file of its own, so that either can be deleted.
            let position = keep(context, user, &request, &prompt, &assets[0], Kept::Position).await?;
            canon = Some(position.library);
        }
    }
    let portraits = kept.iter().filter_map(|kept| kept.portrait).collect();
    let names = kept.into_iter().map(|kept| kept.name).collect();
    Ok(Portraits { job, names, portraits, canon })
}

/// The character, from the table or as the caller describes it.
fn sheet(context: &Context, request: &PortraitRequest) -> Result<Sheet, ServiceError> {
    if let Some(id) = request.character_id {
        return participants::character(context, id);
    }
    if !request.character_data.is_object() {
        return Err(ServiceError::bad("characterId or characterData is required").with("success", false));
    }
    let mut row = request.character_data.clone();
    row["id"] = json!(Uuid::nil());
    if row["name"].as_str().is_none_or(|name| name.trim().is_empty()) {
        row["name"] = json!("a character");
    }
    Sheet::read(row).ok_or_else(|| ServiceError::bad("characterData"))
}

/// The words of a canon pose.
async fn pose(
    context: &Context,
    request: &PortraitRequest,
    tier: ContentRating,
) -> Result<Option<String>, ServiceError> {
    let Some(key) = request.canon_pose_key.as_deref() else { return Ok(None) };
    let template = templates::of_use_case(context, "canon_position", tier, "").await?;
    let presets = &template.metadata["pose_presets"];
    let preset = &presets[key];
    let words = preset.as_str().or(preset["prompt"].as_str()).or(preset["prompt_fragment"].as_str());
    words.map(|words| Some(words.to_string())).ok_or_else(|| {
        let available: Vec<&String> = presets.as_object().into_iter().flat_map(|all| all.keys()).collect();
        ServiceError::field("canonPoseKey", format!("{key} is not known")).with("available", json!(available))
    })
}

fn prompt(sheet: &Sheet, request: &PortraitRequest, pose: Option<&str>) -> String {
    let mut parts = vec![format!("portrait of {}", sheet.name)];
    let looks = sheet.looks();
    parts.extend(looks.split(", ").take(TAGS_MAX).map(str::to_string));
    if looks.is_empty() {
        parts.push(sheet.text("description").chars().take(300).collect());
    }
    for name in ["pose", "expression", "outfit", "camera"] {
        parts.extend(request.presets[name].as_str().map(str::to_string));
    }
    parts.extend(pose.map(str::to_string));
    let more = request.prompt_override.as_deref().unwrap_or_default();
    parts.push(more.chars().take(OVERRIDE_CHARS_MAX).collect());
    parts.retain(|part| !part.trim().is_empty());
    parts.join(", ")
}

/// What a picture is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// A portrait, by its place in the batch.
    Portrait(usize),
    /// The canon of a pose.
    Position,
}

/// A picture that is kept.
struct Picture {
    name: String,
    library: Uuid,
    portrait: Option<Uuid>,
}

/// Keeps one picture: its file in the library's bucket, its row in the library, and, of a known character, a portrait.
async fn keep(
    context: &Context,
    user: Uuid,
    request: &PortraitRequest,
    prompt: &str,
    asset: &Json,
    kept: Kept,
) -> Result<Picture, ServiceError> {
    let gone = || ServiceError::not_found("the picture's file is gone");
    let from = asset["temp_storage_path"].as_str().unwrap_or_default();
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text("workspace-temp"))
        .equal("name", Value::text(from));
    let object = context.rows(query).await?.pop().ok_or_else(gone)?;
    let blob = object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(gone)?;
    let size = object["size"].as_u64().unwrap_or(0);
    let whose = request.character_id.map_or_else(|| "new".to_string(), |id| id.to_string());
    let now = chrono::Utc::now().timestamp_millis();
    let (mark, kind) = match kept {
        Kept::Portrait(index) => (index.to_string(), "portrait"),
        Kept::Position => ("canon".to_string(), "position"),
    };
    let name = format!("{user}/portraits/{whose}_{now}_{mark}.png");
    let object = NewObject {
        bucket: BUCKET.into(),
        name: name.clone(),
        owner: Some(user),
        blob,
        size,
        mime_type: "image/png".into(),
        cache_control: Some("max-age=3600".into()),
        user_metadata: None,
    };
    context.ask_elevated(PutObject { object, upsert: true }).await?;
    let tags = Value::TextArray(vec![Some("character".into()), Some(kind.into())]);
    let about = json!({"character_id": request.character_id, "type": "character_portrait",
        "pose_key": request.canon_pose_key});
    let mut library = vec![
        ("user_id", Value::Uuid(user)),
        ("asset_type", Value::text("image")),
        ("storage_path", Value::text(&*name)),
        ("file_size_bytes", Value::Int(size as i64)),
        ("mime_type", Value::text("image/png")),
        ("original_prompt", Value::text(prompt)),
        ("model_used", Value::text(asset["model_used"].as_str().unwrap_or("unknown"))),
        ("tags", tags),
        ("content_category", Value::text("character")),
        ("output_type", Value::text(kind)),
        ("roleplay_metadata", Value::json(&about)),
    ];
    if let Some(seed) = asset["generation_seed"].as_i64() {
        library.push(("generation_seed", Value::Int(seed)));
    }
    library.extend(request.character_id.map(|id| ("character_id", Value::Uuid(id))));
    let label = request.canon_pose_key.as_deref().filter(|_| kept == Kept::Position);
    library.extend(label.map(|label| ("label", Value::text(label))));
    let library = rows::insert(context, "user_library", library).await?;
    let character = request.character_id.filter(|_| kept != Kept::Position);
    let Some(character) = character else { return Ok(Picture { name, library, portrait: None }) };
    let portraits = table("character_portraits");
    let known = Query::all(portraits.id).equal("character_id", Value::Uuid(character)).limit(1);
    let is_first = context.rows(known).await?.is_empty();
    let portrait = rows::insert(
        context,
        "character_portraits",
        vec![
            ("character_id", Value::Uuid(character)),
            ("image_url", Value::text(format!("{BUCKET}/{name}"))),
            ("prompt", Value::text(prompt)),
            ("is_primary", Value::Bool(is_first)),
            ("generation_metadata", Value::json(&json!({"seed": asset["generation_seed"]}))),
        ],
    )
    .await?;
    Ok(Picture { name, library, portrait: Some(portrait) })
}
