//! A blind test without a model: how much of a scene's text can be found in its panels.

use serde_json::{Value as Json, json};

use super::scene::named;
use crate::drawing::references::names;
use crate::planning::panel::rounded;
use crate::review::quality::line_texts;
use crate::text::importance::emotion;
use crate::text::words::words;

/// The least score that passes.
pub const SCORE_MIN: f64 = 0.25;

/// Words that carry no meaning of their own, by their length.
const LETTERS_MIN: usize = 4;

/// The report on a scene.
pub fn blind_test(text: &str, panels: &[Json], characters: &[String]) -> Json {
    let mut shown = String::new();
    for panel in panels {
        shown.push_str(panel["description"].as_str().unwrap_or_default());
        shown.push(' ');
        shown.push_str(&line_texts(panel).join(" "));
        shown.push(' ');
    }
    let visible_words = words(&shown);
    let wanted: Vec<String> =
        words(text).into_iter().filter(|word| word.chars().count() >= LETTERS_MIN).collect();
    let share = |found: usize, all: usize| if all == 0 { 1.0 } else { found as f64 / all as f64 };
    let recall = share(wanted.iter().filter(|word| visible_words.contains(word)).count(), wanted.len());
    let alignment = 1.0 - (emotion(text) - emotion(&shown)).abs();
    let has_words = |panel: &&Json| panel["description"].as_str().is_some_and(|text| !text.trim().is_empty());
    let delivery = share(panels.iter().filter(has_words).count(), panels.len());
    let expected = named(text, characters);
    let visible: Vec<String> = panels.iter().flat_map(|panel| names(&panel["characters"])).collect();
    let is_visible = |name: &&String| visible.iter().any(|other| other.eq_ignore_ascii_case(name));
    let identity = share(expected.iter().filter(is_visible).count(), expected.len());
    let score = rounded((recall + alignment + delivery + identity) / 4.0, 4);
    let mut failures = Vec::new();
    for (value, what) in [
        (recall, "much of the text is not in the panels"),
        (delivery, "a panel shows nothing"),
        (identity, "a character that the text names is not seen"),
    ] {
        if value < 0.5 {
            failures.push(what);
        }
    }
    json!({
        "reconstructed_story": shown.trim(), "comparison": format!("{:.0} % of the text's words are in the panels", recall * 100.0),
        "emotional_takeaway": if emotion(&shown) > 0.3 { "intense" } else { "calm" },
        "visual_storytelling_observations": [], "score": score, "passed": score >= SCORE_MIN,
        "scores": {
            "plot_recall": rounded(recall, 4), "emotional_alignment": rounded(alignment, 4),
            "visual_delivery": rounded(delivery, 4), "character_identifiability": rounded(identity, 4),
        },
        "failure_points": failures, "repair_suggestions": [],
    })
}
