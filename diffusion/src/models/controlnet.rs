//! `diffusers.models.controlnets.controlnet`: half a UNet that reads a picture of poses, depths or lines, and says what
//! is to be added to another UNet's skips (L. Zhang et al., "Adding Conditional Control to Text-to-Image Diffusion
//! Models", 2023).

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use crate::DiffusionError;
use crate::config::{bounded, only};
use crate::models::attention_context::AttentionContext;
use crate::models::embeddings::{TimestepEmbedding, Timesteps};
use crate::models::resnet::{conv1x1, conv3x3};
use crate::models::unets::unet_2d_blocks::{BlockShape, CrossAttnDownBlock2D, UNetMidBlock2DCrossAttn};
use crate::models::unets::unet_2d_condition::AddedConditions;
use crate::models::unets::unet_2d_config::{UNet2DConditionConfig, UNetLevel};
use crate::ops::layers::{Conv2d, Conv2dConfig};
use crate::ops::{conv2d, silu};

/// How errors call the configuration.
const FILE: &str = "controlnet config.json";

/// The keys of a ControlNet's `config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
pub struct ControlNetConfig {
    /// What it has in common with a UNet.
    #[serde(flatten)]
    pub unet: UNet2DConditionConfig,
    /// Channels of the picture.
    #[serde(default = "three")]
    pub conditioning_channels: usize,
    /// Widths on the picture's way to the size of the latents.
    #[serde(default = "published_widths")]
    pub conditioning_embedding_out_channels: Vec<usize>,
    /// `rgb`.
    #[serde(default = "rgb")]
    pub controlnet_conditioning_channel_order: String,
    /// Whether residuals are means over the picture; not supported.
    #[serde(default)]
    pub global_pool_conditions: bool,
}

fn three() -> usize {
    3
}

fn published_widths() -> Vec<usize> {
    vec![16, 32, 96, 256]
}

fn rgb() -> String {
    "rgb".into()
}

