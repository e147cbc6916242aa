//! What is known of a character bears on a picture of it that a provider draws, as far as the model can follow.

use actors::content_rules::ContentRating;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids;
use crate::jobs::character_steering::{DENOISE, steer};
use crate::jobs::job_request::JobRequest;

/// A request with what its character adds.
pub(crate) struct Likeness {
    /// The request, with the character's seed and how much of its reference stays.
    pub request: Map<String, Json>,
    /// Words before the prompt.
    pub base_prompt: Option<String>,
    /// The picture that it begins with: the request's own, or the character's.
    pub reference: Option<String>,
    /// What is not followed, and why.
    pub warnings: Vec<String>,
}

impl Likeness {
    /// Looks the character up that `metadata.character_id` names. What the request says itself wins.
    pub(crate) async fn of(
        context: &Context,
        user: Uuid,
        request: &Map<String, Json>,
        metadata: &Map<String, Json>,
        tier: ContentRating,
        model: &Json,
    ) -> Result<Likeness, ServiceError> {
        let asked =
            |name: &str| request.get(name).or_else(|| metadata.get(name)).filter(|value| !value.is_null());
        let text = |name: &str| asked(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        let own = text("reference_image_url").map(str::to_string);
        let mut request = request.clone();
        let mut job = JobRequest {
            seed: asked("seed").and_then(models::value_words::seed).flatten(),
            reference_image_url: own.clone(),
            denoise_strength: asked("strength").and_then(Json::as_f64),
            reference_strength: asked("reference_strength").and_then(Json::as_f64),
            consistency_method: text("consistency_method").map(str::to_string),
            metadata: metadata.clone(),
            ..JobRequest::default()
        };
        if ids::uuid(&json!(metadata.get("character_id"))).is_none() {
            return Ok(Likeness { request, base_prompt: None, reference: own, warnings: Vec::new() });
        }
        let steering = steer(context, user, &mut job, tier).await?;
        let mut warnings = steering.warnings;
        if let Some(seed) = job.seed {
            match i32::try_from(seed) {
                Ok(seed) => drop(request.insert("seed".into(), json!(seed))),
                Err(_) => warnings
                    .push(format!("seed_locked: {seed} is more than the provider takes, so none is locked")),
            }
        }
        let mut reference = job.reference_image_url;
        if let (None, Some((object, strength))) = (&reference, job.likeness) {
            reference = Some(object);
            job.denoise_strength = Some(strength.map_or(DENOISE, |strength| 1.0 - strength));
            warnings.push(
                "consistency_method: ip_adapter is for models that draw here, so i2i_reference is followed"
                    .into(),
            );
        }
        if own.is_none() && reference.is_some() {
            if takes_pictures(model) {
                // How far to depart from a picture is the provider's `strength`.
                if asked("strength").is_none() && asked("reference_strength").is_none() {
                    request.insert("strength".into(), json!(job.denoise_strength));
                }
            } else {
                reference = None;
                warnings.push(
                    "the character's reference_image_url is not used: the model's capabilities name no i2i_image_key"
                        .into(),
                );
            }
        }
        Ok(Likeness { request, base_prompt: steering.base_prompt, reference, warnings })
    }
}

/// Whether a model says that it begins with pictures.
fn takes_pictures(model: &Json) -> bool {
    let capabilities = &model["capabilities"];
    let keys = capabilities["allowed_input_keys"].as_array();
    let key = capabilities["i2i_image_key"].as_str();
    key.is_some() || keys.is_some_and(|keys| keys.contains(&json!("image")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_say_whether_they_begin_with_pictures() {
        for (capabilities, takes) in [
            (json!({}), false),
            (json!({"i2i_image_key": "init"}), true),
            (json!({"allowed_input_keys": ["prompt"]}), false),
            (json!({"allowed_input_keys": ["prompt", "image"]}), true),
        ] {
            assert_eq!(takes_pictures(&json!({"capabilities": capabilities})), takes);
        }
    }
}
