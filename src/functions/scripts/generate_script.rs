//! generate-script: a model writes a script from a chapter, as a new draft; with `evaluate: true` it is judged as well.

use serde::Deserialize;
use serde_json::json;
use services::age_gate;
use services::scripts::{evaluate, generate};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::scripts::given;

/// The style of a script that names none.
const STYLE: &str = "cinematic";
/// Longest text of a field, in characters.
const CHARS_MAX: usize = 2000;

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "chapterId")]
    chapter_id: Option<Uuid>,
    #[serde(alias = "scriptStyle")]
    script_style: Option<String>,
    #[serde(alias = "scriptName")]
    script_name: Option<String>,
    #[serde(alias = "videoStyle")]
    video_style: Option<String>,
    instructions: Option<String>,
    #[serde(default, alias = "characterIds")]
    character_ids: Vec<Uuid>,
    #[serde(alias = "modelKey")]
    model: Option<String>,
    #[serde(alias = "content_tier")]
    content_mode: Option<String>,
    #[serde(default)]
    evaluate: bool,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let chapter_id = request.chapter_id.ok_or_else(|| FunctionError::missing(&["chapter_id"]))?;
    let tier = age_gate::rating(&call.context, "content_mode", request.content_mode.as_deref())?;
    let model = request.model.as_deref();
    let asked = generate::Order {
        chapter_id,
        style: given("script_style", &request.script_style, CHARS_MAX)?.unwrap_or(STYLE),
        video_style: given("video_style", &request.video_style, CHARS_MAX)?,
        name: given("script_name", &request.script_name, CHARS_MAX)?,
        instructions: given("instructions", &request.instructions, CHARS_MAX)?,
        character_ids: request.character_ids.clone(),
        model,
        tier,
    };
    let written = generate::generate(&call.context, asked).await?;
    call.warnings.extend(written.warnings);
    let mut answer = json!({"success": true, "script": written.script, "model_used": written.model});
    let id = written.script["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    if let Some(id) = id.filter(|_| request.evaluate) {
        // The draft stands, whatever becomes of its evaluation.
        match evaluate::evaluate(&call.context, id, model, tier).await {
            Ok(judged) => {
                call.warnings.extend(judged.warnings);
                answer["evaluation"] = judged.scores.object();
                answer["script"] = judged.script;
            }
            Err(error) => {
                call.warnings.extend([format!("evaluate: the script is kept as a draft: {error}")]);
                answer["evaluation_error"] = json!(error.to_string());
            }
        }
    }
    ok(answer)
}