/// What a key of the configuration says of a level.
type Fact = (&'static str, fn(&UNetLevel) -> usize);

/// `ControlNetConditioningEmbedding`: a picture becomes as small as its latents.
#[derive(Module, Debug)]
pub struct ControlNetConditioningEmbedding {
    conv_in: Conv2d,
    blocks: Vec<Conv2d>,
    conv_out: Conv2d,
}

/// `diffusers.models.controlnets.controlnet.ControlNetModel`.
#[derive(Module, Debug)]
pub struct ControlNetModel {
    conv_in: Conv2d,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    controlnet_cond_embedding: ControlNetConditioningEmbedding,
    down_blocks: Vec<CrossAttnDownBlock2D>,
    controlnet_down_blocks: Vec<Conv2d>,
    controlnet_mid_block: Conv2d,
    mid_block: UNetMidBlock2DCrossAttn,
    #[module(skip)]
    time_proj: Timesteps,
    #[module(skip)]
    add_time_proj: Option<Timesteps>,
}

/// What is added to a UNet on its way: one tensor for each skip from the first on, and one for the bottom.
#[derive(Debug, Clone)]
pub struct ControlResiduals {
    /// For the skips.
    pub down: Vec<Tensor<4>>,
    /// For the bottom.
    pub mid: Tensor<4>,
}

impl ControlNetConfig {
    /// The shape of a ControlNet for a UNet, where nothing else says it.
    pub fn for_unet(unet: &UNet2DConditionConfig, widths: Vec<usize>) -> Self {
        Self {
            unet: unet.clone(),
            conditioning_channels: three(),
            conditioning_embedding_out_channels: widths,
            controlnet_conditioning_channel_order: rgb(),
            global_pool_conditions: false,
        }
    }

    /// Pixels of the picture on one side of a latent.
    pub fn factor(&self) -> usize {
        1 << self.conditioning_embedding_out_channels.len().saturating_sub(1).min(16)
    }

    /// Refuses what is not drawn here, and what does not fit a UNet.
    pub fn check_for(&self, base: &UNet2DConditionConfig) -> Result<(), DiffusionError> {
        let refuse = |field: &str, reason: String| Err(DiffusionError::config(FILE, field, reason));
        let widths = &self.conditioning_embedding_out_channels;
        bounded(FILE, "conditioning_embedding_out_channels", widths.len(), 8)?;
        for width in widths {
            bounded(FILE, "conditioning_embedding_out_channels", *width, 8192)?;
        }
        if self.conditioning_channels != 3 {
            return refuse(
                "conditioning_channels",
                format!("{}, only 3 are supported", self.conditioning_channels),
            );
        }
        let order = &self.controlnet_conditioning_channel_order;
        only(FILE, "controlnet_conditioning_channel_order", order, &["rgb"])?;
        if self.global_pool_conditions {
            return refuse("global_pool_conditions", "this value is not supported".into());
        }
        if self.unet.takes_text_time() != base.takes_text_time() {
            let family = |xl: bool| if xl { "SDXL" } else { "Stable Diffusion 1 or 2" };
            let (own, model) = (family(self.unet.takes_text_time()), family(base.takes_text_time()));
            return refuse("addition_embed_type", format!("it is for {own}, the model is of {model}"));
        }
        let (own, model) = (self.levels()?, base.levels()?);
        let facts: [Fact; 3] = [
            ("block_out_channels", |level| level.channels),
            ("layers_per_block", |level| level.layers),
            ("cross_attention_dim", |level| level.cross_attention_dim),
        ];
        for (field, of) in facts {
            let all = |levels: &[UNetLevel]| levels.iter().map(of).collect::<Vec<usize>>();
            let (own, model) = (all(&own), all(&model));
            if own != model {
                return refuse(field, format!("it is for another model: {own:?}, the model has {model:?}"));
            }
        }
        Ok(())
    }

    fn levels(&self) -> Result<Vec<UNetLevel>, DiffusionError> {
        self.whole_unet().levels()
    }

    /// The configuration with the way up that a ControlNet's leaves out.
    pub(crate) fn whole_unet(&self) -> UNet2DConditionConfig {
        let up = |kind: &String| kind.replace("Down", "Up");
        let mut unet = self.unet.clone();
        unet.up_block_types = unet.down_block_types.iter().rev().map(up).collect();
        unet
    }

    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Result<ControlNetModel, DiffusionError> {
        let unet = self.whole_unet();
        unet.check()?;
        let levels = unet.levels()?;
        let time_embed_dim = unet.time_embed_dim();
        let shape = BlockShape {
            temb_channels: time_embed_dim,
            groups: unet.norm_num_groups,
            eps: unet.norm_eps,
            use_linear_projection: unet.use_linear_projection,
        };
        let (first, last) = (levels[0].channels, &levels[levels.len() - 1]);
        let sinusoids = |channels| Timesteps {
            channels,
            flip_sin_to_cos: unet.flip_sin_to_cos,
            freq_shift: unet.freq_shift,
        };
        let mut outs = vec![conv1x1(first, first, device)];
        for (i, level) in levels.iter().enumerate() {
            let count = level.layers + usize::from(i + 1 < levels.len());
            outs.extend((0..count).map(|_| conv1x1(level.channels, level.channels, device)));
        }
        Ok(ControlNetModel {
            conv_in: conv3x3(unet.in_channels, first, device),
            time_embedding: TimestepEmbedding::new(first, time_embed_dim, device),
            add_embedding: unet.takes_text_time().then(|| {
                let width = unet.projection_class_embeddings_input_dim.unwrap_or(1);
                TimestepEmbedding::new(width, time_embed_dim, device)
            }),
            controlnet_cond_embedding: self.hint(first, device),
            down_blocks: (0..levels.len())
                .map(|i| {
                    let channels_in = levels[i.saturating_sub(1)].channels;
                    CrossAttnDownBlock2D::new(shape, &levels[i], channels_in, i + 1 < levels.len(), device)
                })
                .collect(),
            controlnet_down_blocks: outs,
            controlnet_mid_block: conv1x1(last.channels, last.channels, device),
            mid_block: UNetMidBlock2DCrossAttn::new(shape, last, device),
            time_proj: sinusoids(first),
            add_time_proj: unet.addition_time_embed_dim.filter(|_| unet.takes_text_time()).map(sinusoids),
        })
    }

    fn hint(&self, out: usize, device: &Device) -> ControlNetConditioningEmbedding {
        let widths = &self.conditioning_embedding_out_channels;
        let halving = |from: usize, to: usize| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let pairs =
            widths.windows(2).flat_map(|pair| [conv3x3(pair[0], pair[0], device), halving(pair[0], pair[1])]);
        ControlNetConditioningEmbedding {
            conv_in: conv3x3(self.conditioning_channels, widths[0], device),
            blocks: pairs.collect(),
            conv_out: conv3x3(widths[widths.len() - 1], out, device),
        }
    }
}

impl ControlNetModel {
    /// What the network sees of a picture in 0 to 1, `[batch, 3, height, width]` → `[batch, channels, h, w]`. It is the
    /// same in all steps.
    pub fn embed_picture(&self, picture: Tensor<4>) -> Tensor<4> {
        let embedding = &self.controlnet_cond_embedding;
        let mut x = silu(conv2d(&embedding.conv_in, picture.cast(self.conv_in.weight.computes_in())));
        for conv in &embedding.blocks {
            x = silu(conv2d(conv, x));
        }
        conv2d(&embedding.conv_out, x)
    }

    /// `sample`: `[batch, in, height, width]`, `hint`: [`embed_picture`](Self::embed_picture) of one row or of as many
    /// → what is added to the UNet, times `scale`.
    pub fn forward(
        &self,
        sample: Tensor<4>,
        timestep: f64,
        context: &AttentionContext,
        added: Option<&AddedConditions>,
        hint: &Tensor<4>,
        scale: f64,
    ) -> ControlResiduals {
        let device = sample.device();
        let batch = sample.dims()[0];
        let dtype = self.conv_in.weight.computes_in();
        let sinusoids = self.time_proj.forward(&vec![timestep; batch], &device).cast(dtype);
        let mut temb = self.time_embedding.forward(sinusoids);
        if let (Some(embedding), Some(sinusoids), Some(added)) =
            (&self.add_embedding, &self.add_time_proj, added)
        {
            temb = temb + added.embedded(embedding, sinusoids, dtype, &device);
        }
        let times = batch / hint.dims()[0].max(1);
        let hint = if times > 1 { Tensor::cat(vec![hint.clone(); times], 0) } else { hint.clone() };
        let mut hidden = conv2d(&self.conv_in, sample.cast(dtype)) + hint;
        let mut skips = vec![hidden.clone()];
        for block in &self.down_blocks {
            hidden = block.forward(hidden, &temb, context, &mut skips);
        }
        hidden = self.mid_block.forward(hidden, &temb, context);
        let down = skips.into_iter().zip(&self.controlnet_down_blocks);
        ControlResiduals {
            down: down.map(|(skip, conv)| conv.forward(skip) * scale).collect(),
            mid: self.controlnet_mid_block.forward(hidden) * scale,
        }
    }
}

impl ControlResiduals {
    /// Those of two networks together.
    pub fn plus(self, other: Self) -> Self {
        let down = self.down.into_iter().zip(other.down).map(|(a, b)| a + b).collect();
        Self { down, mid: self.mid + other.mid }
    }
}
