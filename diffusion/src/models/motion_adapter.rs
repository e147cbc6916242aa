//! `diffusers.models.unets.unet_motion_model`: the temporal transformers of AnimateDiff, by which the frames of a video look
//! at each other at the same place (Y. Guo et al., "AnimateDiff: Animate Your Personalized Text-to-Image Diffusion Models
//! without Specific Tuning", 2023).

use burn::module::{Module, Param};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

use crate::models::attention::{BasicTransformerBlockConfig, FeedForward};
use crate::models::attention_processor::{Attention, AttentionConfig};
use crate::ops::group_norm;
use crate::ops::layers::{Linear, LinearConfig};

/// The transformers of one level: how many blocks each of them has.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionLevel {
    /// Channels of the level.
    pub channels: usize,
    /// Heads of its attentions.
    pub heads: usize,
    /// One number for each layer on the way down.
    pub down: Vec<usize>,
    /// One number for each layer on the way up, which has one more.
    pub up: Vec<usize>,
}

/// Shape of a [`MotionAdapter`].
#[derive(Debug, Clone, PartialEq)]
pub struct MotionShape {
    /// From the largest picture to the smallest.
    pub levels: Vec<MotionLevel>,
    /// Blocks of the transformer at the bottom, which version 2 of AnimateDiff has and versions 1 and 3 have not.
    pub mid: Option<usize>,
    /// Groups of every norm in front.
    pub norm_num_groups: usize,
    /// How many frames have a position: the most that can be looked at together.
    pub positions: usize,
}

/// `diffusers.models.embeddings.SinusoidalPositionalEmbedding`; its numbers are those of the file.
#[derive(Module, Debug)]
pub struct SinusoidalPositionalEmbedding {
    pe: Param<Tensor<3>>,
}

/// `diffusers.models.attention.BasicTransformerBlock` with two self-attentions and positions before each.
#[derive(Module, Debug)]
pub struct TemporalTransformerBlock {
    pos_embed: SinusoidalPositionalEmbedding,
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

/// `diffusers.models.unets.unet_motion_model.AnimateDiffTransformer3D`.
#[derive(Module, Debug)]
pub struct AnimateDiffTransformer3D {
    norm: GroupNorm,
    proj_in: Linear,
    transformer_blocks: Vec<TemporalTransformerBlock>,
    proj_out: Linear,
}

/// `diffusers.models.unets.unet_motion_model.MotionModules`: those of one level.
#[derive(Module, Debug)]
pub struct MotionModules {
    motion_modules: Vec<AnimateDiffTransformer3D>,
}

/// `diffusers.models.unets.unet_motion_model.MotionAdapter`: all that makes a UNet for pictures one for videos.
#[derive(Module, Debug)]
pub struct MotionAdapter {
    down_blocks: Vec<MotionModules>,
    mid_block: Option<MotionModules>,
    up_blocks: Vec<MotionModules>,
    positions: usize,
}

impl MotionShape {
    /// Modules whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> MotionAdapter {
        let modules = |channels: usize, heads: usize, blocks: &[usize]| MotionModules {
            motion_modules: blocks
                .iter()
                .map(|&blocks| self.transformer(channels, heads, blocks, device))
                .collect(),
        };
        MotionAdapter {
            down_blocks: self
                .levels
                .iter()
                .map(|level| modules(level.channels, level.heads, &level.down))
                .collect(),
            mid_block: self
                .mid
                .zip(self.levels.last())
                .map(|(blocks, level)| modules(level.channels, level.heads, &[blocks])),
            up_blocks: self
                .levels
                .iter()
                .rev()
                .map(|level| modules(level.channels, level.heads, &level.up))
                .collect(),
            positions: self.positions,
        }
    }

    fn transformer(
        &self,
        channels: usize,
        heads: usize,
        blocks: usize,
        device: &Device,
    ) -> AnimateDiffTransformer3D {
        let linear = || LinearConfig::new(channels, channels).init(device);
        AnimateDiffTransformer3D {
            norm: GroupNormConfig::new(self.norm_num_groups, channels).with_epsilon(1e-6).init(device),
            proj_in: linear(),
            transformer_blocks: (0..blocks).map(|_| self.block(channels, heads, device)).collect(),
            proj_out: linear(),
        }
    }

    fn block(&self, channels: usize, heads: usize, device: &Device) -> TemporalTransformerBlock {
        let norm = || LayerNormConfig::new(channels).with_epsilon(1e-5).init(device);
        let attention = || AttentionConfig::new(channels, heads).init(device);
        TemporalTransformerBlock {
            pos_embed: SinusoidalPositionalEmbedding {
                pe: Initializer::Zeros.init([1, self.positions, channels], device),
            },
            norm1: norm(),
            attn1: attention(),
            norm2: norm(),
            attn2: attention(),
            norm3: norm(),
            ff: BasicTransformerBlockConfig::new(channels, heads, channels).feed_forward(device),
        }
    }
}

impl SinusoidalPositionalEmbedding {
    /// `hidden`: `[rows, frames, channels]` → the same, each frame with what its place is.
    fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let frames = hidden.dims()[1];
        hidden + self.pe.val().narrow(1, 0, frames)
    }
}

impl TemporalTransformerBlock {
    fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let normed = self.pos_embed.forward(self.norm1.forward(hidden.clone()));
        let hidden = self.attn1.forward(normed, None) + hidden;
        let normed = self.pos_embed.forward(self.norm2.forward(hidden.clone()));
        let hidden = self.attn2.forward(normed, None) + hidden;
        self.ff.forward(self.norm3.forward(hidden.clone())) + hidden
    }
}

impl AnimateDiffTransformer3D {
    /// `hidden`: `[videos · frames, channels, height, width]` → the same. As diffusers has it, the norm in front takes the
    /// frames of a video together.
    pub fn forward(&self, hidden: Tensor<4>, frames: usize) -> Tensor<4> {
        let [rows, channels, height, width] = hidden.dims();
        let (videos, area) = (rows / frames.max(1), height * width);
        let x = hidden.clone().reshape([videos, frames, channels, area]).permute([0, 2, 1, 3]);
        let x = group_norm(&self.norm, x);
        let mut x = x.permute([0, 3, 2, 1]).reshape([videos * area, frames, channels]);
        x = self.proj_in.forward(x);
        for block in &self.transformer_blocks {
            x = block.forward(x);
        }
        let x = self.proj_out.forward(x).reshape([videos, area, frames, channels]).permute([0, 2, 3, 1]);
        x.reshape([rows, channels, height, width]) + hidden
    }
}

impl MotionAdapter {
    /// The most frames that can be looked at together.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The transformer that comes `at` so many others when a UNet runs: down, bottom, up. None at the bottom where there
    /// is none.
    pub(crate) fn at(&self, at: usize) -> Option<&AnimateDiffTransformer3D> {
        let down = self.down_blocks.iter().flat_map(|level| level.motion_modules.iter().map(Some));
        let mid = std::iter::once(self.mid_block.as_ref().and_then(|mid| mid.motion_modules.first()));
        let up = self.up_blocks.iter().flat_map(|level| level.motion_modules.iter().map(Some));
        down.chain(mid).chain(up).nth(at).flatten()
    }
}
