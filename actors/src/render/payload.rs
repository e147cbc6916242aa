//! What a job's payload asks the device for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use diffusion::prompt::PromptSyntax;
use diffusion::{DiffusionError, DiffusionModel, GenerateSpec, read_init_image, read_mask};
use models::value_words::is_none_of;
use serde_json::Value as Json;

use super::embedding_choice::embeddings_in;
use super::guide_choice::guide_spec;
use super::hires::second_spec;
use super::lora_choice::{WantedLora, lora_files};
use super::lora_hash::recorded_hash;
use super::paste::Part;
use super::prompt_weights::weighted;
use super::upscaler_choice::{HiresUpscaler, hires_upscaler_named};
use crate::job_scheduler::{HiresPass, JobConfig, JobPayload, Pipeline};

/// What `resolution` is given in: the native side of the models that clients know, in pixels.
const NOMINAL_SIDE_PX: f64 = 1024.0;
/// Pictures of one job at most.
const IMAGES_MAX: u32 = 6;

/// Hashes of the pictures that a job begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceHashes {
    pub reference: Option<String>,
    pub mask: Option<String>,
    pub last_frame: Option<String>,
    /// Of what leads it beside the prompts, in the order in which the job names them.
    pub guides: Vec<String>,
    /// Of the network that enlarges it for its second pass.
    pub upscaler: Option<String>,
}

/// One job, ready to be drawn.
#[derive(Clone, Debug)]
pub(super) struct RenderRequest {
    /// The prompts and numbers.
    pub payload: JobPayload,
    /// The reference picture, still encoded.
    pub reference: Option<Vec<u8>>,
    /// Where the reference may be redrawn, still encoded.
    pub mask: Option<Vec<u8>>,
    /// What a video ends at, still encoded.
    pub last_frame: Option<Vec<u8>>,
    /// The autoencoder in the place of the model's own.
    pub vae: Option<PathBuf>,
    /// Corrections to the model.
    pub loras: Vec<WantedLora>,
    /// The first picture's seed.
    pub seed: u64,
    /// Largest picture, in pixels.
    pub pixels_max: u64,
    /// What leads it beside the prompts, still encoded, by `bucket/path`.
    pub guides: BTreeMap<String, Vec<u8>>,
    /// Where LoRAs lie.
    pub models_dir: PathBuf,
}

/// The names of what brackets in prompts may mean.
pub const PROMPT_SYNTAXES: [&str; 4] = ["plain", "compel", "a1111", "a1111_native"];

/// What brackets in a job's prompts mean: what it says, or else Compel's where `compel` says so, or nothing.
pub fn prompt_syntax(name: Option<&str>, compel: bool) -> Result<PromptSyntax, String> {
    match name {
        Some("plain") => Ok(PromptSyntax::Plain),
        Some("compel") => Ok(PromptSyntax::Compel),
        Some("a1111") => Ok(PromptSyntax::A1111),
        Some("a1111_native") => Ok(PromptSyntax::A1111Native),
        Some(other) => Err(format!("prompt_syntax: {}", is_none_of(other, &PROMPT_SYNTAXES))),
        None if compel => Ok(PromptSyntax::Compel),
        None => Ok(PromptSyntax::Plain),
    }
}

/// The hash of a file that a client sent, as a picture tells it.
fn hash(bytes: &Option<Vec<u8>>) -> Option<String> {
    bytes.as_ref().map(|bytes| format!("blake3:{}", blake3::hash(bytes).to_hex()))
}

impl RenderRequest {
    /// Hashes of the pictures that it begins with.
    pub fn source_hashes(&self) -> SourceHashes {
        SourceHashes {
            reference: hash(&self.reference),
            mask: hash(&self.mask),
            last_frame: hash(&self.last_frame),
            guides: self
                .payload
                .config
                .guides
                .pictures()
                .filter_map(|(_, picture)| self.guides.get(&picture.image_object))
                .map(|bytes| format!("blake3:{}", blake3::hash(bytes).to_hex()))
                .collect(),
            upscaler: self.hires().and_then(|hires| {
                match hires_upscaler_named(&self.models_dir, hires.upscaler.as_deref()) {
                    Ok(HiresUpscaler::Picture(Some(file))) => recorded_hash(&file),
                    _ => None,
                }
            }),
        }
    }

