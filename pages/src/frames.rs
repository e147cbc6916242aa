//! Pictures of one shape, for places that take nothing else.

use image::imageops::replace;
use image::{Rgb, RgbImage};

use crate::error::PageError;
use crate::page::{Pixels, contained};

/// A shape that other places take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Width and height in pixels.
    pub size_px: (u32, u32),
}

/// All of them.
pub const PRESETS: [Preset; 3] = [
    Preset { name: "1:1", size_px: (1080, 1080) },
    Preset { name: "4:5", size_px: (1080, 1350) },
    Preset { name: "9:16", size_px: (1080, 1920) },
];

/// The preset of a name.
pub fn preset(name: &str) -> Option<Preset> {
    PRESETS.into_iter().find(|preset| preset.name == name)
}

/// A scene whole in the middle of a frame: nothing of it is cut off, for bubbles reach its borders. `make` brings its
/// picture at the size that it is asked for.
pub fn framed(
    frame_px: (u32, u32),
    scene_px: (u32, u32),
    background: [u8; 3],
    make: impl FnOnce((u32, u32)) -> Result<RgbImage, PageError>,
) -> Result<RgbImage, PageError> {
    let Pixels { x, y, w, h } = contained(scene_px, frame_px);
    let picture = make((w, h))?;
    if picture.dimensions() != (w, h) {
        return Err(PageError::Picture("the picture has another size than was asked for".into()));
    }
    if (w, h) == frame_px {
        return Ok(picture);
    }
    let mut frame = RgbImage::from_pixel(frame_px.0, frame_px.1, Rgb(background));
    replace(&mut frame, &picture, i64::from(x), i64::from(y));
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_whole_in_the_middle_of_every_preset() {
        for preset in PRESETS {
            let make = |(w, h): (u32, u32)| Ok(RgbImage::from_pixel(w, h, Rgb([9, 9, 9])));
            let frame = framed(preset.size_px, (576, 1024), [255, 255, 255], make).expect("a frame");
            assert_eq!(frame.dimensions(), preset.size_px, "{}", preset.name);
            let shown = frame.pixels().filter(|pixel| pixel.0 == [9, 9, 9]).count() as f64;
            let (width, height) = (f64::from(preset.size_px.0), f64::from(preset.size_px.1));
            let scale = (width / 576.0).min(height / 1024.0);
            assert!((shown / (576.0 * scale * 1024.0 * scale) - 1.0).abs() < 0.01, "{}", preset.name);
            let middle = frame.get_pixel(preset.size_px.0 / 2, preset.size_px.1 / 2);
            assert_eq!(middle.0, [9, 9, 9]);
        }
        assert_eq!(preset("4:5").map(|preset| preset.size_px), Some((1080, 1350)));
        assert_eq!(preset("3:2"), None);
    }
}
