//! The long strip: pictures at one width, one below the other, with gutters in the rhythm of the story.

use std::cell::RefCell;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, GenericImageView, Rgb, RgbImage};

use crate::ahead::{Scenes, ahead};
use crate::encode::{PictureFormat, write_png};
use crate::error::PageError;
use crate::output::Output;

/// Widths of a strip, in pixels.
const WIDTH_PX: std::ops::RangeInclusive<u32> = 64..=2048;
/// Highest picture of a scene, in times the width of the strip.
const PROPORTION_MAX: u32 = 6;
/// Most rows of a JPEG file.
const JPEG_ROWS_MAX: u32 = 65_500;
/// Most rows of a WebP file.
const WEBP_ROWS_MAX: u32 = 16_383;

/// The gap below a scene as a part of the strip's width: the more it holds, the longer the reader scrolls on it. Takes
/// both vocabularies of importance; what is neither counts as `build`.
pub fn gutter_below(importance: &str) -> f32 {
    match importance {
        "setup" | "low" => 0.12,
        "release" => 0.16,
        "climax" | "critical" => 0.28,
        "cliffhanger" => 0.4,
        _ => 0.07,
    }
}

/// A scene of a strip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StripScene {
    /// Width and height of its picture.
    pub size_px: (u32, u32),
    /// The gap below it, as a part of the strip's width.
    pub gutter: f32,
}

/// Where the pictures of a strip lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// What is seen between the pictures.
    pub background: [u8; 3],
    /// Height of each picture and of the gap below it; none below the last.
    scenes: Vec<(u32, u32)>,
}

/// A run of scenes that one file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its scenes, from 0.
    pub scenes: std::ops::Range<usize>,
    /// Its rows.
    pub height: u32,
}

impl Strip {
    /// A strip of a width.
    pub fn new(width: u32, scenes: &[StripScene], background: [u8; 3]) -> Result<Strip, PageError> {
        if !WIDTH_PX.contains(&width) {
            let (least, most) = (WIDTH_PX.start(), WIDTH_PX.end());
            return Err(PageError::OutOfRange(format!("width: {width} px is not within {least} to {most}")));
        }
        if scenes.is_empty() {
            return Err(PageError::NoScenes);
        }
        let (mut placed, mut height) = (Vec::with_capacity(scenes.len()), 0u32);
        for (place, scene) in scenes.iter().enumerate() {
            let (across, down) = (f64::from(scene.size_px.0.max(1)), f64::from(scene.size_px.1));
            let tall = (down * f64::from(width) / across).round().max(1.0);
            if tall > f64::from(width * PROPORTION_MAX) {
                let message = format!(
                    "scene {}: its picture is over {PROPORTION_MAX} times as high as wide",
                    place + 1
                );
                return Err(PageError::OutOfRange(message));
            }
            let is_last = place + 1 == scenes.len();
            let gap = if is_last { 0.0 } else { (scene.gutter.clamp(0.0, 1.0) * width as f32).round() };
            placed.push((tall as u32, gap as u32));
            height = height
                .checked_add(tall as u32 + gap as u32)
                .filter(|height| *height < i32::MAX as u32)
                .ok_or_else(|| PageError::OutOfRange("the strip is higher than any file can be".into()))?;
        }
        Ok(Strip { width, height, background, scenes: placed })
    }

    /// How many scenes there are.
    pub fn scenes(&self) -> usize {
        self.scenes.len()
    }

    /// Width and height at which a scene's picture is shown.
    pub fn shown_px(&self, scene: usize) -> (u32, u32) {
        (self.width, self.scenes[scene].0)
    }

    /// The files that hold the strip. Formats bound the rows of a file; a longer strip goes on in the next one, and no
    /// picture is cut in two.
    pub fn parts(&self, format: PictureFormat) -> Vec<Part> {
        let most = match format {
            PictureFormat::Png => i32::MAX as u32,
            PictureFormat::Jpeg(_) => JPEG_ROWS_MAX,
            PictureFormat::WebP => WEBP_ROWS_MAX,
        };
        let mut parts: Vec<Part> = Vec::new();
        for (place, (tall, gap)) in self.scenes.iter().enumerate() {
            let rows = tall + gap;
            match parts.last_mut().filter(|part| part.height + rows <= most) {
                Some(part) => {
                    part.scenes.end = place + 1;
                    part.height += rows;
                }
                // One scene is below every bound: its picture is at most six widths high and its gap one.
                None => parts.push(Part { scenes: place..place + 1, height: rows }),
            }
        }
        parts
    }

    /// Writes the strip: its files are named `strip.EXTENSION`, or numbered from 1 where there are several. `make` brings
    /// the picture of a scene at the size that it is asked for; the next one is made while one is written.
    pub fn write(
        &self,
        format: PictureFormat,
        mut make: impl FnMut(usize, (u32, u32)) -> Result<RgbImage, PageError> + Send,
        to: &mut dyn Output,
    ) -> Result<Vec<String>, PageError> {
        let parts = self.parts(format);
        ahead(
            self.scenes.len(),
            move |scene| make(scene, self.shown_px(scene)),
            |scenes| {
                let mut names = Vec::with_capacity(parts.len());
                for (number, part) in parts.iter().enumerate() {
                    let name = match parts.len() {
                        1 => format!("strip.{}", format.extension()),
                        _ => format!("strip-{:02}.{}", number + 1, format.extension()),
                    };
                    to.begin(&name)?;
                    let mut rows = Rows::new(self, part.clone(), scenes);
                    match format {
                        PictureFormat::Png => {
                            let size = (self.width, part.height);
                            write_png(&mut *to, size, |stream| {
                                let mut row = vec![0; self.width as usize * 3];
                                for _ in 0..part.height {
                                    rows.fill(&mut row)?;
                                    stream.write_all(&row)?;
                                }
                                Ok(())
                            })?;
                        }
                        PictureFormat::Jpeg(quality) => write_jpeg(rows, quality, to)?,
                        PictureFormat::WebP => write_webp(&mut rows, to)?,
                    }
                    names.push(name);
                }
                Ok(names)
            },
        )
    }

