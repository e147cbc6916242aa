//! `basicsr.archs.rrdbnet_arch`: residual blocks in residual blocks, the network of ESRGAN (X. Wang et al., "ESRGAN:
//! Enhanced Super-Resolution Generative Adversarial Networks", 2018) and Real-ESRGAN.

use burn::module::Module;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use super::pixel_unshuffle;
use crate::models::resnet::conv3x3;
use crate::ops::layers::Conv2d;
use crate::ops::{conv2d, leaky_relu};

/// Slope below zero of every activation.
const SLOPE: f64 = 0.2;
/// How much of a block's result is added to what came in.
const RESIDUAL: f64 = 0.2;

/// Shape of an [`RrdbNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RrdbNetConfig {
    /// Side of the squares of pixels that become channels before the first convolution: 1 where none do.
    pub unshuffle: usize,
    /// Channels throughout.
    pub features: usize,
    /// Channels that each convolution within a block adds.
    pub growth: usize,
    /// Blocks.
    pub blocks: usize,
    /// How often the sides are doubled at the end.
    pub doublings: usize,
}

/// `ResidualDenseBlock`: five convolutions, each of which sees all before it.
#[derive(Module, Debug)]
pub struct ResidualDenseBlock {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    conv4: Conv2d,
    conv5: Conv2d,
}

/// `RRDB`: three of them.
#[derive(Module, Debug)]
pub struct Rrdb {
    rdb1: ResidualDenseBlock,
    rdb2: ResidualDenseBlock,
    rdb3: ResidualDenseBlock,
}

/// `RRDBNet`; `ups` are its `conv_up1`, `conv_up2` and so on.
#[derive(Module, Debug)]
pub struct RrdbNet {
    conv_first: Conv2d,
    body: Vec<Rrdb>,
    conv_body: Conv2d,
    ups: Vec<Conv2d>,
    conv_hr: Conv2d,
    conv_last: Conv2d,
    #[module(skip)]
    unshuffle: usize,
}

impl RrdbNetConfig {
    /// How many times longer the sides become; none where the network makes them shorter.
    pub fn scale(&self) -> Option<usize> {
        let longer = 1 << self.doublings;
        (longer >= self.unshuffle && longer.is_multiple_of(self.unshuffle)).then(|| longer / self.unshuffle)
    }

    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> RrdbNet {
        let (features, growth) = (self.features, self.growth);
        let dense = || ResidualDenseBlock {
            conv1: conv3x3(features, growth, device),
            conv2: conv3x3(features + growth, growth, device),
            conv3: conv3x3(features + 2 * growth, growth, device),
            conv4: conv3x3(features + 3 * growth, growth, device),
            conv5: conv3x3(features + 4 * growth, features, device),
        };
        let plain = || conv3x3(features, features, device);
        RrdbNet {
            conv_first: conv3x3(3 * self.unshuffle * self.unshuffle, features, device),
            body: (0..self.blocks).map(|_| Rrdb { rdb1: dense(), rdb2: dense(), rdb3: dense() }).collect(),
            conv_body: plain(),
            ups: (0..self.doublings).map(|_| plain()).collect(),
            conv_hr: plain(),
            conv_last: conv3x3(features, 3, device),
            unshuffle: self.unshuffle,
        }
    }
}

impl ResidualDenseBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut seen = vec![x.clone()];
        for conv in [&self.conv1, &self.conv2, &self.conv3, &self.conv4] {
            let all = if seen.len() == 1 { x.clone() } else { Tensor::cat(seen.clone(), 1) };
            seen.push(leaky_relu(conv2d(conv, all), SLOPE));
        }
        conv2d(&self.conv5, Tensor::cat(seen, 1)) * RESIDUAL + x
    }
}

impl RrdbNet {
    /// `[batch, 3, height, width]` in 0 to 1, both sides multiples of `unshuffle` → `[batch, 3, …]`, longer by the scale.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.unshuffle > 1 { pixel_unshuffle(x, self.unshuffle) } else { x };
        let first = conv2d(&self.conv_first, x);
        let body = self.body.iter().fold(first.clone(), |x, block| {
            let inner = block.rdb3.forward(block.rdb2.forward(block.rdb1.forward(x.clone())));
            inner * RESIDUAL + x
        });
        let mut x = first + conv2d(&self.conv_body, body);
        for conv in &self.ups {
            let [_, _, height, width] = x.dims();
            let nearest = InterpolateOptions::new(InterpolateMode::Nearest);
            let x2 = interpolate(x, nearest.with_output_size([height * 2, width * 2]));
            x = leaky_relu(conv2d(conv, x2), SLOPE);
        }
        conv2d(&self.conv_last, leaky_relu(conv2d(&self.conv_hr, x), SLOPE))
    }
}
