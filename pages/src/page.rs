//! A page out of panels: each picture fills its rectangle of the layout, with gutters in between.

use image::imageops::{crop_imm, replace};
use image::{Rgb, RgbImage};

use crate::error::PageError;
use crate::scale::scaled;

/// Sides of a page, in pixels.
const SIDE_PX: std::ops::RangeInclusive<u32> = 16..=4096;

/// A rectangle as fractions of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fractions {
    /// From the left.
    pub x: f32,
    /// From the top.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// How a page is laid.
#[derive(Clone, Debug, PartialEq)]
pub struct PageLayout {
    /// Width and height of the page.
    pub size_px: (u32, u32),
    /// The panels, in reading order.
    pub panels: Vec<Fractions>,
    /// Least distance between two panels.
    pub gutter_px: u32,
    /// What is seen between the panels.
    pub background: [u8; 3],
}

impl PageLayout {
    /// Where the panels lie. Edges that neighbours share, or that are nearer to each other than the gutter, move apart
    /// by the same amount; edges on the border of the page stay there.
    pub fn rectangles(&self) -> Result<Vec<Pixels>, PageError> {
        let (width, height) = self.size_px;
        if !SIDE_PX.contains(&width) || !SIDE_PX.contains(&height) {
            let (least, most) = (SIDE_PX.start(), SIDE_PX.end());
            return Err(PageError::OutOfRange(format!(
                "a page of {width}×{height} px: {least} to {most} a side"
            )));
        }
        let mut found = Vec::with_capacity(self.panels.len());
        for (place, panel) in self.panels.iter().enumerate() {
            let [x, y, w, h] = [panel.x, panel.y, panel.w, panel.h];
            let inside = [x, y, w, h].iter().all(|side| (0.0..=1.0).contains(side));
            // Layouts are exact to four decimals.
            if !inside || w <= 0.0 || h <= 0.0 || x + w > 1.0001 || y + h > 1.0001 {
                return Err(PageError::OutOfRange(format!("panel {}: {panel:?} leaves the page", place + 1)));
            }
            found.push(self.inset(place));
        }
        Ok(found)
    }

    fn inset(&self, place: usize) -> Pixels {
        let (width, height) = (self.size_px.0 as f32, self.size_px.1 as f32);
        let edges = |panel: &Fractions| {
            let (left, top) = (panel.x * width, panel.y * height);
            [left, top, left + panel.w * width, top + panel.h * height]
        };
        let own = edges(&self.panels[place]);
        let mut moved = own;
        let gutter = self.gutter_px as f32;
        for (_, other) in self.panels.iter().enumerate().filter(|(other, _)| *other != place) {
            let other = edges(other);
            let overlaps =
                |axis: usize| own[axis] + 1.0 < other[axis + 2] && other[axis] + 1.0 < own[axis + 2];
            for axis in [0, 1] {
                if !overlaps(1 - axis) {
                    continue;
                }
                let (before, after) = (own[axis] - other[axis + 2], other[axis] - own[axis + 2]);
                if (-1.0..gutter).contains(&before) {
                    moved[axis] = moved[axis].max(own[axis] + (gutter - before) / 2.0);
                }
                if (-1.0..gutter).contains(&after) {
                    moved[axis + 2] = moved[axis + 2].min(own[axis + 2] - (gutter - after) / 2.0);
                }
            }
        }
        // Rounded inwards, so that rounding takes nothing from the gutter.
        let [left, top] = [moved[0].ceil() as u32, moved[1].ceil() as u32];
        let [right, bottom] = [moved[2].floor() as u32, moved[3].floor() as u32];
        let (right, bottom) = (right.min(self.size_px.0), bottom.min(self.size_px.1));
        Pixels { x: left, y: top, w: right.saturating_sub(left).max(1), h: bottom.saturating_sub(top).max(1) }
    }

    /// The page. `picture` brings the picture of a panel, by its place from 0; only one is held at a time.
    pub fn compose(
        &self,
        mut picture: impl FnMut(usize) -> Result<RgbImage, PageError>,
    ) -> Result<RgbImage, PageError> {
        let rectangles = self.rectangles()?;
        let mut page = RgbImage::from_pixel(self.size_px.0, self.size_px.1, Rgb(self.background));
        for (place, rectangle) in rectangles.iter().enumerate() {
            let filled = cover(&picture(place)?, rectangle.w, rectangle.h);
            replace(&mut page, &filled, i64::from(rectangle.x), i64::from(rectangle.y));
        }
        Ok(page)
    }
}

/// A picture that fills a size: scaled as little as that needs, what is over cut off evenly on both sides.
pub fn cover(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = (picture.width().max(1), picture.height().max(1));
    let scale = (f64::from(width) / f64::from(from_width)).max(f64::from(height) / f64::from(from_height));
    // What is seen of the picture, in its own pixels.
    let seen = |side: u32, of: u32| ((f64::from(side) / scale).round() as u32).clamp(1, of);
    let (seen_width, seen_height) = (seen(width, from_width), seen(height, from_height));
    let (left, top) = ((from_width - seen_width) / 2, (from_height - seen_height) / 2);
    let part = crop_imm(picture, left, top, seen_width, seen_height).to_image();
    scaled(&part, width, height)
}

