//! `diffusers.models.unets.unet_2d_condition`: the network that removes noise.

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{DType, Device, Tensor};

use super::unet_2d_blocks::{BlockShape, CrossAttnDownBlock2D, CrossAttnUpBlock2D, UNetMidBlock2DCrossAttn};
use super::unet_2d_config::UNet2DConditionConfig;
use crate::DiffusionError;
use crate::models::attention_context::AttentionContext;
use crate::models::controlnet::ControlResiduals;
use crate::models::embeddings::{TimestepEmbedding, Timesteps};
use crate::models::resnet::conv3x3;
use crate::ops::layers::Conv2d;
use crate::ops::{conv2d, group_norm_silu};

/// `diffusers.models.unets.unet_2d_condition.UNet2DConditionModel`.
#[derive(Module, Debug)]
pub struct UNet2DConditionModel {
    conv_in: Conv2d,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    down_blocks: Vec<CrossAttnDownBlock2D>,
    mid_block: Option<UNetMidBlock2DCrossAttn>,
    up_blocks: Vec<CrossAttnUpBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    time_proj: Timesteps,
    #[module(skip)]
    add_time_proj: Option<Timesteps>,
}

/// What SDXL knows beside the text: pooled text and sizes.
#[derive(Debug, Clone)]
pub struct AddedConditions {
    /// `[batch, pooled]`.
    pub text_embeds: Tensor<2>,
    /// Per row: original height and width, top and left crop, target height and width.
    pub time_ids: Vec<Vec<f64>>,
}

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UNetPart {
    /// A level on the way down, from the largest picture.
    Down(usize),
    /// The bottom.
    Mid,
    /// A level on the way up, from the smallest picture.
    Up(usize),
}

/// Where a transformer stands in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformerPlace {
    /// The level that it belongs to.
    pub part: UNetPart,
    /// Its place among the transformers of that level.
    pub attention: usize,
    /// How many blocks it has.
    pub blocks: usize,
}

impl TransformerPlace {
    /// The place of its part in files, down before up before mid, and which of the `levels` of a network's widths it has.
    pub(crate) fn rank_and_level(&self, levels: usize) -> (u8, usize) {
        let last = levels.saturating_sub(1);
        match self.part {
            UNetPart::Down(level) => (0, level.min(last)),
            UNetPart::Up(level) => (1, last.saturating_sub(level)),
            UNetPart::Mid => (2, last),
        }
    }
}

impl UNet2DConditionConfig {
    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Result<UNet2DConditionModel, DiffusionError> {
        self.check()?;
        let levels = self.levels()?;
        let time_embed_dim = self.time_embed_dim();
        let shape = BlockShape {
            temb_channels: time_embed_dim,
            groups: self.norm_num_groups,
            eps: self.norm_eps,
            use_linear_projection: self.use_linear_projection,
        };
        let first = levels[0].channels;
        let last = &levels[levels.len() - 1];
        let sinusoids = |channels| Timesteps {
            channels,
            flip_sin_to_cos: self.flip_sin_to_cos,
            freq_shift: self.freq_shift,
        };
        Ok(UNet2DConditionModel {
            conv_in: conv3x3(self.in_channels, first, device),
            time_embedding: TimestepEmbedding::new(first, time_embed_dim, device),
            add_embedding: self.takes_text_time().then(|| {
                let width = self.projection_class_embeddings_input_dim.unwrap_or(1);
                TimestepEmbedding::new(width, time_embed_dim, device)
            }),
            down_blocks: (0..levels.len())
                .map(|i| {
                    let channels_in = levels[i.saturating_sub(1)].channels;
                    CrossAttnDownBlock2D::new(shape, &levels[i], channels_in, i + 1 < levels.len(), device)
                })
                .collect(),
            mid_block: self
                .mid_block_type
                .as_ref()
                .map(|_| UNetMidBlock2DCrossAttn::new(shape, last, device)),
            up_blocks: (0..levels.len())
                .rev()
                .map(|i| {
                    let channels_in = levels[(i + 1).min(levels.len() - 1)].channels;
                    let skip_last = levels[i.saturating_sub(1)].channels;
                    CrossAttnUpBlock2D::new(shape, &levels[i], channels_in, skip_last, i > 0, device)
                })
                .collect(),
            conv_norm_out: GroupNormConfig::new(self.norm_num_groups, first)
                .with_epsilon(self.norm_eps)
                .init(device),
            conv_out: conv3x3(first, self.out_channels, device),
            time_proj: sinusoids(first),
            add_time_proj: self.addition_time_embed_dim.filter(|_| self.takes_text_time()).map(sinusoids),
        })
    }
}

