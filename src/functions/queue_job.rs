//! queue-job: a picture or a video is wanted.

use actors::content_rules::{self, Tier};
use actors::job_scheduler::{IMAGE_QUEUE, QueueJob, QueueLimits, VIDEO_QUEUE};
use axum::http::{Method, StatusCode};
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::call::{Call, Outcome, ok, table};
use super::error::FunctionError;
use super::get_negative_prompt::negative_prompt;
use super::job_fields::{self, VideoFields};
use super::prices;
use super::reference::Reference;

/// Longest prompt, in characters.
const PROMPT_CHARS_MAX: usize = 10_000;
/// Longest Idempotency-Key, in characters.
const KEY_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
pub(crate) struct Request {
    job_type: String,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    original_prompt: Option<String>,
    #[serde(default)]
    enhanced_prompt: Option<String>,
    #[serde(default)]
    quality: Option<String>,
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    negative_prompt: Option<String>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    steps: Option<u32>,
    #[serde(default)]
    guidance_scale: Option<f64>,
    #[serde(default)]
    denoise_strength: Option<f64>,
    #[serde(default)]
    reference_strength: Option<f64>,
    #[serde(default)]
    reference_image_url: Option<String>,
    #[serde(default)]
    num_images: Option<u64>,
    /// Exactly so many, where `num_images` knows 1, 3 and 6.
    #[serde(default)]
    image_count: Option<u64>,
    /// A picture that is bright where the reference may be redrawn.
    #[serde(default, alias = "mask_object", alias = "mask")]
    mask_image_url: Option<String>,
    /// `[{"name", "scale"}]`, from the server's models folder.
    #[serde(default)]
    loras: Json,
    /// Frames of a video.
    #[serde(default, alias = "frame_num")]
    num_frames: Option<u64>,
    /// How many of them a second.
    #[serde(default)]
    fps: Option<u64>,
    /// What a video passes through: `[{"prompt", "negative_prompt", "seed", "frame"}]`.
    #[serde(default)]
    keyframes: Json,
    #[serde(default)]
    compel_enabled: bool,
    #[serde(default)]
    compel_weights: Option<Json>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    project_id: Option<Uuid>,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    scheduler: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    metadata: Map<String, Json>,
}

impl Request {
    /// Numbers that some clients send among the metadata only.
    fn fill_from_metadata(&mut self) {
        let metadata = &self.metadata;
        let number = |name: &str| metadata.get(name).and_then(Json::as_u64);
        self.seed = self.seed.or_else(|| number("seed"));
        self.num_images = self.num_images.or_else(|| number("num_images"));
        self.steps =
            self.steps.or_else(|| number("steps").map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)));
        self.guidance_scale =
            self.guidance_scale.or_else(|| metadata.get("guidance_scale").and_then(Json::as_f64));
        if self.negative_prompt.is_none() {
            self.negative_prompt = metadata.get("negative_prompt").and_then(Json::as_str).map(str::to_string);
        }
    }
}

/// How a reference picture is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    ExactCopy,
    Modify,
    FromText,
}

/// Runs the function.
pub(super) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "queue-job takes POST"));
    }
    let request: Request = call.read()?;
    let user = call.user()?;
    let (job_id, queue, existed) = queue(&call, user, request).await?;
    let message = if existed { "This job was queued before" } else { "Job queued successfully" };
    ok(json!({"jobId": job_id, "status": "queued", "queueName": queue, "message": message}))
}