/// The largest size of a picture's proportions within a frame, and where it then lies in the middle of it.
pub fn contained(size: (u32, u32), frame: (u32, u32)) -> Pixels {
    let scale =
        (f64::from(frame.0) / f64::from(size.0.max(1))).min(f64::from(frame.1) / f64::from(size.1.max(1)));
    let side = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    let (w, h) = (side(size.0, frame.0), side(size.1, frame.1));
    Pixels { x: (frame.0 - w) / 2, y: (frame.1 - h) / 2, w, h }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(panels: &[[f32; 4]], gutter_px: u32) -> PageLayout {
        let panels = panels.iter().map(|[x, y, w, h]| Fractions { x: *x, y: *y, w: *w, h: *h }).collect();
        PageLayout { size_px: (900, 1600), panels, gutter_px, background: [255, 255, 255] }
    }

    const TEMPLATES: [&[[f32; 4]]; 7] = [
        &[[0.0, 0.0, 1.0, 1.0]],
        &[[0.0, 0.0, 1.0, 0.7], [0.58, 0.72, 0.42, 0.28]],
        &[[0.0, 0.0, 1.0, 0.7], [0.0, 0.7, 1.0, 0.3]],
        &[[0.0, 0.0, 1.0, 0.33], [0.0, 0.33, 1.0, 0.34], [0.0, 0.67, 1.0, 0.33]],
        &[[0.0, 0.0, 1.0, 0.6], [0.0, 0.6, 1.0, 0.2], [0.0, 0.8, 1.0, 0.2]],
        &[[0.0, 0.0, 0.62, 0.66], [0.65, 0.0, 0.35, 0.48], [0.65, 0.52, 0.35, 0.48], [0.0, 0.7, 0.62, 0.3]],
        &[
            [0.0, 0.0, 0.6, 0.6],
            [0.62, 0.0, 0.38, 0.28],
            [0.62, 0.32, 0.38, 0.28],
            [0.0, 0.64, 0.32, 0.36],
            [0.34, 0.64, 0.28, 0.36],
        ],
    ];

    #[test]
    fn panels_keep_the_gutter_between_them_and_stay_on_the_page() {
        for template in TEMPLATES {
            for gutter in [0, 1, 12, 17, 40] {
                let found = layout(template, gutter).rectangles().expect("rectangles");
                for (place, one) in found.iter().enumerate() {
                    assert!(one.x + one.w <= 900 && one.y + one.h <= 1600, "{one:?}");
                    for other in &found[place + 1..] {
                        let away = |low: u32, high: u32, other_low: u32, other_high: u32| {
                            (i64::from(other_low) - i64::from(high))
                                .max(i64::from(low) - i64::from(other_high))
                        };
                        let across = away(one.x, one.x + one.w, other.x, other.x + other.w);
                        let down = away(one.y, one.y + one.h, other.y, other.y + other.h);
                        assert!(
                            across.max(down) >= i64::from(gutter),
                            "{template:?} {gutter}: {one:?} {other:?}"
                        );
                    }
                }
            }
        }
        // Outer edges stay on the border of the page.
        let stack = layout(TEMPLATES[2], 20).rectangles().expect("rectangles");
        assert_eq!((stack[0].x, stack[0].y, stack[0].w), (0, 0, 900));
        assert_eq!(stack[1].y + stack[1].h, 1600);
        assert_eq!(stack[1].y - (stack[0].y + stack[0].h), 20);
    }

    #[test]
    fn a_page_shows_each_picture_in_its_rectangle() {
        let layout = layout(TEMPLATES[5], 18);
        let colour = |place: usize| Rgb([40 * place as u8 + 40, 10, 200]);
        let page = layout.compose(|place| Ok(RgbImage::from_pixel(64, 32, colour(place)))).expect("a page");
        let found = layout.rectangles().expect("rectangles");
        for (x, y, pixel) in page.enumerate_pixels() {
            let within =
                |one: &Pixels| (one.x..one.x + one.w).contains(&x) && (one.y..one.y + one.h).contains(&y);
            let expected = found.iter().position(within).map_or(Rgb([255, 255, 255]), colour);
            assert_eq!(*pixel, expected, "{x} {y}");
        }
    }

    #[test]
    fn a_picture_is_cut_evenly_to_fill_its_panel() {
        // Three stripes; a square panel of a wide picture shows the middle one.
        let wide =
            RgbImage::from_fn(90, 30, |x, _| Rgb([[255, 0, 0], [0, 255, 0], [0, 0, 255]][(x / 30) as usize]));
        let square = cover(&wide, 60, 60);
        assert_eq!(square.dimensions(), (60, 60));
        assert!(square.pixels().all(|pixel| pixel.0[1] > 200 && pixel.0[0] < 40));
        assert_eq!(contained((1024, 1024), (720, 1280)), Pixels { x: 0, y: 280, w: 720, h: 720 });
        assert_eq!(contained((64, 640), (100, 100)), Pixels { x: 45, y: 0, w: 10, h: 100 });
    }

    #[test]
    fn a_panel_outside_of_the_page_is_refused() {
        for panel in
            [[0.5, 0.0, 0.6, 1.0], [-0.1, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0], [0.0, f32::NAN, 1.0, 1.0]]
        {
            let refused = layout(&[panel], 4).rectangles().expect_err("refused");
            assert!(refused.to_string().starts_with("panel 1: "), "{refused}");
        }
        let small = PageLayout { size_px: (4, 4), ..layout(TEMPLATES[0], 4) };
        assert!(small.rectangles().is_err());
    }
}
