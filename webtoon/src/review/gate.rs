//! Whether a whole story passes: blind scores, rhythm, silence, and what makes a thumb stop.

use serde::{Deserialize, Serialize};

use crate::planning::panel::rounded;

/// What a missing part counts.
const MISSING: f64 = 0.5;
/// The share of silent panels that is best.
const SILENCE_BEST: f64 = 0.25;

/// The least mean blind score.
pub const BLIND_MIN: f64 = 0.3;
/// The least composite.
pub const COMPOSITE_MIN: f64 = 0.35;
/// The least share of silent panels.
pub const SILENT_MIN: f64 = 0.1;
/// The least rhythm diversity.
pub const RHYTHM_MIN: f64 = 0.2;

/// What is measured of a story; what is not known is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The blind test's score of each scene.
    pub blind_scores: Vec<f64>,
    /// How much the scenes' layouts differ, 0 to 1.
    pub rhythm_diversity: Option<f64>,
    /// The share of silent panels.
    pub silent_ratio: Option<f64>,
    /// The share of scenes with a panel that makes a thumb stop.
    pub thumb_stops: Option<f64>,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the story passes.
    pub passed: bool,
    /// The weighted sum of the parts.
    pub composite: f64,
    /// Which bound is not kept, in words.
    pub reasons: Vec<String>,
}

/// Judges: half the mean blind score, a fifth rhythm diversity, a fifth silence balance, a tenth thumb stops.
pub fn judge(measured: &Measured) -> Verdict {
    let blind = &measured.blind_scores;
    let mean = (!blind.is_empty()).then(|| blind.iter().sum::<f64>() / blind.len() as f64);
    let balance =
        measured.silent_ratio.map(|silent| (1.0 - (silent - SILENCE_BEST).abs() / SILENCE_BEST).max(0.0));
    let composite = 0.5 * mean.unwrap_or(MISSING)
        + 0.2 * measured.rhythm_diversity.unwrap_or(MISSING)
        + 0.2 * balance.unwrap_or(MISSING)
        + 0.1 * measured.thumb_stops.unwrap_or(MISSING);
    let mut reasons = Vec::new();
    for (what, value, least) in [
        ("mean blind score", mean, BLIND_MIN),
        ("composite", Some(composite), COMPOSITE_MIN),
        ("share of silent panels", measured.silent_ratio, SILENT_MIN),
        ("rhythm diversity", measured.rhythm_diversity, RHYTHM_MIN),
    ] {
        if let Some(value) = value.filter(|value| *value < least) {
            reasons.push(format!("{what} is {value:.2}, and {least} is the least"));
        }
    }
    Verdict { passed: reasons.is_empty(), composite: rounded(composite, 4), reasons }
}

/// How much layouts differ: distinct neighbours among all neighbours, 1 for a single scene.
pub fn rhythm_diversity(templates: &[String]) -> f64 {
    if templates.len() < 2 {
        return 1.0;
    }
    let changes = templates.windows(2).filter(|pair| pair[0] != pair[1]).count();
    changes as f64 / (templates.len() - 1) as f64
}
