//! Fields of a job that name files or describe a video: checked and resolved before anything is queued.

use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::VideoConfig;
use actors::render::{
    NAMED_MAX, NO_MOTION, OWN_VAE, RequestedDrawing, UnfitDrawing, WantedLora, account_lora, check_video,
    list_motion_modules, list_vaes, lora_files, loras_of, motion_module_named, read_loras, vae_named,
};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::reference_picture::{self, Reference};
use crate::ids::uuid;
use crate::jobs::job_request::JobRequest;
use crate::rows::position;

/// What the names of LoRAs in accounts' folders begin with.
const ACCOUNTS: &str = "accounts/";

/// Resolves a picture that a field names; a refusal names the field.
pub(crate) async fn reference(
    context: &Context,
    user: Uuid,
    field: &str,
    given: Option<&str>,
) -> Result<Option<Reference>, ServiceError> {
    let Some(given) = given else { return Ok(None) };
    let resolved = reference_picture::resolve(context, user, given).await;
    resolved.map(Some).map_err(|error| match error.field_name() {
        None if error.kind() != Kind::Forbidden => error,
        _ => error.of_field(field),
    })
}

/// Refuses what this server cannot draw: an unknown model or scheduler, a size beyond the limit.
pub(crate) async fn check_drawing(
    context: &Context,
    request: &JobRequest,
    is_video: bool,
) -> Result<(), ServiceError> {
    let Some(render) = context.services.render.clone() else { return Ok(()) };
    let asked = RequestedDrawing {
        model: request.model.clone(),
        scheduler: request.scheduler.clone(),
        size_px: request.width.zip(request.height).map(|(width, height)| {
            request.hires(is_video).map_or((width, height), |hires| hires.size_px(width, height))
        }),
        is_video,
    };
    // It looks at the folder of models.
    let checked = tokio::task::spawn_blocking(move || render.check(&asked)).await;
    let unread =
        || UnfitDrawing { message: "model: the models folder cannot be read".into(), ..Default::default() };
    checked.unwrap_or_else(|_| Err(unread())).map_err(ServiceError::from)
}

/// Whom LoRAs show: the characters that they were trained on, and whether one of these was a minor then.
#[derive(Default)]
pub(crate) struct Trained {
    characters: Vec<Uuid>,
    /// Whether one of them was a minor then, whatever its character has become.
    pub on_minor: bool,
}

impl Trained {
    fn add(&mut self, lora: &Json) {
        self.characters.extend(uuid(&lora["character_id"]));
        self.on_minor |= lora["shows_minor"] == true;
    }

    /// As members that say who is in a job.
    pub(crate) fn said(&self) -> Map<String, Json> {
        Map::from_iter([("character_ids".to_string(), json!(self.characters))])
    }

    /// Refuses them in a job that is not sfw where one was trained on a minor.
    pub(crate) fn admit(&self, tier: ContentRating) -> Result<(), ServiceError> {
        match self.on_minor && tier != ContentRating::Sfw {
            true => {
                let reason = "a LoRA that was trained on a minor can never be in an nsfw job";
                Err(ServiceError::content_refused(reason))
            }
            false => Ok(()),
        }
    }
}

