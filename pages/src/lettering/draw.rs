//! Bubbles over a picture.

use cosmic_text::fontdb::ID;
use cosmic_text::{FontSystem, SwashCache};
use image::RgbImage;
use tiny_skia::{
    Color, FillRule, IntSize, LineJoin, Paint, Path, Pixmap, PixmapMut, Rect, Stroke, Transform,
};

use super::bubble::{Bubble, BubbleKind, Note};
use super::fit::{SetText, Setter};
use super::fonts::Fonts;
use super::glyphs::{Drawable, drawable};
use super::outline::{outline, text_share};
use crate::error::PageError;

/// Width of the picture for which lengths of the look are given, in pixels; they grow and shrink with the picture.
const LOOK_WIDTH_PX: f32 = 800.0;
/// Least and greatest size of text on such a picture.
const TEXT_PX: (f32, f32) = (17.0, 40.0);
/// Greatest size of sounds.
const SFX_PX_MAX: f32 = 120.0;
/// Below this nothing can be read at all.
const TEXT_PX_LEAST: f32 = 5.0;
/// Widest border or stroke.
const STROKE_PX: f32 = 2.0;
/// Width of the light around dark text on a bubble that the picture shows through, as a part of the font's size.
const HALO: f32 = 0.16;
/// How a bubble that is too small grows.
const GROWTH: f32 = 1.12;

/// Colours of a kind of bubble.
struct Look {
    /// The bubble, with its opacity.
    fill: Option<Color>,
    border: Option<Color>,
    text: Color,
    /// Around the text.
    stroke: Option<Color>,
}

fn rgba(red: u8, green: u8, blue: u8, opacity: f32) -> Color {
    let mut colour = Color::from_rgba8(red, green, blue, 255);
    colour.apply_opacity(opacity);
    colour
}

impl Look {
    fn of(kind: BubbleKind) -> Look {
        let (white, black) = (rgba(255, 255, 255, 1.0), rgba(0, 0, 0, 1.0));
        let alice_blue = |opacity| rgba(0xF0, 0xF8, 0xFF, opacity);
        match kind {
            BubbleKind::Chat => Look {
                fill: Some(rgba(255, 255, 255, 0.4)),
                border: Some(black),
                text: black,
                stroke: Some(white),
            },
            BubbleKind::Thought => Look {
                fill: Some(alice_blue(0.4)),
                border: Some(rgba(128, 128, 128, 1.0)),
                text: black,
                stroke: Some(alice_blue(1.0)),
            },
            BubbleKind::Narration => {
                Look { fill: Some(rgba(0, 0, 0, 0.6)), border: None, text: white, stroke: None }
            }
            BubbleKind::Sfx => Look { fill: None, border: None, text: black, stroke: Some(white) },
        }
    }
}

/// How a bubble was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Left, top, width and height in pixels.
    pub rect_px: [f32; 4],
    /// Size of its text, in pixels.
    pub font_px: f32,
    /// How many lines it has.
    pub lines: usize,
}

/// Draws bubbles. What it learns of fonts it keeps, so one serves a whole episode.
pub struct Letterer {
    system: FontSystem,
    cache: SwashCache,
    shipped: Vec<ID>,
}

impl std::fmt::Debug for Letterer {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Letterer({} faces)", self.system.db().len())
    }
}

impl Letterer {
    /// A letterer with some fonts.
    pub fn new(fonts: &Fonts) -> Letterer {
        let (system, shipped) = fonts.system();
        Letterer { system, cache: SwashCache::new(), shipped }
    }

    /// Draws bubbles over a picture, in their order, and says how. Notes are those of all bubbles.
    pub fn letter(
        &mut self,
        picture: RgbImage,
        bubbles: &[Bubble],
    ) -> Result<(RgbImage, Vec<Placed>, Vec<Note>), PageError> {
        if bubbles.is_empty() {
            return Ok((picture, Vec::new(), Vec::new()));
        }
        let (width, height) = picture.dimensions();
        let size = IntSize::from_wh(width, height);
        let size = size.ok_or_else(|| PageError::OutOfRange("a picture without pixels".into()))?;
        let mut bytes = vec![255; picture.as_raw().len() / 3 * 4];
        for (to, from) in bytes.chunks_exact_mut(4).zip(picture.as_raw().chunks_exact(3)) {
            to[..3].copy_from_slice(from);
        }
        let mut canvas = Pixmap::from_vec(bytes, size)
            .ok_or_else(|| PageError::OutOfRange(format!("a picture of {width}×{height} px")))?;
        let (mut placed, mut notes) = (Vec::with_capacity(bubbles.len()), Vec::new());
        for (place, bubble) in bubbles.iter().enumerate() {
            placed.push(self.bubble(&mut canvas.as_mut(), (place, bubble), &mut notes)?);
        }
        let mut lettered = picture;
        for (to, from) in lettered.chunks_exact_mut(3).zip(canvas.data().chunks_exact(4)) {
            to.copy_from_slice(&from[..3]);
        }
        let mut seen = std::collections::HashSet::new();
        notes.retain(|note| seen.insert(note.clone()));
        Ok((lettered, placed, notes))
    }

