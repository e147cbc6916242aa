//! Lets what is known of a character bear on a job that draws it: its base prompt comes first, its seed is locked, and
//! its reference picture is what the drawing begins with, or whose looks lead it. Whatever the request says itself wins.

use actors::character::consistency::{Consistency, ConsistencySettings, Method};
use actors::content_rules::{self, ContentRating};
use actors::conversation::sheet::Sheet;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::participants;
use crate::error::{Kind, ServiceError};
use crate::files::reference_picture;
use crate::ids::uuid;
use crate::jobs::character_lora;
use crate::jobs::job_request::JobRequest;
use crate::rows::position;

/// How far a drawing departs from the character's reference unless something says otherwise: the pose and the place are
/// the prompt's, the looks stay.
pub(crate) const DENOISE: f64 = 0.65;

/// What a character adds to a job.
#[derive(Debug, Default)]
pub struct Steering {
    /// Words before the prompt.
    pub base_prompt: Option<String>,
    /// Whether the reference picture of the request is the character's own.
    pub over_character: bool,
    /// What is not followed, and why.
    pub warnings: Vec<String>,
    /// The same as the job's metadata says it.
    pub about: Option<Json>,
}

/// Completes a request by what is known of the character that it draws.
pub(crate) async fn steer(
    context: &Context,
    user: Uuid,
    request: &mut JobRequest,
    tier: ContentRating,
) -> Result<Steering, ServiceError> {
    let mut steering = Steering::default();
    let Some(character) = character(context, request, &mut steering.warnings)? else {
        for (field, given) in [
            ("consistency_settings", request.consistency_settings.is_some()),
            ("consistency_method", request.consistency_method.is_some()),
            ("metadata.consistency_method", request.member("consistency_method").is_some()),
            ("metadata.character_lora", request.member("character_lora").is_some()),
        ] {
            if given {
                steering
                    .warnings
                    .push(format!("{field}: no character is drawn (character_id), so it changes nothing"));
            }
        }
        return Ok(steering);
    };
    let character = anchored(context, user, character).await?;
    let Consistency { method, base_prompt, seed, reference_image_url, denoise_strength, warnings } =
        Consistency::of(&character, &request.consistency());
    steering.warnings.extend(warnings);
    let is_steered = method != Method::None;
    let lora = match known(&character) {
        Some(id) => character_lora::choose(context, user, id, is_steered, request).await?,
        None => None,
    };
    let trigger_word = lora.as_ref().map(|lora| lora.trigger_word.as_str());
    let lora_about = lora.as_ref().map(|lora| &lora.about);
    if !is_steered {
        steering.about =
            Some(with_lora(json!({"method": method, "character_id": known(&character)}), lora_about));
        steering.base_prompt = trigger_word.map(str::to_string);
        return Ok(steering);
    }
    let base_prompt = match (trigger_word, base_prompt) {
        (Some(trigger), Some(words)) => Some(format!("{trigger}, {words}")),
        (Some(trigger), None) => Some(trigger.to_string()),
        (None, words) => words,
    };
    if let Some(words) = &base_prompt {
        content_rules::check(tier, "base_prompt of the character", words)?;
    }
    request.seed = request.seed.or(seed);
    let has_frames =
        ["start_reference_url", "end_reference_url"].iter().any(|name| request.member(name).is_some());
    let draws_over = method.draws_over() && request.reference_image_url.is_none() && !has_frames;
    if let Some(given) = reference_image_url.filter(|_| draws_over || method.takes_looks()) {
        match readable(context, user, &given).await {
            Ok(object) if !draws_over => {
                let strength = denoise_strength.map(|denoise| 1.0 - denoise);
                request.likeness = Some((object, request.reference_strength.or(strength)));
            }
            Ok(object) => {
                request.likeness = method.takes_looks().then(|| (object.clone(), None));
                request.reference_image_url = Some(object);
                steering.over_character = true;
                if request.denoise_strength.is_none() && request.reference_strength.is_none() {
                    request.denoise_strength = denoise_strength
                        .or(request.character_denoise)
                        .or(request.model_denoise)
                        .or(Some(DENOISE));
                }
            }
            Err(reason) => steering.warnings.push(not_used(&reason)),
        }
    }
    let about = json!({
        "method": method, "character_id": known(&character), "base_prompt": base_prompt.is_some(),
        "seed": request.seed, "over_reference": steering.over_character, "takes_looks": request.likeness.is_some(),
    });
    steering.about = Some(with_lora(about, lora_about));
    steering.base_prompt = base_prompt;
    Ok(steering)
}

