//! A part of a picture that is drawn by itself and put back: the masked part at the size that the model draws best, or what lies
//! beyond the picture's edges.

use diffusion::{Noise, NoiseGenerator};
use image::imageops::{FilterType, crop_imm, resize};
use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::job_scheduler::{Outpaint, OutpaintFill, PasteWork};

/// From here on a pixel of a mask is redrawn.
const BRIGHT: u8 = 128;
/// The seed of the noise beyond the edges, the same for all pictures of a job.
const FILL_SEED: u64 = 0;

/// What is drawn, and how it is put back.
pub(super) struct Part {
    /// The picture to begin with.
    pub init_image: RgbImage,
    /// Where it may change.
    pub mask: GrayImage,
    paste: Paste,
}

/// Where what was drawn goes.
struct Paste {
    canvas: RgbImage,
    /// How much of what was drawn is seen at each pixel of the canvas.
    shown: GrayImage,
    /// The first column and row, and the size, of the part.
    at: [u32; 4],
}

impl Part {
    /// The part of a picture that a job draws. `size_px` is the size at which it is drawn. A message names the field.
    pub fn of(
        work: &PasteWork,
        picture: RgbImage,
        mask: Option<GrayImage>,
        size_px: (u32, u32),
    ) -> Result<Part, String> {
        let mask = mask.map(|mask| match mask.dimensions() == picture.dimensions() {
            true => mask,
            false => resize(&mask, picture.width(), picture.height(), FilterType::Nearest),
        });
        let (canvas, mask) = match work.outpaint {
            Some(outpaint) => extended(&outpaint, &picture, mask.as_ref(), work.feather_px),
            None => (picture, mask.ok_or("mask_image_url: missing: which part is drawn?")?),
        };
        let at = match work.padding_px {
            Some(padding) => {
                let found =
                    bounds(&mask).ok_or("mask_image_url: nothing in it is bright, so nothing is drawn")?;
                window(found, padding, canvas.dimensions(), size_px)
            }
            None => [0, 0, canvas.width(), canvas.height()],
        };
        let [left, top, width, height] = at;
        Ok(Part {
            init_image: crop_imm(&canvas, left, top, width, height).to_image(),
            mask: crop_imm(&mask, left, top, width, height).to_image(),
            paste: Paste { shown: feathered(&mask, work.feather_px), canvas, at },
        })
    }

    /// The whole picture with what was drawn in its place.
    pub fn put_back(&self, drawn: &RgbImage) -> RgbImage {
        let Paste { canvas, shown, at: [left, top, width, height] } = &self.paste;
        let sized;
        let drawn = match drawn.dimensions() == (*width, *height) {
            true => drawn,
            false => {
                sized = resize(drawn, *width, *height, FilterType::Lanczos3);
                &sized
            }
        };
        let mut whole = canvas.clone();
        for (x, y, pixel) in drawn.enumerate_pixels() {
            let (to_x, to_y) = (left + x, top + y);
            let share = u32::from(shown.get_pixel(to_x, to_y).0[0]);
            let before = whole.get_pixel_mut(to_x, to_y);
            for (before, after) in before.0.iter_mut().zip(pixel.0) {
                *before = ((u32::from(*before) * (255 - share) + u32::from(after) * share + 127) / 255) as u8;
            }
        }
        whole
    }
}

