//! A script's visual beats: which are silent, and how they become scenes.

use serde_json::{Value as Json, json};

use crate::text::chunker::chunk;

/// Intensity above which a release says more without words.
const SILENT_RELEASE: f64 = 0.8;

/// Why a beat is silent; `None` where something may be said in it.
pub fn silence(beat: &Json) -> Option<&'static str> {
    let number = |name: &str| beat[name].as_f64();
    let flag = |name: &str| beat[name].as_bool() == Some(true);
    if number("action_complexity") == Some(1.0) && flag("silence_candidate") {
        return Some("action");
    }
    if beat["beat_type"] == "release" && number("emotional_intensity").is_some_and(|it| it > SILENT_RELEASE) {
        return Some("reaction");
    }
    flag("can_be_silent").then_some("minimized")
}

/// Marks silent beats; they lose their dialogue.
pub fn classify_silence(beats: &mut [Json]) {
    for beat in beats.iter_mut().filter(|beat| beat.is_object()) {
        match silence(beat) {
            Some(kind) => {
                beat["is_silent"] = json!(true);
                beat["silence_type"] = json!(kind);
                beat["dialogue"] = json!("");
                beat["dialogue_lines"] = json!([]);
            }
            None => beat["is_silent"] = json!(false),
        }
    }
}

/// Beats in groups of ⌈beats / max⌉, a group for each scene.
pub fn grouped(beats: &[Json], max_scenes: usize) -> Vec<&[Json]> {
    if beats.is_empty() {
        return Vec::new();
    }
    beats.chunks(beats.len().div_ceil(max_scenes.max(1))).collect()
}

/// The text of a scene: what happens, what is said in quotes, sounds in parentheses. Of a beat with `dialogue_lines`
/// each line has quotes of its own, so that what two characters say stays two lines.
pub fn scene_text(beats: &[Json]) -> String {
    let mut parts = Vec::new();
    for beat in beats {
        let text = |name: &str| beat[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        parts.extend(text("visual_action").map(str::to_string));
        let lines: Vec<&str> =
            beat["dialogue_lines"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        match lines.is_empty() {
            true => parts.extend(text("dialogue").map(|said| format!("\"{said}\""))),
            false => parts.extend(lines.iter().map(|line| format!("\"{}\"", line.trim()))),
        }
        parts.extend(text("sfx").map(|sound| format!("({sound})")));
    }
    parts.join(" ")
}

/// The scenes of a script; of one without beats those of the story's text.
pub fn split_scenes(beats: &[Json], story: &str, max_scenes: usize) -> Vec<String> {
    let scenes: Vec<String> =
        grouped(beats, max_scenes).into_iter().map(scene_text).filter(|text| !text.is_empty()).collect();
    if scenes.is_empty() { chunk(story, max_scenes).scenes } else { scenes }
}
