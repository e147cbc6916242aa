//! replicate-image: a picture by an external provider that speaks Replicate's predictions API.

use axum::http::StatusCode;
use serde_json::{Map, Value as Json, json};
use services::replicate::prediction_status::status_of;
use services::replicate::start_prediction::{Started, start};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function: starts a prediction, or with `predictionId` says how one fares.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.context.user()?;
    let request: Map<String, Json> = call.read()?;
    let metadata = match request.get("metadata") {
        Some(Json::Object(metadata)) => metadata.clone(),
        None | Some(Json::Null) => Map::new(),
        Some(_) => return Err(FunctionError::bad("metadata: not an object")),
    };
    let prediction = request.get("predictionId").and_then(Json::as_str).filter(|id| !id.is_empty());
    if let Some(prediction) = prediction {
        return ok(status_of(&call.context, user, prediction).await?);
    }
    match start(&call.context, user, &request, &metadata).await? {
        Started::Queued { job, prediction } => {
            ok(json!({"jobId": job, "predictionId": prediction, "status": "queued"}))
        }
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