/// The picture with what is added, and a mask of that and of what borders on it.
fn extended(
    outpaint: &Outpaint,
    picture: &RgbImage,
    mask: Option<&GrayImage>,
    feather_px: u32,
) -> (RgbImage, GrayImage) {
    let (width, height) = outpaint.size_px(picture.width(), picture.height());
    let inner = |at: u32, before: u32, side: u32| at.saturating_sub(before).min(side - 1);
    let mut noise = Noise::new(NoiseGenerator::ChaCha8, FILL_SEED);
    let is_added = |x: u32, y: u32| {
        let beyond = |at: u32, before: u32, side: u32| at < before || at >= before + side;
        beyond(x, outpaint.left, picture.width()) || beyond(y, outpaint.top, picture.height())
    };
    let canvas = RgbImage::from_fn(width, height, |x, y| {
        if is_added(x, y) && outpaint.fill == OutpaintFill::Noise {
            let values = noise.draw(3);
            return Rgb(
                [0, 1, 2].map(|channel: usize| (values[channel] * 50.0 + 127.5).clamp(0.0, 255.0) as u8)
            );
        }
        *picture.get_pixel(inner(x, outpaint.left, picture.width()), inner(y, outpaint.top, picture.height()))
    });
    // The first pixels within are drawn too, so that there is something to fade into.
    let near = |x: u32, y: u32| {
        let is_near = |at: u32, before: u32, side: u32, after: u32| {
            let inside = at.wrapping_sub(before);
            (before > 0 && inside < feather_px) || (after > 0 && inside < side && side - inside <= feather_px)
        };
        let (right, bottom) =
            (width - outpaint.left - picture.width(), height - outpaint.top - picture.height());
        is_near(x, outpaint.left, picture.width(), right)
            || is_near(y, outpaint.top, picture.height(), bottom)
    };
    let mask = GrayImage::from_fn(width, height, |x, y| {
        let is_masked = mask.is_some_and(|mask| {
            !is_added(x, y) && mask.get_pixel(x - outpaint.left, y - outpaint.top).0[0] >= BRIGHT
        });
        Luma([if is_added(x, y) || near(x, y) || is_masked { 255 } else { 0 }])
    });
    (canvas, mask)
}

/// First column and row, and last ones, of what is bright.
fn bounds(mask: &GrayImage) -> Option<[u32; 4]> {
    let bright = mask.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] >= BRIGHT);
    bright.fold(None, |found: Option<[u32; 4]>, (x, y, _)| {
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    })
}

/// A part around what is bright, of the shape in which it is drawn as far as the picture reaches.
fn window(
    [left, top, right, bottom]: [u32; 4],
    padding: u32,
    (width, height): (u32, u32),
    (drawn_width, drawn_height): (u32, u32),
) -> [u32; 4] {
    let (left, top) = (left.saturating_sub(padding), top.saturating_sub(padding));
    let right = right.saturating_add(padding).min(width - 1);
    let bottom = bottom.saturating_add(padding).min(height - 1);
    let (mut across, mut down) = (right - left + 1, bottom - top + 1);
    let shape = f64::from(drawn_width) / f64::from(drawn_height.max(1));
    if f64::from(across) < f64::from(down) * shape {
        across = ((f64::from(down) * shape).round() as u32).clamp(across, width);
    } else {
        down = ((f64::from(across) / shape).round() as u32).clamp(down, height);
    }
    let centred =
        |from: u32, had: u32, has: u32, side: u32| from.saturating_sub((has - had) / 2).min(side - has);
    [
        centred(left, right - left + 1, across, width),
        centred(top, bottom - top + 1, down, height),
        across,
        down,
    ]
}

