//! `transformers.models.clip`: the picture encoder, and how it wants its pictures.

use std::path::Path;

use burn::module::{Module, Param, ParamId};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig};
use burn::tensor::{DType, Device, Tensor};
use image::RgbImage;
use serde::Deserialize;
use serde_json::Value;

use crate::DiffusionError;
use crate::clip_text_model::{ClipEncoderLayer, LayerShape};
use crate::config::{bounded, only, read_json};
use crate::ops::layers::{Conv2d, Conv2dConfig, Linear, LinearConfig};
use crate::pillow_resize::resized_bicubic;
use crate::weights::{ComponentWeights, load::load};

/// How errors call the configuration.
const FILE: &str = "image_encoder/config.json";
/// How errors call the network.
const COMPONENT: &str = "image_encoder";
/// How many times its short side a picture may be long before its ends are cut off. They are never seen: the margin leaves
/// the filter what it reads beside the square.
const SHAPE_MAX: u32 = 4;

/// The keys of a CLIP vision encoder's `config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ClipVisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub projection_dim: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

/// `CLIPImageProcessor`: how a picture becomes numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipImageProcessor {
    /// Pixels of the shorter side after it is resized.
    pub shortest_edge: u32,
    /// Pixels of the square in the middle that is seen.
    pub crop: u32,
    /// Taken from each channel.
    pub mean: [f64; 3],
    /// And what it is divided by.
    pub deviation: [f64; 3],
}

/// `CLIPVisionModelWithProjection`.
#[derive(Module, Debug)]
pub struct ClipVisionModel {
    vision_model: ClipVisionTransformer,
    visual_projection: Linear,
}

/// `CLIPVisionTransformer`; the misspelled name is the checkpoints'.
#[derive(Module, Debug)]
pub struct ClipVisionTransformer {
    embeddings: ClipVisionEmbeddings,
    pre_layrnorm: LayerNorm,
    encoder: ClipVisionEncoder,
    post_layernorm: LayerNorm,
}

/// `CLIPVisionEmbeddings`.
#[derive(Module, Debug)]
pub struct ClipVisionEmbeddings {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Conv2d,
    position_embedding: Embedding,
}

/// `CLIPEncoder` of pictures.
#[derive(Module, Debug)]
pub struct ClipVisionEncoder {
    layers: Vec<ClipEncoderLayer>,
}

/// What the encoder says about a batch of pictures.
#[derive(Debug, Clone)]
pub struct ClipVisionOutput {
    /// `[batch, 1 + patches, width]` before the first layer, after the norm, and after every layer.
    pub hidden_states: Vec<Tensor<3>>,
    /// `[batch, projection]`.
    pub image_embeds: Tensor<2>,
}

/// An encoder with its processor, loaded.
#[derive(Debug, Clone)]
pub struct ImageEncoder {
    /// The network.
    pub model: ClipVisionModel,
    /// How it wants its pictures.
    pub processor: ClipImageProcessor,
    /// Its shape.
    pub config: ClipVisionConfig,
}

impl ClipVisionConfig {
    /// Reads `config.json` of an encoder's folder.
    pub fn open(folder: &Path) -> Result<Self, DiffusionError> {
        let config: Self = read_json(&folder.join("config.json"), FILE)?;
        config.check().map(|()| config)
    }