    fn bubble(
        &mut self,
        canvas: &mut PixmapMut<'_>,
        (place, bubble): (usize, &Bubble),
        notes: &mut Vec<Note>,
    ) -> Result<Placed, PageError> {
        let page = (canvas.width() as f32, canvas.height() as f32);
        let unit = page.0 / LOOK_WIDTH_PX;
        let (rect, set) = self.fitted(page, unit, (place, bubble), notes)?;
        let look = Look::of(bubble.kind);
        let stroke_px = (STROKE_PX * unit).max(1.0);
        let tail = bubble.tail.map(|(x, y)| (x * page.0, y * page.1));
        if let Some(shape) = outline(bubble.kind, rect, tail) {
            if let Some(colour) = look.fill {
                fill(canvas, &shape, colour);
            }
            if let Some(colour) = look.border {
                stroke(canvas, &shape, colour, stroke_px);
            }
        }
        let corner =
            (rect.left() + (rect.width() - set.width) / 2.0, rect.top() + (rect.height() - set.height) / 2.0);
        let fonts = (&mut self.system, &mut self.cache, self.shipped.as_slice());
        let drawn = drawable(fonts, &set, corner);
        let around = match bubble.kind {
            // Half of a stroke lies under the letter.
            BubbleKind::Sfx => 2.0 * stroke_px,
            _ => set.font_px * HALO,
        };
        draw_text(canvas, &drawn, &look, around, stroke_px);
        notes.extend(drawn.missing.into_iter().map(|text| Note::NoGlyph { text }));
        let rect_px = [rect.left(), rect.top(), rect.width(), rect.height()];
        Ok(Placed { rect_px, font_px: set.font_px, lines: set.lines })
    }

    /// Where the bubble lies and its text: at the largest size that fits, in a bubble that grows where none does.
    fn fitted(
        &mut self,
        page: (f32, f32),
        unit: f32,
        (place, bubble): (usize, &Bubble),
        notes: &mut Vec<Note>,
    ) -> Result<(Rect, SetText), PageError> {
        let most = if bubble.kind == BubbleKind::Sfx { SFX_PX_MAX } else { TEXT_PX.1 };
        let sizes = ((TEXT_PX.0 * unit).max(TEXT_PX_LEAST), (most * unit).max(TEXT_PX_LEAST + 1.0));
        let share = text_share(bubble.kind);
        let bold = bubble.kind == BubbleKind::Sfx;
        let mut setter = Setter::new(&mut self.system, &bubble.text, bold);
        let asked = [bubble.position.0 * page.0, bubble.position.1 * page.1];
        let mut size = [(bubble.size.0 * page.0).min(page.0), (bubble.size.1 * page.1).min(page.1)];
        let middle = [asked[0] + size[0] / 2.0, asked[1] + size[1] / 2.0];
        let area = |size: [f32; 2]| (size[0] * share, size[1] * share);
        let mut enlarged = false;
        let set = loop {
            if let Some(set) = setter.fit(area(size), sizes) {
                break set;
            }
            if size[0] >= page.0 && size[1] >= page.1 {
                // The whole picture: smaller than is readable, until it fits.
                notes.push(Note::Small { bubble: place });
                let mut px = sizes.0;
                loop {
                    let set = setter.at(px, area(size).0);
                    if set.height <= area(size).1 || px <= 1.0 {
                        break;
                    }
                    px *= 0.85;
                }
                break setter.at(px, area(size).0);
            }
            enlarged = true;
            size = [(size[0] * GROWTH).min(page.0), (size[1] * GROWTH).min(page.1)];
        };
        if enlarged {
            notes.push(Note::Enlarged { bubble: place });
        }
        let within = |axis: usize, page: f32| (middle[axis] - size[axis] / 2.0).clamp(0.0, page - size[axis]);
        let corner = [within(0, page.0), within(1, page.1)];
        if !enlarged && (corner[0] - asked[0]).abs().max((corner[1] - asked[1]).abs()) > 1.0 {
            notes.push(Note::Moved { bubble: place });
        }
        let rect = Rect::from_xywh(corner[0], corner[1], size[0].max(1.0), size[1].max(1.0));
        let rect = rect.ok_or_else(|| PageError::OutOfRange(format!("bubble {}: no place", place + 1)))?;
        Ok((rect, set))
    }
}

fn draw_text(canvas: &mut PixmapMut<'_>, drawn: &Drawable, look: &Look, around: f32, stroke_px: f32) {
    if let (Some(path), Some(colour)) = (&drawn.path, look.stroke) {
        stroke(canvas, path, colour, around);
    }
    if let (Some(boxes), Some(colour)) = (&drawn.boxes, look.stroke) {
        stroke(canvas, boxes, colour, around.max(stroke_px * 2.0));
    }
    if let Some(path) = &drawn.path {
        fill(canvas, path, look.text);
    }
    if let Some(boxes) = &drawn.boxes {
        stroke(canvas, boxes, look.text, stroke_px);
    }
    drawn.draw_pictures(canvas);
}

fn paint(colour: Color) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour);
    paint
}

fn fill(canvas: &mut PixmapMut<'_>, path: &Path, colour: Color) {
    canvas.fill_path(path, &paint(colour), FillRule::Winding, Transform::identity(), None);
}

fn stroke(canvas: &mut PixmapMut<'_>, path: &Path, colour: Color, width: f32) {
    let stroke = Stroke { width, line_join: LineJoin::Round, ..Stroke::default() };
    canvas.stroke_path(path, &paint(colour), &stroke, Transform::identity(), None);
}

#[cfg(test)]
mod tests;