/// A mask whose edge fades inwards over so many pixels: nothing beyond it is seen, and all from `feather_px` on within.
fn feathered(mask: &GrayImage, feather_px: u32) -> GrayImage {
    let mut far: Vec<u32> =
        mask.pixels().map(|pixel| if pixel.0[0] >= BRIGHT { u32::MAX } else { 0 }).collect();
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    // How many steps each pixel is from what is not drawn: forth and back over the picture.
    let mut near = |at: usize, from: Option<usize>| {
        if let Some(from) = from {
            far[at] = far[at].min(far[from].saturating_add(1));
        }
    };
    for at in 0..width * height {
        near(at, (at % width > 0).then(|| at - 1));
        near(at, at.checked_sub(width));
    }
    for at in (0..width * height).rev() {
        near(at, (at % width + 1 < width).then(|| at + 1));
        near(at, Some(at + width).filter(|below| *below < width * height));
    }
    let shown = |steps: u32| match steps {
        0 => 0,
        steps if steps > feather_px => 255,
        steps => (u64::from(steps) * 255 / (u64::from(feather_px) + 1)) as u8,
    };
    GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
        Luma([shown(far[y as usize * width + x as usize])])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 32, |x, y| Rgb([x as u8 * 5, y as u8 * 7, 30]))
    }

    fn masked(left: u32, top: u32, side: u32) -> GrayImage {
        let within = |at: u32, from: u32| (from..from + side).contains(&at);
        GrayImage::from_fn(40, 32, |x, y| Luma([if within(x, left) && within(y, top) { 255 } else { 0 }]))
    }

    #[test]
    fn the_masked_part_alone_is_drawn_and_put_back() {
        let work = PasteWork { padding_px: Some(4), feather_px: 2, outpaint: None };
        let part = Part::of(&work, picture(), Some(masked(10, 8, 8)), (64, 64)).expect("a part");
        assert_eq!((part.init_image.dimensions(), part.mask.dimensions()), ((16, 16), (16, 16)));
        assert_eq!(part.init_image.get_pixel(0, 0), picture().get_pixel(6, 4));
        let whole = part.put_back(&RgbImage::from_pixel(64, 64, Rgb([255; 3])));
        assert_eq!(whole.dimensions(), (40, 32));
        for (x, y, pixel) in whole.enumerate_pixels() {
            let is_inside = (10..18).contains(&x) && (8..16).contains(&y);
            assert!(is_inside || pixel == picture().get_pixel(x, y), "{x} {y}");
        }
        // In the middle all of it, at the edge a third.
        assert_eq!(whole.get_pixel(14, 12).0, [255; 3]);
        assert_eq!(whole.get_pixel(10, 12).0[2], ((30 * 170 + 255 * 85 + 127) / 255) as u8);
        // The part takes the shape that is drawn, and stays within the picture.
        let wide = Part::of(&work, picture(), Some(masked(0, 0, 8)), (128, 64)).expect("a part");
        assert_eq!(wide.init_image.dimensions(), (24, 12));
        let error = Part::of(&work, picture(), Some(GrayImage::new(40, 32)), (64, 64)).err();
        assert!(error.is_some_and(|error| error.starts_with("mask_image_url: nothing")));
        assert!(Part::of(&work, picture(), None, (64, 64)).is_err());
    }

    #[test]
    fn what_is_added_is_drawn_and_the_picture_stays() {
        for fill in [OutpaintFill::Edge, OutpaintFill::Noise] {
            let outpaint = Outpaint { left: 16, right: 3, fill, ..Outpaint::default() };
            let work = PasteWork { padding_px: None, feather_px: 4, outpaint: Some(outpaint) };
            assert_eq!(outpaint.size_px(40, 32), (64, 32));
            let part = Part::of(&work, picture(), None, (64, 32)).expect("a part");
            assert_eq!(part.init_image.dimensions(), (64, 32));
            let bright = |x: u32| part.mask.get_pixel(x, 10).0[0] == 255;
            assert!(bright(0) && bright(19) && !bright(20) && !bright(51) && bright(52) && bright(63));
            let edge = part.init_image.get_pixel(2, 10) == picture().get_pixel(0, 10);
            assert_eq!(edge, fill == OutpaintFill::Edge);
            let whole = part.put_back(&RgbImage::from_pixel(64, 32, Rgb([255; 3])));
            assert_eq!(whole.get_pixel(0, 0).0, [255; 3]);
            assert_eq!(whole.get_pixel(16 + 20, 9), picture().get_pixel(20, 9));
            let again = Part::of(&work, picture(), None, (64, 32)).expect("a part");
            assert_eq!(again.init_image, part.init_image);
        }
    }
}
