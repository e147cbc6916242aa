//! Whether a picture is what its record says: it is drawn again by a job of the queue, and compared.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::file::read_object;
use actors::job_scheduler::{ControlConfig, GuideConfig, GuidePicture, IpAdapterConfig, WORKSPACE_BUCKET};
use actors::render::{Comparison, OWN_VAE, PictureRecord, check_size, compare, list_models};
use bytes::Bytes;
use models::value_words::shown_text;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::reference_picture::Reference;
use crate::jobs::await_job;
use crate::jobs::job_fields::reference;
use crate::jobs::job_request::JobRequest;
use crate::jobs::painted_part::MASKED;
use crate::jobs::queue_job::queue;

/// What the metadata of such jobs say of where they come from.
const SOURCE: &str = "verify-picture";
/// The field of the pictures that led it.
const GUIDES: &str = "guide_image_url";
/// Pictures that lead one at most: four ControlNets, four IP-Adapters of four, and a character's reference.
const GUIDES_MAX: usize = 21;
/// The code of a record that does not say which picture led what.
const LED: &str = "LED_BY_PICTURES";
/// How long one waits for the drawing.
const TIME_MAX: Duration = Duration::from_secs(300);

/// What is to be verified.
#[derive(Debug)]
pub struct VerifyRequest {
    /// The PNG file.
    pub file: Bytes,
    /// The picture that it began with, where its record names one: a stored file or a URL.
    pub reference_image_url: Option<String>,
    /// The mask, likewise.
    pub mask_image_url: Option<String>,
    /// The pictures that led it beside its prompts, likewise, in any order.
    pub guide_image_urls: Vec<String>,
    /// `sfw` or `nsfw`: in which tier it is drawn.
    pub content_type: Option<String>,
    /// The job of an earlier call that was not waited for, in place of another drawing.
    pub job: Option<Uuid>,
}

/// What came of it.
#[derive(Debug)]
pub struct Verification {
    /// The job that drew it again; its picture lies in the account's workspace.
    pub job: Uuid,
    /// That picture's row of `workspace_assets`.
    pub asset: Json,
    /// What the file says of how it was drawn.
    pub record: PictureRecord,
    /// How far they are apart.
    pub comparison: Comparison,
    /// What was not followed, and why.
    pub warnings: Vec<String>,
}

/// Draws a picture again as its record says, for the caller's credits, and compares the two.
pub async fn verify(context: &Context, request: VerifyRequest) -> Result<Verification, ServiceError> {
    let user = context.user()?;
    let file = request.file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let record = PictureRecord::of_png(&file).map_err(|reason| (reason, "NO_RECORD"))?;
        check_size(&file, &record).map_err(|reason| (reason, "CHANGED_SIZE"))?;
        Ok(record)
    });
    let read = read.await.map_err(|_| unread())?;
    let record: PictureRecord = read
        .map_err(|(reason, code): (String, &str)| ServiceError::field("file", reason).with("code", code))?;
    let (job, warnings) = match request.job {
        Some(job) => (earlier(context, user, job).await?, Vec::new()),
        None => {
            let queued = queue(context, user, again(context, user, &record, &request).await?).await?;
            (queued.id, queued.warnings)
        }
    };
    let (_, assets) = await_job::ended(context, job, TIME_MAX).await?;
    let lost =
        || ServiceError::not_found("the picture that was drawn again is gone").with("jobId", job.to_string());
    let asset = assets.into_iter().next().ok_or_else(lost)?;
    let path = asset["temp_storage_path"].as_str().unwrap_or_default().to_string();
    let (store, file) = (context.services.actors.store().clone(), request.file);
    let compared = tokio::task::spawn_blocking(move || {
        Ok(read_object(&store, WORKSPACE_BUCKET, &path)?.map(|again| compare(&file, &again)))
    });
    let compared: Result<_, ServiceError> = compared.await.map_err(|_| unread())?;
    let comparison = compared?.ok_or_else(lost)?.map_err(|reason| ServiceError::field("file", reason))?;
    Ok(Verification { job, asset, record, comparison, warnings })
}

