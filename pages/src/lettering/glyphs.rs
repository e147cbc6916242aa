//! Set text to outlines: glyphs as paths, coloured ones as pictures, missing ones as boxes with their numbers.

use cosmic_text::fontdb::ID;
use cosmic_text::{Command, FontSystem, LayoutGlyph, SwashCache, SwashContent};
use tiny_skia::{
    ColorU8, IntSize, Path, PathBuilder, Pixmap, PixmapMut, PixmapPaint, PremultipliedColorU8, Rect,
    Transform,
};

use super::fit::{SetText, Setter};

/// Side of a missing glyph's box, as a part of the font's size.
const BOX: f32 = 0.72;

/// Text ready to be drawn.
#[derive(Default)]
pub(super) struct Drawable {
    /// All glyphs that are outlines.
    pub path: Option<Path>,
    /// Boxes that stand for missing glyphs, to be stroked.
    pub boxes: Option<Path>,
    /// Coloured glyphs with the places of their left upper corners.
    pub pictures: Vec<(Pixmap, i32, i32)>,
    /// What no font has.
    pub missing: Vec<String>,
}

impl Drawable {
    /// Draws the coloured glyphs.
    pub fn draw_pictures(&self, to: &mut PixmapMut<'_>) {
        for (picture, x, y) in &self.pictures {
            to.draw_pixmap(*x, *y, picture.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
        }
    }
}

/// Set text as outlines; the left upper corner of its lines is at `corner`.
pub(super) fn drawable(
    (system, cache, shipped): (&mut FontSystem, &mut SwashCache, &[ID]),
    set: &SetText,
    corner: (f32, f32),
) -> Drawable {
    let mut drawn = Drawable::default();
    let (mut path, mut boxes) = (PathBuilder::new(), PathBuilder::new());
    let mut numbers = Vec::new();
    for run in set.buffer.layout_runs() {
        let baseline = corner.1 + run.line_y;
        for glyph in run.glyphs {
            let x = corner.0 + glyph.x + glyph.x_offset * glyph.font_size;
            let y = baseline + glyph.y - glyph.y_offset * glyph.font_size;
            let text = run.text.get(glyph.start..glyph.end).unwrap_or_default();
            if glyph.glyph_id == 0 {
                if text.chars().all(is_invisible) {
                    continue;
                }
                let text: String = text.chars().filter(|one| !is_invisible(*one)).collect();
                numbers.push((number_box(&mut boxes, glyph, (x, y)), text.clone()));
                if !drawn.missing.contains(&text) {
                    drawn.missing.push(text);
                }
                continue;
            }
            let key = glyph.physical((0.0, 0.0), 1.0).cache_key;
            if !shipped.contains(&glyph.font_id)
                && let Some(picture) = coloured(system, cache, key)
            {
                let (picture, left, top) = picture;
                drawn.pictures.push((picture, x.round() as i32 + left, y.round() as i32 - top));
                continue;
            }
            if let Some(commands) = cache.get_outline_commands(system, key) {
                push(&mut path, commands, (x, y));
            }
        }
    }
    for (rect, text) in numbers {
        number(system, cache, &mut path, rect, &text);
    }
    drawn.path = path.finish();
    drawn.boxes = boxes.finish();
    drawn
}

/// Characters that no glyph stands for: joiners, selectors, marks of direction, tags.
fn is_invisible(one: char) -> bool {
    one.is_whitespace()
        || matches!(one as u32, 0xAD | 0x34F | 0x61C | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F
            | 0xFE00..=0xFE0F | 0xFEFF | 0xE0000..=0xE0FFF)
}

/// A glyph's outline, whose y goes up, at a place of the picture, whose y goes down.
fn push(path: &mut PathBuilder, commands: &[Command], (x, y): (f32, f32)) {
    for command in commands {
        match command {
            Command::MoveTo(to) => path.move_to(x + to.x, y - to.y),
            Command::LineTo(to) => path.line_to(x + to.x, y - to.y),
            Command::QuadTo(by, to) => path.quad_to(x + by.x, y - by.y, x + to.x, y - to.y),
            Command::CurveTo(one, other, to) => {
                path.cubic_to(x + one.x, y - one.y, x + other.x, y - other.y, x + to.x, y - to.y);
            }
            Command::Close => path.close(),
        }
    }
}

/// A coloured glyph and how far its left upper corner lies right of and above its origin.
fn coloured(
    system: &mut FontSystem,
    cache: &mut SwashCache,
    key: cosmic_text::CacheKey,
) -> Option<(Pixmap, i32, i32)> {
    let image = cache.get_image(system, key).as_ref()?;
    if image.content != SwashContent::Color {
        return None;
    }
    let placed = image.placement;
    let size = IntSize::from_wh(placed.width, placed.height)?;
    let premultiplied = |one: &[u8]| -> PremultipliedColorU8 {
        ColorU8::from_rgba(one[0], one[1], one[2], one[3]).premultiply()
    };
    let bytes: Vec<u8> = image
        .data
        .chunks_exact(4)
        .map(premultiplied)
        .flat_map(|one| [one.red(), one.green(), one.blue(), one.alpha()])
        .collect();
    Some((Pixmap::from_vec(bytes, size)?, placed.left, placed.top))
}

/// The box of a missing glyph, over the place that its font keeps for it.
fn number_box(boxes: &mut PathBuilder, glyph: &LayoutGlyph, (x, y): (f32, f32)) -> Option<Rect> {
    let side = glyph.font_size * BOX;
    let width = side.min(glyph.w * 0.92).max(side * 0.5);
    let rect = Rect::from_xywh(x + (glyph.w - width) / 2.0, y - side, width, side)?;
    boxes.push_rect(rect);
    Some(rect)
}

/// The number of a missing character in two rows within its box; of several written as one, that of the first.
fn number(
    system: &mut FontSystem,
    cache: &mut SwashCache,
    path: &mut PathBuilder,
    rect: Option<Rect>,
    text: &str,
) {
    let (Some(rect), Some(first)) = (rect, text.chars().next()) else { return };
    let digits = format!("{:04X}", first as u32);
    let (upper, lower) = digits.split_at(digits.len().div_ceil(2));
    let mut setter = Setter::new(system, &format!("{upper}\n{lower}"), true);
    let Some(set) = setter.fit((rect.width() * 0.9, rect.height() * 0.95), (2.0, 40.0)) else { return };
    let (left, top) =
        (rect.left() + (rect.width() - set.width) / 2.0, rect.top() + (rect.height() - set.height) / 2.0);
    for run in set.buffer.layout_runs() {
        for glyph in run.glyphs {
            let key = glyph.physical((0.0, 0.0), 1.0).cache_key;
            if let Some(commands) = cache.get_outline_commands(system, key) {
                push(path, commands, (left + glyph.x, top + run.line_y + glyph.y));
            }
        }
    }
}
