//! Where the bubbles of a panel lie, in fractions of the page.

use super::dialogue::Line;
use super::layout::Rect;

/// Height of a line of text as a part of the page's width: 40 px on a page of 800 px, with what is between lines.
const LINE: f64 = 0.059;
/// Mean width of a character, likewise.
const CHARACTER: f64 = 0.024;
/// The page's width as a part of its height.
const ASPECT: f64 = 9.0 / 16.0;
/// What of a bubble's width and height its text may fill.
const INSIDE: f64 = 0.68;
/// From the panel's edges, as a part of its width.
const MARGIN: f64 = 0.04;
/// Longest tail, as a part of the page's height.
const TAIL: f64 = 0.035;

/// Where a bubble lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its left upper corner.
    pub position: (f64, f64),
    /// Its width and height.
    pub size: (f64, f64),
    /// Where its tail ends; captions and sounds have none.
    pub tail: Option<(f64, f64)>,
}

/// Places for the lines of a panel, from the top downwards in their order, each as large as its text needs. A bubble lies on
/// the side of its speaker, `left` or `right`, and its tail points there; where that is not known bubbles take turns. Captions
/// go across the panel. No bubble leaves the panel or lies over another one, and no tail reaches the next.
pub fn places(panel: &Rect, lines: &[Line], sides: &[Option<&str>]) -> Vec<Place> {
    let row = panel.h / lines.len().max(2) as f64;
    let place = |(number, line): (usize, &Line)| {
        let is_said = matches!(line.kind.as_str(), "speech" | "thought");
        let characters = line.text.chars().count() as f64;
        let longest = line.text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(1) as f64;
        // A short text stands in one line, a longer one in two or three, if the panel is wide enough for them.
        let rows = match characters {
            short if short <= 10.0 => 1.0,
            middling if middling <= 26.0 => 2.0,
            _ => 3.0,
        };
        let wanted = ((characters / rows).max(longest) * CHARACTER / INSIDE).max(0.12);
        let widest = panel.w * (1.0 - 2.0 * MARGIN);
        let wide = if line.kind == "caption" { widest } else { wanted.min(widest * 0.92) };
        let rows = (characters * CHARACTER / (wide * INSIDE) - 0.01).ceil().max(1.0);
        let tall = (rows * LINE * ASPECT / INSIDE).min(row * 0.78);
        let side = sides.get(number).copied().flatten();
        let is_right = match side {
            Some("right") => true,
            Some("left") => false,
            _ => number % 2 == 1,
        };
        let left = match (is_said, is_right) {
            (false, _) => panel.x + (panel.w - wide) / 2.0,
            (true, false) => panel.x + panel.w * MARGIN,
            (true, true) => panel.x + panel.w * (1.0 - MARGIN) - wide,
        };
        let top = panel.y + row * (number as f64 + 0.06);
        let speaker = match side {
            Some("left") => 0.25,
            Some("right") => 0.75,
            _ => 0.5,
        };
        let tail = is_said.then(|| {
            let x = (panel.x + panel.w * speaker).clamp(left + wide * 0.15, left + wide * 0.85);
            (x, top + tall + TAIL.min(row * 0.12))
        });
        Place { position: (left, top), size: (wide, tall), tail }
    };
    lines.iter().enumerate().map(place).collect()
}
