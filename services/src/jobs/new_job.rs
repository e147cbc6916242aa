//! A job as it is stored, and as a worker is sent it.

use std::collections::BTreeMap;

use actors::content_rules::ContentRating;
use actors::job_scheduler::{JobConfig, JobPayload, PasteWork, Pipeline, Quality, RefinerWork, UpscaleWork};
use actors::render::PromptSyntax;
use actors::telemetry::ab_tests::Part;
use models::{Row, Value};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::files::reference_picture::Reference;
use crate::jobs::character_steering::Steering;
use crate::jobs::job_pictures::JobPictures;
use crate::jobs::job_prompts::{JobPrompts, Mode};
use crate::jobs::job_request::JobRequest;
use crate::jobs::picture_model::PictureModel;
use crate::rows::table;

/// Everything that a job is made of, checked.
pub(crate) struct NewJob<'a> {
    pub job_id: Uuid,
    pub user: Uuid,
    pub request: &'a JobRequest,
    pub mode: Mode,
    pub is_video: bool,
    pub quality: Quality,
    pub tier: ContentRating,
    pub syntax: PromptSyntax,
    pub prompts: &'a JobPrompts,
    pub pictures: &'a JobPictures,
    pub steering: &'a Steering,
    pub negative: &'a str,
    pub num_images: u32,
    pub upscale: Option<UpscaleWork>,
    pub paste: Option<PasteWork>,
    pub refiner: Option<RefinerWork>,
    pub model: &'a PictureModel,
    pub workspace_session: Option<Uuid>,
    pub ab_test: Option<Part>,
    /// Whether a minor is in it.
    pub shows_minor: bool,
    /// The files that this was judged by.
    pub judged: BTreeMap<String, String>,
}

