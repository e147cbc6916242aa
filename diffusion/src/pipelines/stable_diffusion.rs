//! The networks of a Stable Diffusion model, side by side, and where they come from.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Deserialize;
use serde_json::Value;

use super::vae_tiles::VaeTiles;
use crate::config::read_json;
use crate::guarded::explained;
use crate::models::autoencoders::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use crate::models::autoencoders::autoencoder_tiny::AutoencoderTiny;
use crate::models::unets::unet_2d_condition::UNet2DConditionModel;
use crate::models::unets::unet_2d_config::UNet2DConditionConfig;
use crate::weights::{ComponentWeights, load::load};
use crate::{ClipTextConfig, ClipTextModel, ClipTokenizer, DiffusionError, LearnedWords};

/// A text encoder with its tokenizer.
#[derive(Debug, Clone)]
pub struct TextEncoder {
    /// Words to ids.
    pub tokenizer: Arc<ClipTokenizer>,
    /// Ids to states.
    pub model: ClipTextModel,
    /// Words that files of embeddings bring along.
    pub learned: LearnedWords,
}

/// Everything that draws, whole. A copy shares the weights.
#[derive(Debug, Clone)]
pub struct StableDiffusion {
    /// Removes noise.
    pub unet: UNet2DConditionModel,
    /// The UNet's shape.
    pub unet_config: UNet2DConditionConfig,
    /// Latents and pictures.
    pub vae: AutoencoderKL,
    /// TAESD in the place of the VAE, whose shape stays that of the latents.
    pub tiny_vae: Option<AutoencoderTiny>,
    /// The VAE's shape.
    pub vae_config: AutoencoderKLConfig,
    /// One, or two for SDXL.
    pub text_encoders: Vec<TextEncoder>,
    /// The model's own `scheduler_config.json`.
    pub scheduler: Value,
    /// Whether this is SDXL.
    pub xl: bool,
    /// Whether this is a refiner of SDXL: one text encoder, and a score of beauty in the place of the last size.
    pub refines: bool,
    /// Whether SDXL takes zeros for a negative prompt that is not given.
    pub force_zeros_for_empty_prompt: bool,
    /// When the VAE works in tiles.
    pub vae_tiles: VaeTiles,
    /// Where it runs.
    pub device: Device,
}

/// The configurations and weights of a model before anything is built.
pub struct Parts {
    /// `model_index.json`.
    pub index: ModelIndex,
    /// `unet/config.json`.
    pub unet_config: UNet2DConditionConfig,
    /// `vae/config.json`.
    pub vae_config: AutoencoderKLConfig,
    /// Configuration and tokenizer of each text encoder.
    pub text: Vec<(ClipTextConfig, ClipTokenizer)>,
    /// `scheduler_config.json`.
    pub scheduler: Value,
    /// Weights: `unet`, `vae`, `text_encoder`, `text_encoder_2`.
    pub weights: Vec<ComponentWeights>,
}

/// The keys of `model_index.json` that matter.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelIndex {
    /// The pipeline class.
    #[serde(rename = "_class_name")]
    pub class_name: String,
    /// See [`StableDiffusion::force_zeros_for_empty_prompt`].
    #[serde(default = "yes")]
    pub force_zeros_for_empty_prompt: bool,
    /// Whether the model is a refiner of SDXL.
    #[serde(default)]
    pub requires_aesthetics_score: bool,
}

fn yes() -> bool {
    true
}

/// Pipelines that are the same networks.
const SD: [&str; 3] =
    ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"];
const XL: [&str; 3] =
    ["StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"];

impl ModelIndex {
    /// Whether the pipeline is SDXL, or an error if it is none that is drawn here.
    pub fn is_xl(&self) -> Result<bool, DiffusionError> {
        let class = self.class_name.as_str();
        match (SD.contains(&class), XL.contains(&class)) {
            (true, _) => Ok(false),
            (_, true) => Ok(true),
            _ => {
                let reason = format!("{class:?} is not a pipeline that is drawn here");
                Err(DiffusionError::config("model_index.json", "_class_name", reason))
            }
        }
    }
}

/// Names of the text encoders and tokenizers; a refiner has the second alone.
pub(crate) fn text_components(xl: bool, refines: bool) -> &'static [(&'static str, &'static str)] {
    match xl {
        true if refines => &[("text_encoder_2", "tokenizer_2")],
        true => &[("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")],
        false => &[("text_encoder", "tokenizer")],
    }
}

impl Parts {
    /// Reads a diffusers folder; the weights are opened but not read.
    pub fn open(folder: &Path) -> Result<Self, DiffusionError> {
        let mut parts = Self::configured(folder)?;
        let encoders = text_components(parts.index.is_xl()?, parts.index.requires_aesthetics_score)
            .iter()
            .map(|(encoder, _)| *encoder);
        parts.weights = ["unet", "vae"]
            .into_iter()
            .chain(encoders)
            .map(|component| ComponentWeights::open(folder, component))
            .collect::<Result<_, _>>()?;
        Ok(parts)
    }

