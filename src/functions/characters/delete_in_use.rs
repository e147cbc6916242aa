//! delete-character and delete-project: deletes one that is in use, and says before what will go.
//!
//! `{character_id}` or `{project_id}` alone lists by table what would be deleted and what would only lose its reference;
//! with `"confirm": true` it is done, in one commit. `"conversations": "delete"` takes the owner's own conversations
//! with it along; conversations of other accounts always stay.

use actors::Tried;
use actors::delete_in_use::{DeleteInUse, Deleted, InUse};
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "characterId")]
    character_id: Option<Uuid>,
    #[serde(alias = "projectId")]
    project_id: Option<Uuid>,
    #[serde(default)]
    confirm: bool,
    conversations: Option<String>,
}

/// What becomes of the owner's conversations with what goes: they stay, with all that was said, or they go.
const CONVERSATIONS: [&str; 2] = ["keep", "delete"];

/// Runs delete-character.
pub(crate) async fn character(call: Call) -> Outcome {
    delete(call, InUse::Character).await
}

/// Runs delete-project.
pub(crate) async fn project(call: Call) -> Outcome {
    delete(call, InUse::Project).await
}

async fn delete(call: Call, kind: InUse) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "this function takes POST"));
    }
    let request: Request = call.read()?;
    let (field, id, other, name) = match kind {
        InUse::Character => ("character_id", request.character_id, request.project_id, "Character"),
        InUse::Project => ("project_id", request.project_id, request.character_id, "Project"),
    };
    let id = id.ok_or_else(|| FunctionError::missing(&[field]))?;
    call.refuse_unknown()?;
    if other.is_some() {
        let other = if kind == InUse::Character { "project_id" } else { "character_id" };
        let message = format!("{other}: only {field} names what is to be deleted");
        return Err(FunctionError::bad(message).of_field(other));
    }
    let with_conversations = match request.conversations.as_deref() {
        None | Some("keep") => false,
        Some("delete") => true,
        Some(wrong) => return Err(FunctionError::none_of("conversations", wrong, &CONVERSATIONS)),
    };
    let decision = DeleteInUse { kind, id, with_conversations };
    let done = match request.confirm {
        true => call.context.ask(decision).await?,
        false => call.context.ask(Tried(decision)).await?,
    };
    let Deleted { rows, cleared } =
        done.ok_or_else(|| FunctionError::not_found(format!("{name} not found")))?;
    let message = match request.confirm {
        true => "deleted",
        false => "nothing is deleted yet: send confirm: true to delete what deleted_rows lists",
    };
    ok(json!({
        "success": true, "deleted": request.confirm, field: id, "deleted_rows": rows,
        "cleared_references": cleared, "message": message,
    }))
}