/// Refuses LoRAs whose files are not there, or another account's, and answers with whom the others were trained
/// on. Of a file in an account's folder that no training made the character is unknown, so that only `sfw` jobs take it.
pub(crate) async fn check_loras(
    context: &Context,
    user: Uuid,
    loras: &Json,
    tier: ContentRating,
) -> Result<Trained, ServiceError> {
    let wanted = read_loras(loras).map_err(|message| ServiceError::worded(Kind::Bad, message))?;
    if wanted.is_empty() {
        return Ok(Trained::default());
    }
    if context.services.render.is_none() {
        return check_foreign_loras(context, user, &wanted, tier).await;
    }
    let folder = context.services.settings.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        let files = lora_files(&folder, Some(user), &wanted).map_err(|message| {
            let names = loras_of(&folder, Some(user)).into_iter().map(|(name, _)| name).take(NAMED_MAX);
            ServiceError::worded(Kind::Bad, message).with("accepted", names.collect::<Vec<_>>())
        })?;
        Ok(files.iter().map(|(path, _)| account_lora(&folder, path)).collect::<Vec<_>>())
    });
    let unread = |_| Err(ServiceError::worded(Kind::Bad, "loras: the models folder cannot be read"));
    let mut trained = Trained::default();
    for (place, name) in found.await.unwrap_or_else(unread)?.into_iter().enumerate() {
        let Some(name) = name else { continue };
        match training_of(context, &name).await? {
            Some(lora) => trained.add(&lora),
            None if tier == ContentRating::Sfw => {}
            None => return Err(unknown_lora(place, &name)),
        }
    }
    Ok(trained)
}

/// The row of a LoRA of an account's folder, which says whom it was trained on.
async fn training_of(context: &Context, name: &str) -> Result<Option<Json>, ServiceError> {
    let row = Query::all(position("character_loras")).equal("name", Value::text(name)).limit(1);
    let Some(mut row) = context.rows(row).await?.pop() else { return Ok(None) };
    // Of trainings of before the queue alone knows it.
    if row["shows_minor"] != true
        && let Some(job) = uuid(&row["job_id"])
    {
        let entry = context.row("queue.entries", job).await?.unwrap_or_default();
        row["shows_minor"] = json!(entry["payload"]["shows_minor"] == true);
    }
    Ok(Some(row))
}

fn unknown_lora(place: usize, name: &str) -> ServiceError {
    let reason = format!("of {name} it is not known whom it shows, so that only sfw jobs take it");
    ServiceError::field(format!("loras[{place}].name"), reason)
}

/// The same where other machines draw, whose files are not known here: names lead to the characters that the account's trainings
/// were about all the same.
async fn check_foreign_loras(
    context: &Context,
    user: Uuid,
    wanted: &[WantedLora],
    tier: ContentRating,
) -> Result<Trained, ServiceError> {
    let (folder, mut trained) = (format!("{ACCOUNTS}{user}/"), Trained::default());
    for (place, lora) in wanted.iter().enumerate() {
        let name = &lora.name;
        let is_accounts = name.starts_with(ACCOUNTS);
        if is_accounts && !name.starts_with(&folder) {
            let reason = "there is no such LoRA that this account may use";
            return Err(ServiceError::field(format!("loras[{place}].name"), reason));
        }
        let own = if is_accounts { name.clone() } else { format!("{folder}{name}") };
        match training_of(context, &own).await? {
            Some(lora) => trained.add(&lora),
            None if is_accounts && tier != ContentRating::Sfw => return Err(unknown_lora(place, name)),
            None => {}
        }
    }
    Ok(trained)
}

/// Whom the LoRAs of an earlier job were trained on, as far as that is known.
pub(crate) async fn trained_loras(
    context: &Context,
    user: Uuid,
    loras: &Json,
) -> Result<Trained, ServiceError> {
    let wanted = read_loras(loras).unwrap_or_default();
    check_foreign_loras(context, user, &wanted, ContentRating::Sfw).await
}

/// Refuses a VAE whose file is not there. Remote workers have files of their own.
pub(crate) async fn check_vae(context: &Context, vae: Option<&str>) -> Result<(), ServiceError> {
    let Some(name) = vae.map(str::to_string).filter(|_| context.services.render.is_some()) else {
        return Ok(());
    };
    let folder = context.services.settings.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        vae_named(&folder, &name).map(|_| ()).map_err(|reason| {
            let names = list_vaes(&folder).into_iter().map(|(name, _)| name);
            let names = std::iter::once(OWN_VAE.to_string()).chain(names).take(NAMED_MAX);
            ServiceError::field("vae", reason).with("accepted", names.collect::<Vec<_>>())
        })
    });
    let unread = |_| Err(ServiceError::field("vae", "the models folder cannot be read"));
    found.await.unwrap_or_else(unread)
}

