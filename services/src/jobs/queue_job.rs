//! A request becomes a job in the queue.

use actors::content_rules::ContentRating;
use actors::job_scheduler::{IMAGE_QUEUE, Quality, QueueJob, StoredPayload, VIDEO_QUEUE};
use actors::render::{model_warnings, prompt_syntax};
use models::Value;
use serde_json::Value as Json;
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::character_steering::{Steering, steer};
use crate::jobs::job_pictures::JobPictures;
use crate::jobs::job_prompts::{JobPrompts, Mode};
use crate::jobs::job_request::JobRequest;
use crate::jobs::new_job::NewJob;
use crate::jobs::picture_lineage::{refuse_pictures_of_minors, shows_minor};
use crate::jobs::picture_model::PictureModel;
use crate::jobs::selected_model::select_model;
use crate::jobs::without_effect::{PRIORITIES, joined_prompts, without_effect};
use crate::jobs::{
    ab_test, depicted_characters, enhancement_preset, job_fields, painted_part, picture_model, price_list,
    refining, upscaling, video_duration,
};
use crate::prompts::negative_prompt::negative_prompt;
use crate::rows::{position, table};

/// A job in the queue.
pub struct Queued {
    /// Its id.
    pub id: Uuid,
    /// Where it waits: `local_images` and `local_videos` are drawn in this process, the other queues are for remote
    /// workers.
    pub queue: &'static str,
    /// How it stands: `queued`, unless its key was known.
    pub status: String,
    /// Whether its key was known.
    pub existed: bool,
    /// What a character added to it, as its metadata says it.
    pub about: Option<Json>,
    /// Whether it is drawn over the character's reference.
    pub over_character: bool,
    /// What its owner should know of what will be drawn: what is not followed, and what the model was never trained
    /// for. Its metadata says the same.
    pub warnings: Vec<String>,
}

/// A job belongs to a project of its account. One of another account is as good as none: its id opens nothing.
async fn check_project(context: &Context, user: Uuid, project: Option<Uuid>) -> Result<(), ServiceError> {
    let Some(id) = project else { return Ok(()) };
    let row = context.row("projects", id).await?;
    if row.is_some_and(|row| row["user_id"] == user.to_string()) {
        return Ok(());
    }
    Err(ServiceError::new(Kind::NotFound, "the account has no such project").of_field("project_id"))
}

/// The session of the workspace that the account has open.
async fn workspace_session(context: &Context, user: Uuid) -> Result<Option<Uuid>, ServiceError> {
    let open = Query::all(position("workspace_sessions"))
        .equal("user_id", Value::Uuid(user))
        .equal("is_active", Value::Bool(true))
        .order("created_at", true)
        .limit(1);
    Ok(context.rows(open).await?.first().and_then(|row| uuid(&row["id"])))
}

/// Longest prompt that is drawn, in bytes: what is longer is refused when it is asked for, not when it is drawn.
const PROMPT_BYTES_MAX: usize = 16 << 10;

/// Queues a job for an account. What nothing reads is said of a refused request too: a member that was spelled wrong may
/// be why it is refused.
pub async fn queue(context: &Context, user: Uuid, mut request: JobRequest) -> Result<Queued, ServiceError> {
    let warnings = request.tidy()?;
    let said = warnings.clone();
    queue_tidy(context, user, request, warnings)
        .await
        .map_err(|error| if said.is_empty() { error } else { error.with("warnings", said) })
}

