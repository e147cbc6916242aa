//! The VAE on large pictures: tile by tile, so that memory does not grow with the picture.
//!
//! A tile's normalisation sees the tile alone, so that its colours may differ a little from those of the whole; overlaps
//! are mixed.

use burn::tensor::Tensor;

use super::stable_diffusion::{StableDiffusion, download};
use crate::DiffusionError;
use crate::tiles::{Tile, Tiling};

impl StableDiffusion {
    /// Scaled latents of one picture after another to pictures in −1 to 1, in tiles where they are large.
    pub(crate) fn decode_tiled(
        &self,
        latents: &[f64],
        [batch, channels, height, width]: [usize; 4],
        tiling: Tiling,
    ) -> Result<Vec<f32>, DiffusionError> {
        let factor = self.vae_config.scale_factor();
        let (rows, columns) = (height * factor, width * factor);
        let mut pictures = vec![0.0f32; batch * 3 * rows * columns];
        let sample = channels * height * width;
        for (latents, picture) in latents.chunks(sample).zip(pictures.chunks_mut(3 * rows * columns)) {
            let mut work = |tile: Tile| {
                let part = cut(latents, [channels, height, width], tile);
                self.decode_whole(&part, [1, channels, tile.height, tile.width])
            };
            let mut row = |y: usize, lines: &[f32]| {
                for (channel, line) in lines.chunks(columns).enumerate() {
                    picture[(channel * rows + y) * columns..][..columns].copy_from_slice(line);
                }
            };
            tiling.run([height, width], 3, factor, &mut work, &mut row)?;
        }
        Ok(pictures)
    }

    /// Mean and log variance of the latents of pictures in −1 to 1, in tiles; lengths of `tiling` count latents.
    pub(crate) fn encode_tiled(
        &self,
        pictures: &[f64],
        [batch, colours, height, width]: [usize; 4],
        tiling: Tiling,
    ) -> Result<(Vec<f32>, Vec<f32>), DiffusionError> {
        let factor = self.vae_config.scale_factor();
        let (rows, columns) = (height / factor, width / factor);
        let channels = self.vae_config.latent_channels;
        let plane = channels * rows * columns;
        let (mut mean, mut log_variance) = (vec![0.0f32; batch * plane], vec![0.0f32; batch * plane]);
        for (place, picture) in pictures.chunks(colours * height * width).enumerate() {
            let mut work = |tile: Tile| {
                let pixels = Tile {
                    top: tile.top * factor,
                    left: tile.left * factor,
                    height: tile.height * factor,
                    width: tile.width * factor,
                };
                let part = cut(picture, [colours, height, width], pixels);
                let shape = [1, colours, pixels.height, pixels.width];
                let (mean, log_variance) = self.encode_whole(self.upload(&part, shape))?;
                download(Tensor::cat(vec![mean, log_variance], 1))
            };
            let mut row = |y: usize, lines: &[f32]| {
                for (channel, line) in lines.chunks(columns).enumerate() {
                    let (to, channel) = match channel.checked_sub(channels) {
                        None => (&mut mean, channel),
                        Some(channel) => (&mut log_variance, channel),
                    };
                    to[place * plane + (channel * rows + y) * columns..][..columns].copy_from_slice(line);
                }
            };
            tiling.run([rows, columns], 2 * channels, 1, &mut work, &mut row)?;
        }
        Ok((mean, log_variance))
    }
}

/// A part of `channels` planes.
fn cut(values: &[f64], [channels, height, width]: [usize; 3], tile: Tile) -> Vec<f64> {
    let mut part = Vec::with_capacity(channels * tile.height * tile.width);
    for channel in 0..channels {
        for y in tile.top..tile.top + tile.height {
            part.extend_from_slice(&values[(channel * height + y) * width + tile.left..][..tile.width]);
        }
    }
    part
}
