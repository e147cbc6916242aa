//! server-log: the last lines of the log, the newest first, by level and by words.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use services::ServiceError;
use tracing::Level;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::recent_log::{self, LINES_MAX, Wanted};

/// Lines in one answer.
const PAGE_MAX: u64 = 500;
/// Longest text that is looked for, in characters.
const CHARS_MAX: usize = 200;
const LEVELS: [(&str, Level); 4] =
    [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG)];

#[derive(Deserialize)]
struct Request {
    level: Option<String>,
    #[serde(default)]
    text: String,
    before: Option<u64>,
    limit: Option<u64>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let name = request.level.as_deref().unwrap_or("info");
    let level = LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level);
    let level =
        level.ok_or_else(|| FunctionError::none_of("level", name, &LEVELS.map(|(known, _)| known)))?;
    let limit = request.limit.unwrap_or(100);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ServiceError::not_within("limit", limit, 1, PAGE_MAX).into());
    }
    if request.text.chars().count() > CHARS_MAX {
        let message = format!("text: longer than {CHARS_MAX} characters");
        return Err(FunctionError::new(StatusCode::BAD_REQUEST, message).of_field("text"));
    }
    let wanted = Wanted { level, text: request.text, before: request.before, limit: limit as usize };
    let (lines, more) = recent_log::read(&wanted);
    ok(json!({"lines": lines, "more": more, "kept": LINES_MAX}))
}
