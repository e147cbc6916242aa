//! extract-frame: a frame of a finished clip as a picture: at `at_seconds`, after `percentage` of it, or its last one.

use serde::Deserialize;
use serde_json::json;
use services::ServiceError;
use services::storyboards::clip_frame::{Moment, extract};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Longest time into a clip, in seconds.
const SECONDS_MAX: f64 = 3600.0;

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "clipId")]
    clip_id: Option<Uuid>,
    #[serde(alias = "atSeconds")]
    at_seconds: Option<f64>,
    percentage: Option<f64>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.clip_id.ok_or_else(|| FunctionError::missing(&["clip_id"]))?;
    let within = |field: &str, value: f64, most: f64| match (0.0..=most).contains(&value) {
        true => Ok(value),
        false => Err(ServiceError::not_within(field, value, 0.0, most)),
    };
    let moment = match (request.at_seconds, request.percentage) {
        (Some(_), Some(_)) => {
            return Err(FunctionError::bad("at_seconds, percentage: give one of them").of_field("percentage"));
        }
        (Some(seconds), None) => Moment::Seconds(within("at_seconds", seconds, SECONDS_MAX)?),
        (None, Some(percent)) => Moment::Percent(within("percentage", percent, 100.0)?),
        (None, None) => Moment::Last,
    };
    let frame = extract(&call.context, id, moment, None).await?;
    ok(json!({"success": true, "frame": frame}))
}
