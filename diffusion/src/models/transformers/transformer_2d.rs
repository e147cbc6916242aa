//! `diffusers.models.transformers.transformer_2d`: a picture attends to itself and to a text.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Device, Tensor};

use crate::models::attention::{BasicTransformerBlock, BasicTransformerBlockConfig};
use crate::models::attention_context::AttentionContext;
use crate::models::resnet::conv1x1;
use crate::ops::group_norm;
use crate::ops::layers::{Conv2d, Linear, LinearConfig};

/// Shape of a [`Transformer2DModel`].
#[derive(Config, Debug)]
pub struct Transformer2DModelConfig {
    /// Channels of input and output.
    pub in_channels: usize,
    /// Number of heads.
    pub num_attention_heads: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Width of the text.
    pub cross_attention_dim: usize,
    /// Groups of the norm in front.
    pub norm_num_groups: usize,
    /// Stable Diffusion 2 and XL project with a matrix, 1 with a 1×1 convolution.
    pub use_linear_projection: bool,
}

/// The way in and out of the blocks; both kinds have the same keys.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Projection {
    /// Stable Diffusion 2 and XL.
    Linear(Linear),
    /// Stable Diffusion 1.
    Conv(Conv2d),
}

/// `diffusers.models.transformers.transformer_2d.Transformer2DModel` for continuous input.
#[derive(Module, Debug)]
pub struct Transformer2DModel {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Projection,
}

impl Transformer2DModelConfig {
    /// A model whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Transformer2DModel {
        let channels = self.in_channels;
        let projection = || match self.use_linear_projection {
            true => Projection::Linear(LinearConfig::new(channels, channels).init(device)),
            false => Projection::Conv(conv1x1(channels, channels, device)),
        };
        let block =
            BasicTransformerBlockConfig::new(channels, self.num_attention_heads, self.cross_attention_dim);
        Transformer2DModel {
            norm: GroupNormConfig::new(self.norm_num_groups, channels).with_epsilon(1e-6).init(device),
            proj_in: projection(),
            transformer_blocks: (0..self.num_layers).map(|_| block.init(device)).collect(),
            proj_out: projection(),
        }
    }
}

impl Transformer2DModel {
    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        self.transformer_blocks.len()
    }

    /// `hidden`: `[batch, channels, height, width]` → the same.
    pub fn forward(&self, hidden: Tensor<4>, context: &AttentionContext) -> Tensor<4> {
        let [batch, channels, height, width] = hidden.dims();
        let to_rows = |x: Tensor<4>| x.reshape([batch, channels, height * width]).swap_dims(1, 2);
        let to_picture = |x: Tensor<3>| x.swap_dims(1, 2).reshape([batch, channels, height, width]);

        let x = group_norm(&self.norm, hidden.clone());
        let mut x = match &self.proj_in {
            Projection::Linear(linear) => linear.forward(to_rows(x)),
            Projection::Conv(conv) => to_rows(conv.forward(x)),
        };
        for block in &self.transformer_blocks {
            x = block.forward(x, context);
        }
        let x = match &self.proj_out {
            Projection::Linear(linear) => to_picture(linear.forward(x)),
            Projection::Conv(conv) => conv.forward(to_picture(x)),
        };
        x + hidden
    }
}
