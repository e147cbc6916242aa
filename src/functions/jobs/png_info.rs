//! png-info: how a picture was made, as far as the texts of its PNG file say, under the names that queue-job takes.

use actors::render::png_texts;
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};
use services::pictures::picture_settings;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{Uploaded, reading_permit, run_blocking};

/// Largest file, in bytes.
pub(crate) const PNG_BYTES_MAX: usize = 64 << 20;

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "png-info takes POST"));
    }
    let uploaded = Uploaded::of(&call, &[]).await?;
    let _turn = reading_permit(&call, uploaded.bytes.len()).await?;
    let read = run_blocking(move || {
        let texts = png_texts(&uploaded.bytes).ok_or_else(|| {
            let message = "file: is no PNG, or a damaged one; other files carry no texts that are read";
            FunctionError::bad(message).with("code", "NO_PNG").of_field("file")
        })?;
        let found = picture_settings::read(&texts);
        Ok((texts, found))
    });
    let (texts, found) = read.await?;
    call.warnings.extend(found.warnings);
    let texts: Map<String, Json> = texts.into_iter().map(|(name, text)| (name, json!(text))).collect();
    ok(json!({"format": found.format, "settings": found.settings, "unused": found.unused, "texts": texts}))
}
