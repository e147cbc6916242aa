//! How a scene's page is scrolled through: how long an eye stays on each panel.

use serde_json::{Value as Json, json};

use super::layout::Rect;
use super::panel::{Panel, rounded};
use crate::review::quality::line_texts;
use crate::text::words::word_count;

/// Words that are read in a second.
const WORDS_PER_SECOND: f64 = 3.5;
/// Seconds that a panel of the whole page holds the eye, without words.
const PAGE_SECONDS: f64 = 3.0;

/// The rhythm of a page: of each panel its top and height as parts of the page, the seconds that it holds the eye (its
/// area of a page's three seconds, and its words at 3.5 a second), and whether the reader lingers on it (a quarter longer
/// than the mean) or hurries (a quarter shorter). `gap_below` is the gap below the scene, as a part of a strip's width.
pub fn vertical_rhythm_map(panels: &[Panel], rects: &[Rect], seen: &[Json], gap_below: f64) -> Json {
    let seconds: Vec<f64> = rects
        .iter()
        .enumerate()
        .map(|(place, rect)| {
            let lines = seen.get(place).map(line_texts).unwrap_or_default();
            let words: usize = lines.iter().map(|line| word_count(line)).sum();
            rect.area() * PAGE_SECONDS + words as f64 / WORDS_PER_SECOND
        })
        .collect();
    let mean = if seconds.is_empty() { 0.0 } else { seconds.iter().sum::<f64>() / seconds.len() as f64 };
    let pace = |seconds: f64| match seconds {
        long if long > mean * 1.25 => "linger",
        short if short < mean * 0.75 => "quick",
        _ => "steady",
    };
    let beats: Vec<Json> = rects
        .iter()
        .zip(&seconds)
        .enumerate()
        .map(|(place, (rect, seconds))| {
            let silent = seen.get(place).is_none_or(|panel| line_texts(panel).is_empty());
            let panel = panels.get(place);
            json!({
                "panel_index": place + 1, "top": rect.y, "height": rect.h, "seconds": rounded(*seconds, 2),
                "pace": pace(*seconds), "is_silent": silent,
                "is_thumb_stop": panel.is_some_and(|panel| panel.must_be_large || panel.weight >= 0.7),
            })
        })
        .collect();
    let paces: std::collections::BTreeSet<&str> = seconds.iter().map(|seconds| pace(*seconds)).collect();
    json!({
        "beats": beats, "total_seconds": rounded(seconds.iter().sum(), 2), "gap_below": rounded(gap_below, 4),
        "is_uniform": paces.len() < 2,
    })
}