    /// Reads all of a diffusers folder but its weights.
    pub(crate) fn configured(folder: &Path) -> Result<Self, DiffusionError> {
        let index: ModelIndex = read_json(&folder.join("model_index.json"), "model_index.json")?;
        let mut text = Vec::new();
        for (encoder, tokenizer) in text_components(index.is_xl()?, index.requires_aesthetics_score) {
            let name = format!("{encoder}/config.json");
            let config: ClipTextConfig = read_json(&folder.join(&name), &name)?;
            text.push((config, ClipTokenizer::open(&folder.join(tokenizer))?));
        }
        let scheduler = "scheduler/scheduler_config.json";
        Ok(Self {
            index,
            unet_config: read_json(&folder.join("unet/config.json"), "unet/config.json")?,
            vae_config: read_json(&folder.join("vae/config.json"), "vae/config.json")?,
            text,
            scheduler: read_json(&folder.join(scheduler), scheduler)?,
            weights: Vec::new(),
        })
    }

    /// Refuses parts that do not fit each other.
    pub fn check(&self) -> Result<(), DiffusionError> {
        let unet = |field, reason: String| Err(DiffusionError::config("unet/config.json", field, reason));
        let xl = self.index.is_xl()?;
        self.unet_config.check()?;
        if self.unet_config.takes_text_time() != xl {
            return unet("addition_embed_type", format!("does not belong into a {}", self.index.class_name));
        }
        if self.unet_config.out_channels != self.vae_config.latent_channels {
            return unet("out_channels", "differ from the VAE's latent_channels".into());
        }
        let latent = self.vae_config.latent_channels;
        if ![latent, latent * 2 + 1].contains(&self.unet_config.in_channels) {
            return unet("in_channels", format!("{} are not supported", self.unet_config.in_channels));
        }
        let width: usize = self.text.iter().map(|(config, _)| config.hidden_size).sum();
        if let Some(level) =
            self.unet_config.levels()?.iter().find(|level| level.cross_attention_dim != width)
        {
            let reason = format!("{}, but the text encoders give {width}", level.cross_attention_dim);
            return unet("cross_attention_dim", reason);
        }
        if xl {
            let pooled = self.text.last().map_or(0, |(config, _)| config.projection_dim);
            let numbers = if self.index.requires_aesthetics_score { 5 } else { 6 };
            let sizes = numbers * self.unet_config.addition_time_embed_dim.unwrap_or(0);
            let given = self.unet_config.projection_class_embeddings_input_dim.unwrap_or(0);
            if given != pooled + sizes {
                let reason = format!("{given}, but {pooled} + {sizes} come in");
                return unet("projection_class_embeddings_input_dim", reason);
            }
        }
        for ((config, tokenizer), (encoder, name)) in
            self.text.iter().zip(text_components(xl, self.index.requires_aesthetics_score))
        {
            let reason = if tokenizer.largest_id as usize >= config.vocab_size {
                format!("knows ids that the {encoder} does not")
            } else if tokenizer.max_length > config.max_position_embeddings {
                format!("makes longer rows than the {encoder} takes")
            } else {
                continue;
            };
            return Err(DiffusionError::config(name, "vocab.json", reason));
        }
        Ok(())
    }

    /// Builds the networks. The UNet and the text encoders take `dtype`, the VAE what `vae_dtype` makes of it.
    pub fn build(self, device: &Device, dtype: DType) -> Result<StableDiffusion, DiffusionError> {
        self.check()?;
        let xl = self.index.is_xl()?;
        let [unet_weights, vae_weights, text_weights @ ..] = self.weights.as_slice() else {
            return Err(DiffusionError::weights("model", "lacks a component"));
        };
        let unet = load(self.unet_config.init(device)?, unet_weights, device, dtype)?;
        let vae = load(self.vae_config.init(device)?, vae_weights, device, vae_dtype(device, dtype))?;
        let mut text_encoders = Vec::new();
        for ((config, tokenizer), weights) in self.text.into_iter().zip(text_weights) {
            let model = config.init(&format!("{}/config.json", weights.component), device)?;
            let model = load(model, weights, device, dtype)?;
            text_encoders.push(TextEncoder {
                tokenizer: Arc::new(tokenizer),
                model,
                learned: LearnedWords::default(),
            });
        }
        Ok(StableDiffusion {
            unet,
            unet_config: self.unet_config,
            vae,
            tiny_vae: None,
            vae_config: self.vae_config,
            text_encoders,
            scheduler: mended_scheduler(self.scheduler, xl),
            xl,
            refines: self.index.requires_aesthetics_score,
            force_zeros_for_empty_prompt: self.index.force_zeros_for_empty_prompt,
            vae_tiles: VaeTiles::default(),
            device: device.clone(),
        })
    }
}

