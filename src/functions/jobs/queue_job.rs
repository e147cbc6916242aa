//! queue-job: a picture or a video is wanted.

use actors::content_rules::ContentRating;
use actors::job_scheduler::{IMAGE_QUEUE, QueueJob, QueueLimits, VIDEO_QUEUE};
use actors::render::prompt_syntax;
use axum::http::{Method, StatusCode};
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::functions::call::{Call, Outcome, ok, table};
use crate::functions::error::FunctionError;
use crate::functions::job_pictures::JobPictures;
use crate::functions::job_prompts::{JobPrompts, Mode};
use crate::functions::job_row::Wish;
use crate::functions::prompts::get_negative_prompt::negative_prompt;
use crate::functions::{job_fields, minors, prices};
use crate::receive::idempotency_key;

/// What is wanted. An empty text counts as none.
#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) job_type: String,
    pub(crate) prompt: Option<String>,
    pub(crate) original_prompt: Option<String>,
    pub(crate) enhanced_prompt: Option<String>,
    pub(crate) quality: Option<String>,
    pub(crate) model_type: Option<String>,
    pub(crate) negative_prompt: Option<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) steps: Option<u32>,
    pub(crate) guidance_scale: Option<f64>,
    pub(crate) denoise_strength: Option<f64>,
    pub(crate) reference_strength: Option<f64>,
    pub(crate) reference_image_url: Option<String>,
    pub(crate) num_images: Option<u64>,
    /// Exactly so many, where `num_images` knows 1, 3 and 6.
    pub(crate) image_count: Option<u64>,
    /// A picture that is bright where the reference may be redrawn.
    #[serde(alias = "mask_object", alias = "mask")]
    pub(crate) mask_image_url: Option<String>,
    /// `[{"name", "scale"}]`, from the server's models folder.
    #[serde(default)]
    pub(crate) loras: Json,
    /// Frames of a video.
    #[serde(alias = "frame_num")]
    pub(crate) num_frames: Option<u64>,
    /// How many of them a second.
    pub(crate) fps: Option<u64>,
    /// What a video passes through: `[{"prompt", "negative_prompt", "seed", "frame"}]`.
    #[serde(default)]
    pub(crate) keyframes: Json,
    /// What brackets in the prompts mean: `plain`, `compel`, `a1111`, `a1111_native`.
    pub(crate) prompt_syntax: Option<String>,
    pub(crate) compel_enabled: Option<bool>,
    pub(crate) compel_weights: Option<Json>,
    #[serde(default)]
    priority: i32,
    pub(crate) project_id: Option<Uuid>,
    pub(crate) destination: Option<String>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) scheduler: Option<String>,
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Map<String, Json>,
    /// A second job of an account with the same key is the first one.
    #[serde(skip)]
    pub(crate) idempotency_key: Option<String>,
}

impl Request {
    /// Empty texts go, and what some clients send among the metadata only comes to its place.
    fn tidy(&mut self) {
        for text in [
            &mut self.prompt,
            &mut self.original_prompt,
            &mut self.enhanced_prompt,
            &mut self.quality,
            &mut self.model_type,
            &mut self.negative_prompt,
            &mut self.reference_image_url,
            &mut self.mask_image_url,
            &mut self.prompt_syntax,
            &mut self.destination,
            &mut self.scheduler,
            &mut self.model,
        ] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                *text = None;
            }
        }
        let metadata = &self.metadata;
        let given = |name: &str| metadata.get(name).filter(|value| !value.is_null());
        let number = |name: &str| given(name).and_then(Json::as_u64);
        self.seed = self.seed.or_else(|| number("seed"));
        self.num_images = self.num_images.or_else(|| number("num_images"));
        self.steps =
            self.steps.or_else(|| number("steps").map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)));
        self.guidance_scale = self.guidance_scale.or_else(|| given("guidance_scale").and_then(Json::as_f64));
        self.compel_enabled = self.compel_enabled.or_else(|| given("compel_enabled").and_then(Json::as_bool));
        self.compel_weights = self.compel_weights.take().or_else(|| given("compel_weights").cloned());
        let text = |name: &str| given(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        self.negative_prompt =
            self.negative_prompt.take().or_else(|| text("negative_prompt").map(str::to_string));
        self.reference_image_url =
            self.reference_image_url.take().or_else(|| text("reference_image_url").map(str::to_string));
    }

    /// A text of the metadata that is not empty.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a member of the metadata is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.metadata.get(name).and_then(Json::as_bool) == Some(true)
    }

    fn is_video(&self) -> Result<bool, FunctionError> {
        match self.job_type.as_str() {
            "sdxl_image_fast" | "sdxl_image_high" | "image_fast" | "image_high" | "rv51_fast"
            | "rv51_high" => Ok(false),
            "video_fast" | "video_high" | "wan_video_fast" | "wan_video_high" => Ok(true),
            other => Err(FunctionError::bad(format!("job_type: {other:?} is not known"))),
        }
    }

    fn tier(&self, call: &Call) -> Result<ContentRating, FunctionError> {
        let rating = self.member("contentType").unwrap_or("sfw");
        let tier = ContentRating::parse(rating).ok_or_else(|| {
            FunctionError::bad(format!("metadata.contentType: {rating:?} is neither sfw nor nsfw"))
        })?;
        if tier == ContentRating::Nsfw && !call.may_have_nsfw()? {
            return Err(FunctionError::content_refused("nsfw needs an age-verified account"));
        }
        Ok(tier)
    }

    fn quality(&self) -> Result<&'static str, FunctionError> {
        match self.quality.as_deref() {
            Some("fast") => Ok("fast"),
            Some("high") => Ok("high"),
            Some(other) => Err(FunctionError::bad(format!("quality: {other:?} is neither fast nor high"))),
            None if self.job_type.contains("high") => Ok("high"),
            None => Ok("fast"),
        }
    }

    fn num_images(&self, is_video: bool) -> i64 {
        match (is_video, self.image_count, self.num_images.unwrap_or(1)) {
            (true, _, _) | (_, None, 0 | 1) => 1,
            (_, Some(exactly), _) => i64::try_from(exactly.clamp(1, 6)).unwrap_or(1),
            (_, None, 2 | 3) => 3,
            _ => 6,
        }
    }

    fn check_numbers(&self) -> Result<(), FunctionError> {
        let within = |name: &str, value: Option<f64>, min: f64, max: f64| match value {
            Some(value) if !(min..=max).contains(&value) => {
                Err(FunctionError::bad(format!("{name}: {value} is not within {min} to {max}")))
            }
            _ => Ok(()),
        };
        within("steps", self.steps.map(f64::from), 1.0, 200.0)?;
        within("guidance_scale", self.guidance_scale, 0.0, 100.0)?;
        within("denoise_strength", self.denoise_strength, 0.0, 1.0)?;
        within("reference_strength", self.reference_strength, 0.0, 1.0)?;
        within("width", self.width.map(f64::from), 8.0, 4096.0)?;
        within("height", self.height.map(f64::from), 8.0, 4096.0)?;
        within("seed", self.seed.map(|seed| seed as f64), 0.0, i64::MAX as f64)?;
        if self.width.is_some() != self.height.is_some() {
            return Err(FunctionError::bad("width, height: give both or neither"));
        }
        Ok(())
    }
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "queue-job takes POST"));
    }
    let mut request: Request = call.read()?;
    request.idempotency_key = idempotency_key(&call.headers)?;
    let user = call.user()?;
    let Queued { id, queue, status, existed } = queue(&call, user, request).await?;
    let message = if existed { "This job was queued before" } else { "Job queued successfully" };
    ok(json!({"jobId": id, "status": status, "queueName": queue, "message": message}))
}