impl NewJob<'_> {
    fn format(&self) -> &'static str {
        if self.is_video { "video" } else { "image" }
    }

    /// How far to depart from the reference, guidance and steps.
    fn numbers(&self) -> (Option<f64>, Option<f64>, Option<u32>) {
        // A video of high quality has more frames instead.
        let steps_factor = if self.is_video { 1 } else { self.quality.steps_factor() };
        self.mode.numbers(self.request, steps_factor)
    }

    /// The row of `jobs`.
    pub(crate) fn row(&self) -> Row {
        let NewJob { request, prompts, .. } = self;
        let jobs = table("jobs");
        let mut job = jobs.default_row();
        let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
        let optional = |text: Option<&str>| text.map_or(Value::Null, Value::text);
        set("id", Value::Uuid(self.job_id));
        set("user_id", Value::Uuid(self.user));
        set("job_type", Value::text(&*request.job_type));
        set("format", Value::text(self.format()));
        set("quality", Value::text(self.quality.name()));
        set("model_type", optional(request.model_type.as_deref()));
        set("original_prompt", Value::text(&*prompts.original));
        set("enhanced_prompt", optional(prompts.enhanced.as_deref()));
        set("template_name", optional(prompts.template_name.as_deref()));
        set("enhancement_strategy", optional(prompts.strategy.as_deref()));
        set("enhancement_time_ms", prompts.enhancement_ms.map_or(Value::Null, Value::Int));
        let expansion = prompts.expansion().and_then(Decimal::from_f64);
        set("qwen_expansion_percentage", expansion.map_or(Value::Null, |it| Value::Numeric(it.round_dp(1))));
        set("api_model_id", self.model.id.map_or(Value::Null, Value::Uuid));
        set("workspace_session_id", self.workspace_session.map_or(Value::Null, Value::Uuid));
        set("project_id", request.project_id.map_or(Value::Null, Value::Uuid));
        if let Some(destination) = request.destination.as_deref() {
            set("destination", Value::text(destination));
        }
        set("compel_weights", request.compel_weights.as_ref().map_or(Value::Null, Value::json));
        if let Some(part) = self.ab_test {
            set("prompt_test_id", Value::Uuid(part.test));
            set("test_metadata", Value::json(&json!({"variant": part.name()})));
        }
        set("metadata", Value::json(&self.metadata()));
        job
    }

    fn metadata(&self) -> Json {
        let (denoise, guidance, steps) = self.numbers();
        let mut kept = self.request.metadata.clone();
        for (name, value) in [
            ("reference_image_url", self.request.reference_image_url.as_deref().map(Json::from)),
            ("denoise_strength", denoise.map(Json::from)),
            ("guidance_scale", guidance.map(Json::from)),
            ("steps", steps.map(Json::from)),
            ("seed", self.request.seed.map(Json::from)),
        ] {
            if let Some(value) = value {
                kept.insert(name.into(), value);
            }
        }
        if let Some(about) = &self.steering.about {
            kept.insert("consistency".into(), about.clone());
        }
        if !self.steering.warnings.is_empty() {
            kept.insert("warnings".into(), json!(self.steering.warnings));
        }
        kept.insert("generation_mode".into(), json!(self.mode.generation_mode()));
        kept.insert(
            "enhancement_metadata".into(),
            json!({
                "template_name": self.prompts.template_name, "content_mode": self.tier.name(),
                "enhancement_model": self.request.member("enhancement_model"),
            }),
        );
        Json::Object(kept)
    }

    /// What a worker is sent.
    pub(crate) fn payload(&self) -> JobPayload {
        let request = self.request;
        let family_type = request.job_type.strip_prefix("wan_").unwrap_or(&request.job_type);
        JobPayload {
            id: self.job_id,
            job_id: self.job_id,
            user_id: self.user,
            prompt: self.prompts.sent.clone(),
            negative_prompt: self.negative.to_string(),
            family_type: family_type.to_string(),
            job_type: request.job_type.clone(),
            quality: self.quality,
            format: self.format().to_string(),
            content_type: self.tier.name().to_string(),
            config: self.config(),
            metadata: request.metadata.clone(),
            model: request.model.clone(),
            compel_enabled: self.syntax == PromptSyntax::Compel,
            compel_weights: request.compel_weights.clone(),
            keep_portrait: request.keep_portrait.clone(),
            shows_minor: self.shows_minor,
            judged: Some(self.judged.clone()),
        }
    }

    fn config(&self) -> JobConfig {
        let request = self.request;
        let resolution = match request.member("aspect_ratio") {
            Some("16:9") => "1024x576",
            Some("9:16") => "576x1024",
            _ => "1024x1024",
        };
        let pipeline = match (self.is_video, self.mode) {
            (true, _) => Pipeline::Video,
            (false, Mode::FromText) => Pipeline::Txt2img,
            (false, Mode::Upscale) => Pipeline::Upscale,
            (false, _) => Pipeline::Img2img,
        };
        let (denoise, guidance, steps) = self.numbers();
        let (image, image_object) = self.pictures.reference.clone().map(Reference::into_parts).unzip();
        let (mask, mask_object) = self.pictures.mask.clone().map(Reference::into_parts).unzip();
        let loras = &self.prompts.loras;
        JobConfig {
            pipeline,
            num_images: self.num_images,
            num_inference_steps: steps,
            guidance_scale: guidance,
            denoise_strength: denoise,
            resolution: resolution.to_string(),
            seed: request.seed,
            width: request.width,
            height: request.height,
            scheduler: request.scheduler.clone(),
            clip_skip: request.clip_skip,
            hires: request.hires(self.is_video),
            upscale: self.upscale.clone(),
            vae: request.vae.clone(),
            refiner: self.refiner.clone(),
            paste: self.paste.clone(),
            prompt_syntax: Some(self.syntax),
            image,
            image_object,
            mask,
            mask_object,
            guides: self.pictures.guides.clone(),
            loras: if loras.as_array().is_none_or(Vec::is_empty) { Json::Null } else { loras.clone() },
            video: self.pictures.video.clone(),
        }
    }
}
