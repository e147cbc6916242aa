//! What a scene is about, by its text.

use serde_json::{Value as Json, json};

use crate::planning::panel::rounded;
use crate::text::estimate::Pacing;
use crate::text::importance::{Importance, emotion};
use crate::text::words::{first_words, sentences, unquoted, words};

/// Words of a summary.
const SUMMARY_WORDS: usize = 32;
/// Beats of an intent.
const BEATS_MAX: usize = 3;
/// Words before a place.
const BEFORE_PLACES: [&str; 10] =
    ["in", "at", "inside", "into", "on", "near", "through", "under", "behind", "outside"];

/// The characters of a story that a text names.
pub fn named(text: &str, characters: &[String]) -> Vec<String> {
    let words = words(text);
    let is_named = |name: &&String| {
        let name = crate::text::words::words(name);
        !name.is_empty()
            && words.windows(name.len()).any(|some| {
                some.iter().zip(&name).all(|(word, part)| {
                    word == part
                        || word.strip_suffix("'s") == Some(part)
                        || word.strip_suffix("’s") == Some(part)
                })
            })
    };
    characters.iter().filter(is_named).cloned().collect()
}

/// Where a text takes place: the words after the first preposition of place.
pub fn place(text: &str) -> Option<String> {
    let narrated = unquoted(text);
    let all: Vec<&str> = narrated.split_whitespace().collect();
    let is_article = |word: &str| matches!(word.to_lowercase().as_str(), "the" | "a" | "an");
    let start = (0..all.len()).find(|at| {
        BEFORE_PLACES.contains(&all[*at].to_lowercase().as_str())
            && all.get(at + 1).is_some_and(|next| is_article(next))
    })?;
    let mut place: Vec<String> = Vec::new();
    for word in all[start + 1..].iter().skip(1).take(3) {
        let plain = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        let is_stop = matches!(
            plain,
            "" | "and" | "of" | "to" | "that" | "when" | "where" | "with" | "as" | "for" | "was" | "is"
        );
        if is_stop {
            break;
        }
        place.push(plain.to_lowercase());
        if word.ends_with(['.', ',', ';', '!', '?', ':']) {
            break;
        }
    }
    (!place.is_empty()).then(|| place.join(" "))
}

/// The intent of a scene.
pub fn intent(text: &str, genre: &str, characters: &[String]) -> Json {
    let sentences = sentences(text);
    let seen = named(text, characters);
    let pacing = match Importance::detect(text) {
        importance if importance.is_peak() => "impact",
        _ => match Pacing::of(text) {
            Pacing::Fast => "fast",
            Pacing::Normal => "normal",
            Pacing::Slow => "slow_burn",
        },
    };
    let strength = |part: Option<&String>| rounded(part.map_or(0.0, |text| emotion(text)), 3);
    let peak = sentences.iter().map(|sentence| emotion(sentence)).fold(0.0, f64::max);
    json!({
        "summary": first_words(text, SUMMARY_WORDS),
        "setting": place(text).unwrap_or_default(),
        "beats": sentences.iter().take(BEATS_MAX).collect::<Vec<_>>(),
        "characters": seen,
        "logline": sentences.first().cloned().unwrap_or_default(),
        "pacing": pacing, "pacing_profile": if genre.is_empty() { "drama" } else { genre },
        "emotional_arc": {"start": strength(sentences.first()), "peak": rounded(peak, 3), "end": strength(sentences.last())},
        "narrative_arc": "", "visual_motifs": [],
        "character_presence_map": seen.iter().map(|name| (name.clone(), json!("visible"))).collect::<serde_json::Map<_, _>>(),
        "cinematic_mode": if pacing == "impact" { "dramatic" } else { "grounded" },
        "continuity_preference": "keep", "shot_variety_preference": "balanced",
    })
}

/// How a scene is lit, by its text.
pub fn art_direction(text: &str, style: &str, color_temperature: &str) -> Json {
    let words = words(text);
    let has = |some: &[&str]| some.iter().any(|word| words.iter().any(|it| it == word));
    let (lighting, temperature) = if has(&["night", "dark", "moon", "midnight", "shadow"]) {
        ("low key night light", "cool")
    } else if has(&["sunset", "dusk", "evening", "fire", "candle", "lamp"]) {
        ("warm low light", "warm")
    } else if has(&["rain", "storm", "snow", "fog", "winter"]) {
        ("overcast soft light", "cool")
    } else {
        ("soft daylight", "neutral")
    };
    let keywords: Vec<&str> =
        ["rain", "storm", "snow", "fog", "night", "sunset", "fire", "wind", "quiet", "crowd"]
            .into_iter()
            .filter(|word| has(&[word]))
            .collect();
    let temperature = if color_temperature.is_empty() { temperature } else { color_temperature };
    json!({
        "lighting": lighting, "color_temperature": temperature, "atmosphere_keywords": keywords,
        "compatible_with_style": true, "image_style_id": style,
    })
}
