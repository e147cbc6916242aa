//! `diffusers.models.unets.unet_2d_blocks`: one level on the way down, at the bottom and on the way up.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::unet_2d_config::UNetLevel;
use crate::models::attention_context::AttentionContext;
use crate::models::attention_processor::{Attention, AttentionConfig};
use crate::models::downsampling::{Downsample2D, Downsample2DConfig};
use crate::models::resnet::{ResnetBlock2D, ResnetBlock2DConfig};
use crate::models::transformers::transformer_2d::{Transformer2DModel, Transformer2DModelConfig};
use crate::models::upsampling::{Upsample2D, Upsample2DConfig};

/// `CrossAttnDownBlock2D`, and `DownBlock2D` where there are no attentions.
#[derive(Module, Debug)]
pub struct CrossAttnDownBlock2D {
    attentions: Vec<Transformer2DModel>,
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
}

/// `UNetMidBlock2DCrossAttn`.
#[derive(Module, Debug)]
pub struct UNetMidBlock2DCrossAttn {
    attentions: Vec<Transformer2DModel>,
    resnets: Vec<ResnetBlock2D>,
}

/// `CrossAttnUpBlock2D`, and `UpBlock2D` where there are no attentions.
#[derive(Module, Debug)]
pub struct CrossAttnUpBlock2D {
    attentions: Vec<Transformer2DModel>,
    resnets: Vec<ResnetBlock2D>,
    upsamplers: Vec<Upsample2D>,
}

/// `UNetMidBlock2D`, the bottom of the VAE.
#[derive(Module, Debug)]
pub struct UNetMidBlock2D {
    attentions: Vec<Attention>,
    resnets: Vec<ResnetBlock2D>,
}

/// What all blocks of one UNet share.
#[derive(Debug, Clone, Copy)]
pub struct BlockShape {
    /// Width of the timestep embedding.
    pub temb_channels: usize,
    /// Groups of every norm.
    pub groups: usize,
    /// Epsilon of the residual blocks' norms.
    pub eps: f64,
    /// How the transformers project.
    pub use_linear_projection: bool,
}

impl BlockShape {
    fn resnet(&self, channels_in: usize, channels: usize, device: &Device) -> ResnetBlock2D {
        ResnetBlock2DConfig::new(channels_in, channels, self.groups, self.eps)
            .with_temb_channels(Some(self.temb_channels))
            .init(device)
    }

    fn attention(&self, level: &UNetLevel, device: &Device) -> Transformer2DModel {
        Transformer2DModelConfig::new(
            level.channels,
            level.heads,
            level.transformer_layers,
            level.cross_attention_dim,
            self.groups,
            self.use_linear_projection,
        )
        .init(device)
    }
}

impl CrossAttnDownBlock2D {
    /// Transformer blocks of each of its transformers.
    pub(super) fn transformers(&self) -> Vec<usize> {
        self.attentions.iter().map(Transformer2DModel::blocks).collect()
    }

    /// A level that takes `channels_in` and, unless it is the last, halves the size.
    pub fn new(
        shape: BlockShape,
        level: &UNetLevel,
        channels_in: usize,
        halves: bool,
        device: &Device,
    ) -> Self {
        let channels = level.channels;
        Self {
            attentions: (0..if level.down_attends { level.layers } else { 0 })
                .map(|_| shape.attention(level, device))
                .collect(),
            resnets: (0..level.layers)
                .map(|i| shape.resnet(if i == 0 { channels_in } else { channels }, channels, device))
                .collect(),
            downsamplers: (0..usize::from(halves))
                .map(|_| Downsample2DConfig::new(channels, 1).init(device))
                .collect(),
        }
    }

    /// Appends the picture after every layer to `skips` and returns the last.
    pub fn forward(
        &self,
        mut hidden: Tensor<4>,
        temb: &Tensor<2>,
        context: &AttentionContext,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            hidden = resnet.forward(hidden, Some(temb.clone()));
            if let Some(attention) = self.attentions.get(i) {
                hidden = attention.forward(hidden, context);
            }
            hidden = context.across_frames(hidden);
            skips.push(hidden.clone());
        }
        for downsampler in &self.downsamplers {
            hidden = downsampler.forward(hidden);
            skips.push(hidden.clone());
        }
        hidden
    }
}

