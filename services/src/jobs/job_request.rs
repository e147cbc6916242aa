//! What a job is asked to be: a picture or a video.

use actors::character::consistency::ConsistencySettings;
use actors::content_rules::ContentRating;
use actors::conversation::sheet::Sheet;
use actors::job_scheduler::{HiresPass, KeepPortrait, Quality};
use actors::render::{PROMPT_SYNTAXES, SIDES_PX, check_side};
use models::value_words::{Takes, seed};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_metadata::{settle_list, settle_metadata};

/// What can be made: pictures of three families, and videos of two; *high* takes more care than *fast*.
pub const JOB_TYPES: [&str; 10] = [
    "sdxl_image_fast",
    "sdxl_image_high",
    "image_fast",
    "image_high",
    "rv51_fast",
    "rv51_high",
    "video_fast",
    "video_high",
    "wan_video_fast",
    "wan_video_high",
];

/// Where a job's row says that it belongs, by the check of its table.
const DESTINATIONS: [&str; 2] = ["library", "workspace"];

/// Layers of a text encoder that may be left out.
const CLIP_SKIP_MAX: u32 = 11;

/// How many times longer the sides become in a second pass at most.
const HIRES_SCALE_MAX: f64 = 4.0;

/// How many times longer the sides of a picture become at most.
const UPSCALE_MAX: f64 = 8.0;

/// How far a second pass departs from the enlarged picture where the request does not say: enough for new detail, too
/// little for another composition.
const HIRES_DENOISE_STRENGTH: f64 = 0.5;

/// How much a word may weigh at most.
const WEIGHT_MAX: f64 = 5.0;

/// Pictures of one job.
pub(crate) const IMAGES_MAX: u32 = 6;

