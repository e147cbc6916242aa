//! From beat to beat: the kind of each transition after McCloud's six, and what a reader closes in between.

use serde_json::{Value as Json, json};

use crate::offline::scene::{named, place};
use crate::planning::panel::rounded;
use crate::text::words::{hits, sentences, words};

/// What a reader has to close between two panels of a kind, 0 to 1.
const EFFORT: [(&str, f64); 6] = [
    ("moment_to_moment", 0.1),
    ("action_to_action", 0.3),
    ("subject_to_subject", 0.5),
    ("aspect_to_aspect", 0.6),
    ("scene_to_scene", 0.8),
    ("non_sequitur", 1.0),
];
const ACTIONS: [&str; 24] = [
    "run", "ran", "fight", "fought", "jump", "leap", "throw", "threw", "strike", "hit", "chase", "fall",
    "fell", "climb", "break", "broke", "grab", "push", "pull", "open", "turn", "slam", "took", "lift",
];

/// The kind of the transition between two texts: another place is `scene_to_scene`, other characters are
/// `subject_to_subject`, deeds `action_to_action`, two texts that name no character `aspect_to_aspect`, all else
/// `moment_to_moment`. A `non_sequitur` is for a person to choose: no rule does.
pub fn kind(before: &str, after: &str, characters: &[String]) -> &'static str {
    let (was, is) = (named(before, characters), named(after, characters));
    let (was_at, is_at) = (place(before), place(after));
    let moves = |text: &str| hits(&words(text), &ACTIONS) > 0;
    if was_at.is_some() && is_at.is_some() && was_at != is_at {
        return "scene_to_scene";
    }
    if !was.is_empty() && !is.is_empty() && !is.iter().any(|name| was.contains(name)) {
        return "subject_to_subject";
    }
    if moves(before) && moves(after) {
        return "action_to_action";
    }
    if was.is_empty() && is.is_empty() { "aspect_to_aspect" } else { "moment_to_moment" }
}

/// The transitions of a scene, by its text: `into` it from the scene before, then from sentence to sentence.
pub fn transition_map(scene_index: usize, before: Option<&str>, text: &str, characters: &[String]) -> Json {
    let beats = sentences(text);
    let last_before = before.and_then(|text| sentences(text).pop());
    let into = last_before
        .as_deref()
        .zip(beats.first())
        .map_or("none", |(before, first)| kind(before, first, characters));
    let transitions: Vec<Json> = beats
        .windows(2)
        .enumerate()
        .map(|(place, pair)| {
            json!({"from_beat": place + 1, "to_beat": place + 2, "type": kind(&pair[0], &pair[1], characters)})
        })
        .collect();
    json!({"scene_index": scene_index, "into": into, "transitions": transitions})
}

/// What a reader closes by themselves at each transition of a [`transition_map`]; one that asks for much, .5 or more,
/// gets a hint of what both sides should share.
pub fn closure_plan(map: &Json, text: &str) -> Json {
    let beats = sentences(text);
    let effort =
        |kind: &str| EFFORT.iter().find(|(known, _)| *known == kind).map_or(0.0, |(_, effort)| *effort);
    let mut total = 0.0;
    let list = map["transitions"].as_array().map_or(&[][..], Vec::as_slice);
    let closures: Vec<Json> = list
        .iter()
        .map(|transition| {
            let kind = transition["type"].as_str().unwrap_or_default();
            let effort = effort(kind);
            total += effort;
            let beat = |name: &str| {
                let place = transition[name].as_u64().and_then(|number| usize::try_from(number).ok());
                place.and_then(|number| beats.get(number.checked_sub(1)?)).cloned().unwrap_or_default()
            };
            let hint = match kind {
                _ if effort < 0.5 => "",
                "scene_to_scene" => "show the new place before anybody acts in it",
                "subject_to_subject" => "let a look or a gesture lead from one to the other",
                "aspect_to_aspect" => "keep one object or light in both",
                _ => "repeat a colour or shape, so that both belong together",
            };
            json!({
                "from_beat": transition["from_beat"], "to_beat": transition["to_beat"], "type": kind,
                "effort": effort, "hint": hint, "before": beat("from_beat"), "after": beat("to_beat"),
            })
        })
        .collect();
    let mean = if closures.is_empty() { 0.0 } else { rounded(total / closures.len() as f64, 3) };
    json!({"scene_index": map["scene_index"], "into": map["into"], "closures": closures, "mean_effort": mean})
}
