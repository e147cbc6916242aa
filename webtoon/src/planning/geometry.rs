//! Where the panels of a page lie, in fractions of the page to four decimals.

use super::layout::{Rect, Template};
use super::panel::{Panel, rounded};

/// Between panels that lie one below the other.
pub const GUTTER: f64 = 0.02;
/// The least height of a panel.
pub const HEIGHT_MIN: f64 = 0.12;

/// The rectangles of a plan's panels, in the plan's order. Stacks of full width get heights by weight; in other
/// templates the one panel that must be large takes the largest rectangle.
pub fn rectangles(template: &Template, panels: &[Panel]) -> Vec<Rect> {
    let mut rects: Vec<Rect> = template.panels.to_vec();
    if rects.len() != panels.len() {
        return rects;
    }
    let is_stack = rects.iter().all(|rect| rect.x == 0.0 && rect.w == 1.0);
    if is_stack {
        let weights: Vec<f64> = panels.iter().map(|panel| panel.weight).collect();
        return stacked(&weights);
    }
    let large: Vec<usize> = (0..panels.len()).filter(|place| panels[*place].must_be_large).collect();
    if let [only] = large.as_slice() {
        let largest = (0..rects.len())
            .max_by(|one, other| rects[*one].area().total_cmp(&rects[*other].area()).then(other.cmp(one)));
        if let Some(largest) = largest {
            rects.swap(*only, largest);
        }
    }
    rects
}

/// Panels of full width, one below the other, as high as they weigh.
pub fn stacked(weights: &[f64]) -> Vec<Rect> {
    if weights.is_empty() {
        return Vec::new();
    }
    let room = 1.0 - GUTTER * (weights.len() - 1) as f64;
    let weight = |weight: &f64| if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    let total: f64 = weights.iter().map(weight).sum();
    let share = |given: &f64| match total > 0.0 {
        true => weight(given) / total,
        false => 1.0 / weights.len() as f64,
    };
    let mut heights: Vec<f64> = weights.iter().map(|given| (share(given) * room).max(HEIGHT_MIN)).collect();
    let height: f64 = heights.iter().sum();
    if height > room {
        heights.iter_mut().for_each(|it| *it *= room / height);
    }
    let (mut rects, mut y) = (Vec::with_capacity(heights.len()), 0.0);
    for height in heights {
        // What rounding adds may not stand over the page.
        let h = rounded(height, 4).min(rounded(1.0 - y, 4)).max(0.0);
        rects.push(Rect { x: 0.0, y, w: 1.0, h });
        y = rounded(y + h + GUTTER, 4);
    }
    rects
}
