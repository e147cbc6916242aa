//! `config`: the limits and thresholds that the rules of webtoons have on this server.

use serde_json::{Value as Json, json};
use services::webtoon::{episodes, scenes};
use webtoon::planning::layout::TEMPLATES;
use webtoon::planning::panel::{GRAMMARS, PURPOSES};
use webtoon::review::{gate, quality};
use webtoon::text::estimate;

use super::call::{Call, Outcome, get, ok, post};
use crate::app::App;

/// `/config` and `/config/reload`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new().route("/config", get(read)).route("/config/reload", post(reload))
}

fn config(call: &Call) -> Json {
    let templates: Vec<Json> = TEMPLATES
        .iter()
        .map(|template| json!({"template_id": template.id, "layout_text": template.text, "panels": template.panels}))
        .collect();
    json!({
        "limits": {
            "text_chars_max": scenes::TEXT_CHARS_MAX, "scenes_max": scenes::SCENES_MAX,
            "episode_scenes_max": episodes::SCENES_MAX,
            "estimate_scenes": [estimate::SCENES_MIN, estimate::SCENES_MAX],
        },
        "grammars": GRAMMARS, "panel_purposes": PURPOSES, "layout_templates": templates,
        "quality": {
            "panel_words_max": quality::PANEL_WORDS_MAX, "line_words_max": quality::LINE_WORDS_MAX,
            "monotony": quality::MONOTONY, "closeups_max": quality::CLOSEUPS_MAX,
            "dialogue_max": quality::DIALOGUE_MAX, "silence_min": quality::SILENCE_MIN,
            "narration_max": quality::NARRATION_MAX, "generic_max": quality::GENERIC_MAX,
        },
        "gate": {
            "blind_score_min": gate::BLIND_MIN, "composite_min": gate::COMPOSITE_MIN,
            "silent_ratio_min": gate::SILENT_MIN, "rhythm_diversity_min": gate::RHYTHM_MIN,
        },
        "image_model": call.context.services.settings.image_model,
    })
}

async fn read(call: Call) -> Outcome {
    ok(config(&call))
}

/// Settings of this server are read when it starts, so that there is nothing to read again; the answer says so.
async fn reload(call: Call) -> Outcome {
    call.warn(["the configuration is read when the server starts; this is the one that it has".to_string()]);
    ok(config(&call))
}