    /// Whether a video is wanted.
    pub fn is_video(&self) -> bool {
        self.payload.config.pipeline == Pipeline::Video
    }

    /// Whether a picture is to become larger, and nothing is drawn.
    pub fn is_upscale(&self) -> bool {
        self.payload.config.pipeline == Pipeline::Upscale
    }

    /// [`noted_spec`](Self::noted_spec) where its warnings are said by another call.
    pub fn spec(&self, model: &DiffusionModel) -> Result<GenerateSpec, String> {
        self.noted_spec(model).map(|(spec, _)| spec)
    }

    /// The spec for a model, and what of the job is drawn otherwise than its sender may expect. Explicit `width` and `height` are taken as they are; a `resolution` names a shape, drawn
    /// with as many pixels as the model was trained for. The message names the field that cannot be followed.
    pub fn noted_spec(&self, model: &DiffusionModel) -> Result<(GenerateSpec, Vec<String>), String> {
        let (payload, config) = (&self.payload, &self.payload.config);
        let mut warnings = Vec::new();
        let mut spec = model.default_spec();
        let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_string);
        spec.prompt = payload.prompt.clone();
        spec.negative_prompt = text(&payload.negative_prompt).or(spec.negative_prompt);
        spec.seed = self.seed;
        spec.prompt_syntax = match config.prompt_syntax {
            Some(syntax) => syntax,
            None => prompt_syntax(None, payload.compel_enabled)?,
        };
        if let Some(Json::Object(weights)) = &payload.compel_weights {
            spec.prompt = weighted(&spec.prompt, weights, spec.prompt_syntax);
        }
        match config.num_inference_steps {
            Some(steps) => spec.steps = steps as usize,
            // A video of high quality has more frames instead.
            None if self.is_video() => {}
            None => spec.steps *= payload.quality.steps_factor() as usize,
        }
        if let Some(scale) = number("guidance_scale", config.guidance_scale)? {
            spec.guidance_scale = scale;
        }
        if let Some(scheduler) = config.scheduler.as_deref().and_then(text) {
            spec.scheduler = Some(scheduler);
        }
        if let Some(layers) = config.clip_skip {
            spec.clip_skip = layers as usize;
        }
        spec.num_images = config.num_images.clamp(1, IMAGES_MAX) as usize;
        (spec.width, spec.height) = size(config, &spec)?;
        if u64::from(spec.width) * u64::from(spec.height) > self.pixels_max {
            return Err(format!(
                "width, height: {}×{} is more than {} pixels",
                spec.width, spec.height, self.pixels_max
            ));
        }
        spec.vae = self.vae.clone();
        spec.loras = lora_files(&self.models_dir, Some(self.payload.user_id), &self.loras)?;
        let largest =
            self.hires().map_or((spec.width, spec.height), |it| it.size_px(spec.width, spec.height));
        let side_px = spec.width.max(spec.height).max(largest.0).max(largest.1);
        spec.guides =
            guide_spec(&self.models_dir, model, &config.guides, &self.guides, side_px, &mut warnings)?;
        spec.embeddings = self.embeddings(&spec, &mut warnings)?;
        if (self.reference.is_some() || self.last_frame.is_some())
            && let Some(strength) = number("denoise_strength", config.denoise_strength)?
        {
            spec.strength = strength;
        }
        if let Some(part) = self.part((spec.width, spec.height))? {
            if config.paste.as_ref().is_some_and(|paste| paste.padding_px.is_none()) {
                // All of the canvas is drawn.
                (spec.width, spec.height) = part.init_image.dimensions();
            }
            (spec.init_image, spec.mask) = (Some(part.init_image), Some(part.mask));
        } else if let Some(bytes) = &self.reference {
            spec.init_image = Some(read_init_image(bytes).map_err(|error| error.to_string())?);
            if let Some(bytes) = &self.mask {
                spec.mask = Some(read_mask(bytes).map_err(|error| error.to_string())?);
            }
        }
        model.check(&spec).map_err(|error| error.to_string())?;
        if let Some(hires) = self.hires() {
            let (width, height) = hires.size_px(spec.width, spec.height);
            if u64::from(width) * u64::from(height) > self.pixels_max {
                let most = self.pixels_max;
                return Err(format!("hires_scale: {width}×{height} is more than {most} pixels"));
            }
            let second = second_spec(&hires, &spec);
            model.check(&second).map_err(|error| format!("hires_scale: {error}"))?;
        }
        Ok((spec, warnings))
    }

    /// The files of embeddings that its prompts name, those of key frames too.
    fn embeddings(&self, spec: &GenerateSpec, warnings: &mut Vec<String>) -> Result<Vec<PathBuf>, String> {
        let keyframes = self.payload.config.video.as_ref().map_or(&Json::Null, |video| &video.keyframes);
        let of_frames = keyframes.as_array().into_iter().flatten().flat_map(|keyframe| {
            ["prompt", "negative_prompt"].map(|name| keyframe[name].as_str().unwrap_or_default())
        });
        let own = [spec.prompt.as_str(), spec.negative_prompt.as_deref().unwrap_or_default()];
        let texts: Vec<&str> = own.into_iter().chain(of_frames).collect();
        embeddings_in(&self.models_dir, &texts, warnings)
    }

    /// The part of the reference that is drawn by itself, at a size in pixels, where the job says so.
    pub fn part(&self, size_px: (u32, u32)) -> Result<Option<Part>, String> {
        let (Some(work), Some(bytes)) = (&self.payload.config.paste, &self.reference) else {
            return Ok(None);
        };
        let said = |error: DiffusionError| error.to_string();
        let picture = read_init_image(bytes).map_err(said)?;
        let (width, height) = picture.dimensions();
        let (width, height) =
            work.outpaint.map_or((width, height), |outpaint| outpaint.size_px(width, height));
        if u64::from(width) * u64::from(height) > self.pixels_max {
            let (field, most) =
                (if work.outpaint.is_some() { "outpaint" } else { "reference_image_url" }, self.pixels_max);
            return Err(format!("{field}: {width}×{height} is more than {most} pixels"));
        }
        let mask = self.mask.as_ref().map(|bytes| read_mask(bytes)).transpose().map_err(said)?;
        Part::of(work, picture, mask, size_px).map(Some)
    }

    /// The second pass of a picture; videos have none.
    pub fn hires(&self) -> Option<HiresPass> {
        self.payload.config.hires.clone().filter(|_| !self.is_video())
    }
}

fn size(config: &JobConfig, native: &GenerateSpec) -> Result<(u32, u32), String> {
    if let (Some(width), Some(height)) = (config.width, config.height) {
        return Ok((width, height));
    }
    let shape = config.resolution.as_str();
    let sides = shape.split_once('x').and_then(|(width, height)| {
        Some((width.trim().parse::<f64>().ok()?, height.trim().parse::<f64>().ok()?))
    });
    let Some((width, height)) = sides.filter(|(width, height)| *width >= 8.0 && *height >= 8.0) else {
        return Err(format!("resolution: {shape:?} is not WIDTHxHEIGHT"));
    };
    let scale = f64::from(native.width) / NOMINAL_SIDE_PX;
    let side = |side: f64| ((side * scale / 8.0).round().max(1.0) * 8.0) as u32;
    Ok((side(width), side(height)))
}

fn number(field: &str, given: Option<f64>) -> Result<Option<f64>, String> {
    match given {
        Some(number) if !number.is_finite() || number < 0.0 => {
            Err(format!("{field}: {number} is not a number of 0 or more"))
        }
        given => Ok(given),
    }
}