impl UNet2DConditionModel {
    /// The sinusoids of `timesteps`, and what the network makes of them.
    pub fn time_embedding(&self, timesteps: &[f64], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let sinusoids = self.time_proj.forward(timesteps, device);
        let sinusoids = sinusoids.cast(self.dtype());
        (sinusoids.clone(), self.time_embedding.forward(sinusoids))
    }

    /// `sample`: `[batch, in, height, width]`, `context`: `[batch, m, text]` → `[batch, out, height, width]`.
    pub fn forward(
        &self,
        sample: Tensor<4>,
        timestep: f64,
        context: Tensor<3>,
        added: Option<&AddedConditions>,
    ) -> Tensor<4> {
        self.forward_observed(sample, timestep, context, added, &mut |_, _| {})
    }

    /// [`forward`](Self::forward) that shows `observe` what is computed on the way, by name.
    pub fn forward_observed(
        &self,
        sample: Tensor<4>,
        timestep: f64,
        context: Tensor<3>,
        added: Option<&AddedConditions>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let context = AttentionContext::of(context.cast(self.dtype()));
        self.forward_guided(sample, timestep, &context, added, None, observe)
    }

    /// The type of its numbers, which what it attends to must have.
    pub fn dtype(&self) -> DType {
        self.conv_in.weight.computes_in()
    }

    /// The type in which its weights are kept, which networks beside it are to have too.
    pub fn weight_dtype(&self) -> DType {
        self.conv_in.weight.kept_in()
    }

    /// Its transformers in the order in which they run.
    pub fn transformers(&self) -> Vec<TransformerPlace> {
        let mut places = Vec::new();
        let mut add = |part: UNetPart, blocks: Vec<usize>| {
            let place = |(attention, blocks)| TransformerPlace { part, attention, blocks };
            places.extend(blocks.into_iter().enumerate().map(place));
        };
        for (level, block) in self.down_blocks.iter().enumerate() {
            add(UNetPart::Down(level), block.transformers());
        }
        add(UNetPart::Mid, self.mid_block.as_ref().map(|mid| mid.transformers()).unwrap_or_default());
        for (level, block) in self.up_blocks.iter().enumerate() {
            add(UNetPart::Up(level), block.transformers());
        }
        places
    }

    /// [`forward`](Self::forward) with all that may lead it: what is attended to beside the picture, and residuals of
    /// ControlNets that are added to the skips and to the bottom.
    pub fn forward_guided(
        &self,
        sample: Tensor<4>,
        timestep: f64,
        context: &AttentionContext,
        added: Option<&AddedConditions>,
        control: Option<&ControlResiduals>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let device = sample.device();
        let batch = sample.dims()[0];
        let dtype = self.dtype();
        let (_, mut temb) = self.time_embedding(&vec![timestep; batch], &device);
        if let Some(embedding) = self.added_embedding(added, dtype, &device) {
            observe("add_embedding", &embedding.clone().unsqueeze_dims::<4>(&[2, 3]));
            temb = temb + embedding;
        }
        let mut hidden = conv2d(&self.conv_in, sample.cast(dtype));
        observe("conv_in", &hidden);
        let mut skips = vec![hidden.clone()];
        for (i, block) in self.down_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &temb, context, &mut skips);
            observe(&format!("down{i}"), &hidden);
        }
        if let Some(block) = &self.mid_block {
            hidden = block.forward(hidden, &temb, context);
            observe("mid", &hidden);
        }
        if let Some(control) = control {
            for (skip, residual) in skips.iter_mut().zip(&control.down) {
                *skip = skip.clone() + residual.clone();
            }
            hidden = hidden + control.mid.clone();
        }
        for (i, block) in self.up_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &temb, context, &mut skips);
            observe(&format!("up{i}"), &hidden);
        }
        conv2d(&self.conv_out, group_norm_silu(&self.conv_norm_out, hidden))
    }

    fn added_embedding(
        &self,
        added: Option<&AddedConditions>,
        dtype: DType,
        device: &Device,
    ) -> Option<Tensor<2>> {
        let sinusoids = self.add_time_proj.as_ref()?;
        Some(added?.embedded(self.add_embedding.as_ref()?, sinusoids, dtype, device))
    }
}

impl AddedConditions {
    /// What `embedding` makes of pooled text and sizes, `[batch, width]`.
    pub(crate) fn embedded(
        &self,
        embedding: &TimestepEmbedding,
        sinusoids: &Timesteps,
        dtype: DType,
        device: &Device,
    ) -> Tensor<2> {
        let batch = self.time_ids.len();
        let flat: Vec<f64> = self.time_ids.iter().flatten().copied().collect();
        let ids_per_row = flat.len() / batch.max(1);
        let times = sinusoids.forward(&flat, device).reshape([batch, ids_per_row * sinusoids.channels]);
        embedding.forward(Tensor::cat(vec![self.text_embeds.clone().cast(dtype), times.cast(dtype)], 1))
    }
}
