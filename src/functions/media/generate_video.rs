//! generate-video: a script becomes a film: speech, pictures, and both together. The rows are there at once, the film when the
//! job is done.

use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::ids::uuid;
use services::media::order::{Order, SHAPES, TIERS, order};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// Effects of one film at most.
const EFFECTS_MAX: usize = 100;

const FIELDS: [Field<'static>; 10] = [
    ("script_id", Takes::Uuid),
    ("quality_tier", Takes::Text),
    ("aspect_ratio", Takes::Text),
    ("voice", Takes::Text),
    ("voices", Takes::Object),
    ("speech_model", Takes::Text),
    ("music_url", Takes::Text),
    ("effects", Takes::List),
    ("image_options", Takes::Object),
    ("content_mode", Takes::Text),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body = call.read_fields(&FIELDS)?;
    let script_id = uuid(&body["script_id"]).ok_or_else(|| FunctionError::missing(&["script_id"]))?;
    let text =
        |name: &str| body[name].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string);
    let one_of = |name: &str, known: &[&'static str]| -> Result<String, FunctionError> {
        let word = text(name).unwrap_or_else(|| known[0].to_string());
        match known.contains(&word.as_str()) {
            true => Ok(word),
            false => Err(FunctionError::none_of(name, &word, known)),
        }
    };
    let effects = body["effects"].as_array().cloned().unwrap_or_default();
    if effects.len() > EFFECTS_MAX {
        return Err(FunctionError::bad(format!("effects: more than {EFFECTS_MAX}")).of_field("effects"));
    }
    let voices = body["voices"].as_object().cloned().unwrap_or_default();
    if let Some((name, _)) = voices.iter().find(|(_, voice)| !voice.is_string()) {
        return Err(FunctionError::bad(format!("voices.{name}: not a text, as the name of a voice is"))
            .of_field("voices"));
    }
    let members = |value: &Json| value.as_object().cloned().unwrap_or_default();
    let asked = Order {
        script_id,
        tier: one_of("quality_tier", &TIERS)?,
        aspect_ratio: one_of("aspect_ratio", &SHAPES)?,
        voice: text("voice"),
        voices,
        speech_model: text("speech_model"),
        music_url: text("music_url"),
        effects,
        image_options: members(&body["image_options"]),
        rating: age_gate::rating(&call.context, "content_mode", body["content_mode"].as_str())?,
    };
    let ordered = order(&call.context, asked).await?;
    call.warnings.extend(ordered.warnings);
    ok(json!({
        "success": true, "video": ordered.video, "jobId": ordered.job, "audio": ordered.pieces.0,
        "images": ordered.pieces.1,
    }))
}