fn unread() -> ServiceError {
    ServiceError::new(Kind::Internal, "reading the picture failed unexpectedly")
}

/// A job that an earlier call queued.
async fn earlier(context: &Context, user: Uuid, job: Uuid) -> Result<Uuid, ServiceError> {
    let row = context.row("jobs", job).await?;
    let is_own =
        row.is_some_and(|row| row["user_id"] == user.to_string() && row["metadata"]["source"] == SOURCE);
    let unknown =
        || ServiceError::not_found("the account has no such job of verify-picture").of_field("jobId");
    if is_own { Ok(job) } else { Err(unknown()) }
}

/// The job that draws a record again.
async fn again(
    context: &Context,
    user: Uuid,
    record: &PictureRecord,
    request: &VerifyRequest,
) -> Result<JobRequest, ServiceError> {
    check_model(context, record).await?;
    let led = guides_again(context, user, record, &request.guide_image_urls).await?;
    let spec = &record.spec;
    let text = |given: &Option<String>| given.clone().filter(|text| !text.trim().is_empty());
    let (reference, mask) = (text(&request.reference_image_url), text(&request.mask_image_url));
    for (field, given, hash) in [
        ("reference_image_url", &reference, &spec.reference_hash),
        ("mask_image_url", &mask, &spec.mask_hash),
    ] {
        if let (None, Some(hash)) = (given, hash) {
            let reason = format!("missing: the picture was drawn over a file whose hash is {hash}");
            return Err(ServiceError::field(field, reason).with("missing", [field].map(Json::from).to_vec()));
        }
        if given.is_some() && hash.is_none() {
            return Err(ServiceError::field(field, "the picture was drawn without one"));
        }
    }
    let mut metadata = Map::from_iter([("source".into(), json!(SOURCE))]);
    if let Some(tier) = text(&request.content_type) {
        metadata.insert("contentType".into(), tier.into());
    }
    if reference.is_some() {
        metadata.insert("reference_mode".into(), json!("modify"));
    }
    let loras = spec.loras.iter().cloned().map(|mut lora| {
        if let Some(members) = lora.as_object_mut() {
            members.shift_remove("hash");
        }
        lora
    });
    let paste = spec.paste.clone().unwrap_or_default();
    let vae = spec.vae.as_ref().and_then(|vae| vae["name"].as_str());
    let syntax = serde_json::to_value(spec.prompt_syntax).unwrap_or_default();
    Ok(JobRequest {
        job_type: "image_fast".into(),
        prompt: Some(spec.prompt.clone()),
        enhanced_prompt: Some(spec.prompt.clone()),
        negative_prompt: spec.negative_prompt.clone(),
        seed: Some(spec.seed),
        steps: Some(spec.steps),
        guidance_scale: Some(spec.guidance_scale),
        denoise_strength: spec.strength,
        reference_image_url: reference,
        mask_image_url: mask,
        image_count: Some(1),
        loras: loras.collect(),
        prompt_syntax: syntax.as_str().map(str::to_string),
        width: Some(spec.width),
        height: Some(spec.height),
        scheduler: spec.scheduler.clone(),
        clip_skip: Some(spec.clip_skip),
        hires_scale: spec.hires.as_ref().map(|hires| hires.scale),
        hires_denoise_strength: spec.hires.as_ref().map(|hires| hires.denoise_strength),
        hires_steps: spec.hires.as_ref().and_then(|hires| hires.steps),
        hires_upscaler: spec.hires.as_ref().and_then(|hires| hires.upscaler.clone()),
        inpaint_area: paste.padding_px.map(|_| MASKED.to_string()),
        inpaint_padding: paste.padding_px,
        mask_feather: spec.paste.as_ref().map(|paste| paste.feather_px),
        outpaint: json!(paste.outpaint),
        refiner: spec.refiner.as_ref().map(|refiner| refiner.work.model.clone()),
        refiner_switch_at: spec.refiner.as_ref().map(|refiner| refiner.work.switch_at),
        vae: Some(vae.unwrap_or(OWN_VAE).to_string()),
        model: Some(record.model.clone()),
        controls: asked_controls(&led),
        ip_adapters: asked_adapters(&led),
        likeness: led.likeness.map(|likeness| (likeness.picture.image_object, likeness.strength)),
        metadata,
        is_whole: true,
        ..JobRequest::default()
    })
}