/// What a job is asked to be. An empty text counts as none.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobRequest {
    /// What is made, and how well: one of [`JOB_TYPES`].
    #[serde(default)]
    pub job_type: String,
    /// What it shows.
    pub prompt: Option<String>,
    /// The same before anything was made of it.
    pub original_prompt: Option<String>,
    /// The same after.
    pub enhanced_prompt: Option<String>,
    /// `fast` or `high`.
    pub quality: Option<String>,
    /// A name for the kind of model, kept with the job.
    pub model_type: Option<String>,
    /// What it must not show.
    pub negative_prompt: Option<String>,
    /// The seed of the first picture; −1 counts as none, as in other programs.
    #[serde(default, deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// Steps.
    pub steps: Option<u32>,
    /// Layers of the text encoder that are left out, counted from the last; 0 leaves out none, as A1111's 1 does.
    pub clip_skip: Option<u32>,
    /// How many times longer the sides become in a second pass, 1 to 4; there is one pass without it.
    pub hires_scale: Option<f64>,
    /// How far the second pass departs from the enlarged picture, 0 to 1.
    pub hires_denoise_strength: Option<f64>,
    /// Steps of the second pass; those of the first without it.
    pub hires_steps: Option<u32>,
    /// What enlarges the picture before the second pass: a file of `upscalers`, or Lanczos, which it is without it.
    pub hires_upscaler: Option<String>,
    /// A model of this server that draws the last steps, such as SDXL's refiner.
    pub refiner: Option<String>,
    /// From which share of the steps on it draws, 0 to 1; 0.8 without it.
    pub refiner_switch_at: Option<f64>,
    /// `masked` where the masked part alone is drawn, at the job's size, and put back; `whole` is the default.
    pub inpaint_area: Option<String>,
    /// How far that part reaches beyond the mask, in pixels of the reference.
    pub inpaint_padding: Option<u32>,
    /// Over how many pixels what was drawn fades into what was there, within the mask.
    pub mask_feather: Option<u32>,
    /// Pixels that are added to the reference and drawn: `{"left", "top", "right", "bottom", "fill"}`.
    #[serde(default)]
    pub outpaint: Json,
    /// The autoencoder in the place of the model's own: a file of `vae` by its name, or `none`; without it the one that is
    /// called as the model, if there is one.
    pub vae: Option<String>,
    /// How many times longer the sides of `reference_image_url` become, 1 to 8; nothing is drawn then.
    pub upscale_scale: Option<f64>,
    /// What makes it larger: a file of `upscalers`, or Lanczos; without it the first by name.
    pub upscaler: Option<String>,
    /// How closely the prompt is followed.
    pub guidance_scale: Option<f64>,
    /// How much of the reference goes.
    pub denoise_strength: Option<f64>,
    /// How much of the reference stays.
    pub reference_strength: Option<f64>,
    /// A picture to begin with: a stored file or a URL.
    pub reference_image_url: Option<String>,
    /// How many pictures, as the documents count them: 1, 3 for 2 and 3, or 6.
    pub num_images: Option<u64>,
    /// Exactly so many, where `num_images` knows 1, 3 and 6.
    pub image_count: Option<u64>,
    /// A picture that is bright where the reference may be redrawn.
    #[serde(alias = "mask_object", alias = "mask")]
    pub mask_image_url: Option<String>,
    /// `[{"name", "scale"}]`, from the server's models folder.
    #[serde(default)]
    pub loras: Json,
    /// `[{"model", "image_url", "scale", "start", "end", "preprocess"}]`: ControlNets with their pictures.
    #[serde(default)]
    pub controls: Json,
    /// `[{"model", "image_url" or "image_urls", "scale"}]`: IP-Adapters with theirs.
    #[serde(default)]
    pub ip_adapters: Json,
    /// Frames of a video.
    #[serde(alias = "frame_num")]
    pub num_frames: Option<u64>,
    /// How many of them a second.
    pub fps: Option<u64>,
    /// How long a video is, in seconds, where `num_frames` does not say.
    pub duration_seconds: Option<f64>,
    /// The same.
    pub duration: Option<f64>,
    /// What a video passes through: `[{"prompt", "negative_prompt", "seed", "frame"}]`.
    #[serde(default)]
    pub keyframes: Json,
    /// What moves a video: a file of `motion` by its name, or `none`; without it the first that fits the model.
    pub motion_module: Option<String>,
    /// How many frames it sees together, 2 to 32.
    pub motion_context: Option<u32>,
    /// What brackets in the prompts mean: `plain`, `compel`, `a1111`, `a1111_native`.
    pub prompt_syntax: Option<String>,
    /// Whether brackets mean what they mean in Compel.
    pub compel_enabled: Option<bool>,
    /// How much words of the prompt weigh: `{"cat": 1.3}`.
    pub compel_weights: Option<Json>,
    /// An active row of `compel_configs`, whose weights are taken: by name, id or hash.
    pub compel_config: Option<String>,
    /// A row of `enhancement_presets` by name or id.
    pub enhancement_preset: Option<String>,
    /// Within −10 to 10; the higher, the earlier among the account's own.
    #[serde(default)]
    pub priority: i32,
    /// The project that it belongs to.
    pub project_id: Option<Uuid>,
    /// What it is for.
    pub destination: Option<String>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// The sampler.
    pub scheduler: Option<String>,
    /// The model that draws.
    pub model: Option<String>,
    /// The same as a row of the catalogue: its id, its key or its name.
    pub api_model_id: Option<String>,
    /// The same.
    pub model_id: Option<String>,
    /// The same.
    pub model_key: Option<String>,
    /// What else clients send, kept with the job.
    #[serde(default)]
    pub metadata: Map<String, Json>,
    /// The character that is drawn; `metadata.character_id` names it too.
    #[serde(alias = "characterId")]
    pub character_id: Option<Uuid>,
    /// How the character is kept recognisable; wins over what its row says.
    #[serde(alias = "consistencySettings")]
    pub consistency_settings: Option<ConsistencySettings>,
    /// The method alone.
    #[serde(alias = "consistencyMethod")]
    pub consistency_method: Option<String>,
    /// The character where it is known already, or is not stored.
    #[serde(skip)]
    pub character: Option<Sheet>,
    /// The character's reference, `bucket/path`, where the drawing is to look like it, and how strongly.
    #[serde(skip)]
    pub likeness: Option<(String, Option<f64>)>,
    /// How much of the character's reference goes where neither the request nor the character says.
    #[serde(skip)]
    pub character_denoise: Option<f64>,
    /// Steps of the model's row, where the request does not say.
    #[serde(skip)]
    pub model_steps: Option<u32>,
    /// How much of a reference goes by the model's row, where the request does not say.
    #[serde(skip)]
    pub model_denoise: Option<f64>,
    /// Pictures that the model draws for one job, where its row says fewer than are drawn otherwise.
    #[serde(skip)]
    pub images_max: Option<u32>,
    /// How freely the prompt is enhanced, by the preset.
    #[serde(skip)]
    pub enhancement_heat: Option<f32>,
    /// How long an enhanced prompt may be, by the preset.
    #[serde(skip)]
    pub enhancement_tokens: Option<usize>,
    /// Whether it is drawn as it says and no other way: no defaults of the catalogue are added, and no test of prompts
    /// changes it.
    #[serde(skip)]
    pub is_whole: bool,
    /// What its pictures are kept as, beside the workspace.
    #[serde(skip)]
    pub keep_portrait: Option<KeepPortrait>,
    /// A second job of an account with the same key is the first one.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

