//! Pictures at other sizes, by the cubic of Catmull and Rom (B = 0, C = 0.5 of Mitchell and Netravali's family); where a
//! side shrinks, the cubic is as wide as the pixels that become one.
//!
//! `image`'s own resampling took two thirds of a strip's time: it looks each pixel up, once for each weight. Here a row
//! is summed up from whole rows, and then across.

use image::RgbImage;

/// Which pixels of a side make one, and with which weights.
struct Taps {
    from: usize,
    weights: Vec<f32>,
}

/// The cubic at a distance in pixels.
fn cubic(away: f32) -> f32 {
    let away = away.abs();
    match away {
        _ if away < 1.0 => 1.5 * away.powi(3) - 2.5 * away.powi(2) + 1.0,
        _ if away < 2.0 => -0.5 * away.powi(3) + 2.5 * away.powi(2) - 4.0 * away + 2.0,
        _ => 0.0,
    }
}

fn taps(from: u32, to: u32) -> Vec<Taps> {
    let ratio = from as f32 / to as f32;
    let wide = ratio.max(1.0);
    (0..to)
        .map(|place| {
            let middle = (place as f32 + 0.5) * ratio - 0.5;
            let first = (middle - 2.0 * wide).ceil().max(0.0) as usize;
            let last = ((middle + 2.0 * wide).floor() as usize).min(from as usize - 1);
            let mut weights: Vec<f32> =
                (first..=last.max(first)).map(|pixel| cubic((pixel as f32 - middle) / wide)).collect();
            // At the borders there are fewer, and they count for the whole.
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Taps { from: first, weights }
        })
        .collect()
}

/// A picture at another size; its proportions are the caller's part. A picture without pixels stays as it is.
pub fn scaled(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = picture.dimensions();
    if (from_width, from_height) == (width, height) || from_width == 0 || from_height == 0 {
        return picture.clone();
    }
    let (across, down) = (taps(from_width, width), taps(from_height, height));
    let row_bytes = from_width as usize * 3;
    let source = picture.as_raw();
    let mut bytes = vec![0; width as usize * height as usize * 3];
    let mut sums = vec![0.0f32; row_bytes];
    for (row, taps) in bytes.chunks_exact_mut(width.max(1) as usize * 3).zip(&down) {
        sums.fill(0.0);
        for (place, weight) in taps.weights.iter().enumerate() {
            let from = (taps.from + place) * row_bytes;
            for (sum, part) in sums.iter_mut().zip(&source[from..from + row_bytes]) {
                *sum += f32::from(*part) * weight;
            }
        }
        for (pixel, taps) in row.chunks_exact_mut(3).zip(&across) {
            let mut mixed = [0.5f32; 3];
            let parts = &sums[taps.from * 3..(taps.from + taps.weights.len()) * 3];
            for (part, weight) in parts.chunks_exact(3).zip(&taps.weights) {
                mixed[0] += part[0] * weight;
                mixed[1] += part[1] * weight;
                mixed[2] += part[2] * weight;
            }
            // A number beyond a byte becomes its nearest.
            pixel.copy_from_slice(&mixed.map(|part| part as u8));
        }
    }
    // As many bytes as the picture has.
    RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use image::imageops::{FilterType, resize};

    use super::*;

    #[test]
    fn pictures_are_those_of_the_library_within_rounding() {
        let picture = RgbImage::from_fn(61, 83, |x, y| {
            Rgb([(x * 4) as u8, (y * 3) as u8, if (x / 7 + y / 5) % 2 == 0 { 250 } else { 5 }])
        });
        for (width, height) in [(61, 83), (160, 190), (30, 40), (17, 200), (200, 11), (1, 1), (61, 82)] {
            let (ours, theirs) =
                (scaled(&picture, width, height), resize(&picture, width, height, FilterType::CatmullRom));
            assert_eq!(ours.dimensions(), (width, height));
            let most = ours.iter().zip(theirs.iter()).map(|(one, other)| one.abs_diff(*other)).max();
            assert!(most <= Some(2), "{width} × {height}: {most:?}");
        }
    }

    #[test]
    fn a_plain_picture_stays_plain() {
        let plain = RgbImage::from_pixel(7, 5, Rgb([13, 200, 255]));
        assert!(scaled(&plain, 90, 64).pixels().all(|pixel| pixel.0 == [13, 200, 255]));
        assert_eq!(scaled(&RgbImage::new(0, 0), 4, 4).dimensions(), (0, 0));
    }
}