/// What led a picture, with the files that the caller gives for it: each is known by its hash.
async fn guides_again(
    context: &Context,
    user: Uuid,
    record: &PictureRecord,
    given: &[String],
) -> Result<GuideConfig, ServiceError> {
    let wanted = record.guide_hashes();
    let refuse = |reason: String| ServiceError::field(GUIDES, reason);
    if given.len() > GUIDES_MAX {
        return Err(refuse(format!("{} are given; a picture is led by {GUIDES_MAX} at most", given.len())));
    }
    let mut pictures = BTreeMap::new();
    for address in given {
        let found = reference(context, user, GUIDES, Some(address.as_str())).await?;
        let Some((image, image_object)) = found.map(Reference::into_parts) else { continue };
        let (store, object) = (context.services.actors.store().clone(), image_object.clone());
        let read = tokio::task::spawn_blocking(move || {
            let (bucket, name) = object.split_once('/').unwrap_or_default();
            Ok(read_object(&store, bucket, name)?.map(|bytes| blake3::hash(&bytes).to_hex()))
        });
        let read: Result<_, ServiceError> = read.await.map_err(|_| unread())?;
        let hash = read?.ok_or_else(|| refuse(format!("{}: there is no such file", shown_text(address))))?;
        let hash = format!("blake3:{hash}");
        if !wanted.contains(&hash) {
            let reason =
                format!("{}: its hash is {hash}, and it did not lead the picture", shown_text(address));
            return Err(refuse(reason));
        }
        pictures.insert(hash, GuidePicture { image, image_object });
    }
    let missing: Vec<&str> =
        wanted.iter().filter(|hash| !pictures.contains_key(*hash)).map(String::as_str).collect();
    if !missing.is_empty() {
        let reason = format!("missing: the picture was led by files whose hashes are {}", missing.join(", "));
        return Err(refuse(reason).with("missing", [GUIDES].map(Json::from).to_vec()));
    }
    record.guides_again(&pictures).map_err(|reason| ServiceError::field("file", reason).with("code", LED))
}

/// ControlNets as a request names them.
fn asked_controls(led: &GuideConfig) -> Json {
    let asked = |control: &ControlConfig| {
        json!({
            "model": control.model, "image_url": control.picture.image_object, "preprocess": control.preprocess,
            "scale": control.scale, "start": control.start, "end": control.end,
        })
    };
    some_list(led.controls.iter().map(asked).collect())
}

/// IP-Adapters as a request names them.
fn asked_adapters(led: &GuideConfig) -> Json {
    let asked = |adapter: &IpAdapterConfig| {
        let pictures: Vec<&String> = adapter.pictures.iter().map(|picture| &picture.image_object).collect();
        json!({"model": adapter.model, "image_urls": pictures, "scale": adapter.scale})
    };
    some_list(led.ip_adapters.iter().map(asked).collect())
}

/// A list that is left out where it is empty.
fn some_list(list: Vec<Json>) -> Json {
    if list.is_empty() { Json::Null } else { Json::Array(list) }
}

/// Refuses a picture of a model that does not draw here: nothing else could draw it again.
async fn check_model(context: &Context, record: &PictureRecord) -> Result<(), ServiceError> {
    if context.services.render.is_none() {
        return Err(ServiceError::unavailable("NO_PICTURE_MODEL", "this server draws nothing itself"));
    }
    let (folder, name) = (context.services.settings.models_dir.clone(), record.model.clone());
    let listed =
        tokio::task::spawn_blocking(move || list_models(&folder).iter().any(|model| model.name == name));
    if listed.await.unwrap_or_default() {
        return Ok(());
    }
    let name: String = record.model.chars().take(100).collect();
    let reason = format!(
        "it was drawn with the model {name:?} ({}), which is not installed here",
        record.weights_hash
    );
    Err(ServiceError::field("file", reason).with("code", "MODEL_MISSING"))
}