/// A job in the queue.
pub(crate) struct Queued {
    /// Its id.
    pub id: Uuid,
    /// The queue it is in.
    pub queue: &'static str,
    /// How it stands: `queued`, unless its key was known.
    pub status: String,
    /// Whether its key was known.
    pub existed: bool,
}

/// Queues a job for an account.
pub(crate) async fn queue(call: &Call, user: Uuid, mut request: Request) -> Result<Queued, FunctionError> {
    request.tidy();
    let is_video = request.is_video()?;
    request.check_numbers()?;
    let quality = request.quality()?;
    let tier = request.tier(call)?;
    let syntax = prompt_syntax(request.prompt_syntax.as_deref(), request.compel_enabled == Some(true));
    let syntax = syntax.map_err(FunctionError::bad)?;
    JobPictures::check_owners(call, user, &request)?;

    let mode = Mode::of(&request);
    let prompts = JobPrompts::of(call, &request, mode, syntax).await?;
    prompts.check(tier, &request.keyframes)?;
    minors::refuse_in_nsfw(call, tier, &[&request.metadata]).await?;
    job_fields::check_loras(call, &prompts.loras).await?;
    let pictures = JobPictures::of(call, user, &request, mode, is_video).await?;
    let negative = negative(call, &request, mode, tier).await?;

    let num_images = request.num_images(is_video);
    let job_id = Uuid::new_v4();
    let (key, priority) = (request.idempotency_key.take(), request.priority.clamp(-10, 10));
    let config = &call.app.config;
    let credits = if config.charge_credits { prices::of(&request.job_type, num_images) } else { 0 };
    let queue = if is_video { VIDEO_QUEUE } else { IMAGE_QUEUE };
    let wish = Wish {
        job_id,
        user,
        request: &request,
        mode,
        is_video,
        quality,
        tier,
        syntax,
        prompts: &prompts,
        pictures: &pictures,
        negative: &negative,
        num_images,
    };
    let decision = QueueJob {
        job: wish.row(),
        queue,
        payload: wish.payload(),
        priority,
        idempotency_key: key,
        credits,
        limits: QueueLimits {
            waiting_max: config.jobs_waiting_max,
            waiting_per_user_max: config.jobs_waiting_per_user_max,
        },
    };
    let queued = call.app.actors.ask(&call.claims, decision).await?;
    let jobs = table("jobs");
    let status = match &queued.job[jobs.at("status")] {
        Value::Text(status) => status.to_string(),
        _ => "queued".to_string(),
    };
    let id = queued.job[jobs.at("id")].as_uuid().unwrap_or(job_id);
    Ok(Queued { id, queue, status, existed: queued.existed })
}

/// The place's own negative prompt before the caller's; an exact copy has none.
async fn negative(
    call: &Call,
    request: &Request,
    mode: Mode,
    tier: ContentRating,
) -> Result<String, FunctionError> {
    if mode == Mode::ExactCopy {
        return Ok(String::new());
    }
    let base = negative_prompt(call, "sdxl", tier.name(), mode.generation_mode()).await?;
    let own = request.negative_prompt.as_deref().unwrap_or_default();
    let parts = [base.as_str(), own].into_iter().filter(|text| !text.is_empty());
    Ok(parts.collect::<Vec<_>>().join(", "))
}
