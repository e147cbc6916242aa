//! `diffusers.models.resnet`: residual blocks of convolutions.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::ops::layers::{Conv2d, Conv2dConfig, Linear, LinearConfig};
use crate::ops::{conv2d, conv2d_by_rows, group_norm_silu, silu};

/// Shape of a [`ResnetBlock2D`].
#[derive(Config, Debug)]
pub struct ResnetBlock2DConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Groups of both norms.
    pub groups: usize,
    /// Width of the timestep embedding; the VAE has none.
    pub temb_channels: Option<usize>,
    /// The VAE uses 1e-6.
    pub eps: f64,
}

/// `diffusers.models.resnet.ResnetBlock2D`.
#[derive(Module, Debug)]
pub struct ResnetBlock2D {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

/// A 3×3 convolution that keeps the size.
pub(crate) fn conv3x3(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// A 1×1 convolution.
pub(crate) fn conv1x1(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [1, 1]).init(device)
}

impl ResnetBlock2DConfig {
    /// A block whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> ResnetBlock2D {
        let (channels_in, channels) = (self.in_channels, self.out_channels);
        let norm = |channels| GroupNormConfig::new(self.groups, channels).with_epsilon(self.eps).init(device);
        ResnetBlock2D {
            norm1: norm(channels_in),
            conv1: conv3x3(channels_in, channels, device),
            time_emb_proj: self.temb_channels.map(|width| LinearConfig::new(width, channels).init(device)),
            norm2: norm(channels),
            conv2: conv3x3(channels, channels, device),
            conv_shortcut: (channels_in != channels).then(|| conv1x1(channels_in, channels, device)),
        }
    }
}

impl ResnetBlock2D {
    /// `hidden`: `[batch, in, height, width]`, `temb`: `[batch, temb]` → `[batch, out, height, width]`.
    pub fn forward(&self, hidden: Tensor<4>, temb: Option<Tensor<2>>) -> Tensor<4> {
        // First, so that the norm may write over what nothing else holds: the decoder's largest tensors are here.
        let aside = match &self.conv_shortcut {
            Some(shortcut) => {
                conv2d_by_rows(shortcut, &hidden, 1).unwrap_or_else(|| shortcut.forward(hidden.clone()))
            }
            None => hidden.clone(),
        };
        let mut x = conv2d(&self.conv1, group_norm_silu(&self.norm1, hidden));
        if let (Some(project), Some(temb)) = (&self.time_emb_proj, temb) {
            x = x + project.forward(silu(temb)).unsqueeze_dims::<4>(&[2, 3]);
        }
        conv2d(&self.conv2, group_norm_silu(&self.norm2, x)) + aside
    }
}
