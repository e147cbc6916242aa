//! A script by the sentences of a story.

use serde_json::{Value as Json, json};

use crate::text::chunker::{chunk, evenly};
use crate::text::importance::{Importance, emotion};
use crate::text::words::{hits, quoted, sentences, unquoted, words};

/// Beats of a scene.
const BEATS_PER_SCENE: usize = 4;
const ACTIONS: [&str; 22] = [
    "run", "ran", "fight", "fought", "jump", "leap", "throw", "threw", "strike", "hit", "chase", "fall",
    "fell", "climb", "break", "broke", "grab", "push", "pull", "open", "turn", "slam",
];
const SOUNDS: [&str; 16] = [
    "bang", "crash", "boom", "thud", "click", "knock", "ring", "splash", "whoosh", "slam", "creak", "crack",
    "roar", "snap", "thunder", "bell",
];

/// Writes a script: four beats a scene at most, each of one or more sentences.
pub fn write(story: &str, max_scenes: usize) -> Json {
    let scenes = chunk(story, max_scenes).scenes;
    let mut texts: Vec<String> = Vec::new();
    for scene in &scenes {
        let sentences = sentences(scene);
        texts.extend(
            evenly(sentences.len(), BEATS_PER_SCENE).into_iter().map(|range| sentences[range].join(" ")),
        );
    }
    let count = texts.len();
    let beats: Vec<Json> = texts.iter().enumerate().map(|(index, text)| beat(index, count, text)).collect();
    json!({
        "episode_intent": crate::text::words::first_words(story, 32),
        "story_fidelity_notes": ["every beat is made of sentences of the story, in their order"],
        "visual_beats": beats,
    })
}

fn beat(index: usize, count: usize, text: &str) -> Json {
    let said = quoted(text);
    let action = unquoted(text);
    let words = words(text);
    let moves = hits(&words, &ACTIONS);
    let sound = words.iter().find(|word| hits(std::slice::from_ref(word), &SOUNDS) > 0);
    let place = index as f64 / count.max(2).saturating_sub(1) as f64;
    let kind = match index {
        0 => "initial",
        last if last + 1 == count => "hook",
        _ if place < 0.6 => "escalation",
        _ if place < 0.85 => "peak",
        _ => "release",
    };
    json!({
        "beat_index": index + 1, "beat_type": kind,
        "transition_type": if index == 0 { "none" } else if moves > 0 { "action_to_action" } else { "moment_to_moment" },
        "closure_hint": "", "emotional_intensity": crate::planning::panel::rounded(emotion(text), 3),
        "action_complexity": 1 + moves.min(2), "dialogue_budget_words": 15,
        "visual_action": if action.is_empty() { "they talk".to_string() } else { action },
        "dialogue": said.join(" "), "dialogue_lines": said,
        "sfx": sound.map(|sound| sound.to_uppercase()).unwrap_or_default(),
        "silence_candidate": said.is_empty(),
    })
}

/// The visual plan of a scene: its part by its place in the story.
pub fn visual_plan(index: usize, count: usize, text: &str, characters: &[String]) -> Json {
    let sentences = sentences(text);
    json!({
        "scene_index": index, "summary": crate::text::words::first_words(text, 32),
        "scene_importance": Importance::by_position(index, count).name(),
        "beats": sentences.iter().take(3).collect::<Vec<_>>(),
        "must_show": characters, "characters": characters, "global_environment_anchors": [],
        "source_text": text,
    })
}
