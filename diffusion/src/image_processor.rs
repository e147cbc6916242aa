//! Pixels to numbers and back.

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

/// A picture as −1 to 1, channel by channel, sized to fit.
pub(crate) fn to_values(picture: &RgbImage, width: u32, height: u32) -> Vec<f64> {
    let sized;
    let picture = match picture.dimensions() == (width, height) {
        true => picture,
        false => {
            sized = imageops::resize(picture, width, height, FilterType::Lanczos3);
            &sized
        }
    };
    let channel = |c: usize| picture.pixels().map(move |pixel| f64::from(pixel.0[c]) / 127.5 - 1.0);
    (0..3).flat_map(channel).collect()
}

/// A picture from about −1 to 1, channel by channel.
pub(crate) fn to_picture(values: &[f32], width: u32, height: u32) -> RgbImage {
    let pixels = (width * height) as usize;
    let byte = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round_ties_even() as u8;
    RgbImage::from_fn(width, height, |x, y| {
        let at = (y * width + x) as usize;
        image::Rgb([0, 1, 2].map(|c| values.get(c * pixels + at).copied().map_or(0, byte)))
    })
}

/// A mask at the size of the picture: 1 is redrawn.
pub(crate) fn to_mask(mask: &GrayImage, width: u32, height: u32) -> Vec<f64> {
    let sized = imageops::resize(mask, width, height, FilterType::Nearest);
    sized.pixels().map(|pixel| if pixel.0[0] >= 128 { 1.0 } else { 0.0 }).collect()
}

/// A mask at the size of the latents, by nearest neighbour as diffusers does it.
pub(crate) fn latent_mask(mask: &[f64], width: usize, height: usize, factor: usize) -> Vec<f64> {
    let rows = (0..height / factor).flat_map(|y| (0..width / factor).map(move |x| (x * factor, y * factor)));
    rows.map(|(x, y)| mask[y * width + x]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_survive_the_way_there_and_back() {
        let picture = RgbImage::from_fn(4, 2, |x, y| image::Rgb([(x * 60) as u8, (y * 200) as u8, 255]));
        let values: Vec<f32> = to_values(&picture, 4, 2).into_iter().map(|value| value as f32).collect();
        assert_eq!(to_picture(&values, 4, 2), picture);
        assert_eq!(to_picture(&[f32::NAN; 3], 1, 1).get_pixel(0, 0).0, [0, 0, 0]);
    }
}
