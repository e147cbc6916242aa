//! character-portrait: draws a character, keeps the pictures in the library, and gives the character a face.

use std::time::{Duration, Instant};

use actors::conversation::sheet::Sheet;
use actors::file::{NewObject, put_object::PutObject};
use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use crate::functions::call::{Call, Outcome, ok, position, table};
use crate::functions::error::FunctionError;
use crate::functions::jobs::queue_job;
use crate::functions::{await_job, cast, put_row, templates};
use crate::receive::idempotency_key;

const TIME_MAX: Duration = Duration::from_secs(540);
const TAGS_MAX: usize = 8;
const OVERRIDE_CHARS_MAX: usize = 200;
const BUCKET: &str = "user-library";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    character_id: Option<Uuid>,
    character_data: Json,
    presets: Json,
    reference_image_url: Option<String>,
    reference_strength: Option<f64>,
    content_rating: Option<String>,
    prompt_override: Option<String>,
    num_images: Option<u64>,
    canon_pose_key: Option<String>,
    seed: Option<u64>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let started = Instant::now();
    let user = call.user()?;
    let request: Request = call.read()?;
    let sheet = sheet(&call, &request)?;
    if let Some(id) = request.character_id {
        let is_own = sheet.user_id().and_then(|owner| Uuid::parse_str(owner).ok()) == Some(user);
        if !is_own && !call.is_admin()? {
            let error = FunctionError::forbidden("only the owner draws a character's portraits");
            return Err(error.with("characterId", id.to_string()));
        }
    }
    let rating = request.content_rating.as_deref();
    let rating = rating.unwrap_or(if sheet.is_nsfw() { "nsfw" } else { "sfw" });
    let tier = cast::tier(&call, Some(rating))?;
    sheet.admit(tier, call.may_have_nsfw()?)?;
    let pose = pose(&call, &request, tier).await?;
    let prompt = prompt(&sheet, &request, pose.as_deref());
    let count = request.num_images.unwrap_or(1).clamp(1, 4);
    let mut job = json!({
        "job_type": "image_high", "prompt": prompt, "num_images": count, "seed": request.seed,
        "metadata": {
            "contentType": tier.name(), "character_id": request.character_id, "skip_enhancement": true,
            "source": "character-portrait",
        },
    });
    if let Some(reference) = request.reference_image_url.as_deref().filter(|url| !url.trim().is_empty()) {
        let strength = request.reference_strength.unwrap_or(0.75).clamp(0.1, 1.0);
        job["reference_image_url"] = json!(reference);
        job["metadata"]["reference_mode"] = json!("modify");
        job["denoise_strength"] = json!(((1.0 - strength) * 100.0).round() / 100.0);
    }
    let mut wish: queue_job::Request =
        serde_json::from_value(job).map_err(|error| FunctionError::bad(error.to_string()))?;
    wish.idempotency_key = idempotency_key(&call.headers)?;
    let job_id = queue_job::queue(&call, user, wish).await?.id;
    let (_, assets) = await_job::ended(&call, job_id, TIME_MAX).await?;
    let mut kept = Vec::new();
    for (index, asset) in assets.iter().take(count as usize).enumerate() {
        kept.push(keep(&call, user, &request, &prompt, asset, Kept::Portrait(index)).await?);
    }
    let first = kept.first().ok_or_else(|| FunctionError::not_found("the picture is gone"))?;
    let path = format!("{BUCKET}/{}", first.name);
    let portraits: Vec<Uuid> = kept.iter().filter_map(|kept| kept.portrait).collect();
    let mut canon = None;
    if let Some(id) = request.character_id {
        put_row::update(&call, "characters", id, vec![("image_url", Value::text(&*path))]).await?;
        if request.canon_pose_key.is_some() {
            // A file of its own, so that either can be deleted.
            canon = Some(keep(&call, user, &request, &prompt, &assets[0], Kept::Position).await?.library);
        }
    }
    let urls: Vec<String> = kept.iter().map(|kept| format!("{BUCKET}/{}", kept.name)).collect();
    ok(json!({
        "success": true, "imageUrl": path, "imageUrls": urls, "jobId": job_id,
        "portraitId": portraits.first(), "portraitIds": portraits,
        "generationTimeMs": started.elapsed().as_millis() as u64, "storagePath": first.name,
        "batchCount": kept.len(), "canonId": canon, "canonPoseKey": request.canon_pose_key,
    }))
}

/// The character, from the table or as the caller describes it.
fn sheet(call: &Call, request: &Request) -> Result<Sheet, FunctionError> {
    if let Some(id) = request.character_id {
        return cast::character(call, id);
    }
    if !request.character_data.is_object() {
        return Err(FunctionError::bad("characterId or characterData is required").with("success", false));
    }
    let mut row = request.character_data.clone();
    row["id"] = json!(Uuid::nil());
    if row["name"].as_str().is_none_or(|name| name.trim().is_empty()) {
        row["name"] = json!("a character");
    }
    Sheet::read(row).ok_or_else(|| FunctionError::bad("characterData"))
}

/// The words of a canon pose.
async fn pose(
    call: &Call,
    request: &Request,
    tier: actors::content_rules::ContentRating,
) -> Result<Option<String>, FunctionError> {
    let Some(key) = request.canon_pose_key.as_deref() else { return Ok(None) };
    let template = templates::of_use_case(call, "canon_position", tier, "").await?;
    let presets = &template.metadata["pose_presets"];
    let preset = &presets[key];
    let words = preset.as_str().or(preset["prompt"].as_str()).or(preset["prompt_fragment"].as_str());
    words.map(|words| Some(words.to_string())).ok_or_else(|| {
        let available: Vec<&String> = presets.as_object().into_iter().flat_map(|all| all.keys()).collect();
        FunctionError::bad(format!("canonPoseKey: {key} is not known")).with("available", json!(available))
    })
}

fn prompt(sheet: &Sheet, request: &Request, pose: Option<&str>) -> String {
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
    call: &Call,
    user: Uuid,
    request: &Request,
    prompt: &str,
    asset: &Json,
    kept: Kept,
) -> Result<Picture, FunctionError> {
    let gone = || FunctionError::not_found("the picture's file is gone");
    let from = asset["temp_storage_path"].as_str().unwrap_or_default();
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text("workspace-temp"))
        .equal("name", Value::text(from));
    let object = call.rows(query).await?.pop().ok_or_else(gone)?;
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
    call.app.actors.ask(&call.service(), PutObject { object, upsert: true }).await?;
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
    let library = put_row::insert(call, "user_library", library).await?;
    let character = request.character_id.filter(|_| kept != Kept::Position);
    let Some(character) = character else { return Ok(Picture { name, library, portrait: None }) };
    let portraits = table("character_portraits");
    let known = Query::all(portraits.id).equal("character_id", Value::Uuid(character)).limit(1);
    let is_first = call.rows(known).await?.is_empty();
    let portrait = put_row::insert(
        call,
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
