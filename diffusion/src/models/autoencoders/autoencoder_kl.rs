//! `diffusers.models.autoencoders.autoencoder_kl`: pictures to latents and back.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::vae::{Decoder, Encoder};
use crate::DiffusionError;
use crate::config::{bounded, only};
use crate::models::resnet::conv1x1;
use crate::ops::layers::Conv2d;

const FILE: &str = "vae/config.json";

/// The keys of `vae/config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AutoencoderKLConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub latent_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub down_block_types: Vec<String>,
    pub up_block_types: Vec<String>,
    pub layers_per_block: usize,
    pub norm_num_groups: usize,
    pub scaling_factor: f64,
    pub shift_factor: Option<f64>,
    pub latents_mean: Option<Vec<f64>>,
    pub latents_std: Option<Vec<f64>>,
    pub act_fn: String,
    pub mid_block_add_attention: bool,
    pub use_quant_conv: bool,
    pub use_post_quant_conv: bool,
}

impl Default for AutoencoderKLConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![64],
            down_block_types: vec!["DownEncoderBlock2D".into()],
            up_block_types: vec!["UpDecoderBlock2D".into()],
            layers_per_block: 1,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            act_fn: "silu".into(),
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
        }
    }
}

/// `diffusers.models.autoencoders.autoencoder_kl.AutoencoderKL`.
#[derive(Module, Debug)]
pub struct AutoencoderKL {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
}

impl AutoencoderKLConfig {
    fn check(&self) -> Result<(), DiffusionError> {
        bounded(FILE, "in_channels", self.in_channels, 16)?;
        bounded(FILE, "out_channels", self.out_channels, 16)?;
        bounded(FILE, "latent_channels", self.latent_channels, 64)?;
        bounded(FILE, "layers_per_block", self.layers_per_block, 16)?;
        bounded(FILE, "block_out_channels", self.block_out_channels.len(), 8)?;
        for &channels in &self.block_out_channels {
            bounded(FILE, "block_out_channels", channels, 8192)?;
            if self.norm_num_groups == 0 || channels % self.norm_num_groups != 0 {
                return Err(DiffusionError::config(FILE, "norm_num_groups", "does not divide the channels"));
            }
        }
        only(FILE, "act_fn", &self.act_fn, &["silu", "swish"])?;
        self.down_block_types
            .iter()
            .try_for_each(|kind| only(FILE, "down_block_types", kind, &["DownEncoderBlock2D"]))?;
        self.up_block_types
            .iter()
            .try_for_each(|kind| only(FILE, "up_block_types", kind, &["UpDecoderBlock2D"]))?;
        if !(self.scaling_factor.is_finite() && self.scaling_factor > 0.0) {
            return Err(DiffusionError::config(FILE, "scaling_factor", "must be positive"));
        }
        let other_scale =
            self.shift_factor.is_some() || self.latents_mean.is_some() || self.latents_std.is_some();
        if other_scale {
            return Err(DiffusionError::config(FILE, "shift_factor", "shifted latents are not supported"));
        }
        Ok(())
    }

    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Result<AutoencoderKL, DiffusionError> {
        self.check()?;
        let moments = self.latent_channels * 2;
        Ok(AutoencoderKL {
            encoder: Encoder::new(self, device),
            decoder: Decoder::new(self, device),
            quant_conv: self.use_quant_conv.then(|| conv1x1(moments, moments, device)),
            post_quant_conv: self
                .use_post_quant_conv
                .then(|| conv1x1(self.latent_channels, self.latent_channels, device)),
        })
    }

    /// How many pixels a latent spans each way.
    pub fn scale_factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

impl AutoencoderKL {
    /// `[batch, 3, height, width]` in −1 to 1 → mean and log variance, each `[batch, latent, h, w]`.
    pub fn encode(&self, sample: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let mut moments = self.encoder.forward(sample);
        if let Some(conv) = &self.quant_conv {
            moments = conv.forward(moments);
        }
        let latent = moments.dims()[1] / 2;
        let mean = moments.clone().narrow(1, 0, latent);
        (mean, moments.narrow(1, latent, latent).clamp(-30.0, 20.0))
    }

    /// `[batch, latent, h, w]` → `[batch, 3, height, width]`, about −1 to 1.
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        })
    }
}
