//! The panels of a scene, by its sentences.

use serde_json::{Value as Json, json};

use super::scene::{named, place};
use crate::planning::dialogue::{clean_lines, from_quotes};
use crate::planning::panel::Panel;
use crate::text::chunker::evenly;
use crate::text::importance::{Importance, emotion};
use crate::text::words::{hits, quoted, sentences, unquoted, words};

const ACTIONS: [&str; 16] = [
    "run", "ran", "fight", "fought", "jump", "leap", "throw", "threw", "strike", "chase", "fall", "fell",
    "climb", "grab", "push", "pull",
];
/// Where characters stand, by how many there are.
const POSITIONS: [[&str; 3]; 3] = [["center", "", ""], ["left", "right", ""], ["left", "center", "right"]];

/// A scene's text in as many parts as it has panels; a part without a sentence of its own takes the whole.
pub fn parts(text: &str, panels: usize) -> Vec<String> {
    let sentences = sentences(text);
    let mut parts: Vec<String> =
        evenly(sentences.len(), panels).into_iter().map(|range| sentences[range].join(" ")).collect();
    while parts.len() < panels {
        parts.push(parts.last().cloned().unwrap_or_else(|| text.trim().to_string()));
    }
    parts
}

/// Plans a scene's panels, before they are cleaned.
pub fn plan(text: &str, panels: usize, importance: Importance) -> Vec<Json> {
    let parts = parts(text, panels);
    let last = parts.len().saturating_sub(1);
    let grammar = |place: usize, part: &str| {
        let words = words(part);
        if place == 0 && panels > 1 {
            "establishing"
        } else if importance.is_peak() && place == last {
            if quoted(part).is_empty() { "impact_silence" } else { "reveal" }
        } else if !quoted(part).is_empty() {
            "dialogue_medium"
        } else if hits(&words, &ACTIONS) > 0 {
            "action"
        } else if emotion(part) > 0.3 {
            "emotion_closeup"
        } else {
            "reaction"
        }
    };
    parts
        .iter()
        .enumerate()
        .map(|(place, part)| {
            json!({
                "panel_index": place + 1, "grammar_id": grammar(place, part), "panel_role": "main",
                "has_dialogue": !quoted(part).is_empty(), "recommended_focus": unquoted(part), "notes": part,
            })
        })
        .collect()
}

/// What is seen and said in a scene's panels.
pub fn semantics(text: &str, panels: &[Panel], characters: &[String]) -> Vec<Json> {
    let parts = parts(text, panels.len());
    let in_scene = named(text, characters);
    let setting = place(text).unwrap_or_default();
    let mut seen: Vec<String> = Vec::new();
    panels
        .iter()
        .zip(&parts)
        .map(|(panel, part)| {
            let mut shown = named(part, characters);
            // Who was seen last is who a part without a name goes on about.
            if shown.is_empty() {
                shown = if seen.is_empty() { in_scene.iter().take(1).cloned().collect() } else { seen.clone() };
            }
            shown.truncate(3);
            seen.clone_from(&shown);
            let positions = POSITIONS[shown.len().clamp(1, 3) - 1];
            let people: Vec<Json> = shown
                .iter()
                .zip(positions)
                .map(|(name, position)| {
                    json!({
                        "name": name, "position": position, "frame_position": position, "gaze": "ahead",
                        "expression": if emotion(part) > 0.3 { "intense" } else { "calm" }, "action": "",
                    })
                })
                .collect();
            let (camera, percentage) = match panel.grammar_id.as_str() {
                "establishing" => ("wide shot", 20),
                "emotion_closeup" => ("close-up", 80),
                "object_focus" => ("detail shot", 0),
                "action" => ("dynamic angle", 60),
                "reveal" | "impact_silence" => ("low angle", 65),
                _ => ("medium shot", 50),
            };
            let lines = match panel.has_dialogue {
                true => {
                    let written = from_quotes(part, 1).remove(0);
                    let mut lines = clean_lines(&written.iter().map(|line| json!(line)).collect::<Vec<_>>());
                    crate::planning::dialogue::name_speakers(lines.iter_mut(), &shown);
                    lines
                }
                false => Vec::new(),
            };
            let description = unquoted(part);
            json!({
                "panel_index": panel.panel_index, "grammar_id": panel.grammar_id, "camera": camera,
                "character_frame_percentage": percentage,
                "focus_on": shown.first().cloned().unwrap_or_else(|| setting.clone()),
                "description": if description.is_empty() { "they talk".to_string() } else { description },
                "characters": people,
                "environment": {
                    "location": setting, "architecture": "", "furniture": "", "props": [], "background_activity": "",
                },
                "dialogue": lines,
            })
        })
        .collect()
}
