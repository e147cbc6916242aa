//! Feelings of a scene as pictures of them.

use serde_json::{Value as Json, json};

use super::panels::parts;
use crate::text::words::{hits, words};

/// Words of a feeling, what stands for it in a picture, and by which means.
static FEELINGS: [Feeling; 7] = [
    (
        "fear",
        &["afraid", "fear", "scared", "terror", "trembl", "footsteps", "shadow", "dark"],
        "long shadows that reach for the character",
        "tilted horizon, tight frame",
    ),
    (
        "grief",
        &["cried", "cry", "tears", "wept", "sob", "sobbing", "grave", "lost", "mourn", "sorry"],
        "rain on glass, an empty place beside the character",
        "much empty space, low contrast",
    ),
    (
        "love",
        &["love", "kiss", "embrace", "heart", "smiled", "hand", "warm"],
        "warm light between two figures, petals or sparks",
        "soft edges, shallow focus",
    ),
    (
        "anger",
        &["anger", "angry", "rage", "shouted", "furious", "hate", "slam"],
        "cracks that run through the background",
        "hard black strokes, speed lines",
    ),
    (
        "hope",
        &["hope", "dawn", "stars", "alive", "saved", "light", "lifted"],
        "light that breaks through clouds or a door",
        "rising diagonal, bright edge",
    ),
    (
        "loneliness",
        &["alone", "lonely", "empty", "nobody", "silence", "quiet"],
        "a small figure in a large room or landscape",
        "wide frame, figure off the middle",
    ),
    (
        "danger",
        &["knife", "gun", "fire", "storm", "blood", "sank", "chase", "torch"],
        "the thing that threatens, large in front",
        "low angle, strong foreground",
    ),
];

type Feeling = (&'static str, &'static [&'static str], &'static str, &'static str);

/// The feeling of most words of a text, the first of the list where two have as many.
fn strongest(text: &str) -> Option<&'static Feeling> {
    let words = words(text);
    let mut best: Option<(usize, &'static Feeling)> = None;
    for feeling in &FEELINGS {
        let count = hits(&words, feeling.1);
        if count > best.map_or(0, |(most, _)| most) {
            best = Some((count, feeling));
        }
    }
    best.map(|(_, feeling)| feeling)
}

/// The name of the strongest feeling of a text.
pub fn feeling(text: &str) -> Option<&'static str> {
    strongest(text).map(|feeling| feeling.0)
}

/// For each panel whose text has a feeling: which, what stands for it, and by which means. A panel without one has none.
pub fn metaphor_directions(text: &str, panels: usize) -> Json {
    let directions: Vec<Json> = parts(text, panels)
        .iter()
        .enumerate()
        .filter_map(|(place, part)| {
            let (emotion, _, metaphor, device) = strongest(part)?;
            Some(json!({
                "panel_index": place + 1, "emotion": emotion, "metaphor": metaphor, "device": device,
            }))
        })
        .collect();
    json!({"directions": directions})
}