/// What is said of a character's part, with its LoRA where there is one.
fn with_lora(mut about: Json, lora: Option<&Json>) -> Json {
    if let Some(lora) = lora {
        about["lora"] = lora.clone();
    }
    about
}

/// A character of the account that names no picture to draw from is drawn from its primary anchor, or its newest one.
async fn anchored(context: &Context, user: Uuid, character: Sheet) -> Result<Sheet, ServiceError> {
    let is_own = character.user_id().and_then(|id| Uuid::parse_str(id).ok()) == Some(user);
    if !is_own || !character.text("reference_image_url").is_empty() {
        return Ok(character);
    }
    let anchors = Query::all(position("character_anchors"))
        .equal("character_id", Value::Uuid(character.id))
        .order("is_primary", true)
        .order("created_at", true)
        .limit(1);
    let anchor = context.rows(anchors).await?.pop();
    Ok(match anchor.as_ref().and_then(|anchor| anchor["image_url"].as_str()) {
        Some(address) => character.with_reference(address),
        None => character,
    })
}

/// A character that is described but not stored has no id.
fn known(character: &Sheet) -> Option<Uuid> {
    Some(character.id).filter(|id| !id.is_nil())
}

/// The character that a request draws, as far as the caller may know it.
fn character(
    context: &Context,
    request: &mut JobRequest,
    warnings: &mut Vec<String>,
) -> Result<Option<Sheet>, ServiceError> {
    if let Some(character) = request.character.take() {
        return Ok(Some(character));
    }
    let named = ["character_id", "characterId"].iter().find_map(|name| request.metadata.get(*name));
    let Some(named) = named.filter(|named| !named.is_null() && named.as_str() != Some("")) else {
        return Ok(None);
    };
    let unknown = "character_id: the account knows no such character, so nothing of it bears on the drawing";
    let Some(id) = uuid(named) else {
        warnings.push(unknown.into());
        return Ok(None);
    };
    match participants::character(context, id) {
        Ok(character) => Ok(Some(character)),
        Err(error) if error.kind() == Kind::NotFound => {
            warnings.push(unknown.into());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `bucket/path` of a character's reference picture, if the account may read it; else why not. A URL is fetched.
async fn readable(context: &Context, user: Uuid, given: &str) -> Result<String, String> {
    let reference =
        reference_picture::resolve(context, user, given).await.map_err(|error| error.to_string())?;
    let found = reference_picture::file_row(context, &reference.object).await;
    if found.map_err(|error| error.to_string())?.is_none() {
        Err("its file is gone".into())
    } else {
        Ok(reference.object)
    }
}

/// What can be said of a character's part in a drawing before anything is queued.
pub(crate) struct Foreseen {
    /// Whether it will be drawn over the character's reference, unless the file turns out to be gone.
    pub over_reference: bool,
    /// What will not be followed, and why.
    pub warnings: Vec<String>,
}

/// Looks ahead without fetching anything.
pub(crate) fn foresee(
    context: &Context,
    user: Uuid,
    character: &Sheet,
    settings: &ConsistencySettings,
) -> Foreseen {
    let Consistency { method, reference_image_url, mut warnings, .. } = Consistency::of(character, settings);
    let over_reference = match reference_image_url {
        None => false,
        Some(given) => match reference_picture::check_owner(context, user, &given) {
            Ok(()) => method.draws_over(),
            Err(error) => {
                warnings.push(not_used(&error.to_string()));
                false
            }
        },
    };
    Foreseen { over_reference, warnings }
}

fn not_used(reason: &str) -> String {
    format!("the character's reference_image_url is not used: {reason}")
}
