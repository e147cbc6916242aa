//! list-scripts: the caller's own scripts of a chapter, the newest first.

use serde::Deserialize;
use serde_json::json;
use services::scripts::find;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "chapterId")]
    chapter_id: Option<Uuid>,
    #[serde(alias = "scriptStyle")]
    script_style: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let chapter = request.chapter_id.ok_or_else(|| FunctionError::missing(&["chapter_id"]))?;
    let scripts = find::of_chapter(&call.context, chapter, request.script_style.as_deref()).await?;
    ok(json!({"success": true, "scripts": scripts}))
}