/// How the VAE's numbers are kept where the other networks' are kept as `dtype`: in single precision, whose range SDXL's needs, but for
/// weights in bf16 on the processor, which has that range too and computes all else in single precision.
pub(crate) fn vae_dtype(device: &Device, dtype: DType) -> DType {
    match dtype == DType::BF16 && *device == Device::flex() {
        true => DType::BF16,
        false => DType::F32,
    }
}

/// The log variance, below zero, of what is known for sure: as small as the VAE's ever gets.
const LOG_VARIANCE_NONE: f64 = 30.0;

/// A scheduler's configuration as diffusers' pipelines of SD 1 and 2 use it: they mend what was written before 2023.
pub fn mended_scheduler(mut scheduler: Value, xl: bool) -> Value {
    if !xl && let Some(config) = scheduler.as_object_mut() {
        config.insert("steps_offset".into(), 1.into());
        config.insert("clip_sample".into(), false.into());
    }
    scheduler
}

impl StableDiffusion {
    /// A picture tensor `[batch, channels, height, width]` on the device.
    pub fn upload(&self, values: &[f64], shape: [usize; 4]) -> Tensor<4> {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), (&self.device, DType::F32))
    }

    /// Latents, one after another, to pictures in −1 to 1; in tiles where they are large.
    pub fn decode(&self, latents: &[f64], shape: [usize; 4]) -> Result<Vec<f32>, DiffusionError> {
        let [_, _, height, width] = shape;
        match self.vae_tiles.tiling([height, width], self.vae_config.scale_factor()) {
            Some(tiling) => self.decode_tiled(latents, shape, tiling),
            None => self.decode_whole(latents, shape),
        }
    }

    /// [`decode`](Self::decode) of the whole at once.
    pub(crate) fn decode_whole(
        &self,
        latents: &[f64],
        shape: [usize; 4],
    ) -> Result<Vec<f32>, DiffusionError> {
        if let Some(tiny) = &self.tiny_vae {
            let lacks = || DiffusionError::spec("vae", "the file has no decoder");
            return download(tiny.decode(self.upload(latents, shape)).ok_or_else(lacks)?);
        }
        let scaled: Vec<f64> = latents.iter().map(|value| value / self.vae_config.scaling_factor).collect();
        download(self.vae.decode(self.upload(&scaled, shape)))
    }

    /// Mean and deviation of the latents of a picture in −1 to 1, before the scaling factor; in tiles where it is large.
    pub fn encode(&self, picture: &[f64], shape: [usize; 4]) -> Result<(Vec<f32>, Vec<f32>), DiffusionError> {
        let factor = self.vae_config.scale_factor();
        let [_, _, height, width] = shape;
        let (mean, log_variance) = match self.vae_tiles.tiling([height / factor, width / factor], factor) {
            Some(tiling) => self.encode_tiled(picture, shape, tiling)?,
            None => {
                let (mean, log_variance) = self.encode_whole(self.upload(picture, shape))?;
                (download(mean)?, download(log_variance)?)
            }
        };
        Ok((mean, log_variance.into_iter().map(|value| (value * 0.5).exp()).collect()))
    }

    /// Mean and log variance of latents on the device, before the scaling factor. TAESD knows a mean alone.
    pub(crate) fn encode_whole(&self, picture: Tensor<4>) -> Result<(Tensor<4>, Tensor<4>), DiffusionError> {
        let Some(tiny) = &self.tiny_vae else { return Ok(self.vae.encode(picture)) };
        let lacks =
            || DiffusionError::spec("vae", "the file has no encoder, and there is a picture to begin with");
        let mean = tiny.encode(picture).ok_or_else(lacks)? / self.vae_config.scaling_factor;
        let none = mean.zeros_like() - LOG_VARIANCE_NONE;
        Ok((mean, none))
    }

    /// One sample of the latents of a picture, scaled as the UNet wants them.
    pub fn sample_latents(
        &self,
        picture: &[f64],
        shape: [usize; 4],
        noise: &[f64],
    ) -> Result<Vec<f64>, DiffusionError> {
        let (mean, deviation) = self.encode(picture, shape)?;
        let sample = mean.iter().zip(&deviation).zip(noise);
        let scale = self.vae_config.scaling_factor;
        Ok(sample.map(|((&mean, &by), noise)| (f64::from(mean) + f64::from(by) * noise) * scale).collect())
    }
}

/// Waits for a tensor and reads it.
pub(crate) fn download<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DiffusionError> {
    tensor.try_into_vec_as::<f32>().map_err(|error| explained(&error.to_string()))
}
