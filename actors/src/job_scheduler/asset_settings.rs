//! What a result says of how it was made: `workspace_assets.generation_settings`, of any worker.

use serde_json::{Map, Value as Json};

/// What the job asked for, beside what its maker says it was made with.
pub fn asset_settings(job: &Json, made_with: &Map<String, Json>) -> Json {
    let mut settings = made_with.clone();
    for (name, value) in [
        ("prompt", &job["original_prompt"]),
        ("enhanced_prompt", &job["enhanced_prompt"]),
        ("template_name", &job["template_name"]),
        ("reference_image_url", &job["metadata"]["reference_image_url"]),
        ("num_characters", &job["metadata"]["num_characters"]),
    ] {
        if !value.is_null() {
            settings.insert(name.into(), value.clone());
        }
    }
    Json::Object(settings)
}
