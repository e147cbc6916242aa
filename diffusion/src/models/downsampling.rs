//! `diffusers.models.downsampling`: half the size.

use crate::ops::conv2d;
use crate::ops::layers::{Conv2d, Conv2dConfig};
use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::tensor::{Device, Tensor};

/// Shape of a [`Downsample2D`].
#[derive(Config, Debug)]
pub struct Downsample2DConfig {
    /// Channels of input and output.
    pub channels: usize,
    /// The UNet pads by 1 on all sides; the VAE, with 0, on the right and below only.
    pub padding: usize,
}

/// `diffusers.models.downsampling.Downsample2D` with a convolution of stride 2.
#[derive(Module, Debug)]
pub struct Downsample2D {
    conv: Conv2d,
}

impl Downsample2DConfig {
    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Downsample2D {
        let padding = match self.padding {
            0 => PaddingConfig2d::Explicit(0, 0, 1, 1),
            by => PaddingConfig2d::Explicit(by, by, by, by),
        };
        let conv = Conv2dConfig::new([self.channels, self.channels], [3, 3])
            .with_stride([2, 2])
            .with_padding(padding)
            .init(device);
        Downsample2D { conv }
    }
}

impl Downsample2D {
    /// `[batch, channels, height, width]` → `[batch, channels, height / 2, width / 2]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(&self.conv, x)
    }
}