/// Queues a request whose fields are in their places.
async fn queue_tidy(
    context: &Context,
    user: Uuid,
    mut request: JobRequest,
    mut warnings: Vec<String>,
) -> Result<Queued, ServiceError> {
    if request.job_type.is_empty() {
        request.check_complete()?;
    }
    let is_video = request.is_video()?;
    request.check_numbers()?;
    request.check_choices()?;
    let quality = request.quality()?;
    let tier = request.tier(context)?;
    if tier == ContentRating::Lowered {
        // What comes of the job is sfw, by which door it is looked at later.
        request.metadata.insert("contentType".into(), tier.name().into());
    }
    let ab_test = ab_test::join(context, user, &mut request, is_video).await?;
    warnings.extend(select_model(context, &mut request, is_video).await?);
    if is_video {
        warnings.extend(video_duration::settle(&mut request, quality)?);
    } else if request.duration_seconds.is_some() {
        warnings.push("duration_seconds: only videos have it, so it changes nothing".into());
    }
    let model = match request.upscale_scale {
        // No picture model has a part in it.
        Some(_) => PictureModel::default(),
        None => picture_model::settle(context, &mut request, is_video).await?,
    };
    job_fields::check_drawing(context, &request, is_video).await?;
    let refiner = refining::settle(context, &request, is_video, &mut warnings).await?;
    let paste = painted_part::settle(&mut request, is_video, &mut warnings)?;
    let upscale = upscaling::settle(context, &mut request, is_video, &mut warnings).await?;
    let preset = enhancement_preset::apply(context, &mut request).await?;
    let syntax = prompt_syntax(request.prompt_syntax.as_deref(), request.reads_compel());
    let syntax = syntax.map_err(|message| ServiceError::worded(Kind::Bad, message))?;
    JobPictures::check_owners(context, user, &request)?;
    check_project(context, user, request.project_id).await?;
    // After the owners: whose files a request names is judged whatever else it lacks.
    request.check_complete()?;
    let is_of_minor = request
        .character
        .as_ref()
        .is_some_and(|character| character.admit(ContentRating::Nsfw, true).is_err());
    // What the caller names itself was judged; what a character brings along is left out where it may not be read.
    let mut steering = steer(context, user, &mut request, tier).await?;
    warnings.append(&mut steering.warnings);

    let mode =
        if steering.over_character && upscale.is_none() { Mode::OverCharacter } else { Mode::of(&request) };
    let prompts = JobPrompts::of(context, &request, mode, syntax, steering.base_prompt.as_deref()).await?;
    prompts.check(tier, &request.keyframes)?;
    let trained = job_fields::check_loras(context, user, &prompts.loras, tier).await?;
    trained.admit(tier)?;
    let of_loras = trained.said();
    depicted_characters::refuse_minors(context, tier, &[&request.metadata, &of_loras]).await?;
    job_fields::check_vae(context, request.vae.as_deref()).await?;
    let pictures =
        JobPictures::of(context, user, &request, mode, is_video, steering.base_prompt.as_deref()).await?;
    // Before they are judged: what is written meanwhile is not what the job is drawn of.
    let judged = pictures.hashes(context).await?;
    refuse_pictures_of_minors(context, tier, pictures.objects(), &judged).await?;
    // A job of another rating was just refused if a minor is in it.
    let shows_minor = tier == ContentRating::Sfw
        && (is_of_minor
            || trained.on_minor
            || prompts.check(ContentRating::Nsfw, &request.keyframes).is_err()
            || shows_minor(context, &[&request.metadata, &of_loras], pictures.objects(), &judged).await?);
    let negative = negative(context, &request, mode, tier).await?;
    for (field, text) in [("prompt", prompts.sent.as_str()), ("negative_prompt", negative.as_str())] {
        if text.len() > PROMPT_BYTES_MAX {
            return Err(ServiceError::field(field, format!("longer than {PROMPT_BYTES_MAX} bytes")));
        }
    }

    model.check_reference(&steering)?;
    let num_images = request.num_images(is_video);
    warnings.extend(without_effect(&request, mode, is_video));
    warnings.extend(joined_prompts(&prompts.sent, syntax));
    warnings.extend(model_warnings_of(context, &request, mode, &prompts));
    steering.warnings = warnings;
    let job_id = Uuid::new_v4();
    let (key, priority) =
        (request.idempotency_key.take(), request.priority.clamp(*PRIORITIES.start(), *PRIORITIES.end()));
    let settings = &context.services.settings;
    // Steps of the request leave nothing for the quality of a picture to do.
    let charged = match request.hires(is_video) {
        Some(_) => Quality::High,
        None if !is_video && request.steps.is_some() => Quality::Fast,
        None => quality,
    };
    let price = price_list::credits(is_video, charged, i64::from(num_images));
    let credits = if settings.charge_credits { price } else { 0 };
    let queue = if is_video { VIDEO_QUEUE } else { IMAGE_QUEUE };
    let new_job = NewJob {
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
        steering: &steering,
        negative: &negative,
        num_images,
        upscale,
        paste,
        refiner,
        model: &model,
        workspace_session: workspace_session(context, user).await?,
        ab_test,
        shows_minor,
        judged,
    };
    let decision = QueueJob {
        job: new_job.row(),
        queue,
        payload: StoredPayload::Draw(Box::new(new_job.payload())),
        priority,
        idempotency_key: key,
        credits,
        cost_usd: model.cost_usd(i64::from(num_images)),
        preset,
        ab_test,
        limits: settings.queue_limits,
    };
    let queued = context.ask(decision).await?;
    let jobs = table("jobs");
    let status = match &queued.job[jobs.at("status")] {
        Value::Text(status) => status.to_string(),
        _ => "queued".to_string(),
    };
    let id = queued.job[jobs.at("id")].as_uuid().unwrap_or(job_id);
    let is_local = context.services.render.as_ref().is_some_and(|render| render.draws(is_video));
    let queue = match (is_local, is_video) {
        (true, false) => "local_images",
        (true, true) => "local_videos",
        (false, _) => queue,
    };
    let Steering { about, over_character, warnings, .. } = steering;
    Ok(Queued { id, queue, status, existed: queued.existed, about, over_character, warnings })
}

/// What the model that draws here was never trained for.
fn model_warnings_of(
    context: &Context,
    request: &JobRequest,
    mode: Mode,
    prompts: &JobPrompts,
) -> Vec<String> {
    if context.services.render.is_none() || matches!(mode, Mode::ExactCopy | Mode::Upscale) {
        return Vec::new();
    }
    let model = request.model.as_deref().or(context.services.settings.image_model.as_deref());
    model_warnings(model, &prompts.sent, request.width.zip(request.height))
}

/// The negative prompt of the catalogue before the caller's; an exact copy has none.
async fn negative(
    context: &Context,
    request: &JobRequest,
    mode: Mode,
    tier: ContentRating,
) -> Result<String, ServiceError> {
    if matches!(mode, Mode::ExactCopy | Mode::Upscale) {
        return Ok(String::new());
    }
    if request.is_whole {
        return Ok(request.negative_prompt.clone().unwrap_or_default());
    }
    let base = negative_prompt(context, "sdxl", tier.name(), mode.generation_mode()).await?;
    let own = request.negative_prompt.as_deref().unwrap_or_default();
    let parts = [base.as_str(), own].into_iter().filter(|text| !text.is_empty());
    Ok(parts.collect::<Vec<_>>().join(", "))
}
