//! The lines of a picture, for ControlNets that were trained on them.

use image::imageops::{FilterType, resize};
use image::{DynamicImage, RgbImage};

/// Gradients from which a line begins and down to which it goes on, as the annotator of ControlNet has them.
const THRESHOLDS: (f32, f32) = (100.0, 200.0);

/// White lines on black by J. Canny, "A Computational Approach to Edge Detection", 1986, at the size of the drawing.
pub(crate) fn lines_of(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let sized = match picture.dimensions() == (width, height) {
        true => picture.clone(),
        false => resize(picture, width, height, FilterType::Lanczos3),
    };
    let grey = DynamicImage::ImageRgb8(sized).to_luma8();
    let lines = imageproc::edges::canny(&grey, THRESHOLDS.0, THRESHOLDS.1);
    DynamicImage::ImageLuma8(lines).to_rgb8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_where_brightness_changes() {
        let square = RgbImage::from_fn(48, 48, |x, y| {
            image::Rgb([if (12..36).contains(&x) && (12..36).contains(&y) { 250 } else { 10 }; 3])
        });
        let lines = lines_of(&square, 48, 48);
        let white: Vec<(u32, u32)> = lines
            .enumerate_pixels()
            .filter(|(.., pixel)| pixel.0 == [255; 3])
            .map(|(x, y, _)| (x, y))
            .collect();
        assert!((60..200).contains(&white.len()), "{}", white.len());
        let near = |at: u32| (9..16).contains(&at) || (32..40).contains(&at);
        assert!(white.iter().all(|(x, y)| near(*x) || near(*y)), "{white:?}");
        assert!(lines_of(&RgbImage::new(16, 16), 24, 8).pixels().all(|pixel| pixel.0 == [0; 3]));
    }
}
