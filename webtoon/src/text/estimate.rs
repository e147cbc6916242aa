//! How many scenes a text makes.

use super::chunker::is_heading;
use super::words::{dialogue_share, paragraphs, sentence_ends, sentences, word_count};

/// Fewest and most scenes of an episode.
pub const SCENES_MIN: usize = 5;
/// The most.
pub const SCENES_MAX: usize = 15;

/// How a text moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Short sentences.
    Fast,
    /// Neither.
    Normal,
    /// Long sentences.
    Slow,
}

/// An estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Scenes, 5 to 15.
    pub scenes: usize,
    /// Beats before they are bounded.
    pub beats: f64,
    /// How the text moves.
    pub pacing: Pacing,
    /// `simple`, `medium` or `complex`.
    pub complexity: &'static str,
    /// How long the scenes take to read, in seconds.
    pub seconds: usize,
    /// `ok`, or that the text is `too_short` or `too_long` for an episode.
    pub status: &'static str,
}

impl Pacing {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Pacing::Fast => "fast",
            Pacing::Normal => "normal",
            Pacing::Slow => "slow",
        }
    }

    /// By the length of sentences: up to eight words are fast, from twenty on slow.
    pub fn of(text: &str) -> Pacing {
        let sentences = sentences(text).len().max(1);
        match word_count(text) as f64 / sentences as f64 {
            length if length <= 8.0 => Pacing::Fast,
            length if length >= 20.0 => Pacing::Slow,
            _ => Pacing::Normal,
        }
    }
}

/// Estimates: beats are breaks where the text has some, else a third of its paragraphs or a fifth of its sentences; 1.2
/// times as many in a fast text, 0.8 in a slow one, 0.9 where much is said.
pub fn estimate(text: &str) -> Estimate {
    let breaks = text.lines().filter(|line| is_heading(line) || is_rule(line)).count();
    let paragraphs = paragraphs(text).len();
    let mut beats = match (breaks, paragraphs) {
        (1.., _) => (breaks + usize::from(!starts_with_heading(text))) as f64,
        (0, 2..) => paragraphs as f64 / 3.0,
        _ => sentence_ends(text) as f64 / 5.0,
    };
    let pacing = Pacing::of(text);
    beats *= match pacing {
        Pacing::Fast => 1.2,
        Pacing::Normal => 1.0,
        Pacing::Slow => 0.8,
    };
    if dialogue_share(text) > 0.4 {
        beats *= 0.9;
    }
    let complexity = match word_count(text) {
        0..150 => "simple",
        150..800 => "medium",
        _ => "complex",
    };
    let mut scenes = beats.ceil() as usize;
    match complexity {
        "complex" => scenes = scenes.max(9),
        "simple" => scenes = scenes.min(10),
        _ => {}
    }
    let status = match beats.ceil() as usize {
        few if few < SCENES_MIN && complexity != "complex" => "too_short",
        many if many > SCENES_MAX => "too_long",
        _ => "ok",
    };
    let scenes = scenes.clamp(SCENES_MIN, SCENES_MAX);
    let each = match pacing {
        Pacing::Fast => 6,
        Pacing::Normal => 9,
        Pacing::Slow => 12,
    };
    Estimate { scenes, beats, pacing, complexity, seconds: scenes * each, status }
}

/// Whether a line is nothing but a rule between parts, such as `***` or `---`.
fn is_rule(line: &str) -> bool {
    let marks: String = line.chars().filter(|letter| !letter.is_whitespace()).collect();
    marks.len() >= 3 && marks.chars().all(|mark| matches!(mark, '*' | '-' | '_' | '#' | '~'))
}

fn starts_with_heading(text: &str) -> bool {
    text.lines().find(|line| !line.trim().is_empty()).is_some_and(is_heading)
}
