//! How much weighs on a scene.

use super::words::{dialogue_share, hits, paragraphs, words};

/// The part that a scene has in a story, as the rules of planning know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Introduces.
    Setup,
    /// Goes on.
    Build,
    /// Everything comes to a head.
    Climax,
    /// Lets go.
    Release,
    /// Ends open.
    Cliffhanger,
}

/// Words of each kind of scene, counted with their endings.
const CLIMAX: [&str; 24] = [
    "confront",
    "battle",
    "fight",
    "fought",
    "explode",
    "explosion",
    "scream",
    "attack",
    "final",
    "death",
    "die",
    "kill",
    "reveal",
    "truth",
    "betray",
    "shatter",
    "clash",
    "blood",
    "strike",
    "struck",
    "collapse",
    "crash",
    "sacrifice",
    "showdown",
];
const CLIFFHANGER: [&str; 17] = [
    "suddenly",
    "vanish",
    "disappear",
    "gasp",
    "froze",
    "freeze",
    "shadow",
    "footstep",
    "knock",
    "stranger",
    "unknown",
    "impossible",
    "wait",
    "gone",
    "continued",
    "secret",
    "whisper",
];
const SETUP: [&str; 19] = [
    "morning",
    "begin",
    "began",
    "arrive",
    "live",
    "town",
    "village",
    "city",
    "school",
    "house",
    "introduce",
    "first",
    "new",
    "once",
    "open",
    "usual",
    "ordinary",
    "every",
    "wake",
];
const RELEASE: [&str; 17] = [
    "calm", "peace", "smile", "relief", "quiet", "rest", "home", "together", "finally", "sigh", "laugh",
    "gentle", "warm", "embrace", "safe", "hug", "thank",
];
const STRONG_EMOTION: [&str; 18] = [
    "love",
    "hate",
    "fear",
    "terror",
    "rage",
    "fury",
    "cry",
    "cried",
    "tear",
    "sob",
    "scream",
    "despair",
    "joy",
    "grief",
    "panic",
    "horror",
    "heartbroken",
    "furious",
];
/// Texts below this count as so many words.
const WORDS_MIN: usize = 100;

impl Importance {
    /// Every kind, by the name that is stored.
    pub const NAMES: [&'static str; 5] = ["setup", "build", "climax", "release", "cliffhanger"];

    /// What is stored, of either vocabulary: critical is a climax, high and medium build, low is a setup.
    pub fn of_stored(stored: &str) -> Option<Importance> {
        match stored {
            "setup" | "low" => Some(Importance::Setup),
            "build" | "high" | "medium" => Some(Importance::Build),
            "climax" | "critical" => Some(Importance::Climax),
            "release" => Some(Importance::Release),
            "cliffhanger" => Some(Importance::Cliffhanger),
            _ => None,
        }
    }

    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            Importance::Setup => "setup",
            Importance::Build => "build",
            Importance::Climax => "climax",
            Importance::Release => "release",
            Importance::Cliffhanger => "cliffhanger",
        }
    }

    /// The part of a scene by its place in a story: the first introduces, the last ends open, the others build.
    pub fn by_position(index: usize, count: usize) -> Importance {
        match index {
            0 => Importance::Setup,
            last if last + 1 == count => Importance::Cliffhanger,
            _ => Importance::Build,
        }
    }

    /// Whether one moment carries the scene.
    pub fn is_peak(self) -> bool {
        matches!(self, Importance::Climax | Importance::Cliffhanger)
    }

    /// Detects it in a text by families of words for each hundred.
    pub fn detect(text: &str) -> Importance {
        let words = words(text);
        let per_hundred =
            |family: &[&str]| hits(&words, family) as f64 * 100.0 / words.len().max(WORDS_MIN) as f64;
        if per_hundred(&CLIMAX) >= 2.0 {
            return Importance::Climax;
        }
        if per_hundred(&CLIFFHANGER) >= 1.5 {
            return Importance::Cliffhanger;
        }
        if per_hundred(&SETUP) >= 1.5 {
            return Importance::Setup;
        }
        if per_hundred(&RELEASE) >= 1.5 {
            return Importance::Release;
        }
        if hits(&words, &STRONG_EMOTION) >= 3 || dialogue_share(text) >= 0.6 || has_impact_pacing(text) {
            return Importance::Climax;
        }
        Importance::Build
    }
}

/// How strongly a text speaks of feelings, 0 to 1: three words of strong emotion in a hundred are the most.
pub fn emotion(text: &str) -> f64 {
    let words = words(text);
    let rate = hits(&words, &STRONG_EMOTION) as f64 * 100.0 / words.len().max(20) as f64;
    (rate / 3.0).min(1.0)
}

/// Many short paragraphs: over five in under 500 characters.
fn has_impact_pacing(text: &str) -> bool {
    paragraphs(text).len() > 5 && text.chars().count() < 500
}
