//! `diffusers.models.embeddings`: timesteps and sizes as vectors.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::ops::layers::{Linear, LinearConfig};
use crate::ops::silu;

/// `diffusers.models.embeddings.Timesteps`: sinusoids of `channels` frequencies.
#[derive(Debug, Clone)]
pub struct Timesteps {
    /// Length of a vector.
    pub channels: usize,
    /// Cosines first.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies that the largest period spans.
    pub freq_shift: f64,
}

impl Timesteps {
    /// `timesteps` → `[timesteps, channels]`; in double precision, for the angles reach 999.
    pub fn forward(&self, timesteps: &[f64], device: &Device) -> Tensor<2> {
        let half = self.channels / 2;
        let mut values = vec![0.0f32; timesteps.len() * self.channels];
        for (row, &timestep) in values.chunks_mut(self.channels.max(1)).zip(timesteps) {
            for i in 0..half {
                let exponent = -(10_000f64.ln()) * i as f64 / (half as f64 - self.freq_shift);
                let (sin, cos) = (timestep * exponent.exp()).sin_cos();
                let (first, second) = if self.flip_sin_to_cos { (cos, sin) } else { (sin, cos) };
                row[i] = first as f32;
                row[half + i] = second as f32;
            }
        }
        Tensor::from_data(TensorData::new(values, [timesteps.len(), self.channels]), device)
    }
}

/// `diffusers.models.embeddings.TimestepEmbedding`.
#[derive(Module, Debug)]
pub struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    /// A layer whose weights are still to be loaded.
    pub fn new(channels_in: usize, width: usize, device: &Device) -> Self {
        Self {
            linear_1: LinearConfig::new(channels_in, width).init(device),
            linear_2: LinearConfig::new(width, width).init(device),
        }
    }

    /// `[batch, in]` → `[batch, width]`.
    pub fn forward(&self, sample: Tensor<2>) -> Tensor<2> {
        self.linear_2.forward(silu(self.linear_1.forward(sample)))
    }
}
