//! The plan of a scene's panels: read from what a planner wrote, cleaned, weighed and normalised.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::panel::{GRAMMARS, Hierarchy, MEANINGFUL, PURPOSES, Panel, purpose_of, rounded, story_function};
use crate::text::importance::Importance;

/// Insets that a plan keeps.
const INSETS_MAX: usize = 2;

/// What a plan is like as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DerivedFeatures {
    /// Panels.
    pub panel_count: usize,
    /// The greatest weight.
    pub max_weight: f64,
    /// The mean weight.
    pub avg_weight: f64,
    /// Panels of weight 0.7 or more.
    pub num_large: usize,
    /// Whether there is one.
    pub has_strong_panel: bool,
    /// Whether it is the only one.
    pub is_single_panel: bool,
    /// How often the first character must be seen.
    pub hero_count: usize,
}

/// Reads what a planner wrote and cleans it, in the order of the rules: roles, purposes, dialogue, utility, insets.
pub fn clean(written: &[Json]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = written.iter().filter(|it| it.is_object()).map(cleaned).collect();
    panels.retain(|panel| {
        panel.panel_role != "inset"
            || panel.has_dialogue
            || MEANINGFUL.contains(&panel.panel_purpose.as_str())
    });
    let mut insets: Vec<(usize, f64)> = panels
        .iter()
        .enumerate()
        .filter(|(_, panel)| panel.panel_role == "inset")
        .map(|(place, panel)| (place, panel.utility_score))
        .collect();
    insets.sort_by(|one, other| other.1.total_cmp(&one.1));
    let surplus: Vec<usize> = insets.iter().skip(INSETS_MAX).map(|(place, _)| *place).collect();
    let mut place = 0;
    panels.retain(|_| {
        place += 1;
        !surplus.contains(&(place - 1))
    });
    for (panel, index) in panels.iter_mut().zip(1..) {
        panel.panel_index = index;
    }
    panels
}

fn cleaned(written: &Json) -> Panel {
    let text = |name: &str| {
        written[name].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string)
    };
    let grammar_id = text("grammar_id").unwrap_or_default();
    let function = text("story_function").unwrap_or_default();
    let role = text("panel_role").filter(|role| role == "main" || role == "inset");
    let is_purpose = |purpose: &String| PURPOSES.contains(&purpose.as_str());
    let purpose = text("panel_purpose").filter(is_purpose).or(Some(function.clone()).filter(is_purpose));
    let purpose = purpose.unwrap_or_else(|| purpose_of(&grammar_id).to_string());
    let has_dialogue = written["has_dialogue"]
        .as_bool()
        .unwrap_or_else(|| grammar_id == "dialogue_medium" || purpose == "dialogue");
    let by_purpose = match purpose.as_str() {
        _ if has_dialogue => 1.0,
        "reveal" | "reaction" | "action" => 0.7,
        "silent_beat" => 0.4,
        "establishing" => 0.5,
        _ => 0.3,
    };
    let utility = written["utility_score"].as_f64().filter(|score| score.is_finite()).unwrap_or(by_purpose);
    let known = [
        "panel_index",
        "grammar_id",
        "story_function",
        "panel_role",
        "panel_purpose",
        "has_dialogue",
        "utility_score",
        "importance_weight",
        "weight",
        "must_be_large",
        "panel_hierarchy",
        "recommended_focus",
        "notes",
    ];
    let more = written.as_object().into_iter().flatten();
    let more = more.filter(|(name, _)| !known.contains(&name.as_str()));
    Panel {
        panel_index: 0,
        grammar_id,
        story_function: function,
        panel_role: role.unwrap_or_else(|| "main".into()),
        panel_purpose: purpose,
        has_dialogue,
        utility_score: utility,
        importance_weight: written["importance_weight"].as_f64().filter(|weight| weight.is_finite()),
        weight: 0.0,
        must_be_large: written["must_be_large"] == Json::Bool(true),
        panel_hierarchy: Hierarchy::default(),
        recommended_focus: text("recommended_focus"),
        notes: text("notes"),
        more: more.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

/// Weighs panels: by what their planner says they weigh where it says so of any, else by how much they give; and says
/// how much room each takes.
pub fn weigh(panels: &mut [Panel], importance: Importance) {
    let is_given = panels.iter().any(|panel| panel.importance_weight.is_some());
    let most = panels.iter().map(|panel| panel.utility_score).fold(0.0, f64::max);
    let count = panels.len();
    for (place, panel) in panels.iter_mut().enumerate() {
        let weight = match is_given {
            true => panel.importance_weight.unwrap_or(0.5).clamp(0.1, 1.0),
            false if most > 0.0 => 0.12 + 0.88 * (panel.utility_score.max(0.0) / most),
            false => 1.0,
        };
        panel.weight = rounded(weight, 3);
        panel.must_be_large |=
            importance.is_peak() && matches!(panel.panel_purpose.as_str(), "reveal" | "reaction");
        let ends_open = importance == Importance::Cliffhanger && place + 1 == count;
        let (width, reason) = match panel.weight {
            _ if panel.must_be_large || ends_open => (100, "impact"),
            weight if weight > 0.6 => (80, "standard"),
            _ => (60, "intimate"),
        };
        let dominance = match panel.grammar_id.as_str() {
            "establishing" => "environment",
            "object_focus" => "object",
            _ => "character",
        };
        panel.panel_hierarchy = Hierarchy {
            width_percentage: width,
            hierarchy_reason: reason.into(),
            visual_dominance: dominance.into(),
        };
    }
}

/// What a plan is like as a whole.
pub fn derived_features(panels: &[Panel], must_show: &[String], characters: &[String]) -> DerivedFeatures {
    let weights = || panels.iter().map(|panel| panel.weight);
    let num_large = weights().filter(|weight| *weight >= 0.7).count();
    let is_hero = |token: &&String| {
        let token = token.to_lowercase();
        match characters.first() {
            Some(name) => token.contains(&name.to_lowercase()),
            None => token.contains("protagonist") || token.contains("hero"),
        }
    };
    DerivedFeatures {
        panel_count: panels.len(),
        max_weight: weights().fold(0.0, f64::max),
        avg_weight: rounded(weights().sum::<f64>() / panels.len().max(1) as f64, 3),
        num_large,
        has_strong_panel: num_large > 0,
        is_single_panel: panels.len() == 1,
        hero_count: must_show.iter().filter(is_hero).count(),
    }
}

/// Normalises a plan: a grammar that is not known becomes `dialogue_medium`, and a missing function is filled in.
pub fn normalize(panels: &mut [Panel]) {
    for panel in panels {
        if !GRAMMARS.contains(&panel.grammar_id.as_str()) {
            panel.grammar_id = "dialogue_medium".into();
        }
        if panel.story_function.is_empty() {
            panel.story_function = story_function(&panel.grammar_id).into();
        }
    }
}
