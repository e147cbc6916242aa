//! Shapes of bubbles.

use std::f32::consts::{PI, TAU};

use tiny_skia::{Path, PathBuilder, Rect};

use super::bubble::BubbleKind;

/// How far the sides of a bubble are from an ellipse to a rectangle: the exponent of a superellipse.
const SQUARENESS: f32 = 2.6;
/// Points of an outline.
const POINTS: usize = 160;
/// Half the width of a tail where it leaves its bubble, as an angle.
const TAIL_RAD: f32 = 0.16;
/// Bumps of a thought's outline.
const BUMPS: f32 = 9.0;
/// How far the bumps reach, as a part of the radius.
const BUMP: f32 = 0.07;

/// The part of a bubble's width and height that its text may take: the rectangle within its outline.
pub(super) fn text_share(kind: BubbleKind) -> f32 {
    match kind {
        BubbleKind::Chat => 0.5_f32.powf(1.0 / SQUARENESS) * 0.97,
        BubbleKind::Thought => 0.5_f32.powf(1.0 / SQUARENESS) * (1.0 - BUMP),
        BubbleKind::Narration => 0.92,
        BubbleKind::Sfx => 1.0,
    }
}

/// A bubble's outline with its tail, which ends at `tail`; none where the tail ends inside. Sounds have no outline.
pub(super) fn outline(kind: BubbleKind, rect: Rect, tail: Option<(f32, f32)>) -> Option<Path> {
    match kind {
        BubbleKind::Sfx => None,
        BubbleKind::Narration => Some(PathBuilder::from_rect(rect)),
        BubbleKind::Chat => rounded(rect, tail.filter(|tail| !is_within(rect, *tail)), |_| 1.0),
        BubbleKind::Thought => {
            let bumps = |angle: f32| 1.0 - BUMP + BUMP * (angle * BUMPS / 2.0).sin().abs();
            let mut path = PathBuilder::new();
            path.push_path(&rounded(rect, None, bumps)?);
            for (x, y, radius) in trail(rect, tail.filter(|tail| !is_within(rect, *tail))) {
                path.push_circle(x, y, radius);
            }
            path.finish()
        }
    }
}

fn centre(rect: Rect) -> (f32, f32) {
    (rect.left() + rect.width() / 2.0, rect.top() + rect.height() / 2.0)
}

/// Where the outline is at an angle.
fn at(rect: Rect, angle: f32) -> (f32, f32) {
    let (x, y) = centre(rect);
    let part = |side: f32| side.signum() * side.abs().powf(2.0 / SQUARENESS);
    (x + part(angle.cos()) * rect.width() / 2.0, y + part(angle.sin()) * rect.height() / 2.0)
}

/// The angle of the outline in the direction of a point.
fn towards(rect: Rect, (to_x, to_y): (f32, f32)) -> f32 {
    let (x, y) = centre(rect);
    let (x, y) = ((to_x - x) / rect.width(), (to_y - y) / rect.height());
    // The outline's own parameter: what `at` does, the other way.
    let part = |side: f32| side.signum() * side.abs().powf(SQUARENESS / 2.0);
    part(y).atan2(part(x))
}

fn is_within(rect: Rect, (to_x, to_y): (f32, f32)) -> bool {
    let (x, y) = centre(rect);
    let part = |away: f32, side: f32| (2.0 * away.abs() / side).powf(SQUARENESS);
    part(to_x - x, rect.width()) + part(to_y - y, rect.height()) <= 1.0
}

fn rounded(rect: Rect, tail: Option<(f32, f32)>, radius: impl Fn(f32) -> f32) -> Option<Path> {
    let (from, round) = match tail {
        Some(tail) => (towards(rect, tail) + TAIL_RAD, TAU - 2.0 * TAIL_RAD),
        None => (-PI / 2.0, TAU),
    };
    let (middle_x, middle_y) = centre(rect);
    let mut path = PathBuilder::new();
    for point in 0..=POINTS {
        let angle = from + round * point as f32 / POINTS as f32;
        let ((x, y), part) = (at(rect, angle), radius(angle));
        let (x, y) = (middle_x + (x - middle_x) * part, middle_y + (y - middle_y) * part);
        match point {
            0 => path.move_to(x, y),
            _ => path.line_to(x, y),
        }
    }
    if let Some((x, y)) = tail {
        path.line_to(x, y);
    }
    path.close();
    path.finish()
}

/// Circles from a thought to who thinks it, each smaller than the one before.
fn trail(rect: Rect, tail: Option<(f32, f32)>) -> Vec<(f32, f32, f32)> {
    let Some(tail) = tail else { return Vec::new() };
    let from = at(rect, towards(rect, tail));
    let largest = rect.width().min(rect.height()) * 0.09;
    [(0.25, 1.0), (0.6, 0.7), (0.92, 0.45)]
        .into_iter()
        .map(|(part, size)| {
            (from.0 + (tail.0 - from.0) * part, from.1 + (tail.1 - from.1) * part, largest * size)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect() -> Rect {
        Rect::from_xywh(100.0, 200.0, 300.0, 150.0).expect("a rectangle")
    }

    #[test]
    fn a_tail_reaches_its_point_and_the_rest_stays_within_the_bubble() {
        let plain = outline(BubbleKind::Chat, rect(), None).expect("an outline").bounds();
        assert!((plain.left() - 100.0).abs() < 1.0 && (plain.bottom() - 350.0).abs() < 1.0, "{plain:?}");
        for tail in [(500.0, 600.0), (20.0, 100.0), (250.0, 700.0), (600.0, 275.0)] {
            let path = outline(BubbleKind::Chat, rect(), Some(tail)).expect("an outline");
            assert!(path.points().iter().any(|point| (point.x, point.y) == tail), "{tail:?}");
            let bounds = path.bounds();
            assert!(bounds.left() >= tail.0.min(99.0) && bounds.right() <= tail.0.max(401.0), "{bounds:?}");
        }
        let within = outline(BubbleKind::Chat, rect(), Some((250.0, 275.0))).expect("an outline").bounds();
        assert_eq!(within, plain, "a tail that ends inside is none");
    }

    #[test]
    fn the_tail_leaves_the_bubble_on_the_side_of_its_point() {
        for tail in [(500.0, 600.0), (20.0, 100.0), (250.0, 700.0), (600.0, 275.0)] {
            let (x, y) = at(rect(), towards(rect(), tail));
            let (middle_x, middle_y) = centre(rect());
            let turn = (tail.1 - middle_y).atan2(tail.0 - middle_x) - (y - middle_y).atan2(x - middle_x);
            assert!(turn.abs() < 0.01, "{tail:?}: {turn}");
        }
    }

    #[test]
    fn thoughts_have_circles_and_sounds_no_outline() {
        let tail = Some((250.0, 600.0));
        let cloud = outline(BubbleKind::Thought, rect(), tail).expect("an outline");
        assert!(cloud.bounds().bottom() > 560.0 && cloud.bounds().bottom() < 600.0, "{:?}", cloud.bounds());
        assert!(outline(BubbleKind::Sfx, rect(), tail).is_none());
        let narration = outline(BubbleKind::Narration, rect(), tail).expect("an outline");
        assert_eq!(narration.bounds(), rect());
    }
}
