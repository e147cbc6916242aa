//! What is said in panels.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::text::words::{quoted, trim_words, words};

/// Lines of a panel.
pub const LINES_MAX: usize = 3;
/// Words of a line that is spoken or thought.
pub const SPEECH_WORDS_MAX: usize = 15;
/// Words of a caption or a sound.
pub const CAPTION_WORDS_MAX: usize = 18;
/// Kinds of lines.
pub const KINDS: [&str; 4] = ["speech", "thought", "caption", "sfx"];

/// Phrases that say what the picture shows.
pub const REDUNDANT: [&str; 7] =
    ["look at", "as you can see", "i can see", "you see", "this is the", "here is", "here comes"];
/// Beginnings of lines that narrate in place of a character that speaks.
const NARRATION: [&str; 12] = [
    "he is",
    "she is",
    "they are",
    "he was",
    "she was",
    "they were",
    "meanwhile",
    "later that",
    "suddenly, he",
    "suddenly, she",
    "the camera",
    "narrator",
];
/// Lines that say nothing.
const GENERIC: [&str; 19] = [
    "hello",
    "hi",
    "hey",
    "ok",
    "okay",
    "yes",
    "no",
    "what",
    "huh",
    "oh",
    "wow",
    "really",
    "let's go",
    "i see",
    "i don't know",
    "me too",
    "thanks",
    "thank you",
    "hmm",
];

/// One line of a panel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Who speaks; empty for captions and sounds.
    pub speaker: String,
    /// One of [`KINDS`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What is said.
    pub text: String,
}

/// Whether a line narrates.
pub fn is_narration_like(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    NARRATION.iter().any(|start| text.starts_with(start))
}

/// Whether a line says nothing.
pub fn is_generic(text: &str) -> bool {
    let plain = words(text).join(" ");
    plain.is_empty() || GENERIC.contains(&plain.as_str())
}

/// Whether a line says what the picture shows.
pub fn is_redundant(text: &str) -> bool {
    let text = text.to_lowercase();
    REDUNDANT.iter().any(|phrase| text.contains(phrase))
}

/// A panel's lines, cleaned: three at most, of a known kind, one caption, none empty, narrating, generic or said twice;
/// trimmed.
pub fn clean_lines(written: &[Json]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in written {
        let text = line.as_str().or(line["text"].as_str()).map(str::trim).unwrap_or_default();
        let kind = line["type"].as_str().filter(|kind| KINDS.contains(kind)).unwrap_or("speech");
        let is_said = matches!(kind, "speech" | "thought");
        let is_dropped = text.is_empty()
            || is_said && (is_narration_like(text) || is_generic(text))
            || kind == "caption" && lines.iter().any(|line| line.kind == "caption");
        if is_dropped {
            continue;
        }
        let text = trim_words(text, if is_said { SPEECH_WORDS_MAX } else { CAPTION_WORDS_MAX });
        if lines.iter().any(|line| line.text.eq_ignore_ascii_case(&text)) {
            continue;
        }
        let speaker = line["speaker"].as_str().map(str::trim).unwrap_or_default();
        lines.push(Line { speaker: speaker.into(), kind: kind.into(), text });
        if lines.len() == LINES_MAX {
            break;
        }
    }
    lines
}

/// Gives lines whose speaker is not known one of the story's characters, in rotation.
pub fn name_speakers<'l>(lines: impl Iterator<Item = &'l mut Line>, characters: &[String]) {
    let mut turn = 0;
    for line in lines.filter(|line| matches!(line.kind.as_str(), "speech" | "thought")) {
        let known = characters.iter().find(|name| name.eq_ignore_ascii_case(&line.speaker));
        if let Some(name) = known {
            line.speaker.clone_from(name);
        } else if !characters.is_empty() {
            line.speaker.clone_from(&characters[turn % characters.len()]);
            turn += 1;
        }
    }
}

/// What is said in a bubble of its own: the comma before "said Tomas" is a full stop there.
fn ended(text: &str) -> String {
    match text.trim_end().strip_suffix(',') {
        Some(said) => format!("{said}."),
        None => text.to_string(),
    }
}

/// Without a model: the quoted texts of a scene in order, three to a panel.
pub fn from_quotes(text: &str, panels: usize) -> Vec<Vec<Line>> {
    let mut said = quoted(text).into_iter();
    (0..panels)
        .map(|_| {
            let line = |text: String| Line {
                kind: "speech".into(),
                text: trim_words(&ended(&text), SPEECH_WORDS_MAX),
                ..Line::default()
            };
            said.by_ref().take(LINES_MAX).map(line).collect()
        })
        .collect()
}
