//! `diffusers.models.upsampling`: twice the size.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use crate::models::resnet::conv3x3;
use crate::ops::layers::Conv2d;
use crate::ops::{conv2d, conv2d_by_rows};

/// Shape of an [`Upsample2D`].
#[derive(Config, Debug)]
pub struct Upsample2DConfig {
    /// Channels of input and output.
    pub channels: usize,
}

/// `diffusers.models.upsampling.Upsample2D`: nearest neighbour, then a convolution.
#[derive(Module, Debug)]
pub struct Upsample2D {
    conv: Conv2d,
}

impl Upsample2DConfig {
    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Upsample2D {
        Upsample2D { conv: conv3x3(self.channels, self.channels, device) }
    }
}

impl Upsample2D {
    /// `[batch, channels, height, width]` → `[batch, channels, size…]`; `size` is that of the skip
    /// connection to come, which is not quite double where a size was odd.
    pub fn forward(&self, x: Tensor<4>, size: Option<[usize; 2]>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let size = size.unwrap_or([height * 2, width * 2]);
        if size == [height * 2, width * 2]
            && let Some(grown) = conv2d_by_rows(&self.conv, &x, 2)
        {
            return grown;
        }
        let nearest = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
        conv2d(&self.conv, interpolate(x, nearest))
    }
}