impl UNetMidBlock2DCrossAttn {
    /// Transformer blocks of each of its transformers.
    pub(super) fn transformers(&self) -> Vec<usize> {
        self.attentions.iter().map(Transformer2DModel::blocks).collect()
    }

    /// The bottom, as wide as the last level.
    pub fn new(shape: BlockShape, level: &UNetLevel, device: &Device) -> Self {
        let resnet = || shape.resnet(level.channels, level.channels, device);
        Self { attentions: vec![shape.attention(level, device)], resnets: vec![resnet(), resnet()] }
    }

    /// `hidden`: `[batch, channels, height, width]` → the same.
    pub fn forward(&self, mut hidden: Tensor<4>, temb: &Tensor<2>, context: &AttentionContext) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            hidden = resnet.forward(hidden, Some(temb.clone()));
            if let Some(attention) = self.attentions.get(i) {
                hidden = context.across_frames(attention.forward(hidden, context));
            }
        }
        hidden
    }
}

impl CrossAttnUpBlock2D {
    /// Transformer blocks of each of its transformers.
    pub(super) fn transformers(&self) -> Vec<usize> {
        self.attentions.iter().map(Transformer2DModel::blocks).collect()
    }

    /// A level that takes `channels_in` from below and skips whose first layer has `skip_last` channels
    /// at the end of the level.
    pub fn new(
        shape: BlockShape,
        level: &UNetLevel,
        channels_in: usize,
        skip_last: usize,
        doubles: bool,
        device: &Device,
    ) -> Self {
        let (layers, channels) = (level.layers + 1, level.channels);
        Self {
            attentions: (0..if level.up_attends { layers } else { 0 })
                .map(|_| shape.attention(level, device))
                .collect(),
            resnets: (0..layers)
                .map(|i| {
                    let from_below = if i == 0 { channels_in } else { channels };
                    let skip = if i + 1 == layers { skip_last } else { channels };
                    shape.resnet(from_below + skip, channels, device)
                })
                .collect(),
            upsamplers: (0..usize::from(doubles))
                .map(|_| Upsample2DConfig::new(channels).init(device))
                .collect(),
        }
    }

    /// Takes one of `skips` per layer, from the end.
    pub fn forward(
        &self,
        mut hidden: Tensor<4>,
        temb: &Tensor<2>,
        context: &AttentionContext,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            if let Some(skip) = skips.pop() {
                hidden = Tensor::cat(vec![hidden, skip], 1);
            }
            hidden = resnet.forward(hidden, Some(temb.clone()));
            if let Some(attention) = self.attentions.get(i) {
                hidden = attention.forward(hidden, context);
            }
            hidden = context.across_frames(hidden);
        }
        for upsampler in &self.upsamplers {
            let size = skips.last().map(|skip| [skip.dims()[2], skip.dims()[3]]);
            hidden = upsampler.forward(hidden, size);
        }
        hidden
    }
}

impl UNetMidBlock2D {
    /// `channels` wide, with one attention of one head where `attends`.
    pub fn new(channels: usize, groups: usize, attends: bool, device: &Device) -> Self {
        let resnet = || ResnetBlock2DConfig::new(channels, channels, groups, 1e-6).init(device);
        let attention = AttentionConfig::new(channels, 1).with_bias(true).with_norm_num_groups(Some(groups));
        Self {
            attentions: (0..usize::from(attends)).map(|_| attention.init(device)).collect(),
            resnets: vec![resnet(), resnet()],
        }
    }

    /// `hidden`: `[batch, channels, height, width]` → the same.
    pub fn forward(&self, mut hidden: Tensor<4>) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            hidden = resnet.forward(hidden, None);
            if let Some(attention) = self.attentions.get(i) {
                hidden = attention.forward_residual(hidden);
            }
        }
        hidden
    }
}