    /// Hands the strip on as pictures of `rows` rows, the last one perhaps fewer.
    pub fn bands(
        &self,
        rows: u32,
        mut make: impl FnMut(usize, (u32, u32)) -> Result<RgbImage, PageError> + Send,
        mut take: impl FnMut(RgbImage) -> Result<(), PageError>,
    ) -> Result<(), PageError> {
        ahead(
            self.scenes.len(),
            move |scene| make(scene, self.shown_px(scene)),
            |scenes| {
                let all = Part { scenes: 0..self.scenes.len(), height: self.height };
                let mut from = Rows::new(self, all, scenes);
                let mut left = self.height;
                while left > 0 {
                    let tall = left.min(rows);
                    let mut band = RgbImage::new(self.width, tall);
                    from.fill(&mut band)?;
                    take(band)?;
                    left -= tall;
                }
                Ok(())
            },
        )
    }
}

/// The rows of a part, from the top; one scene is held at a time.
struct Rows<'a> {
    strip: &'a Strip,
    scenes: &'a mut Scenes,
    part: Part,
    /// The scene that is shown, its next row, and the rows of the gap that are left.
    shown: Option<RgbImage>,
    row: u32,
    gap: u32,
}

impl<'a> Rows<'a> {
    fn new(strip: &'a Strip, part: Part, scenes: &'a mut Scenes) -> Rows<'a> {
        Rows { strip, scenes, part, shown: None, row: 0, gap: 0 }
    }

    /// Writes the next rows, as many as the bytes hold.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), PageError> {
        let row_bytes = self.strip.width as usize * 3;
        for row in bytes.chunks_exact_mut(row_bytes) {
            if self.shown.is_none() && self.gap == 0 && !self.part.scenes.is_empty() {
                let scene = self.part.scenes.start;
                let picture = self.scenes.next_scene()?;
                if picture.dimensions() != self.strip.shown_px(scene) {
                    return Err(PageError::Picture(format!(
                        "scene {}: its picture has another size",
                        scene + 1
                    )));
                }
                self.part.scenes.start += 1;
                (self.shown, self.row, self.gap) = (Some(picture), 0, self.strip.scenes[scene].1);
            }
            match &self.shown {
                Some(picture) => {
                    let at = self.row as usize * row_bytes;
                    row.copy_from_slice(&picture.as_raw()[at..at + row_bytes]);
                    self.row += 1;
                    if self.row == picture.height() {
                        self.shown = None;
                    }
                }
                None => {
                    row.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&self.strip.background));
                    self.gap = self.gap.saturating_sub(1);
                }
            }
        }
        Ok(())
    }
}

fn write_jpeg(rows: Rows<'_>, quality: u8, to: &mut dyn Output) -> Result<(), PageError> {
    let (width, height) = (rows.strip.width, rows.part.height);
    let bands =
        Bands { width, height, now: RefCell::new(Band { rows, top: 0, pixels: Vec::new(), failed: None }) };
    JpegEncoder::new_with_quality(to, quality).encode_image(&bands)?;
    match bands.now.into_inner().failed {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Rows of a block of JPEG.
const BAND_ROWS: u32 = 8;

/// A picture of which eight rows are in memory: the encoder looks at blocks of 8 × 8 pixels, row by row of blocks, and
/// at each pixel once.
struct Bands<'a> {
    width: u32,
    height: u32,
    now: RefCell<Band<'a>>,
}

struct Band<'a> {
    rows: Rows<'a>,
    /// The first row that is in memory.
    top: u32,
    pixels: Vec<u8>,
    /// Why rows are missing; the encoder cannot be stopped from here.
    failed: Option<PageError>,
}

impl GenericImageView for Bands<'_> {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        let mut band = self.now.borrow_mut();
        let row_bytes = self.width as usize * 3;
        while band.failed.is_none() && (y as usize) >= band.top as usize + band.pixels.len() / row_bytes {
            let top = band.top + (band.pixels.len() / row_bytes) as u32;
            let tall = BAND_ROWS.min(self.height.saturating_sub(top)).max(1);
            let mut pixels = std::mem::take(&mut band.pixels);
            pixels.resize(tall as usize * row_bytes, 0);
            band.failed = band.rows.fill(&mut pixels).err();
            (band.top, band.pixels) = (top, pixels);
        }
        let at = (y.saturating_sub(band.top) as usize * self.width as usize + x as usize) * 3;
        match band.pixels.get(at..at + 3) {
            Some(pixel) => Rgb([pixel[0], pixel[1], pixel[2]]),
            None => Rgb([0; 3]),
        }
    }
}

/// A lossless WebP is made from all its pixels at once; its rows are bounded, and so is what this takes.
fn write_webp(rows: &mut Rows<'_>, to: &mut dyn Output) -> Result<(), PageError> {
    let (width, height) = (rows.strip.width, rows.part.height);
    let mut pixels = vec![0; width as usize * height as usize * 3];
    rows.fill(&mut pixels)?;
    Ok(WebPEncoder::new_lossless(to).encode(&pixels, width, height, ExtendedColorType::Rgb8)?)
}

#[cfg(test)]
mod tests;
