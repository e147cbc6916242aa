//! How far two pictures that were drawn here are apart, and what their records say of why.

use std::io::Cursor;

use image::{ImageReader, RgbImage};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::picture_record::{ComputedWith, PictureRecord};

/// Peak signal-to-noise ratio from which two pictures count as close, in dB: what another processor or graphics card
/// rounds otherwise is nearer, other weights or another seed are further apart.
pub const CLOSE_DB: f64 = 30.0;

/// What a picture is to the one that was drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every pixel is the same.
    Equal,
    /// Some pixels differ, by [`CLOSE_DB`] or more.
    Close,
    /// They differ by less.
    Different,
}

/// How far two pictures are apart, over all three channels of all pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The mean difference, 0 to 255.
    pub mean: f64,
    /// The largest difference, 0 to 255.
    pub max: u8,
    /// Share of the pixels that differ, 0 to 1.
    pub pixels_share: f64,
    /// Peak signal-to-noise ratio, 10·log₁₀(255² / mean squared difference), in dB; `None` where nothing differs.
    pub psnr_db: Option<f64>,
}

/// Something that was otherwise when the picture was drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The member of the record.
    pub field: &'static str,
    /// What the picture's record says.
    pub recorded: Json,
    /// What it was drawn again with.
    pub here: Json,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The verdict.
    pub result: Verdict,
    /// How far they are apart; `None` of pictures of two sizes.
    pub distance: Option<Distance>,
    /// What was otherwise. A difference of the pixels with none here means that the file was changed after it was
    /// drawn, or drawn by a processor that rounds otherwise, which is close.
    pub differences: Vec<Difference>,
}

/// Compares a PNG file with the one that was drawn again from its record.
pub fn compare(given: &[u8], again: &[u8]) -> Result<Comparison, String> {
    let differences = differences(&PictureRecord::of_png(given)?, &PictureRecord::of_png(again)?);
    let (given, again) = (pixels(given)?, pixels(again)?);
    if given.dimensions() != again.dimensions() {
        return Ok(Comparison { result: Verdict::Different, distance: None, differences });
    }
    let distance = distance(&given, &again);
    let result = match distance.psnr_db {
        None => Verdict::Equal,
        Some(db) if db >= CLOSE_DB => Verdict::Close,
        Some(_) => Verdict::Different,
    };
    Ok(Comparison { result, distance: Some(distance), differences })
}

/// Refuses a file whose size is not that of its record, before its pixels are read.
pub fn check_size(bytes: &[u8], record: &PictureRecord) -> Result<(), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let size = reader.map_err(image::ImageError::IoError).and_then(ImageReader::into_dimensions);
    let (width, height) = size.map_err(|error| error.to_string())?;
    let drawn = record.spec.size_px();
    match (width, height) == drawn {
        true => Ok(()),
        false => Err(format!(
            "it has {width}×{height} pixels, and was drawn with {}×{}: it was scaled or cut",
            drawn.0, drawn.1
        )),
    }
}

fn pixels(bytes: &[u8]) -> Result<RgbImage, String> {
    let picture = image::load_from_memory_with_format(bytes, image::ImageFormat::Png);
    Ok(picture.map_err(|error| error.to_string())?.to_rgb8())
}

fn distance(given: &RgbImage, again: &RgbImage) -> Distance {
    let (mut sum, mut squares, mut max, mut pixels) = (0u64, 0u64, 0u8, 0u64);
    for (one, other) in given.pixels().zip(again.pixels()) {
        let apart = [0, 1, 2].map(|channel: usize| one.0[channel].abs_diff(other.0[channel]));
        pixels += u64::from(apart != [0; 3]);
        for apart in apart {
            sum += u64::from(apart);
            squares += u64::from(apart).pow(2);
            max = max.max(apart);
        }
    }
    let count = (u64::from(given.width()) * u64::from(given.height())).max(1) as f64;
    let psnr = |squares: f64| 10.0 * (255.0f64.powi(2) * 3.0 * count / squares).log10();
    Distance {
        mean: sum as f64 / (3.0 * count),
        max,
        pixels_share: pixels as f64 / count,
        psnr_db: (squares > 0).then(|| psnr(squares as f64)),
    }
}

fn differences(recorded: &PictureRecord, here: &PictureRecord) -> Vec<Difference> {
    let hashes = |record: &PictureRecord| -> Json {
        record.spec.loras.iter().map(|lora| json!({"name": lora["name"], "hash": lora["hash"]})).collect()
    };
    let second =
        |record: &PictureRecord| json!(record.spec.refiner.as_ref().map(|refiner| &refiner.weights_hash));
    // What an earlier version did not write is not otherwise.
    let computed = |record: &PictureRecord, of: fn(&ComputedWith) -> &String| match &recorded.computed {
        Some(_) => json!(record.computed.as_ref().map(of)),
        None => Json::Null,
    };
    let (spec, again) = (&recorded.spec, &here.spec);
    let members = [
        ("weights_hash", json!(recorded.weights_hash), json!(here.weights_hash)),
        ("loras", hashes(recorded), hashes(here)),
        ("embeddings", json!(spec.embeddings), json!(again.embeddings)),
        ("vae", json!(spec.vae), json!(again.vae)),
        ("refiner", second(recorded), second(here)),
        ("upscaler_hash", json!(spec.upscaler_hash), json!(again.upscaler_hash)),
        ("guides", spec.guides.clone(), again.guides.clone()),
        ("weights", computed(recorded, |it| &it.weights), computed(here, |it| &it.weights)),
        ("device", computed(recorded, |it| &it.device), computed(here, |it| &it.device)),
        ("reference_hash", json!(spec.reference_hash), json!(again.reference_hash)),
        ("mask_hash", json!(spec.mask_hash), json!(again.mask_hash)),
        ("noise", json!(spec.noise), json!(again.noise)),
        ("clip_skip", json!(spec.clip_skip), json!(again.clip_skip)),
        ("version", json!(recorded.version), json!(here.version)),
    ];
    let differ = members.into_iter().filter(|(_, recorded, here)| recorded != here);
    differ.map(|(field, recorded, here)| Difference { field, recorded, here }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_that_of_the_formula() {
        let black = RgbImage::new(2, 2);
        let mut spotted = black.clone();
        assert_eq!(distance(&black, &spotted).psnr_db, None);
        spotted.put_pixel(0, 0, image::Rgb([0, 51, 0]));
        let found = distance(&black, &spotted);
        assert_eq!((found.max, found.pixels_share, found.mean), (51, 0.25, 4.25));
        // The mean squared difference is 51² / 12.
        let expected = 10.0 * (255.0f64 * 255.0 * 12.0 / (51.0 * 51.0)).log10();
        assert!(found.psnr_db.is_some_and(|db| (db - expected).abs() < 1e-9), "{found:?}");
    }
}
