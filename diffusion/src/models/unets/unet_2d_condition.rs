//! `diffusers.models.unets.unet_2d_condition`: the network that removes noise.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Device, Tensor};

use super::unet_2d_blocks::{BlockShape, CrossAttnDownBlock2D, CrossAttnUpBlock2D, UNetMidBlock2DCrossAttn};
use super::unet_2d_config::UNet2DConditionConfig;
use crate::DiffusionError;
use crate::models::embeddings::{TimestepEmbedding, Timesteps};
use crate::models::resnet::conv3x3;
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
        let sinusoids = sinusoids.cast(self.conv_in.weight.val().dtype());
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
        let device = sample.device();
        let batch = sample.dims()[0];
        let dtype = self.conv_in.weight.val().dtype();
        let (_, mut temb) = self.time_embedding(&vec![timestep; batch], &device);
        if let Some(embedding) = self.added_embedding(added, dtype, &device) {
            observe("add_embedding", &embedding.clone().unsqueeze_dims::<4>(&[2, 3]));
            temb = temb + embedding;
        }
        let context = context.cast(dtype);
        let mut hidden = conv2d(&self.conv_in, sample.cast(dtype));
        observe("conv_in", &hidden);
        let mut skips = vec![hidden.clone()];
        for (i, block) in self.down_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &temb, &context, &mut skips);
            observe(&format!("down{i}"), &hidden);
        }
        if let Some(block) = &self.mid_block {
            hidden = block.forward(hidden, &temb, &context);
            observe("mid", &hidden);
        }
        for (i, block) in self.up_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &temb, &context, &mut skips);
            observe(&format!("up{i}"), &hidden);
        }
        conv2d(&self.conv_out, group_norm_silu(&self.conv_norm_out, hidden))
    }

    fn added_embedding(
        &self,
        added: Option<&AddedConditions>,
        dtype: burn::tensor::DType,
        device: &Device,
    ) -> Option<Tensor<2>> {
        let (embedding, sinusoids, added) =
            (self.add_embedding.as_ref()?, self.add_time_proj.as_ref()?, added?);
        let batch = added.time_ids.len();
        let flat: Vec<f64> = added.time_ids.iter().flatten().copied().collect();
        let ids_per_row = flat.len() / batch.max(1);
        let times = sinusoids.forward(&flat, device).reshape([batch, ids_per_row * sinusoids.channels]);
        let joined = Tensor::cat(vec![added.text_embeds.clone().cast(dtype), times.cast(dtype)], 1);
        Some(embedding.forward(joined))
    }
}
