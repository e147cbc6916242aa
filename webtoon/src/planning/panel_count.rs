//! How many panels a scene has.

use super::panel::Panel;
use crate::text::importance::Importance;
use crate::text::words::{hits, sentence_ends, word_count, words};

/// Panels that a request may ask for.
pub const REQUESTED_MAX: u32 = 3;
/// Panels that a scene may have.
pub const PANELS_MAX: usize = 5;

const MONTAGE: [&str; 8] =
    ["montage", "meanwhile", "later", "sequence", "flashback", "afterwards", "series", "next"];
const CHASES: [&str; 18] = [
    "fight", "fought", "chase", "chasing", "run", "ran", "running", "punch", "kick", "dodge", "attack",
    "flee", "fled", "leap", "slash", "swing", "swung", "sprint",
];

/// Whether a scene has so much going on that it needs many panels: seven sentences, a montage, or a fight or chase.
pub fn needs_many(text: &str) -> bool {
    let words = words(text);
    sentence_ends(text) >= 7 || hits(&words, &MONTAGE) > 0 || hits(&words, &CHASES) > 0
}

/// How many panels a scene has.
pub fn panel_count(requested: u32, importance: Importance, text: &str) -> usize {
    let (many, length) = (needs_many(text), word_count(text));
    let busy = match length {
        _ if !many => None,
        220.. => Some(5),
        120.. => Some(4),
        _ => None,
    };
    match importance {
        Importance::Climax | Importance::Cliffhanger => 1,
        Importance::Release => busy.unwrap_or(2),
        Importance::Setup if many => 4,
        Importance::Setup => {
            if length < 120 {
                2
            } else {
                3
            }
        }
        Importance::Build => busy.unwrap_or(requested.clamp(1, REQUESTED_MAX) as usize),
    }
}

/// Cuts surplus panels off a plan and numbers the rest from 1.
pub fn limit(panels: &mut Vec<Panel>, max: usize) {
    panels.truncate(max.min(PANELS_MAX));
    for (panel, index) in panels.iter_mut().zip(1..) {
        panel.panel_index = index;
    }
}
