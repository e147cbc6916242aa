//! sessions: where an account is signed in, and signing out there.
//!
//! `{action: list | end, id}`. A session that ended refreshes no more, and its access token opens nothing from then on.

use actors::user::end_sessions::{EndSessions, Scope};
use axum::http::{Method, StatusCode};
use models::{Row, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::rows::table;
use uuid::Uuid;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

const ACTIONS: Actions = Actions(&[("list", &[]), ("end", &["id"])]);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
    id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "sessions takes POST"));
    }
    let user_id = call.context.user()?;
    let request: Request = call.read()?;
    ACTIONS.warn_unused(&call, &request.action)?;
    match request.action.as_str() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "list" => ok(json!({"sessions": list(&call, user_id)?})),
        "end" => {
            let id = request.id.ok_or_else(|| FunctionError::missing(&["id"]))?;
            let end = EndSessions { user_id, session_id: Some(id), scope: Scope::Local };
            // Signing out is nothing that a policy decides: only sessions of the caller are looked at.
            match call.context.ask(end).await? {
                0 => Err(FunctionError::not_found("there is no such session")),
                _ => ok(json!({"success": true, "id": id, "sessions": list(&call, user_id)?})),
            }
        }
        other => Err(ACTIONS.refuse(other)),
    }
}

/// The caller's sessions, the one used last first.
fn list(call: &Call, user: Uuid) -> Result<Vec<Json>, FunctionError> {
    let sessions = table("auth.sessions");
    let reads = call.context.services.actors.store().reads();
    let mut rows = reads.referring(sessions, sessions.at("user_id"), &Value::Uuid(user))?;
    let used = |row: &Row| {
        let refreshed = row[sessions.at("refreshed_at")].as_micros();
        refreshed.max(row[sessions.at("created_at")].as_micros())
    };
    rows.sort_by_key(|row| std::cmp::Reverse(used(row)));
    let here = call.context.claims.session_id;
    let described = |row: &Row| {
        let columns = ["id", "amr_method", "user_agent", "refreshed_at", "created_at"];
        let member = |name: &str| (name.to_string(), models::convert::to_json(&row[sessions.at(name)]));
        let mut one = Json::Object(columns.into_iter().map(member).collect());
        one["is_current"] = json!(here.is_some() && row[sessions.at("id")].as_uuid() == here);
        one
    };
    Ok(rows.iter().map(described).collect())
}