/// Refuses a motion module that is not here; those of remote workers are their own.
async fn check_motion_module(context: &Context, module: Option<&str>) -> Result<(), ServiceError> {
    let draws = context.services.render.as_ref().is_some_and(|render| render.draws(true));
    let Some(name) = module.map(str::to_string).filter(|_| draws) else { return Ok(()) };
    let folder = context.services.settings.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        motion_module_named(&folder, &name).map(|_| ()).map_err(|reason| {
            let names = list_motion_modules(&folder).into_iter().map(|(name, _)| name);
            let names = std::iter::once(NO_MOTION.to_string()).chain(names).take(NAMED_MAX);
            ServiceError::worded(Kind::Bad, reason).with("accepted", names.collect::<Vec<_>>())
        })
    });
    let unread = |_| Err(ServiceError::field("motion_module", "the models folder cannot be read"));
    found.await.unwrap_or_else(unread)
}

/// Key frames are prompts like any other.
pub(crate) fn check_keyframe_texts(
    tier: ContentRating,
    keyframes: &Json,
    chars_max: usize,
) -> Result<(), ServiceError> {
    for (place, keyframe) in keyframes.as_array().into_iter().flatten().enumerate() {
        for name in ["prompt", "negative_prompt"] {
            let field = format!("keyframes[{place}].{name}");
            let text = keyframe[name].as_str().unwrap_or_default();
            if text.chars().count() > chars_max {
                return Err(ServiceError::field(field, format!("longer than {chars_max} characters")));
            }
            if name == "prompt" {
                content_rules::check(tier, &field, text)?;
            }
        }
    }
    Ok(())
}

/// What only videos have.
pub(crate) struct VideoFields<'a> {
    pub num_frames: Option<u64>,
    pub fps: Option<u64>,
    pub keyframes: &'a Json,
    pub motion_module: Option<&'a str>,
    pub motion_context: Option<u32>,
    pub first_frame: Option<&'a str>,
    pub last_frame: Option<&'a str>,
}

impl VideoFields<'_> {
    /// The picture that a video begins with, and what only videos have.
    pub(crate) async fn config(
        &self,
        context: &Context,
        user: Uuid,
        image: Option<&str>,
    ) -> Result<(Option<Reference>, VideoConfig), ServiceError> {
        let mut config = VideoConfig {
            sample_solver: "dpm++".into(),
            num_frames: self.num_frames,
            fps: self.fps,
            keyframes: self.keyframes.clone(),
            motion_module: self.motion_module.map(str::to_string),
            motion_context: self.motion_context,
            ..VideoConfig::default()
        };
        check_video(&config).map_err(|message| ServiceError::worded(Kind::Bad, message))?;
        check_motion_module(context, self.motion_module).await?;
        let image = reference(context, user, "reference_image_url", image).await?;
        let first = reference(context, user, "start_reference_url", self.first_frame).await?;
        let last = reference(context, user, "end_reference_url", self.last_frame).await?;
        (config.first_frame, config.first_frame_object) = first.map(Reference::into_parts).unzip();
        (config.last_frame, config.last_frame_object) = last.map(Reference::into_parts).unzip();
        Ok((image, config))
    }

    /// Pictures have none of them.
    pub(crate) fn refuse(&self) -> Result<(), ServiceError> {
        let given = [
            ("num_frames", self.num_frames.is_some()),
            ("fps", self.fps.is_some()),
            ("keyframes", !self.keyframes.is_null()),
            ("motion_module", self.motion_module.is_some()),
            ("motion_context", self.motion_context.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(ServiceError::field(*field, "only videos have it")),
            None => Ok(()),
        }
    }
}
