//! Looks that a story gives its characters: what they wear and how they feel, scene by scene.

use serde_json::{Value as Json, json};

use super::metaphors::feeling;
use super::scene::named;
use crate::text::words::{sentences, words};

/// What is worn.
const GARMENTS: [&str; 24] = [
    "coat", "dress", "jacket", "cloak", "uniform", "armor", "armour", "suit", "robe", "hat", "boots",
    "scarf", "shirt", "skirt", "gown", "mask", "helmet", "apron", "kimono", "hood", "gloves", "sweater",
    "trousers", "veil",
];
/// What is done to those who wear it.
const CONDITIONS: [(&str, &[&str]); 4] = [
    ("wet", &["soaked", "drenched", "dripping", "wet"]),
    ("wounded", &["wounded", "bleeding", "bandage", "bandaged", "injured"]),
    ("torn clothes", &["torn", "ragged", "tattered"]),
    ("dirty", &["muddy", "dirty", "dusty", "covered"]),
];
/// Words before a garment that say nothing of it.
const PLAIN: [&str; 14] =
    ["a", "an", "the", "his", "her", "their", "its", "my", "your", "our", "in", "of", "wet", "no"];

/// Suggestions of looks for a character by the scenes of its story, `(id, text)` in their order. A sentence counts where
/// it names the character alone, or follows such a one and names none. Each look stands once, with the scenes in which
/// it is seen: `{variant_type, override_attributes: {outfit | condition | mood, scene_ids, reason}}`.
pub fn suggest(scenes: &[(String, String)], name: &str, characters: &[String]) -> Vec<Json> {
    let mut found: Vec<(&'static str, &'static str, String, Vec<&str>, String)> = Vec::new();
    for (id, text) in scenes {
        let mut is_about = false;
        for sentence in sentences(text) {
            match named(&sentence, characters).as_slice() {
                [] => {}
                [only] => is_about = only.eq_ignore_ascii_case(name),
                _ => is_about = false,
            }
            if !is_about {
                continue;
            }
            let mut note = |kind, member, value: String| {
                let same = |known: &&mut (&str, &str, String, Vec<&str>, String)| {
                    known.1 == member && known.2 == value
                };
                match found.iter_mut().find(same) {
                    Some((.., ids, _)) if ids.contains(&id.as_str()) => {}
                    Some((.., ids, _)) => ids.push(id),
                    None => found.push((kind, member, value, vec![id], sentence.clone())),
                }
            };
            outfits(&sentence).into_iter().for_each(|outfit| note("outfit_change", "outfit", outfit));
            let words = words(&sentence);
            for (condition, signs) in CONDITIONS {
                if words.iter().any(|word| signs.contains(&word.as_str())) {
                    note("outfit_change", "condition", condition.to_string());
                }
            }
            if let Some(feeling) = feeling(&sentence) {
                note("mood_change", "mood", feeling.to_string());
            }
        }
    }
    let suggestion = |(kind, member, value, ids, reason): (&str, &str, String, Vec<&str>, String)| json!({"variant_type": kind, "override_attributes": {member: value, "scene_ids": ids, "reason": reason}});
    found.into_iter().map(suggestion).collect()
}

/// Garments of a sentence, each with the word that describes it.
fn outfits(sentence: &str) -> Vec<String> {
    let words = words(sentence);
    let garment = |place: usize| GARMENTS.contains(&words[place].as_str());
    (0..words.len())
        .filter(|place| garment(*place))
        .map(|place| match place.checked_sub(1).map(|before| words[before].as_str()) {
            Some(before) if !PLAIN.contains(&before) => format!("{before} {}", words[place]),
            _ => words[place].clone(),
        })
        .collect()
}
