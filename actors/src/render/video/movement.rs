//! How the view moves over a picture that stands still.

use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};

/// Longest side of a picture that is shown, in pixels.
const SIDE_PX_MAX: u32 = 8192;
/// Memory that decoding one may take, in bytes.
const BYTES_MAX: u64 = 512 << 20;
/// How much nearer the view is at its nearest.
const NEARER: f64 = 1.12;

/// A picture that stands still.
#[derive(Debug)]
pub struct Still {
    picture: RgbImage,
}

impl Still {
    /// Reads a PNG, JPEG, WebP or GIF file.
    pub fn read(file: &[u8]) -> Result<Still, String> {
        let failed = |reason: &dyn std::fmt::Display| format!("it is no picture that can be shown: {reason}");
        let mut reader = image::ImageReader::new(std::io::Cursor::new(file))
            .with_guessed_format()
            .map_err(|error| failed(&error))?;
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(SIDE_PX_MAX);
        limits.max_image_height = Some(SIDE_PX_MAX);
        limits.max_alloc = Some(BYTES_MAX);
        reader.limits(limits);
        let picture = reader.decode().map_err(|error| failed(&error))?.to_rgb8();
        match picture.width().min(picture.height()) {
            0 => Err(failed(&"it is empty")),
            _ => Ok(Still { picture }),
        }
    }
}

/// How the view moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Slowly nearer.
    In,
    /// Slowly away.
    Out,
}

impl Movement {
    /// The movement of the scene at a place: by turns.
    pub fn of(place: usize) -> Movement {
        if place.is_multiple_of(2) { Movement::In } else { Movement::Out }
    }

    /// What is seen of a picture after a part (0 to 1) of the movement. The view has the frame's shape and fills it.
    pub(super) fn view(self, still: &Still, part: f64, (width, height): (u32, u32)) -> RgbImage {
        let picture = &still.picture;
        let part = if self == Movement::In { part } else { 1.0 - part };
        let zoom = 1.0 + (NEARER - 1.0) * part.clamp(0.0, 1.0);
        let (w, h) = (f64::from(picture.width().max(1)), f64::from(picture.height().max(1)));
        let shape = f64::from(width) / f64::from(height.max(1));
        let (seen_w, seen_h) = if w / h > shape { (h * shape, h) } else { (w, w / shape) };
        let side = |length: f64, most: u32| ((length / zoom).round() as u32).clamp(1, most.max(1));
        let (seen_w, seen_h) = (side(seen_w, picture.width()), side(seen_h, picture.height()));
        let (x, y) = ((picture.width() - seen_w) / 2, (picture.height() - seen_h) / 2);
        resize(&*crop_imm(picture, x, y, seen_w, seen_h), width, height, FilterType::Triangle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_fills_the_frame_and_comes_nearer() {
        let picture = Still { picture: RgbImage::from_fn(200, 100, |x, _| image::Rgb([x as u8; 3])) };
        let far = Movement::In.view(&picture, 0.0, (64, 64));
        let near = Movement::In.view(&picture, 1.0, (64, 64));
        assert_eq!((far.dimensions(), near.dimensions()), ((64, 64), (64, 64)));
        // Nearer, less of the left and the right is seen.
        assert!(near.get_pixel(0, 32).0[0] > far.get_pixel(0, 32).0[0]);
        assert_eq!(Movement::Out.view(&picture, 1.0, (64, 64)), far);
        let dot = Still { picture: RgbImage::new(1, 1) };
        assert_eq!(Movement::In.view(&dot, 0.5, (16, 32)).dimensions(), (16, 32));
        assert!(Still::read(b"no picture").is_err());
    }
}
