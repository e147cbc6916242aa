//! conversation-memory: what a conversation remembers, and pinning, editing and unpinning facts.
//!
//! `{conversation_id}` shows it; `action: "pin"` with `text` (or a `message_id` whose text is pinned) adds a fact;
//! `action: "pin"` with a `fact_id` alone pins one that the model found, and `"edit"` with `text` rewords any;
//! `action: "unpin"` with `fact_id` removes one; `action: "edit_summary"` with `summary_id` and `text` rewords a summary, and
//! `"forget_summary"` removes it, so that its messages are summed up anew when there is need.

use actors::content_rules::{self, ContentRating};
use actors::conversation::update_memory::{MemoryChange, UpdateMemory};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::ServiceError;
use services::conversations::messages;
use services::conversations::participants;
use uuid::Uuid;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body;

/// Longest fact, in characters.
const FACT_CHARS_MAX: usize = 1000;
/// Longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = actors::conversation::memory::TEXT_CHARS_MAX;

/// What can be asked for.
const ACTIONS: Actions = Actions(&[
    ("show", &[]),
    ("pin", &["text", "message_id", "fact_id"]),
    ("edit", &["fact_id", "text"]),
    ("unpin", &["fact_id"]),
    ("edit_summary", &["summary_id", "text"]),
    ("forget_summary", &["summary_id"]),
]);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    conversation_id: Option<Uuid>,
    action: Option<String>,
    text: Option<String>,
    message_id: Option<Uuid>,
    fact_id: Option<String>,
    summary_id: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.conversation_id.ok_or_else(|| FunctionError::missing(&["conversation_id"]))?;
    if request.action.is_none() {
        let given = ACTIONS.unused(&request_body::object(&call.body)?, "show");
        if let Some(field) = given.first() {
            let message = format!("action: missing; {field} belongs to {}", ACTIONS.users(field));
            return Err(FunctionError::missing_choice("action", &ACTIONS.names()).with("error", message));
        }
    }
    ACTIONS.warn_unused(&call, request.action.as_deref().unwrap_or("show"))?;
    let conversation = participants::conversation(&call.context, id).await?;
    let user_id = participants::owner(&conversation)?;
    let change = match request.action.as_deref() {
        None | Some("show") => None,
        Some("pin") if request.text.is_none() && request.fact_id.is_some() => {
            if request.message_id.is_some() {
                call.warnings.extend(["message_id: given beside fact_id, and not used".into()]);
            }
            request.fact_id.clone().map(|fact| MemoryChange::Edit(fact, None))
        }
        Some("edit") => {
            ServiceError::require(&[
                ("fact_id", request.fact_id.is_some()),
                ("text", request.text.is_some()),
            ])?;
            let id = request.fact_id.clone().unwrap_or_default();
            Some(MemoryChange::Edit(id, Some(fact(&call, &request).await?)))
        }
        Some("pin") => {
            if request.fact_id.is_some() {
                call.warnings.extend(["fact_id: given beside text, which is pinned as a new fact".into()]);
            }
            Some(MemoryChange::Pin(fact(&call, &request).await?, request.message_id))
        }
        Some("unpin") => {
            let fact = request.fact_id.ok_or_else(|| FunctionError::missing(&["fact_id"]))?;
            Some(MemoryChange::Unpin(fact))
        }
        Some("edit_summary") => {
            ServiceError::require(&[
                ("summary_id", request.summary_id.is_some()),
                ("text", request.text.is_some()),
            ])?;
            let text = remembered(&call, request.text.as_deref().unwrap_or_default(), SUMMARY_CHARS_MAX)?;
            Some(MemoryChange::RewordSummary(request.summary_id.clone().unwrap_or_default(), text))
        }
        Some("forget_summary") => {
            let id = request.summary_id.clone().ok_or_else(|| FunctionError::missing(&["summary_id"]))?;
            Some(MemoryChange::ForgetSummary(id))
        }
        Some(other) => {
            return Err(FunctionError::none_of("action", other, &ACTIONS.names()));
        }
    };
    let mut fact_id = None;
    if let Some(change) = change {
        let update = UpdateMemory { conversation_id: id, user_id, change };
        fact_id = call.context.ask(update).await?;
        if fact_id.is_none() {
            let what = if request.summary_id.is_some() { "summary" } else { "fact" };
            return Err(FunctionError::not_found(format!("there is no such {what}")));
        }
    }
    let mut memory = participants::conversation(&call.context, id).await?["memory_data"].take();
    let mut list = |name: &str| match memory.get_mut(name).map(Json::take) {
        None | Some(Json::Null) => json!([]),
        Some(list) => list,
    };
    ok(json!({
        "success": true, "conversation_id": id, "fact_id": fact_id, "memory_tier": conversation["memory_tier"],
        "key_facts": list("key_facts"), "summaries": list("summaries"),
    }))
}

async fn fact(call: &Call, request: &Request) -> Result<String, FunctionError> {
    let text = match (&request.text, request.message_id) {
        (Some(text), _) => text.trim().to_string(),
        (None, Some(id)) => {
            let (_, message) = messages::message(&call.context, id).await?;
            let text: String =
                message["content"].as_str().unwrap_or_default().chars().take(FACT_CHARS_MAX).collect();
            text.trim().to_string()
        }
        (None, None) => return Err(FunctionError::missing_one_of(&["text", "message_id"])),
    };
    remembered(call, &text, FACT_CHARS_MAX)
}

/// A text that may be remembered.
fn remembered(call: &Call, text: &str, chars_max: usize) -> Result<String, FunctionError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > chars_max {
        return Err(FunctionError::bad(format!("text: 1 to {chars_max} characters")).of_field("text"));
    }
    if !call.context.may_have_nsfw()? {
        content_rules::check(ContentRating::Sfw, "what is remembered", text)?;
    }
    Ok(text.to_string())
}
