//! Pillow's `Image.resize` with `BICUBIC`, number for number: picture encoders were trained on what it makes.
//!
//! A row is resized before a column, with a filter as wide as the picture becomes smaller, and each pass is rounded to 8
//! bits. The formulas are those of Pillow's documentation of its filters and R. Keys, "Cubic convolution interpolation for
//! digital image processing", 1981, with a = −1/2.

use image::RgbImage;

/// Bits behind the point of a weight.
const PRECISION: u32 = 22;
/// Pixels on either side of a place that bear on it.
const SUPPORT: f64 = 2.0;

/// Weights of one place: the first pixel that bears on it, and how much each weighs.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

/// A picture of another size.
pub(crate) fn resized_bicubic(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = picture.dimensions();
    let pixel = |channel: &dyn Fn(usize) -> u8| image::Rgb([channel(0), channel(1), channel(2)]);
    let wide = match from_width == width {
        true => picture.clone(),
        false => {
            let taps = taps(from_width as usize, width as usize);
            RgbImage::from_fn(width, from_height, |x, y| {
                let taps = &taps[x as usize];
                let at = |i: usize, c: usize| picture.get_pixel((taps.first + i) as u32, y).0[c];
                pixel(&|c| weighed(taps, &|i| at(i, c)))
            })
        }
    };
    if from_height == height {
        return wide;
    }
    let taps = taps(from_height as usize, height as usize);
    RgbImage::from_fn(width, height, |x, y| {
        let taps = &taps[y as usize];
        let at = |i: usize, c: usize| wide.get_pixel(x, (taps.first + i) as u32).0[c];
        pixel(&|c| weighed(taps, &|i| at(i, c)))
    })
}

fn weighed(taps: &Taps, at: &dyn Fn(usize) -> u8) -> u8 {
    let half = 1i64 << (PRECISION - 1);
    let sum: i64 = taps.weights.iter().enumerate().map(|(i, weight)| weight * i64::from(at(i))).sum();
    ((half + sum) >> PRECISION).clamp(0, 255) as u8
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let wider = scale.max(1.0);
    let support = SUPPORT * wider;
    let of = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end).map(|x| cubic((x as f64 - center + 0.5) / wider)).collect();
        let sum: f64 = weights.iter().sum();
        let whole = |weight: &f64| (weight / sum * f64::from(1u32 << PRECISION)).round() as i64;
        Taps { first, weights: weights.iter().map(whole).collect() }
    };
    (0..to).map(of).collect()
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        _ if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}
