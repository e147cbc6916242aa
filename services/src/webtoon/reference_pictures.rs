//! Reference pictures that are drawn of a character's description.

use std::time::Duration;

use actors::file::copy_object::CopyObject;
use actors::job_scheduler::WORKSPACE_BUCKET;
use models::Value;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{characters, records};
use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::await_job;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::{Queued, queue};

/// Pictures of one type that one call draws.
pub const COUNT_MAX: u64 = 5;
/// Types that are drawn, and how each is seen.
pub const TYPES: [(&str, &str); 3] = [
    ("face", "portrait, face, plain background"),
    ("full_body", "full body, standing, plain background"),
    ("profile_sheet", "character sheet, front and side view, plain background"),
];
/// Where they are kept.
const BUCKET: &str = "user-library";
/// How long one may wait to be drawn.
const DRAW_MAX: Duration = Duration::from_secs(540);
/// How far a picture departs from the one that it begins with.
const DENOISE: f64 = 0.7;

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Types of [`TYPES`].
    pub types: Vec<String>,
    /// Pictures of each.
    pub count: u64,
    /// Whether they are approved at once; the last face then becomes the primary one.
    pub auto_approve: bool,
}

/// A picture of a character that is to be drawn.
#[derive(Debug)]
pub struct Draft {
    /// What is seen.
    pub prompt: String,
    /// The character, where it is stored already.
    pub character: Option<Uuid>,
    /// A picture of the character that it begins with.
    pub reference: Option<String>,
    /// What the job says that it is for.
    pub source: &'static str,
}

/// A picture that was drawn and stays.
#[derive(Debug)]
pub struct KeptPicture {
    /// `bucket/path`
    pub image_url: String,
    /// Its seed.
    pub seed: Json,
    /// The model that drew it.
    pub model: Json,
}

/// Queues a picture of a character.
pub async fn queue_draft(context: &Context, user: Uuid, draft: Draft) -> Result<Queued, ServiceError> {
    let mut metadata = Map::from_iter([
        ("source".to_string(), json!(draft.source)),
        ("skip_enhancement".to_string(), json!(true)),
    ]);
    if let Some(character) = draft.character {
        // Who is seen; `character_id` would have its own reference lead the picture as well.
        metadata.insert("character_ids".into(), json!([character]));
    }
    if draft.reference.is_some() {
        metadata.insert("reference_mode".into(), json!("modify"));
    }
    let request = JobRequest {
        job_type: "sdxl_image_high".into(),
        prompt: Some(draft.prompt),
        denoise_strength: draft.reference.is_some().then_some(DENOISE),
        reference_image_url: draft.reference,
        metadata,
        ..JobRequest::default()
    };
    queue(context, user, request).await
}

/// Waits for a picture and keeps it in the account's library.
pub async fn keep(context: &Context, user: Uuid, job: Uuid) -> Result<KeptPicture, ServiceError> {
    let (_, assets) = await_job::ended(context, job, DRAW_MAX).await?;
    let asset = assets.into_iter().next().unwrap_or_default();
    let gone = || ServiceError::not_found("the picture is drawn, but its file is gone");
    let from = asset["temp_storage_path"].as_str().ok_or_else(gone)?;
    let to = format!("{user}/webtoon/references/{job}.png");
    let copy = CopyObject {
        from: (WORKSPACE_BUCKET.into(), from.to_string()),
        to: (BUCKET.into(), to.clone()),
        with_metadata: true,
        upsert: true,
    };
    context.ask(copy).await?;
    Ok(KeptPicture {
        image_url: format!("{BUCKET}/{to}"),
        seed: asset["generation_seed"].clone(),
        model: asset["model_used"].clone(),
    })
}

/// Draws reference pictures; answers with their rows and with what was not followed.
pub async fn generate(
    context: &Context,
    user: Uuid,
    character: Uuid,
    wanted: &Wanted,
) -> Result<(Vec<Json>, Vec<String>), ServiceError> {
    let row = characters::character(context, character).await?;
    let text = |column: &str| row[column].as_str().map(str::trim).unwrap_or_default().to_string();
    let words = [text("identity_line"), text("description"), text("hair_description"), text("base_outfit")];
    if words[0].is_empty() && words[1].is_empty() {
        return Err(ServiceError::bad("the character needs a description or an identity_line to be drawn"));
    }
    let words: Vec<String> = words.into_iter().filter(|text| !text.is_empty()).collect();
    let (mut jobs, mut warnings) = (Vec::new(), Vec::new());
    for kind in &wanted.types {
        let Some((kind, seen)) = TYPES.iter().find(|(known, _)| known == kind) else {
            let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
            return Err(ServiceError::none_of("ref_types", kind, &known));
        };
        for _ in 0..wanted.count {
            let prompt = format!("{seen}, {}, {}", text("name"), words.join(", "));
            let draft =
                Draft { prompt, character: Some(character), reference: None, source: "webtoon-reference" };
            let queued = queue_draft(context, user, draft).await?;
            warnings.extend(queued.warnings);
            jobs.push((*kind, queued.id));
        }
    }
    let mut made = Vec::with_capacity(jobs.len());
    let last_face = jobs.iter().rposition(|(kind, _)| *kind == "face").filter(|_| wanted.auto_approve);
    for (place, (kind, job)) in jobs.into_iter().enumerate() {
        let kept = keep(context, user, job).await?;
        let values = vec![
            ("character_id", Value::Uuid(character)),
            ("image_url", Value::Text(kept.image_url)),
            ("ref_type", Value::text(kind)),
            ("approved", Value::Bool(wanted.auto_approve)),
            ("is_primary", Value::Bool(last_face == Some(place))),
            ("metadata_", Value::json(&json!({"job_id": job, "generated": true}))),
        ];
        made.push(records::insert(context, "character_reference_images", values).await?);
    }
    warnings.sort();
    warnings.dedup();
    Ok((made, warnings))
}
