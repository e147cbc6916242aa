//! replicate-image and fal-image: a picture by an external provider. Both take models of servers of OpenAI's dialect as
//! well, and of this server.

use axum::http::StatusCode;
use models::field_names::is_same_name;
use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::jobs::depicted_characters::{CHARACTERS, PLACES};
use services::replicate::prediction_status::status_of;
use services::replicate::provider_api::Door;
use services::replicate::start_prediction::{Started, start};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// The fields of a request, beside those that name a character or a place of one.
const FIELDS: [Field<'static>; 20] = [
    ("predictionId", Takes::Text),
    ("prompt", Takes::Text),
    ("job_type", Takes::Text),
    ("apiModelId", Takes::Uuid),
    ("reference_image_url", Takes::Text),
    ("metadata", Takes::Object),
    ("negative_prompt", Takes::Text),
    ("steps", Takes::Number),
    ("guidance_scale", Takes::Number),
    ("seed", Takes::Seed),
    ("width", Takes::Number),
    ("height", Takes::Number),
    ("aspect_ratio", Takes::Text),
    ("consistency_method", Takes::Text),
    ("strength", Takes::Number),
    ("reference_strength", Takes::Number),
    ("mode", Takes::Text),
    ("scheduler", Takes::Text),
    ("quality", Takes::Text),
    ("character_id", Takes::Uuid),
];

/// replicate-image.
pub(crate) async fn run(call: Call) -> Outcome {
    ask(call, Door::Replicate).await
}

/// fal-image.
pub(crate) async fn fal(call: Call) -> Outcome {
    ask(call, Door::Fal).await
}

/// Starts a prediction, or with `predictionId` says how one fares.
async fn ask(call: Call, door: Door) -> Outcome {
    let user = call.context.user()?;
    let more = CHARACTERS.iter().chain(PLACES.iter().map(|(name, _)| name));
    let more = more.filter(|name| !FIELDS.iter().any(|(known, _)| is_same_name(name, known)));
    let fields: Vec<Field<'_>> =
        FIELDS.iter().copied().chain(more.map(|name| (*name, Takes::Anything))).collect();
    let request = call.read_fields(&fields)?.as_object().cloned().unwrap_or_default();
    let metadata = request.get("metadata").and_then(Json::as_object).cloned().unwrap_or_default();
    let prediction = request.get("predictionId").and_then(Json::as_str).filter(|id| !id.is_empty());
    if let Some(prediction) = prediction {
        return ok(status_of(&call.context, door, user, prediction).await?);
    }
    let (started, warnings) = start(&call.context, door, user, &request, &metadata).await?;
    call.warnings.extend(warnings);
    match started {
        Started::Queued { job, prediction } => {
            ok(json!({"jobId": job, "predictionId": prediction, "status": "queued"}))
        }
        Started::Here { job } => ok(json!({"jobId": job, "predictionId": null, "status": "queued"})),
        Started::Declined { job, status, message } => {
            let code = match status {
                422 | 404 => "MODEL_VERSION_NOT_FOUND",
                _ => "PREDICTION_CREATE_ERROR",
            };
            let http = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let error =
                FunctionError::new(http, message.clone()).with("code", code).with("jobId", json!(job));
            Err(error.with("message", message).with("status", status))
        }
    }
}