/// Queues a job for an account; answers with its id, its queue and whether its key was known.
pub(crate) async fn queue(
    call: &Call,
    user: Uuid,
    mut request: Request,
) -> Result<(Uuid, &'static str, bool), FunctionError> {
    request.fill_from_metadata();
    let is_video = match request.job_type.as_str() {
        "sdxl_image_fast" | "sdxl_image_high" | "image_fast" | "image_high" | "rv51_fast" | "rv51_high" => {
            false
        }
        "video_fast" | "video_high" | "wan_video_fast" | "wan_video_high" => true,
        other => return Err(FunctionError::bad(format!("job_type: {other:?} is not known"))),
    };
    check_numbers(&request)?;
    job_fields::check_loras(call, &request.loras).await?;
    let metadata = &request.metadata;
    let member = |name: &str| metadata.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let flag = |name: &str| metadata.get(name).and_then(Json::as_bool) == Some(true);
    let rating = member("contentType").unwrap_or("sfw");
    let tier = Tier::parse(rating).ok_or_else(|| {
        FunctionError::bad(format!("metadata.contentType: {rating:?} is neither sfw nor nsfw"))
    })?;
    if tier == Tier::Nsfw && !call.may_have_nsfw()? {
        return Err(FunctionError::content_refused("nsfw needs an age-verified account"));
    }

    let prompt = request.original_prompt.clone().or_else(|| request.prompt.clone()).unwrap_or_default();
    let blank = prompt.trim().is_empty();
    let given = request.reference_image_url.as_deref().or(member("reference_image_url"));
    let original_enhanced = member("originalEnhancedPrompt");
    let mode = match given {
        Some(_) if flag("exact_copy_mode") && original_enhanced.is_none() && blank => Mode::ExactCopy,
        Some(_) if member("reference_mode") == Some("modify") || original_enhanced.is_some() || !blank => {
            Mode::Modify
        }
        _ => Mode::FromText,
    };
    let reference = match (given, is_video, mode) {
        (_, true, _) | (_, _, Mode::FromText) => None,
        (given, ..) => job_fields::reference(call, user, "reference_image_url", given).await?,
    };
    let mask = request.mask_image_url.as_deref().filter(|mask| !mask.is_empty());
    if mask.is_some() && reference.is_none() {
        let needs = "mask_image_url: needs reference_image_url, and a prompt or reference_mode \"modify\"";
        return Err(FunctionError::bad(needs));
    }
    let mask = job_fields::reference(call, user, "mask_image_url", mask).await?;
    let of_video = VideoFields {
        num_frames: request.num_frames,
        fps: request.fps,
        keyframes: &request.keyframes,
        image: given,
        first_frame: member("start_reference_url"),
        last_frame: member("end_reference_url"),
    };
    let frames = match is_video {
        true => of_video.config(call, user).await?,
        false => of_video.refuse()?,
    };

    let denoise = request.denoise_strength.or(request.reference_strength.map(|strength| 1.0 - strength));
    let (denoise, guidance, steps) = match mode {
        Mode::ExactCopy => (denoise.or(Some(0.05)), Some(1.0), request.steps.or(Some(15))),
        Mode::Modify => {
            (denoise.or(Some(0.20)), request.guidance_scale.or(Some(6.0)), request.steps.or(Some(20)))
        }
        Mode::FromText => (denoise, request.guidance_scale, request.steps),
    };
    let by_model;
    let (enhanced, template_name) = match (mode, &request.enhanced_prompt) {
        (_, Some(enhanced)) => (Some(enhanced.clone()), None),
        (Mode::ExactCopy, None) => (None, Some("exact_copy_skip_enhance")),
        (Mode::Modify, None) if blank => {
            (original_enhanced.map(str::to_string), original_enhanced.map(|_| "original_from_metadata"))
        }
        (Mode::Modify, None) => {
            let base = original_enhanced.unwrap_or("maintain the same subject");
            (Some(format!("{base}, {prompt}")), Some("manual_compose_fallback"))
        }
        (Mode::FromText, None) => {
            let enhanced;
            (enhanced, by_model) =
                super::enhancement::for_job(call, &prompt, &request.job_type, metadata).await;
            (enhanced, by_model.as_deref())
        }
    };
    let sent = enhanced.clone().unwrap_or_else(|| prompt.clone());
    for (name, text) in [("prompt", prompt.as_str()), ("enhanced_prompt", sent.as_str())] {
        if text.chars().count() > PROMPT_CHARS_MAX {
            return Err(FunctionError::bad(format!("{name}: longer than {PROMPT_CHARS_MAX} characters")));
        }
        content_rules::check(tier, name, text)?;
    }
    job_fields::check_keyframe_texts(tier, &request.keyframes, PROMPT_CHARS_MAX)?;
    refuse_minors_in_nsfw(call, tier, metadata).await?;

    let quality = match request.quality.as_deref() {
        Some(quality @ ("fast" | "high")) => quality,
        Some(other) => {
            return Err(FunctionError::bad(format!("quality: {other:?} is neither fast nor high")));
        }
        None if request.job_type.contains("high") => "high",
        None => "fast",
    };
    let generation_mode = if mode == Mode::FromText { "txt2img" } else { "i2i" };
    let own_negative = request.negative_prompt.as_deref().unwrap_or_default();
    let negative = match mode {
        Mode::ExactCopy => String::new(),
        _ => {
            let base = negative_prompt(call, "sdxl", rating, generation_mode).await?;
            [base.as_str(), own_negative]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(", ")
        }
    };
    let wanted = request.num_images.unwrap_or(1);
    let num_images = match (is_video, request.image_count, wanted) {
        (true, _, _) | (_, None, 0 | 1) => 1,
        (_, Some(exactly), _) => i64::try_from(exactly.clamp(1, 6)).unwrap_or(1),
        (_, None, 2 | 3) => 3,
        _ => 6,
    };
    let seed = request.seed;
    let queue = if is_video { VIDEO_QUEUE } else { IMAGE_QUEUE };

    let job_id = Uuid::new_v4();
    let jobs = table("jobs");
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    let optional = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    set("id", Value::Uuid(job_id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(&*request.job_type));
    set("format", Value::text(if is_video { "video" } else { "image" }));
    set("quality", Value::text(quality));
    set("model_type", optional(request.model_type.as_deref()));
    set("original_prompt", Value::text(&*prompt));
    set("enhanced_prompt", optional(enhanced.as_deref()));
    set("template_name", optional(template_name));
    set("project_id", request.project_id.map_or(Value::Null, Value::Uuid));
    if let Some(destination) = request.destination.as_deref() {
        set("destination", Value::text(destination));
    }
    set("compel_weights", request.compel_weights.as_ref().map_or(Value::Null, Value::json));
    let mut kept = metadata.clone();
    for (name, value) in [
        ("reference_image_url", given.map(Json::from)),
        ("denoise_strength", denoise.map(Json::from)),
        ("guidance_scale", guidance.map(Json::from)),
        ("steps", steps.map(Json::from)),
        ("seed", seed.map(Json::from)),
    ] {
        if let Some(value) = value {
            kept.insert(name.into(), value);
        }
    }
    kept.insert("generation_mode".into(), json!(generation_mode));
    kept.insert(
        "enhancement_metadata".into(),
        json!({
            "template_name": template_name, "content_mode": rating,
            "enhancement_model": member("enhancement_model").unwrap_or("qwen_instruct"),
        }),
    );
    set("metadata", Value::json(&Json::Object(kept)));

    let resolution = match member("aspect_ratio") {
        Some("16:9") => "1024x576",
        Some("9:16") => "576x1024",
        _ => "1024x1024",
    };
    let pipeline = match (is_video, mode) {
        (true, _) => "video",
        (false, Mode::FromText) => "txt2img",
        (false, _) => "img2img",
    };
    let mut config = json!({
        "pipeline": pipeline, "num_images": num_images, "num_inference_steps": steps,
        "guidance_scale": guidance, "denoise_strength": denoise, "resolution": resolution, "seed": seed,
        "width": request.width, "height": request.height, "scheduler": request.scheduler,
    });
    for (name, picture) in [("image", &reference), ("mask", &mask)] {
        if let Some(Reference { url, object }) = picture {
            config[name] = json!(url);
            config[format!("{name}_object")] = json!(object);
        }
    }
    if request.loras.as_array().is_some_and(|loras| !loras.is_empty()) {
        config["loras"] = request.loras.clone();
    }
    if is_video {
        config["sample_solver"] = json!("dpm++");
        if let Some(config) = config.as_object_mut() {
            config.extend(frames);
        }
    }
    let payload = json!({
        "id": job_id, "job_id": job_id, "user_id": user, "prompt": sent, "negative_prompt": negative,
        "type": request.job_type.strip_prefix("wan_").unwrap_or(&request.job_type),
        "job_type": request.job_type, "quality": quality, "format": if is_video { "video" } else { "image" },
        "content_type": rating, "config": config, "metadata": metadata, "model": request.model,
        "compel_enabled": request.compel_enabled, "compel_weights": request.compel_weights,
    });

    let idempotency_key = match call.header("idempotency-key").filter(|key| !key.is_empty()) {
        Some(key) if key.chars().count() > KEY_CHARS_MAX => {
            return Err(FunctionError::bad(format!(
                "Idempotency-Key: longer than {KEY_CHARS_MAX} characters"
            )));
        }
        key => key.map(str::to_string),
    };
    let config = &call.app.config;
    let credits = if config.charge_credits { prices::of(&request.job_type, num_images) } else { 0 };
    let limits = QueueLimits {
        waiting_max: config.jobs_waiting_max,
        waiting_per_user_max: config.jobs_waiting_per_user_max,
    };
    let decision = QueueJob {
        job,
        queue,
        payload,
        priority: request.priority.clamp(-10, 10),
        idempotency_key,
        credits,
        limits,
    };
    let queued = call.app.actors.ask(&call.claims, decision).await?;
    let id = queued.job[jobs.at("id")].as_uuid().unwrap_or(job_id);
    Ok((id, queue, queued.existed))
}

fn check_numbers(request: &Request) -> Result<(), FunctionError> {
    let within = |name: &str, value: Option<f64>, min: f64, max: f64| match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(FunctionError::bad(format!("{name}: {value} is not within {min} to {max}")))
        }
        _ => Ok(()),
    };
    within("steps", request.steps.map(f64::from), 1.0, 200.0)?;
    within("guidance_scale", request.guidance_scale, 0.0, 100.0)?;
    within("denoise_strength", request.denoise_strength, 0.0, 1.0)?;
    within("reference_strength", request.reference_strength, 0.0, 1.0)?;
    within("width", request.width.map(f64::from), 8.0, 4096.0)?;
    within("height", request.height.map(f64::from), 8.0, 4096.0)?;
    within("seed", request.seed.map(|seed| seed as f64), 0.0, i64::MAX as f64)?;
    if request.width.is_some() != request.height.is_some() {
        return Err(FunctionError::bad("width, height: give both or neither"));
    }
    Ok(())
}

/// A character that is a minor can be in no nsfw job, whatever the prompt says.
async fn refuse_minors_in_nsfw(
    call: &Call,
    tier: Tier,
    metadata: &Map<String, Json>,
) -> Result<(), FunctionError> {
    if tier == Tier::Sfw {
        return Ok(());
    }
    for name in ["character_id", "user_character_id", "characterId"] {
        let id = metadata.get(name).and_then(Json::as_str).and_then(|text| Uuid::parse_str(text).ok());
        let Some(id) = id else { continue };
        let character = call.row("characters", id).await?.unwrap_or_default();
        if content_rules::is_minors_age_range(character["age_range"].as_str().unwrap_or_default()) {
            return Err(FunctionError::content_refused(
                "a character that is a minor can never be in an nsfw job",
            ));
        }
        for column in ["name", "description", "appearance_tags", "traits", "backstory", "persona"] {
            if let Some(text) = character[column].as_str() {
                content_rules::check(tier, "the character", text)?;
            }
        }
    }
    Ok(())
}
