//! character-from-template: a character with what a template of the catalogue says, and what the caller says instead.

use models::value_words::Takes;
use serde_json::json;
use services::characters::from_template::make;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body = call.read_fields(&[("template_key", Takes::Text), ("character", Takes::Object)])?;
    let key = body["template_key"].as_str().map(str::trim).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| FunctionError::missing(&["template_key"]))?;
    let own = body["character"].as_object().cloned().unwrap_or_default();
    let made = make(&call.context, key, &own).await?;
    call.warnings.extend(made.warnings);
    ok(json!({"success": true, "character": made.character}))
}
