//! `diffusers.models.autoencoders.vae`: the halves of the autoencoder.

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Device, Tensor};

use super::autoencoder_kl::AutoencoderKLConfig;
use crate::models::downsampling::{Downsample2D, Downsample2DConfig};
use crate::models::resnet::{ResnetBlock2D, ResnetBlock2DConfig, conv3x3};
use crate::models::unets::unet_2d_blocks::UNetMidBlock2D;
use crate::models::upsampling::{Upsample2D, Upsample2DConfig};
use crate::ops::layers::Conv2d;
use crate::ops::{conv2d, group_norm_silu};

/// `diffusers.models.unets.unet_2d_blocks.DownEncoderBlock2D`.
#[derive(Module, Debug)]
pub struct DownEncoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
}

/// `diffusers.models.unets.unet_2d_blocks.UpDecoderBlock2D`.
#[derive(Module, Debug)]
pub struct UpDecoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    upsamplers: Vec<Upsample2D>,
}

/// `diffusers.models.autoencoders.vae.Encoder`.
#[derive(Module, Debug)]
pub struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownEncoderBlock2D>,
    mid_block: UNetMidBlock2D,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// `diffusers.models.autoencoders.vae.Decoder`.
#[derive(Module, Debug)]
pub struct Decoder {
    conv_in: Conv2d,
    mid_block: UNetMidBlock2D,
    up_blocks: Vec<UpDecoderBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

fn resnets(
    count: usize,
    channels_in: usize,
    channels: usize,
    groups: usize,
    device: &Device,
) -> Vec<ResnetBlock2D> {
    (0..count)
        .map(|i| {
            let channels_in = if i == 0 { channels_in } else { channels };
            ResnetBlock2DConfig::new(channels_in, channels, groups, 1e-6).init(device)
        })
        .collect()
}

impl Encoder {
    /// An encoder whose weights are still to be loaded.
    pub fn new(config: &AutoencoderKLConfig, device: &Device) -> Self {
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let last = channels[channels.len() - 1];
        Self {
            conv_in: conv3x3(config.in_channels, channels[0], device),
            down_blocks: (0..channels.len())
                .map(|i| DownEncoderBlock2D {
                    resnets: resnets(
                        config.layers_per_block,
                        channels[i.saturating_sub(1)],
                        channels[i],
                        groups,
                        device,
                    ),
                    downsamplers: (0..usize::from(i + 1 < channels.len()))
                        .map(|_| Downsample2DConfig::new(channels[i], 0).init(device))
                        .collect(),
                })
                .collect(),
            mid_block: UNetMidBlock2D::new(last, groups, config.mid_block_add_attention, device),
            conv_norm_out: GroupNormConfig::new(groups, last).with_epsilon(1e-6).init(device),
            conv_out: conv3x3(last, config.latent_channels * 2, device),
        }
    }

    /// `[batch, 3, height, width]` in −1 to 1 → `[batch, 2 · latent, height / f, width / f]`.
    pub fn forward(&self, sample: Tensor<4>) -> Tensor<4> {
        let mut x = conv2d(&self.conv_in, sample);
        for block in &self.down_blocks {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            x = block.downsamplers.iter().fold(x, |x, layer| layer.forward(x));
        }
        conv2d(&self.conv_out, group_norm_silu(&self.conv_norm_out, self.mid_block.forward(x)))
    }
}

impl Decoder {
    /// A decoder whose weights are still to be loaded.
    pub fn new(config: &AutoencoderKLConfig, device: &Device) -> Self {
        let groups = config.norm_num_groups;
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let last = channels[channels.len() - 1];
        Self {
            conv_in: conv3x3(config.latent_channels, channels[0], device),
            mid_block: UNetMidBlock2D::new(channels[0], groups, config.mid_block_add_attention, device),
            up_blocks: (0..channels.len())
                .map(|i| UpDecoderBlock2D {
                    resnets: resnets(
                        config.layers_per_block + 1,
                        channels[i.saturating_sub(1)],
                        channels[i],
                        groups,
                        device,
                    ),
                    upsamplers: (0..usize::from(i + 1 < channels.len()))
                        .map(|_| Upsample2DConfig::new(channels[i]).init(device))
                        .collect(),
                })
                .collect(),
            conv_norm_out: GroupNormConfig::new(groups, last).with_epsilon(1e-6).init(device),
            conv_out: conv3x3(last, config.out_channels, device),
        }
    }

    /// `[batch, latent, height, width]` → `[batch, 3, f · height, f · width]`, about −1 to 1.
    pub fn forward(&self, latents: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid_block.forward(conv2d(&self.conv_in, latents));
        for block in &self.up_blocks {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            x = block.upsamplers.iter().fold(x, |x, layer| layer.forward(x, None));
        }
        conv2d(&self.conv_out, group_norm_silu(&self.conv_norm_out, x))
    }
}
