//! A glance at latents without the whole VAE: a linear fit of what this model's decoder makes of them.

use image::RgbImage;

use crate::DiffusionError;
use crate::models::autoencoders::autoencoder_tiny::AutoencoderTiny;
use crate::noise::{Noise, NoiseGenerator};
use crate::pipelines::stable_diffusion::{StableDiffusion, download};

/// Latents up to this many are decoded in full; it takes no longer than a step.
const DECODED_LATENTS_MAX: usize = 1024;
/// Up to this many TAESD makes a preview of, where it is there: what lies beyond takes it too much memory.
const TINY_LATENTS_MAX: usize = 96 * 96;
/// Side and number of the patches that the fit is made on.
const PATCH: usize = 8;
const PATCHES: usize = 4;

/// Red, green and blue of a pixel as sums over the channels of a latent and a constant.
#[derive(Debug, Clone)]
pub(crate) struct PreviewFit {
    weights: [Vec<f64>; 3],
}

impl PreviewFit {
    /// Decodes a few small patches and solves for the weights by least squares.
    pub(crate) fn of(model: &StableDiffusion) -> Result<Self, DiffusionError> {
        let channels = model.vae_config.latent_channels;
        let cells = PATCH * PATCH;
        let mut noise = Noise::new(NoiseGenerator::ChaCha8, 0);
        // Even squares of 4 × 4, for a preview is about surfaces.
        let latents: Vec<f64> = (0..PATCHES * channels)
            .flat_map(|_| {
                let squares = noise.draw(4);
                (0..cells).map(move |at| squares[at / PATCH / 4 * 2 + at % PATCH / 4])
            })
            .collect();
        let pixels = model.decode(&latents, [PATCHES, channels, PATCH, PATCH])?;
        let factor = model.vae_config.scale_factor();
        let side = PATCH * factor;
        let unknowns = channels + 1;
        let mut products = vec![vec![0.0; unknowns + 3]; unknowns];
        for patch in 0..PATCHES {
            for at in 0..cells {
                let (x, y) = (at % PATCH * factor + factor / 2, at / PATCH * factor + factor / 2);
                let mut row: Vec<f64> =
                    (0..channels).map(|channel| latents[(patch * channels + channel) * cells + at]).collect();
                row.push(1.0);
                for colour in 0..3 {
                    row.push(f64::from(pixels[((patch * 3 + colour) * side + y) * side + x]));
                }
                for (i, products) in products.iter_mut().enumerate() {
                    products.iter_mut().zip(&row).for_each(|(sum, value)| *sum += row[i] * value);
                }
            }
        }
        Ok(Self { weights: solve(products, unknowns) })
    }

    /// One pixel per latent, from one sample.
    fn draw(&self, latents: &[f64], width: usize, height: usize) -> RgbImage {
        let plane = width * height;
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            image::Rgb([0, 1, 2].map(|colour| {
                let weights = &self.weights[colour];
                let channels = weights.len() - 1;
                let sum: f64 = (0..channels).map(|i| weights[i] * latents[i * plane + at]).sum();
                ((sum + weights[channels] + 1.0).clamp(0.0, 2.0) * 127.5).round() as u8
            }))
        })
    }
}

/// Solves the normal equations, whose last three columns are the three right sides.
fn solve(mut rows: Vec<Vec<f64>>, unknowns: usize) -> [Vec<f64>; 3] {
    for (i, row) in rows.iter_mut().enumerate() {
        row[i] += 1e-9;
    }
    for column in 0..unknowns {
        let pivot = rows[column].clone();
        for (i, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let _ = i;
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, by)| *value -= factor * by);
        }
    }
    [0, 1, 2].map(|side| rows.iter().enumerate().map(|(i, row)| row[unknowns + side] / row[i]).collect())
}

/// A small picture of one sample's latents.
pub(crate) fn preview(
    model: &StableDiffusion,
    tiny: Option<&AutoencoderTiny>,
    fit: impl FnOnce() -> Result<PreviewFit, DiffusionError>,
    latents: &[f64],
    [channels, height, width]: [usize; 3],
) -> Result<RgbImage, DiffusionError> {
    let small = |values: Vec<f32>| {
        let factor = model.vae_config.scale_factor();
        let side = |side: usize| (side * factor) as u32;
        crate::image_processor::to_picture(&values, side(width), side(height))
    };
    let shape = [1, channels, height, width];
    if width * height <= DECODED_LATENTS_MAX {
        return Ok(small(model.decode(latents, shape)?));
    }
    if width * height <= TINY_LATENTS_MAX
        && let Some(decoded) = tiny.and_then(|tiny| tiny.decode(model.upload(latents, shape)))
    {
        return Ok(small(download(decoded)?));
    }
    Ok(fit()?.draw(latents, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_world_is_found() {
        // y = 2a - b + 0.5, and its negation, and a constant.
        let mut products = vec![vec![0.0; 6]; 3];
        for (a, b) in [(0.0, 1.0), (1.0, 0.0), (2.0, 5.0), (-1.0, 3.0)] {
            let y = 2.0 * a - b + 0.5;
            let row = [a, b, 1.0, y, -y, 7.0];
            for i in 0..3 {
                for j in 0..6 {
                    products[i][j] += row[i] * row[j];
                }
            }
        }
        let [first, second, third] = solve(products, 3);
        let near = |a: &[f64], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(
            near(&first, [2.0, -1.0, 0.5])
                && near(&second, [-2.0, 1.0, -0.5])
                && near(&third, [0.0, 0.0, 7.0])
        );
    }
}
