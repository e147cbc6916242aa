//! Pixels to numbers and back.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageReader, Limits, RgbImage};

use crate::DiffusionError;
use crate::spec::SIDE_PX_MAX;

/// Most bytes that a decoder may take for a picture.
const DECODED_BYTES_MAX: u64 = 512 << 20;

/// Decodes a picture of `field` that may come from anyone, within `bytes_max` of memory. Sizes are checked before pixels
/// are read.
pub(crate) fn decode(
    field: &'static str,
    bytes: &[u8],
    bytes_max: u64,
) -> Result<DynamicImage, DiffusionError> {
    let refused = |error: &dyn std::fmt::Display| DiffusionError::spec(field, error.to_string());
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| refused(&error))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(4 * SIDE_PX_MAX);
    limits.max_image_height = Some(4 * SIDE_PX_MAX);
    limits.max_alloc = Some(bytes_max);
    reader.limits(limits);
    reader.decode().map_err(|error| refused(&error))
}

/// Refuses a picture whose header says that [`decode`] would refuse it for its size, at three bytes a pixel.
pub(crate) fn check_size(field: &'static str, bytes: &[u8], bytes_max: u64) -> Result<(), DiffusionError> {
    let refused = |error: &dyn std::fmt::Display| DiffusionError::spec(field, error.to_string());
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| refused(&error))?;
    let (width, height) = reader.into_dimensions().map_err(|error| refused(&error))?;
    let pixels_max = bytes_max / 3;
    if width.max(height) > 4 * SIDE_PX_MAX || u64::from(width) * u64::from(height) > pixels_max {
        let side = 4 * SIDE_PX_MAX;
        let reason =
            format!("{width}×{height} is more than {pixels_max} pixels, or a side is longer than {side}");
        return Err(DiffusionError::spec(field, reason));
    }
    Ok(())
}

/// Reads a PNG, JPEG, WebP or GIF for [`crate::GenerateSpec::init_image`]; errors name the field.
pub fn read_init_image(bytes: &[u8]) -> Result<RgbImage, DiffusionError> {
    decode("init_image", bytes, DECODED_BYTES_MAX).map(|picture| picture.to_rgb8())
}

/// Reads one for [`crate::GuideSpec`]. One that is longer than `side_px_max` in either direction is shrunk, at its own shape,
/// so that many of them take no more memory than what is drawn from them needs.
pub fn read_guide_picture(bytes: &[u8], side_px_max: u32) -> Result<RgbImage, DiffusionError> {
    let picture = decode("picture", bytes, DECODED_BYTES_MAX)?;
    let is_large = picture.width().max(picture.height()) > side_px_max;
    let sized = if is_large { picture.thumbnail(side_px_max, side_px_max) } else { picture };
    Ok(sized.into_rgb8())
}

/// Reads one for [`crate::GenerateSpec::mask`].
pub fn read_mask(bytes: &[u8]) -> Result<GrayImage, DiffusionError> {
    decode("mask", bytes, DECODED_BYTES_MAX).map(|picture| picture.to_luma8())
}

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
    fn broken_and_huge_pictures_are_refused_by_field() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(40, 30).write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        assert_eq!(read_init_image(&png).unwrap().dimensions(), (40, 30));
        assert_eq!(read_mask(&png).unwrap().dimensions(), (40, 30));
        let mut huge = png.clone();
        // Width of the header, and its checksum.
        huge[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let cut = &png[..png.len() / 2];
        for bytes in [&huge[..], cut, b"", b"GIF89a", b"not a picture"] {
            let error = read_mask(bytes).unwrap_err();
            assert!(matches!(error, DiffusionError::Spec { field: "mask", .. }), "{error}");
            assert!(read_init_image(bytes).is_err());
        }
    }

    #[test]
    fn a_header_tells_that_a_picture_is_too_large() {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(40, 30).write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        assert!(check_size("pictures", &png, 3600).is_ok());
        assert!(decode("pictures", &png, 3600).is_ok());
        for error in [check_size("pictures", &png, 3599), decode("pictures", &png, 3599).map(|_| ())] {
            assert!(matches!(error, Err(DiffusionError::Spec { field: "pictures", .. })), "{error:?}");
        }
        assert!(check_size("pictures", b"not a picture", 3600).is_err());
    }

    #[test]
    fn pictures_that_lead_are_no_larger_than_they_may_be() {
        let read = |width: u32, height: u32| {
            let picture =
                RgbImage::from_fn(width, height, |x, _| image::Rgb([(x * 255 / width) as u8, 7, 9]));
            let mut png = Cursor::new(Vec::new());
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            (picture, read_guide_picture(&png.into_inner(), 100).unwrap())
        };
        for size in [(100, 40), (40, 100), (1, 1)] {
            let (picture, read) = read(size.0, size.1);
            assert_eq!(read, picture, "{size:?}");
        }
        for (size, shrunk) in [((400, 200), (100, 50)), ((200, 400), (50, 100)), ((3000, 3), (100, 1))] {
            let (_, read) = read(size.0, size.1);
            assert_eq!(read.dimensions(), shrunk, "{size:?}");
            let (first, last) = (read.get_pixel(0, 0).0, read.get_pixel(shrunk.0 - 1, 0).0);
            assert!(first[0] < 8 && last[0] > 245 && (first[1], last[2]) == (7, 9), "{first:?} {last:?}");
        }
    }

    #[test]
    fn pixels_survive_the_way_there_and_back() {
        let picture = RgbImage::from_fn(4, 2, |x, y| image::Rgb([(x * 60) as u8, (y * 200) as u8, 255]));
        let values: Vec<f32> = to_values(&picture, 4, 2).into_iter().map(|value| value as f32).collect();
        assert_eq!(to_picture(&values, 4, 2), picture);
        assert_eq!(to_picture(&[f32::NAN; 3], 1, 1).get_pixel(0, 0).0, [0, 0, 0]);
    }
}
