//! One panel of a plan.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Kinds of shots.
pub const GRAMMARS: [&str; 8] = [
    "establishing",
    "dialogue_medium",
    "emotion_closeup",
    "action",
    "reaction",
    "object_focus",
    "reveal",
    "impact_silence",
];

/// What panels are for.
pub const PURPOSES: [&str; 6] = ["dialogue", "reaction", "reveal", "action", "establishing", "silent_beat"];

/// Purposes that give an inset a meaning.
pub const MEANINGFUL: [&str; 4] = ["reveal", "reaction", "action", "silent_beat"];

/// What a panel of a grammar does in its story.
pub fn story_function(grammar: &str) -> &'static str {
    match grammar {
        "establishing" => "setup",
        "dialogue_medium" => "dialogue",
        "emotion_closeup" => "emotion",
        "action" => "action",
        "reaction" => "reaction",
        "object_focus" => "focus",
        "reveal" | "impact_silence" => "climax",
        _ => "beat",
    }
}

/// What a panel of a grammar is for.
pub fn purpose_of(grammar: &str) -> &'static str {
    match grammar {
        "establishing" => "establishing",
        "emotion_closeup" | "reaction" => "reaction",
        "action" => "action",
        "reveal" => "reveal",
        "object_focus" | "impact_silence" => "silent_beat",
        _ => "dialogue",
    }
}

/// How much room a panel takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Of the page's width.
    pub width_percentage: u32,
    /// `impact`, `standard` or `intimate`.
    pub hierarchy_reason: String,
    /// What the eye falls on: `character`, `environment` or `object`.
    pub visual_dominance: String,
}

/// One panel of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Panel {
    /// Its place, from 1.
    pub panel_index: u32,
    /// One of [`GRAMMARS`].
    pub grammar_id: String,
    /// What it does in the story.
    pub story_function: String,
    /// `main` or `inset`.
    pub panel_role: String,
    /// One of [`PURPOSES`].
    pub panel_purpose: String,
    /// Whether something is said in it.
    pub has_dialogue: bool,
    /// How much it gives, 0 to 1.
    pub utility_score: f64,
    /// What its planner says that it weighs, 0.1 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_weight: Option<f64>,
    /// What it weighs, 0.1 to 1.
    pub weight: f64,
    /// Whether it needs the most room.
    pub must_be_large: bool,
    /// How much room it takes.
    pub panel_hierarchy: Hierarchy,
    /// What it should look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_focus: Option<String>,
    /// What its planner says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// What else its planner wrote.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// A number rounded to so many decimals.
pub fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (number * factor).round() / factor
}