impl JobRequest {
    /// Empty texts go, and what some clients send among the metadata only comes to its place. Answers with warnings about
    /// what nothing reads.
    pub(crate) fn tidy(&mut self) -> Result<Vec<String>, ServiceError> {
        let mut warnings = settle_metadata(&mut self.metadata)?;
        warnings.extend(settle_list("keyframes", &mut self.keyframes));
        warnings.extend(settle_list("loras", &mut self.loras));
        warnings.extend(settle_list("controls", &mut self.controls));
        warnings.extend(settle_list("ip_adapters", &mut self.ip_adapters));
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
            &mut self.hires_upscaler,
            &mut self.vae,
            &mut self.refiner,
            &mut self.inpaint_area,
            &mut self.upscaler,
            &mut self.motion_module,
            &mut self.model,
            &mut self.compel_config,
            &mut self.enhancement_preset,
            &mut self.api_model_id,
            &mut self.model_id,
            &mut self.model_key,
        ] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                *text = None;
            }
        }
        if let Some(id) = self.character_id {
            self.metadata.insert("character_id".into(), json!(id));
        }
        let metadata = &self.metadata;
        let given = |name: &str| metadata.get(name).filter(|value| !value.is_null());
        let number = |name: &str| given(name).and_then(Json::as_u64);
        self.seed = self.seed.or_else(|| given("seed").and_then(seed).flatten());
        self.num_images = self.num_images.or_else(|| number("num_images"));
        self.steps =
            self.steps.or_else(|| number("steps").map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)));
        self.clip_skip =
            self.clip_skip.or_else(|| number("clip_skip").map(|it| u32::try_from(it).unwrap_or(u32::MAX)));
        self.guidance_scale = self.guidance_scale.or_else(|| given("guidance_scale").and_then(Json::as_f64));
        self.compel_enabled = self.compel_enabled.or_else(|| given("compel_enabled").and_then(Json::as_bool));
        self.compel_weights = self.compel_weights.take().or_else(|| given("compel_weights").cloned());
        let seconds = |name: &str| given(name).and_then(Json::as_f64);
        self.duration_seconds = self
            .duration_seconds
            .or(self.duration)
            .or_else(|| seconds("duration_seconds"))
            .or_else(|| seconds("duration"));
        let text = |name: &str| given(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        for (field, name) in
            [(&mut self.compel_config, "compel_config"), (&mut self.enhancement_preset, "enhancement_preset")]
        {
            *field = field.take().or_else(|| text(name).map(str::to_string));
        }
        self.negative_prompt =
            self.negative_prompt.take().or_else(|| text("negative_prompt").map(str::to_string));
        self.reference_image_url =
            self.reference_image_url.take().or_else(|| text("reference_image_url").map(str::to_string));
        Ok(warnings)
    }

    /// How the character is to be kept recognisable, as far as the request says.
    pub(crate) fn consistency(&self) -> ConsistencySettings {
        let mut settings = self.consistency_settings.clone().unwrap_or_default();
        for (named, method) in [
            ("consistency_method", self.consistency_method.as_deref()),
            ("metadata.consistency_method", self.member("consistency_method")),
        ] {
            if settings.method.is_none()
                && let Some(method) = method
            {
                settings.method = Some(method.to_string());
                settings.method_named = Some(named);
            }
        }
        settings
    }

    /// Whether brackets mean what they mean in Compel, unless `prompt_syntax` says otherwise: weights ask for it.
    pub(crate) fn reads_compel(&self) -> bool {
        self.compel_enabled.unwrap_or(self.compel_weights.is_some())
    }

    /// A text of the metadata that is not empty.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a member of the metadata is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.metadata.get(name).and_then(Json::as_bool) == Some(true)
    }

    pub(crate) fn is_video(&self) -> Result<bool, ServiceError> {
        if JOB_TYPES.contains(&self.job_type.as_str()) {
            return Ok(self.job_type.contains("video"));
        }
        Err(ServiceError::none_of("job_type", &self.job_type, &JOB_TYPES))
    }

    pub(crate) fn tier(&self, context: &Context) -> Result<ContentRating, ServiceError> {
        age_gate::rating(context, "metadata.contentType", self.member("contentType"))
    }

    /// Whether there is nothing to draw: no words, and no picture or key frame in their place.
    fn is_blank(&self) -> bool {
        let texts = [&self.prompt, &self.original_prompt, &self.enhanced_prompt, &self.reference_image_url];
        let members = ["originalEnhancedPrompt", "start_reference_url", "end_reference_url"];
        let has_keyframes = self.keyframes.as_array().is_some_and(|keyframes| !keyframes.is_empty());
        texts.iter().all(|text| text.is_none())
            && members.iter().all(|name| self.member(name).is_none())
            && !has_keyframes
    }

    /// Refuses a request that lacks what every job needs; names all of it.
    pub(crate) fn check_complete(&self) -> Result<(), ServiceError> {
        let given = [("job_type", !self.job_type.is_empty()), ("prompt", !self.is_blank())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        let reason = match missing.as_slice() {
            [] => return Ok(()),
            ["prompt"] => "missing: what shall the picture show?".to_string(),
            _ => format!("missing; job_type is one of {}", JOB_TYPES.join(", ")),
        };
        let error = ServiceError::field(missing.join(", "), reason);
        let error =
            if missing.contains(&"job_type") { error.with("accepted", JOB_TYPES.to_vec()) } else { error };
        Err(error.with("missing", missing))
    }

    /// The second pass that is asked for; videos have none.
    pub(crate) fn hires(&self, is_video: bool) -> Option<HiresPass> {
        let scale = self.hires_scale.filter(|_| !is_video)?;
        Some(HiresPass {
            scale,
            denoise_strength: self.hires_denoise_strength.unwrap_or(HIRES_DENOISE_STRENGTH),
            steps: self.hires_steps,
            upscaler: self.hires_upscaler.clone(),
        })
    }

    pub(crate) fn quality(&self) -> Result<Quality, ServiceError> {
        match self.quality.as_deref() {
            Some("fast") => Ok(Quality::Fast),
            Some("high") => Ok(Quality::High),
            Some(other) => Err(ServiceError::none_of("quality", other, &["fast", "high"])),
            None if self.job_type.contains("high") => Ok(Quality::High),
            None => Ok(Quality::Fast),
        }
    }

    /// How many pictures are drawn: `image_count`, or `num_images` of the documents, which knows 1, 3 and 6.
    pub(crate) fn num_images(&self, is_video: bool) -> u32 {
        let asked = match (is_video, self.image_count, self.num_images.unwrap_or(1)) {
            (true, _, _) | (_, None, 0 | 1) => 1,
            (_, Some(exactly), _) => u32::try_from(exactly).unwrap_or(u32::MAX).clamp(1, IMAGES_MAX),
            (_, None, 2 | 3) => 3,
            _ => IMAGES_MAX,
        };
        asked.min(self.images_max.unwrap_or(IMAGES_MAX))
    }

    /// Refuses values that are none of those known, before anything else is asked of them.
    pub(crate) fn check_choices(&self) -> Result<(), ServiceError> {
        for (field, given, accepted) in [
            ("destination", &self.destination, &DESTINATIONS[..]),
            ("prompt_syntax", &self.prompt_syntax, &PROMPT_SYNTAXES[..]),
        ] {
            if let Some(given) = given.as_deref().filter(|given| !accepted.contains(given)) {
                return Err(ServiceError::none_of(field, given, accepted));
            }
        }
        if let Some(weights) = &self.compel_weights {
            let error = |reason| ServiceError::field("compel_weights", reason);
            Takes::Object.check(weights).map_err(error)?;
            for (name, weight) in weights.as_object().into_iter().flatten() {
                let shown = || format!("compel_weights.{}", name.chars().take(60).collect::<String>());
                Takes::Number.check(weight).map_err(|reason| ServiceError::field(shown(), reason))?;
                if weight.as_f64().is_some_and(|weight| !(0.0..=WEIGHT_MAX).contains(&weight)) {
                    let reason = format!("{weight} is not within 0 to {WEIGHT_MAX}");
                    return Err(ServiceError::field(shown(), reason));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_numbers(&self) -> Result<(), ServiceError> {
        let within = |name: &str, value: Option<f64>, min: f64, max: f64| match value {
            Some(value) if !(min..=max).contains(&value) => {
                Err(ServiceError::not_within(name, value, min, max))
            }
            _ => Ok(()),
        };
        within("steps", self.steps.map(f64::from), 1.0, 200.0)?;
        within("guidance_scale", self.guidance_scale, 0.0, 100.0)?;
        within("hires_scale", self.hires_scale, 1.0, HIRES_SCALE_MAX)?;
        within("hires_denoise_strength", self.hires_denoise_strength, 0.0, 1.0)?;
        within("hires_steps", self.hires_steps.map(f64::from), 1.0, 200.0)?;
        within("upscale_scale", self.upscale_scale, 1.0, UPSCALE_MAX)?;
        within("refiner_switch_at", self.refiner_switch_at, 0.0, 1.0)?;
        within("clip_skip", self.clip_skip.map(f64::from), 0.0, f64::from(CLIP_SKIP_MAX))?;
        let settings = self.consistency_settings.as_ref().map_or(Ok(()), ConsistencySettings::check);
        settings.map_err(|(field, reason)| {
            ServiceError::field(format!("consistency_settings.{field}"), reason)
        })?;
        within("denoise_strength", self.denoise_strength, 0.0, 1.0)?;
        within("reference_strength", self.reference_strength, 0.0, 1.0)?;
        for (field, side) in [("width", self.width), ("height", self.height)] {
            // Workers may draw in other steps; the limits are everyone's.
            if let Some(side) = side.filter(|side| !SIDES_PX.contains(side)) {
                check_side(field, side)?;
            }
        }
        let whole = |name: &str, value: Option<u64>, min: u64, max: u64| match value {
            Some(value) if !(min..=max).contains(&value) => {
                Err(ServiceError::not_within(name, value, min, max))
            }
            _ => Ok(()),
        };
        whole("seed", self.seed, 0, i64::MAX as u64)?;
        whole("image_count", self.image_count, 1, u64::from(IMAGES_MAX))?;
        if self.width.is_some() != self.height.is_some() {
            return Err(ServiceError::field("width, height", "give both or neither"));
        }
        Ok(())
    }
}
