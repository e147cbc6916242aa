//! `diffusers.models.attention`: the block that transformers repeat.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

use crate::models::attention_context::AttentionContext;
use crate::models::attention_processor::{Attention, AttentionConfig};
use crate::ops;
use crate::ops::layers::{Linear, LinearConfig};

/// Shape of a [`BasicTransformerBlock`].
#[derive(Config, Debug)]
pub struct BasicTransformerBlockConfig {
    /// Width of the block.
    pub dim: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Width of the text.
    pub cross_attention_dim: usize,
}

/// `diffusers.models.activations.GEGLU`.
#[derive(Module, Debug)]
pub struct Geglu {
    proj: Linear,
}

/// `diffusers.models.attention.FeedForward`; the dropout holds its place among the keys.
#[derive(Module, Debug)]
pub struct FeedForward {
    net: (Geglu, Dropout, Linear),
}

/// `diffusers.models.attention.BasicTransformerBlock`.
#[derive(Module, Debug)]
pub struct BasicTransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl BasicTransformerBlockConfig {
    /// A block whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> BasicTransformerBlock {
        let norm = || LayerNormConfig::new(self.dim).with_epsilon(1e-5).init(device);
        let attention = AttentionConfig::new(self.dim, self.num_attention_heads);
        BasicTransformerBlock {
            norm1: norm(),
            attn1: attention.init(device),
            norm2: norm(),
            attn2: attention.with_cross_attention_dim(Some(self.cross_attention_dim)).init(device),
            norm3: norm(),
            ff: self.feed_forward(device),
        }
    }

    /// Its feed-forward part alone.
    pub(super) fn feed_forward(&self, device: &Device) -> FeedForward {
        let inner = self.dim * 4;
        FeedForward {
            net: (
                Geglu { proj: LinearConfig::new(self.dim, inner * 2).init(device) },
                DropoutConfig::new(0.0).init(),
                LinearConfig::new(inner, self.dim).init(device),
            ),
        }
    }
}

impl FeedForward {
    /// `[batch, n, dim]` → `[batch, n, dim]`.
    pub fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let (gate, _, out) = &self.net;
        out.forward(ops::linear_geglu(&gate.proj, hidden))
    }
}

impl BasicTransformerBlock {
    /// `hidden`: `[batch, n, dim]` → `[batch, n, dim]`.
    pub fn forward(&self, hidden: Tensor<3>, context: &AttentionContext) -> Tensor<3> {
        let block = context.next_block();
        let normed = self.norm1.forward(hidden.clone());
        let hidden = context.attend_self(&self.attn1, normed, block) + hidden;
        let normed = self.norm2.forward(hidden.clone());
        let hidden = context.attend_cross(&self.attn2, normed, block) + hidden;
        self.ff.forward(self.norm3.forward(hidden.clone())) + hidden
    }
}
