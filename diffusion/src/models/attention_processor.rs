//! `diffusers.models.attention_processor`: attention within a picture and to a text.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Device, Tensor};

use crate::models::attention_context::ImageKeys;
use crate::ops;
use crate::ops::layers::{Linear, LinearConfig};

/// Shape of an [`Attention`].
#[derive(Config, Debug)]
pub struct AttentionConfig {
    /// Width of the queries.
    pub query_dim: usize,
    /// Width of what is attended to; the query itself if absent.
    #[config(default = "None")]
    pub cross_attention_dim: Option<usize>,
    /// Number of heads.
    pub heads: usize,
    /// Whether the projections have a bias.
    #[config(default = false)]
    pub bias: bool,
    /// Groups of the norm that the VAE has in front.
    #[config(default = "None")]
    pub norm_num_groups: Option<usize>,
}

/// `diffusers.models.attention_processor.Attention`.
#[derive(Module, Debug)]
pub struct Attention {
    group_norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Vec<Linear>,
    heads: usize,
}

impl AttentionConfig {
    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Attention {
        let width = self.query_dim;
        let context = self.cross_attention_dim.unwrap_or(width);
        let project = |from| LinearConfig::new(from, width).with_bias(self.bias).init(device);
        Attention {
            group_norm: self
                .norm_num_groups
                .map(|groups| GroupNormConfig::new(groups, width).with_epsilon(1e-6).init(device)),
            to_q: project(width),
            to_k: project(context),
            to_v: project(context),
            to_out: vec![LinearConfig::new(width, width).init(device)],
            heads: self.heads,
        }
    }
}

impl Attention {
    /// `hidden`: `[batch, n, query]`, `context`: `[batch, m, context]` → `[batch, n, query]`.
    pub fn forward(&self, hidden: Tensor<3>, context: Option<Tensor<3>>) -> Tensor<3> {
        self.forward_adding(hidden, context, std::iter::empty())
    }

    /// [`forward`](Self::forward) that adds what the queries find in pictures, each by its scale, before the way out.
    pub(super) fn forward_adding<'a>(
        &self,
        hidden: Tensor<3>,
        context: Option<Tensor<3>>,
        images: impl Iterator<Item = &'a ImageKeys>,
    ) -> Tensor<3> {
        let context = context.unwrap_or_else(|| hidden.clone());
        let query = self.to_q.forward(hidden);
        let key = self.to_k.forward(context.clone());
        let value = self.to_v.forward(context);
        let attend = match self.to_q.weight.is_packed() {
            true => ops::attention_in_bf16,
            false => ops::attention,
        };
        let mut x = attend(query.clone(), key, value, self.heads);
        for image in images {
            let found = attend(query.clone(), image.key.clone(), image.value.clone(), self.heads);
            x = x + found * image.scale;
        }
        for layer in &self.to_out {
            x = layer.forward(x);
        }
        x
    }

    /// As the VAE uses it: pixels attend to each other, with a norm in front and the input added.
    pub fn forward_residual(&self, hidden: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = hidden.dims();
        let mut x = hidden.clone();
        if let Some(norm) = &self.group_norm {
            x = ops::group_norm(norm, x);
        }
        let x = x.reshape([batch, channels, height * width]).swap_dims(1, 2);
        let x = self.forward(x, None).swap_dims(1, 2).reshape([batch, channels, height, width]);
        x + hidden
    }
}