    fn check(&self) -> Result<(), DiffusionError> {
        bounded(FILE, "hidden_size", self.hidden_size, 16_384)?;
        bounded(FILE, "intermediate_size", self.intermediate_size, 65_536)?;
        bounded(FILE, "projection_dim", self.projection_dim, 16_384)?;
        bounded(FILE, "num_hidden_layers", self.num_hidden_layers, 128)?;
        bounded(FILE, "num_attention_heads", self.num_attention_heads, 1024)?;
        bounded(FILE, "image_size", self.image_size, 2048)?;
        bounded(FILE, "patch_size", self.patch_size, self.image_size)?;
        only(FILE, "hidden_act", &self.hidden_act, &["quick_gelu", "gelu"])?;
        if self.num_channels != 3 {
            return Err(DiffusionError::config(FILE, "num_channels", "3 are expected"));
        }
        match self.hidden_size % self.num_attention_heads {
            0 => Ok(()),
            _ => Err(DiffusionError::config(FILE, "num_attention_heads", "does not divide hidden_size")),
        }
    }

    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Result<ClipVisionModel, DiffusionError> {
        self.check()?;
        let width = self.hidden_size;
        let norm = || LayerNormConfig::new(width).with_epsilon(self.layer_norm_eps).init(device);
        let layer = LayerShape {
            width,
            inner: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            quick: self.hidden_act == "quick_gelu",
        };
        let side = self.image_size / self.patch_size;
        let patch = [self.patch_size, self.patch_size];
        Ok(ClipVisionModel {
            vision_model: ClipVisionTransformer {
                embeddings: ClipVisionEmbeddings {
                    class_embedding: Param::initialized(ParamId::new(), Tensor::zeros([width], device)),
                    patch_embedding: Conv2dConfig::new([3, width], patch)
                        .with_stride(patch)
                        .with_bias(false)
                        .init(device),
                    position_embedding: EmbeddingConfig::new(side * side + 1, width).init(device),
                },
                pre_layrnorm: norm(),
                encoder: ClipVisionEncoder {
                    layers: (0..self.num_hidden_layers).map(|_| layer.init(device)).collect(),
                },
                post_layernorm: norm(),
            },
            visual_projection: LinearConfig::new(width, self.projection_dim).with_bias(false).init(device),
        })
    }
}

impl ClipVisionModel {
    /// `pixels`: `[batch, 3, side, side]`.
    pub fn forward(&self, pixels: Tensor<4>) -> ClipVisionOutput {
        let (model, batch) = (&self.vision_model, pixels.dims()[0]);
        let embeddings = &model.embeddings;
        let class = embeddings.class_embedding.val();
        let width = class.dims()[0];
        let patches = embeddings.patch_embedding.forward(pixels.cast(class.dtype()));
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2);
        let class = class.reshape([1, 1, width]).repeat_dim(0, batch);
        let positions = embeddings.position_embedding.weight.val().unsqueeze::<3>();
        let mut x = model.pre_layrnorm.forward(Tensor::cat(vec![class, patches], 1) + positions);
        let mut hidden_states = vec![x.clone()];
        for layer in &model.encoder.layers {
            x = layer.forward(x, None);
            hidden_states.push(x.clone());
        }
        let pooled = model.post_layernorm.forward(x.narrow(1, 0, 1)).squeeze_dim::<2>(1);
        ClipVisionOutput { hidden_states, image_embeds: self.visual_projection.forward(pooled) }
    }
}

impl ClipVisionOutput {
    /// The states before the last layer, `[batch, 1 + patches, width]`.
    pub fn penultimate(&self) -> Tensor<3> {
        self.hidden_states[self.hidden_states.len().saturating_sub(2)].clone()
    }
}

impl ClipImageProcessor {
    /// What CLIP was trained with.
    pub fn of_side(side: u32) -> Self {
        Self {
            shortest_edge: side,
            crop: side,
            mean: [0.48145466, 0.4578275, 0.40821073],
            deviation: [0.26862954, 0.26130258, 0.27577711],
        }
    }

    /// Reads `preprocessor_config.json`; what it leaves out is CLIP's.
    pub fn of_json(config: &Value, side: u32) -> Result<Self, DiffusionError> {
        let file = "preprocessor_config.json";
        let own = Self::of_side(side);
        let pixels = |field: &str, value: &Value| {
            let value =
                ["shortest_edge", "height"].iter().find_map(|key| value[key].as_u64()).or(value.as_u64());
            match value {
                None => Ok(side),
                Some(pixels @ 1..=2048) => Ok(pixels as u32),
                Some(other) => {
                    Err(DiffusionError::config(file, field, format!("{other} is not within 1 to 2048")))
                }
            }
        };
        let three = |field: &str, default: [f64; 3]| match config[field].as_array() {
            None => Ok(default),
            Some(list) => {
                let numbers: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
                numbers
                    .try_into()
                    .map_err(|_| DiffusionError::config(file, field, "three numbers are expected"))
            }
        };
        let processor = Self {
            shortest_edge: pixels("size", &config["size"])?,
            crop: pixels("crop_size", &config["crop_size"])?,
            mean: three("image_mean", own.mean)?,
            deviation: three("image_std", own.deviation)?,
        };
        if processor.deviation.contains(&0.0) {
            return Err(DiffusionError::config(file, "image_std", "0 divides nothing"));
        }
        match processor.crop == side && processor.crop <= processor.shortest_edge {
            true => Ok(processor),
            false => {
                let reason = format!("{}, but the encoder takes {side} pixels", processor.crop);
                Err(DiffusionError::config(file, "crop_size", reason))
            }
        }
    }

