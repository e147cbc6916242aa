//! Portraits of a character: drawn, kept in the library, and given to the character as its face.

use std::time::Duration;

use actors::character::consistency::ConsistencySettings;
use actors::content_rules::ContentRating;
use actors::conversation::sheet::Sheet;
use actors::job_scheduler::{KeepPortrait, KeptPortraits};
use models::ColumnType;
use models::field_names::{Named, shown_name};
use models::value_words::Takes;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::conversations::participants;
use crate::error::ServiceError;
use crate::jobs::await_job;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::prompts::templates;
use crate::rows::table;

const TIME_MAX: Duration = Duration::from_secs(540);
/// Pictures of one request.
const IMAGES_MAX: u64 = 4;
const TAGS_MAX: usize = 8;
const OVERRIDE_CHARS_MAX: usize = 200;
/// Columns that say what a character looks like.
const DRAWN: [&str; 9] = [
    "name",
    "description",
    "appearance_tags",
    "identity_line",
    "hair_description",
    "base_outfit",
    "clothing_tags",
    "base_prompt",
    "reference_image_url",
];
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
    /// Words for how it is seen.
    pub presets: Presets,
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
    /// The model that draws: a row of `api_models`, or the name of a model of this server.
    pub api_model_id: Option<String>,
    /// The same.
    pub model_id: Option<String>,
    /// The same.
    pub model_key: Option<String>,
    /// The canon pose that is drawn.
    pub canon_pose_key: Option<String>,
    /// How the character is kept recognisable, in place of its row's word.
    #[serde(alias = "consistency_method")]
    pub consistency_method: Option<String>,
    /// The same with strengths and the seed; its method wins.
    #[serde(alias = "consistency_settings")]
    pub consistency_settings: Option<ConsistencySettings>,
    /// The seed of the first picture.
    #[serde(deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// A second request of an account with the same key gets the pictures of the first.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

/// Words for how a character is seen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Presets {
    /// How it stands.
    pub pose: Option<String>,
    /// What its face says.
    pub expression: Option<String>,
    /// What it wears.
    pub outfit: Option<String>,
    /// Where it is seen from.
    pub camera: Option<String>,
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
    /// What was not followed, and why.
    pub warnings: Vec<String>,
}

/// Draws portraits; they are kept in the commit that ends their job, whether or not the caller still waits.
pub async fn draw(context: &Context, mut request: PortraitRequest) -> Result<Portraits, ServiceError> {
    let user = context.user()?;
    let (count, denoise) = numbers(&request)?;
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
    let (prompt, mut warnings) = prompt(&sheet, &request, pose.as_deref());
    warnings.extend(unknown_columns(&request.character_data));
    let mut job = JobRequest {
        job_type: "image_high".into(),
        prompt: Some(prompt),
        api_model_id: request.api_model_id.take(),
        model_id: request.model_id.take(),
        model_key: request.model_key.take(),
        image_count: Some(count),
        seed: request.seed,
        consistency_method: request.consistency_method.take(),
        consistency_settings: request.consistency_settings.take(),
        metadata: Map::from_iter([
            ("contentType".into(), json!(tier.name())),
            ("character_id".into(), json!(request.character_id)),
            ("skip_enhancement".into(), json!(true)),
            ("source".into(), json!("character-portrait")),
        ]),
        idempotency_key: request.idempotency_key.take(),
        keep_portrait: Some(KeepPortrait {
            character_id: request.character_id,
            pose_key: request.canon_pose_key.clone().filter(|_| request.character_id.is_some()),
            becomes_reference: false,
        }),
        character: Some(sheet),
        character_denoise: Some(denoise),
        ..JobRequest::default()
    };
    if let Some(reference) = request.reference_image_url.as_deref().filter(|url| !url.trim().is_empty()) {
        job.reference_image_url = Some(reference.into());
        job.metadata.insert("reference_mode".into(), json!("modify"));
        job.denoise_strength = Some(denoise);
    }
    let queued = queue(context, user, job).await?;
    let (job, _) = await_job::ended(context, queued.id, TIME_MAX).await?;
    let kept: KeptPortraits = serde_json::from_value(job["metadata"]["kept"].clone()).unwrap_or_default();
    if kept.portraits.is_empty() {
        let mut error = ServiceError::not_found("the pictures are drawn, but none is kept");
        if !job["metadata"]["warnings"].is_null() {
            error = error.with("warnings", job["metadata"]["warnings"].clone());
        }
        return Err(error.with("jobId", queued.id.to_string()));
    }
    let portraits = kept.portraits.iter().filter_map(|kept| kept.portrait_id).collect();
    let names = kept.portraits.into_iter().map(|kept| kept.path).collect();
    warnings.extend(queued.warnings);
    Ok(Portraits { job: queued.id, names, portraits, canon: kept.canon_id, warnings })
}

