//! train-lora: a LoRA is trained on pictures of a character.

use actors::content_rules::ContentRating;
use axum::http::{Method, StatusCode};
use models::Claims;
use models::value_words::{Takes, is_not, shown};
use serde_json::{Map, Value as Json, json};
use services::age_gate;
use services::context::Context;
use services::files::picture_for_model;
use services::ids::uuid;
use services::jobs::train_lora::{TrainingPlan, TrainingRequest, known_training, plan_training};
use services::jobs::training_owner::account_of;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::prompts::describe_image;
use crate::receive::idempotency_key;
use crate::request_body::Field;

/// Settings of the training, by the names that it has for them.
const SETTINGS: [(&str, Takes); 10] = [
    ("rank", Takes::Whole),
    ("alpha", Takes::Number),
    ("steps", Takes::Whole),
    ("batch_size", Takes::Whole),
    ("learning_rate", Takes::Number),
    ("weight_decay", Takes::Number),
    ("resolution", Takes::Whole),
    ("seed", Takes::Whole),
    ("min_snr_gamma", Takes::Number),
    ("train_text_encoder", Takes::Flag),
];
/// All else.
const FIELDS: [Field<'static>; 8] = [
    ("character_id", Takes::Uuid),
    ("pictures", Takes::List),
    ("captions", Takes::Text),
    ("name", Takes::Text),
    ("trigger_word", Takes::Text),
    ("model", Takes::Text),
    ("is_default", Takes::Flag),
    ("content_mode", Takes::Text),
];
/// What captions that are not given are made of.
const CAPTIONS: [&str; 2] = ["tags", "describe-image"];
/// What a picture has.
const PICTURE: [Field<'static>; 2] = [("url", Takes::Text), ("caption", Takes::Text)];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "train-lora takes POST"));
    }
    let fields: Vec<Field<'static>> = FIELDS.into_iter().chain(SETTINGS).collect();
    let body = call.read_fields(&fields)?;
    let character_id =
        uuid(&body["character_id"]).ok_or_else(|| FunctionError::missing(&["character_id"]))?;
    let text =
        |name: &str| body[name].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string);
    let given = |(name, _): &(&str, Takes)| {
        Some((name.to_string(), body.get(name).filter(|it| !it.is_null())?.clone()))
    };
    let settings: Map<String, Json> = SETTINGS.iter().filter_map(given).collect();
    let key = idempotency_key(&call.headers)?;
    let queued = match known_training(&call.context, character_id, key.as_deref()).await? {
        Some(known) => known,
        None => {
            let captions = text("captions");
            if let Some(other) = captions.as_deref().filter(|captions| !CAPTIONS.contains(captions)) {
                return Err(FunctionError::none_of("captions", other, &CAPTIONS));
            }
            // What the account may have that it is for, not the administrator who asks.
            let account = account_of(&call.context, character_id).await?;
            let of_account = match account {
                Some(account) if call.context.user()? != account => {
                    Context { claims: Claims::user(account), ..call.context.clone() }
                }
                _ => call.context.clone(),
            };
            let rating = age_gate::rating(&of_account, "content_mode", body["content_mode"].as_str())?;
            let request = TrainingRequest {
                character_id,
                pictures: pictures(&call, &body["pictures"])?,
                name: text("name"),
                trigger_word: text("trigger_word"),
                model: text("model"),
                settings,
                is_default: body["is_default"].as_bool().unwrap_or(true),
                idempotency_key: key,
                rating,
            };
            let mut plan = plan_training(&call.context, request).await?;
            if captions.as_deref() == Some("describe-image") {
                plan.check_credits(&call.context).await?;
                describe(&call, &mut plan, rating).await?;
            }
            plan.queue(&call.context).await?
        }
    };
    call.warnings.extend(queued.warnings);
    ok(json!({
        "success": true, "jobId": queued.job, "existed": queued.existed, "model": queued.model,
        "name": queued.payload.name, "triggerWord": queued.payload.trigger_word,
        "pictures": queued.payload.pictures.len(), "settings": queued.payload.settings, "credits": queued.credits,
    }))
}

/// Gives pictures without a caption one by a model that looks at them.
async fn describe(call: &Call, plan: &mut TrainingPlan, rating: ContentRating) -> Result<(), FunctionError> {
    let uncaptioned = plan.uncaptioned();
    if uncaptioned.is_empty() {
        return Ok(());
    }
    let chosen = call.context.services.chat.engines().choose_vision(None).await?;
    for (place, object) in uncaptioned {
        let image = picture_for_model::address(&call.context, &object).await?;
        let answer = describe_image::look(call, &chosen, image, "caption", "", rating).await?;
        plan.caption(place, answer.said["text"].as_str().unwrap_or_default().to_string());
    }
    Ok(())
}

/// `["URL", {"url", "caption"}]`
fn pictures(call: &Call, given: &Json) -> Result<Vec<(String, Option<String>)>, FunctionError> {
    let mut pictures = Vec::new();
    for (place, picture) in given.as_array().into_iter().flatten().enumerate() {
        let field = format!("pictures[{place}]");
        if let Some(url) = picture.as_str() {
            pictures.push((url.to_string(), None));
            continue;
        }
        if !picture.is_object() {
            let reason = is_not(&shown(picture), "an address, or an object with url and caption");
            return Err(FunctionError::bad(format!("{field}: {reason}")).of_field(&field));
        }
        let read = call.read_fields_at(&field, picture, &PICTURE)?;
        let url = read["url"].as_str().filter(|url| !url.is_empty());
        let missing =
            || FunctionError::bad(format!("{field}.url: missing")).of_field(&format!("{field}.url"));
        let url = url.ok_or_else(missing)?;
        pictures.push((url.to_string(), read["caption"].as_str().map(str::to_string)));
    }
    Ok(pictures)
}