    /// The square that is seen, resized as Pillow does it.
    pub fn cropped(&self, picture: &RgbImage) -> RgbImage {
        let middle;
        let picture = match longest_shape(picture) {
            None => picture,
            Some((left, top, width, height)) => {
                middle = image::imageops::crop_imm(picture, left, top, width, height).to_image();
                &middle
            }
        };
        let (width, height) = picture.dimensions();
        let edge = u64::from(self.shortest_edge);
        let long =
            |long: u32, short: u32| (edge * u64::from(long) / u64::from(short.max(1))).min(1 << 16) as u32;
        let (to_width, to_height) = match width <= height {
            true => (self.shortest_edge, long(height, width)),
            false => (long(width, height), self.shortest_edge),
        };
        let resized = resized_bicubic(picture, to_width, to_height);
        let (left, top) = ((to_width - self.crop) / 2, (to_height - self.crop) / 2);
        image::imageops::crop_imm(&resized, left, top, self.crop, self.crop).to_image()
    }

    /// Numbers of a picture, channel by channel.
    pub fn pixel_values(&self, picture: &RgbImage) -> Vec<f32> {
        let cropped = self.cropped(picture);
        let channel = |c: usize| {
            cropped
                .pixels()
                .map(move |pixel| (f64::from(pixel.0[c]) / 255.0 - self.mean[c]) / self.deviation[c])
        };
        (0..3).flat_map(channel).map(|value| value as f32).collect()
    }
}

/// The middle of a picture that is longer than [`SHAPE_MAX`] of its other side: only a square is seen, and the ends would be
/// enlarged for nothing.
fn longest_shape(picture: &RgbImage) -> Option<(u32, u32, u32, u32)> {
    let (width, height) = picture.dimensions();
    let (across, down) =
        (width.min(height.saturating_mul(SHAPE_MAX)), height.min(width.saturating_mul(SHAPE_MAX)));
    ((across, down) != (width, height)).then(|| ((width - across) / 2, (height - down) / 2, across, down))
}

impl ImageEncoder {
    /// Opens a folder with `config.json`, weights, and perhaps `preprocessor_config.json`, there or in
    /// `feature_extractor` beside it.
    pub fn open(folder: &Path, device: &Device, dtype: DType) -> Result<Self, DiffusionError> {
        let config = ClipVisionConfig::open(folder)?;
        let mut weights = ComponentWeights::open(folder, "")?;
        weights.component = COMPONENT.into();
        // A buffer of 0, 1, 2 … that old files carry.
        weights.tensors.remove("vision_model.embeddings.position_ids");
        let model = load(config.init(device)?, &weights, device, dtype)?;
        let file = "preprocessor_config.json";
        let places = [folder.join(file), folder.with_file_name("feature_extractor").join(file)];
        let side = config.image_size as u32;
        let processor = match places.iter().find(|path| path.is_file()) {
            Some(path) => ClipImageProcessor::of_json(&read_json(path, file)?, side)?,
            None => ClipImageProcessor::of_side(side),
        };
        Ok(Self { model, processor, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_are_not_seen_are_not_enlarged() {
        for (size, middle) in [
            ((40, 30), None),
            ((40, 10), None),
            ((10, 41), Some((0, 0, 10, 40))),
            ((16384, 1), Some((8190, 0, 4, 1))),
        ] {
            assert_eq!(longest_shape(&RgbImage::new(size.0, size.1)), middle, "{size:?}");
        }
        // What is seen is the same middle.
        let seen = |width: u32| {
            let shade = |x: u32| if (x * 2).abs_diff(width) < 40 { 200 } else { 0 };
            let picture = RgbImage::from_fn(width, 40, |x, _| image::Rgb([shade(x); 3]));
            ClipImageProcessor::of_side(20).cropped(&picture)
        };
        assert_eq!(seen(4000), seen(120));
        assert_eq!(seen(4000).get_pixel(10, 10).0, [200; 3]);
    }
}
