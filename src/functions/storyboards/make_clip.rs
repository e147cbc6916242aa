//! make-clip: a clip of a scene, drawn as its kind asks for; the row is there at once, the video when the job is done.

use actors::storyboard::clip_kinds::ClipKind;
use models::value_words::Takes;
use serde_json::json;
use services::ids::uuid;
use services::storyboards::make_clip::{ClipRequest, make};

use super::draw_scene::rest;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// What says which clip it is.
const OWN: [Field<'static>; 9] = [
    ("scene_id", Takes::Uuid),
    ("clip_type", Takes::Text),
    ("prompt", Takes::Text),
    ("reference_image_url", Takes::Text),
    ("end_frame_url", Takes::Text),
    ("motion_preset_id", Takes::Uuid),
    ("parent_clip_id", Takes::Uuid),
    ("duration_seconds", Takes::Number),
    ("api_model_id", Takes::Uuid),
];
/// What `queue-job` takes of a video.
const OF_JOB: [Field<'static>; 12] = [
    ("job_type", Takes::Text),
    ("negative_prompt", Takes::Text),
    ("num_frames", Takes::Whole),
    ("fps", Takes::Whole),
    ("seed", Takes::Seed),
    ("steps", Takes::Whole),
    ("guidance_scale", Takes::Number),
    ("width", Takes::Whole),
    ("height", Takes::Whole),
    ("model", Takes::Text),
    ("motion_module", Takes::Text),
    ("motion_context", Takes::Whole),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let fields: Vec<Field<'_>> = OWN.into_iter().chain(OF_JOB).collect();
    let body = call.read_fields(&fields)?;
    let scene = uuid(&body["scene_id"]).ok_or_else(|| FunctionError::missing(&["scene_id"]))?;
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_string);
    let kind = match text("clip_type") {
        None => None,
        Some(word) => Some(
            ClipKind::parse(&word)
                .ok_or_else(|| FunctionError::none_of("clip_type", &word, &ClipKind::NAMES))?,
        ),
    };
    let own: Vec<&str> = OWN.iter().map(|(name, _)| *name).collect();
    let asked = ClipRequest {
        kind,
        prompt: text("prompt"),
        reference_image_url: text("reference_image_url"),
        end_frame_url: text("end_frame_url"),
        motion_preset_id: uuid(&body["motion_preset_id"]),
        parent_clip_id: uuid(&body["parent_clip_id"]),
        duration_seconds: body["duration_seconds"].as_f64(),
        api_model_id: uuid(&body["api_model_id"]),
        more: rest(&body, &own),
    };
    let made = make(&call.context, scene, asked).await?;
    call.warnings.extend(made.warnings);
    let mut answer = json!({"success": true, "clip": made.clip, "jobId": made.job});
    if let Some(reason) = made.reason {
        answer["recommended"] = json!({"clip_type": answer["clip"]["clip_type"], "reason": reason});
    }
    ok(answer)
}
