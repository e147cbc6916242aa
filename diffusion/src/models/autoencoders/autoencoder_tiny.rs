//! `diffusers.models.autoencoders.autoencoder_tiny`: TAESD, a small autoencoder for the latents of another one.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use crate::models::resnet::conv3x3;
use crate::ops::layers::{Conv2d, Conv2dConfig};
use crate::ops::{conv2d, leaky_relu};

/// Latents are kept within ± this, softly, before they are decoded.
const LATENT_MAX: f64 = 3.0;

/// One layer of a half, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TinyLayer {
    /// A convolution of 3 × 3.
    Conv {
        /// Channels that come in.
        channels_in: usize,
        /// Channels that go out.
        channels_out: usize,
        /// Whether it has a bias.
        bias: bool,
        /// 2 where it halves the sides.
        stride: usize,
    },
    /// Three convolutions, added to what came in.
    Block {
        /// Channels throughout.
        channels: usize,
    },
    /// What is below zero becomes zero.
    Relu,
    /// Twice the sides, by nearest neighbour.
    Double,
}

/// `AutoencoderTinyBlock` without a convolution on its shortcut, which no published file has.
#[derive(Module, Debug)]
pub struct AutoencoderTinyBlock {
    conv0: Conv2d,
    conv2: Conv2d,
    conv4: Conv2d,
}

/// `EncoderTiny` or `DecoderTiny`.
#[derive(Module, Debug)]
pub struct TinyHalf {
    convs: Vec<Conv2d>,
    blocks: Vec<AutoencoderTinyBlock>,
    #[module(skip)]
    layers: Vec<TinyLayer>,
}

/// `AutoencoderTiny`; a file may hold one half alone.
#[derive(Debug, Clone)]
pub struct AutoencoderTiny {
    /// Pictures to latents.
    pub encoder: Option<TinyHalf>,
    /// Latents to pictures.
    pub decoder: Option<TinyHalf>,
}

fn relu(x: Tensor<4>) -> Tensor<4> {
    leaky_relu(x, 0.0)
}

impl TinyHalf {
    /// A half whose weights are still to be loaded.
    pub fn new(layers: Vec<TinyLayer>, device: &Device) -> Self {
        let mut half = Self { convs: Vec::new(), blocks: Vec::new(), layers: Vec::new() };
        for layer in &layers {
            match *layer {
                TinyLayer::Conv { channels_in, channels_out, bias, stride } => half.convs.push(
                    Conv2dConfig::new([channels_in, channels_out], [3, 3])
                        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                        .with_stride([stride, stride])
                        .with_bias(bias)
                        .init(device),
                ),
                TinyLayer::Block { channels } => {
                    let conv = || conv3x3(channels, channels, device);
                    half.blocks.push(AutoencoderTinyBlock { conv0: conv(), conv2: conv(), conv4: conv() });
                }
                TinyLayer::Relu | TinyLayer::Double => {}
            }
        }
        Self { layers, ..half }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        let (mut convs, mut blocks) = (self.convs.iter(), self.blocks.iter());
        for layer in &self.layers {
            x = match layer {
                TinyLayer::Conv { .. } => convs.next().map_or(x.clone(), |conv| conv2d(conv, x)),
                TinyLayer::Block { .. } => blocks.next().map_or(x.clone(), |block| block.forward(x)),
                TinyLayer::Relu => relu(x),
                TinyLayer::Double => {
                    let [_, _, height, width] = x.dims();
                    let nearest = InterpolateOptions::new(InterpolateMode::Nearest);
                    interpolate(x, nearest.with_output_size([height * 2, width * 2]))
                }
            };
        }
        x
    }
}

impl AutoencoderTinyBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inner = relu(conv2d(&self.conv0, x.clone()));
        let inner = relu(conv2d(&self.conv2, inner));
        relu(conv2d(&self.conv4, inner) + x)
    }
}

impl AutoencoderTiny {
    /// Latents as the UNet knows them, `[batch, latent, h, w]` → `[batch, 3, height, width]`, about −1 to 1; none without
    /// a decoder.
    pub fn decode(&self, latents: Tensor<4>) -> Option<Tensor<4>> {
        let decoder = self.decoder.as_ref()?;
        Some(decoder.forward((latents / LATENT_MAX).tanh() * LATENT_MAX) * 2.0 - 1.0)
    }

    /// `[batch, 3, height, width]` in −1 to 1 → latents as the UNet knows them; none without an encoder.
    pub fn encode(&self, picture: Tensor<4>) -> Option<Tensor<4>> {
        Some(self.encoder.as_ref()?.forward((picture + 1.0) / 2.0))
    }
}
