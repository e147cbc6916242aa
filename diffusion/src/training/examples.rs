//! Pictures with captions as the networks take them.

use burn::tensor::Tensor;
use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::DiffusionError;
use crate::image_processor::{check_size, decode, to_values};
use crate::models::unets::unet_2d_condition::AddedConditions;
use crate::pipelines::stable_diffusion::StableDiffusion;

/// A picture to learn from: the middle square of a larger one, which need not stay in memory.
#[derive(Debug, Clone)]
pub struct TrainingPicture {
    square: RgbImage,
    caption: String,
    /// Height and width of the picture that it was cut from, top and left of the cut at the size of the square.
    frame: [f64; 4],
}

impl TrainingPicture {
    /// The middle of a picture as a square of `side` pixels, the training's `resolution`. Words of the caption beyond one
    /// row of the text encoder are left out.
    pub fn cut(picture: &RgbImage, side: u32, caption: String) -> Self {
        let (width, height) = picture.dimensions();
        let (square, [top, left]) = middle_square(picture, side);
        Self { square, caption, frame: [f64::from(height), f64::from(width), top, left] }
    }

    /// Reads a PNG, JPEG, WebP or GIF and cuts it so. Errors name the field `pictures`.
    pub fn read(bytes: &[u8], side: u32, caption: String) -> Result<Self, DiffusionError> {
        Ok(Self::cut(&decode("pictures", bytes, PICTURE_BYTES_MAX)?.to_rgb8(), side, caption))
    }

    /// Refuses a file that [`TrainingPicture::read`] would refuse for its kind or size, without reading its pixels.
    pub fn check(bytes: &[u8]) -> Result<(), DiffusionError> {
        check_size("pictures", bytes, PICTURE_BYTES_MAX)
    }

    /// The square.
    pub fn picture(&self) -> &RgbImage {
        &self.square
    }

    /// What is to be seen in it.
    pub fn caption(&self) -> &str {
        &self.caption
    }
}

/// Most bytes that the pixels of one picture may take while it is read: about 44 million pixels of three bytes.
const PICTURE_BYTES_MAX: u64 = 128 << 20;

/// A picture in latents and a caption in ids.
#[derive(Debug, Clone)]
pub(super) struct Example {
    /// Mean of the latents, before the scaling factor.
    mean: Vec<f32>,
    deviation: Vec<f32>,
    scale: f64,
    /// A row for each text encoder.
    ids: Vec<Vec<u32>>,
    /// SDXL: original height and width, top and left of the cut, height and width.
    time_ids: Vec<f64>,
}

/// What a caption means to the UNet.
#[derive(Debug, Clone)]
pub(super) struct Caption {
    pub embeds: Tensor<3>,
    pub pooled: Option<Tensor<2>>,
}

/// The largest square in the middle, at `side` pixels, and where it lay in the picture that was sized so: top, left.
fn middle_square(picture: &RgbImage, side: u32) -> (RgbImage, [f64; 2]) {
    let (width, height) = picture.dimensions();
    let shorter = width.min(height).max(1);
    let (left, top) = ((width - shorter.min(width)) / 2, (height - shorter.min(height)) / 2);
    let cut = imageops::crop_imm(picture, left, top, shorter, shorter).to_image();
    let by = f64::from(side) / f64::from(shorter);
    let place = [(f64::from(top) * by).round(), (f64::from(left) * by).round()];
    match shorter == side {
        true => (cut, place),
        false => (imageops::resize(&cut, side, side, FilterType::Lanczos3), place),
    }
}

impl Example {
    pub fn new(model: &StableDiffusion, from: &TrainingPicture, side: u32) -> Result<Self, DiffusionError> {
        if from.square.dimensions() != (side, side) {
            let (width, height) = from.square.dimensions();
            let reason = format!("one is cut to {width}×{height}, not to the resolution of {side}");
            return Err(DiffusionError::spec("pictures", reason));
        }
        let pixels = to_values(&from.square, side, side);
        let (mean, deviation) = model.encode(&pixels, [1, 3, side as usize, side as usize])?;
        let row = |encoder: &crate::pipelines::stable_diffusion::TextEncoder| {
            encoder.tokenizer.encode_row(&from.caption)
        };
        let [height, width, top, left] = from.frame;
        let side = f64::from(side);
        Ok(Self {
            mean,
            deviation,
            scale: model.vae_config.scaling_factor,
            ids: model.text_encoders.iter().map(row).collect::<Result<_, _>>()?,
            time_ids: vec![height, width, top, left, side, side],
        })
    }

    /// An example of latents that are known, before the scaling factor, of ids for each text encoder, and of SDXL's sizes.
    #[cfg(test)]
    pub fn of_latents(mean: Vec<f32>, scale: f64, ids: Vec<Vec<u32>>, time_ids: Vec<f64>) -> Self {
        let deviation = vec![0.0; mean.len()];
        Self { mean, deviation, scale, ids, time_ids }
    }

    /// How many numbers its latents are.
    pub fn len(&self) -> usize {
        self.mean.len()
    }

    /// One sample of its latents, as the UNet wants them.
    pub fn latents(&self, noise: &[f64]) -> Vec<f64> {
        let sample = self.mean.iter().zip(&self.deviation).zip(noise);
        sample.map(|((&mean, &by), noise)| (f64::from(mean) + f64::from(by) * noise) * self.scale).collect()
    }

    /// What its caption means to `model`'s text encoders.
    pub fn caption(&self, model: &StableDiffusion) -> Caption {
        let mut embeds = Vec::with_capacity(self.ids.len());
        let mut pooled = None;
        for (encoder, ids) in model.text_encoders.iter().zip(&self.ids) {
            let output = encoder.model.forward(std::slice::from_ref(ids), None, &model.device);
            embeds.push(encoder.states(&output, model.xl, 0));
            pooled = output.text_embeds.or(pooled);
        }
        Caption { embeds: Tensor::cat(embeds, 2), pooled }
    }

    /// What SDXL knows beside the caption.
    pub fn added(&self, caption: &Caption) -> Option<AddedConditions> {
        let text_embeds = caption.pooled.clone()?;
        Some(AddedConditions { text_embeds, time_ids: vec![self.time_ids.clone()] })
    }

    /// Feeds all that bears on the training to `hasher`.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for value in self.mean.iter().chain(&self.deviation) {
            hasher.update(&value.to_le_bytes());
        }
        for id in self.ids.iter().flatten() {
            hasher.update(&id.to_le_bytes());
        }
        for value in &self.time_ids {
            hasher.update(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_wide_picture_is_taken() {
        let picture = RgbImage::from_fn(12, 4, |x, _| image::Rgb([x as u8 * 20, 0, 0]));
        let (square, place) = middle_square(&picture, 4);
        assert_eq!((square.dimensions(), place), ((4, 4), [0.0, 4.0]));
        assert_eq!(square.get_pixel(0, 0).0[0], 80);
        let (small, place) = middle_square(&picture, 2);
        assert_eq!((small.dimensions(), place), ((2, 2), [0.0, 2.0]));
    }
}
