//! `realesrgan.archs.srvgg_arch`: a small network of convolutions one after another, for what must be fast.

use burn::module::{Module, Param};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use super::pixel_shuffle;
use crate::models::resnet::conv3x3;
use crate::ops::conv2d;
use crate::ops::layers::Conv2d;

/// Shape of an [`SrvggNetCompact`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrvggNetCompactConfig {
    /// Channels throughout.
    pub features: usize,
    /// Convolutions between the first and the last.
    pub convs: usize,
    /// How many times longer the sides become.
    pub scale: usize,
}

/// `torch.nn.PReLU`: a slope below zero for each channel.
#[derive(Module, Debug)]
pub struct Prelu {
    weight: Param<Tensor<1>>,
}

/// `SRVGGNetCompact`; its `body` holds `convs` and `activations` in turn.
#[derive(Module, Debug)]
pub struct SrvggNetCompact {
    convs: Vec<Conv2d>,
    activations: Vec<Prelu>,
    #[module(skip)]
    scale: usize,
}

impl SrvggNetCompactConfig {
    /// A network whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> SrvggNetCompact {
        let features = self.features;
        let mut convs = vec![conv3x3(3, features, device)];
        convs.extend((0..self.convs).map(|_| conv3x3(features, features, device)));
        convs.push(conv3x3(features, 3 * self.scale * self.scale, device));
        let slope = |_| Prelu { weight: Param::from_tensor(Tensor::zeros([features], device)) };
        SrvggNetCompact { convs, activations: (0..=self.convs).map(slope).collect(), scale: self.scale }
    }
}

impl Prelu {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let slopes = self.weight.val().unsqueeze_dims::<4>(&[0, 2, 3]);
        x.clone().clamp_min(0.0) + slopes * x.clamp_max(0.0)
    }
}

impl SrvggNetCompact {
    /// `[batch, 3, height, width]` in 0 to 1 → `[batch, 3, scale · height, scale · width]`: what is added to the nearest
    /// pixels.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let nearest = InterpolateOptions::new(InterpolateMode::Nearest)
            .with_output_size([height * self.scale, width * self.scale]);
        let base = interpolate(x.clone(), nearest);
        let mut x = x;
        for (place, conv) in self.convs.iter().enumerate() {
            x = conv2d(conv, x);
            if let Some(activation) = self.activations.get(place) {
                x = activation.forward(x);
            }
        }
        base + pixel_shuffle(x, self.scale)
    }
}
