//! What the request of a turn says that changes nothing: its caller is to know.

use actors::character::consistency::ConsistencySettings;
use models::value_words::is_none_of;

use crate::conversations::participants::id_of;
use crate::conversations::{playground_turn, roleplay_turn};

/// What a turn of the playground may be about.
const CONTEXT_TYPES: [&str; 9] = [
    "general",
    "conversation",
    "creative",
    "story_development",
    "roleplay",
    "character_roleplay",
    "admin",
    "sdxl_conversion",
    "scene_narrative",
];
const STYLES: [&str; 3] = ["casual", "immersive", "detailed"];
const LENGTHS: [&str; 3] = ["short", "medium", "long"];
/// Who is in the picture of a scene.
const SCENE_STYLES: [&str; 3] = ["character_only", "pov", "both_characters"];

/// A warning about a value that is none of those known.
fn unknown(field: &str, given: Option<&str>, accepted: &[&str], instead: &str) -> Option<String> {
    let given = given.filter(|given| !given.trim().is_empty() && !accepted.contains(given))?;
    Some(format!("{field}: {}, so {instead}", is_none_of(given, accepted)))
}

/// Warnings about a turn of the playground.
pub fn of_playground(request: &playground_turn::Request) -> Vec<String> {
    let settings = &request.roleplay_settings;
    let values = [
        unknown(
            "context_type",
            request.context_type.as_deref(),
            &CONTEXT_TYPES,
            "the template of general conversations is taken",
        ),
        unknown(
            "roleplay_settings.responseStyle",
            settings.response_style.as_deref(),
            &STYLES,
            "it changes nothing",
        ),
        unknown(
            "roleplay_settings.responseLength",
            settings.response_length.as_deref(),
            &LENGTHS,
            "it changes nothing",
        ),
    ];
    let others = request.participants.iter().enumerate().filter(|(_, other)| id_of(other).is_none());
    let others = others.map(|(place, _)| {
        format!("participants[{place}]: neither an id nor an object with id or character_id, and not used")
    });
    values.into_iter().flatten().chain(others.take(20)).collect()
}

/// Warnings about a turn of a roleplay.
pub fn of_roleplay(request: &roleplay_turn::Request) -> Vec<String> {
    if request.scene_generation {
        let instead = "the character is in the picture";
        let style = request.scene_style.as_deref();
        return unknown("scene_style", style, &SCENE_STYLES, instead).into_iter().collect();
    }
    let given = [
        ("scene_style", request.scene_style.is_some()),
        ("selected_image_model", request.selected_image_model.is_some()),
        ("selected_i2i_model", request.selected_i2i_model.is_some()),
        ("scene_preview_image_url", request.scene_preview_image_url.is_some()),
        ("consistency_settings", request.consistency_settings != ConsistencySettings::default()),
        ("previous_scene_id", request.previous_scene_id.is_some()),
        ("previous_scene_image_url", request.previous_scene_image_url.is_some()),
        ("scene_continuity_enabled", request.scene_continuity_enabled.is_some()),
        ("scene_prompt_override", request.scene_prompt_override.is_some()),
        ("current_scene_image_url", request.current_scene_image_url.is_some()),
    ];
    let unused = given.into_iter().filter(|(_, given)| *given);
    unused.map(|(field, _)| format!("{field}: no picture is drawn without scene_generation")).collect()
}