/// How many pictures, and how much of a reference goes; refuses what is beyond the limits.
fn numbers(request: &PortraitRequest) -> Result<(u64, f64), ServiceError> {
    let count = request.num_images.unwrap_or(1);
    if !(1..=IMAGES_MAX).contains(&count) {
        return Err(ServiceError::not_within("numImages", count, 1, IMAGES_MAX));
    }
    let strength = request.reference_strength.unwrap_or(0.75);
    if !(0.1..=1.0).contains(&strength) {
        return Err(ServiceError::not_within("referenceStrength", strength, 0.1, 1));
    }
    Ok((count, ((1.0 - strength) * 100.0).round() / 100.0))
}

/// The character, from the table or as the caller describes it.
fn sheet(context: &Context, request: &PortraitRequest) -> Result<Sheet, ServiceError> {
    if let Some(id) = request.character_id {
        return participants::character(context, id);
    }
    Takes::Object
        .check(&request.character_data)
        .map_err(|reason| ServiceError::field("characterData", reason))?;
    if request.character_data.is_null() {
        return Err(ServiceError::missing_one_of(&["characterId", "characterData"]).with("success", false));
    }
    check_columns(&request.character_data)?;
    let mut row = request.character_data.clone();
    row["id"] = json!(Uuid::nil());
    if row["name"].as_str().is_none_or(|name| name.trim().is_empty()) {
        row["name"] = json!("a character");
    }
    Sheet::read(row).ok_or_else(|| ServiceError::field("characterData", "does not describe a character"))
}

/// Refuses members that are not of their column's type, and a description that has nothing to draw.
fn check_columns(given: &Json) -> Result<(), ServiceError> {
    let columns = table("characters").table.columns;
    let mut says_something = false;
    for (name, value) in given.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let Some(column) = columns.iter().find(|column| column.name == name.as_str()) else { continue };
        let error = |reason: String| ServiceError::field(format!("characterData.{name}"), reason);
        if column.kind == ColumnType::Text {
            Takes::Text.check(value).map_err(error)?;
        }
        models::convert::from_json(column.kind, value).map_err(|reason| error(reason.to_string()))?;
        says_something |= DRAWN.contains(&name.as_str());
    }
    match says_something {
        true => Ok(()),
        false => {
            let reason = format!("has nothing to draw; at least one of {} is needed", DRAWN.join(", "));
            Err(ServiceError::field("characterData", reason).with("accepted", DRAWN.to_vec()))
        }
    }
}

/// Warnings about members that are no columns of a character.
fn unknown_columns(given: &Json) -> Vec<String> {
    let columns = table("characters").table.columns;
    let names = given.as_object().into_iter().flat_map(|given| given.keys());
    let unknown = names.filter(|name| !columns.iter().any(|column| column.name == name.as_str()));
    let mut warned = Named::default();
    for name in unknown {
        warned.note(|| format!("characterData.{}: no column of characters, not used", shown_name(name)));
    }
    warned.take(|more| format!("characterData: {more} more that are no columns of characters, not used"))
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
        let names: Vec<&str> = available.iter().map(|name| name.as_str()).collect();
        let error = ServiceError::none_of("canonPoseKey", key, &names);
        error.with("available", json!(available))
    })
}

/// The prompt, and warnings about what is too long for it.
fn prompt(sheet: &Sheet, request: &PortraitRequest, pose: Option<&str>) -> (String, Vec<String>) {
    let mut warnings = Vec::new();
    let mut parts = vec![format!("portrait of {}", sheet.name)];
    let looks = sheet.looks();
    parts.extend(looks.split(", ").take(TAGS_MAX).map(str::to_string));
    let tags = looks.split(", ").count();
    if tags > TAGS_MAX {
        warnings.push(format!("appearance_tags: of {tags} the first {TAGS_MAX} are drawn"));
    }
    if looks.is_empty() {
        parts.push(sheet.text("description").chars().take(300).collect());
    }
    let Presets { pose: stance, expression, outfit, camera } = &request.presets;
    parts.extend([stance, expression, outfit, camera].into_iter().flatten().cloned());
    parts.extend(pose.map(str::to_string));
    let more = request.prompt_override.as_deref().unwrap_or_default();
    if more.chars().count() > OVERRIDE_CHARS_MAX {
        warnings.push(format!("promptOverride: cut after {OVERRIDE_CHARS_MAX} characters"));
    }
    parts.push(more.chars().take(OVERRIDE_CHARS_MAX).collect());
    parts.retain(|part| !part.trim().is_empty());
    (parts.join(", "), warnings)
}
