//! Workspace sessions, at most one active per account.

use models::{Value, convert, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};

use super::account_itself;
use crate::refusal::Refusal;

/// Ends the account's active sessions and begins another; returns its id.
pub(super) fn create_workspace_session(
    transaction: &Transaction<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    let (user, name) = (&arguments[0], &arguments[1]);
    account_itself(transaction.claims, user, "create_workspace_session")?;
    let caller = Caller::new(transaction.claims);
    let sessions = schema().known("workspace_sessions");
    let is_active = sessions.at("is_active");
    for old in transaction.reads().referring(sessions, sessions.at("user_id"), user)? {
        if old[is_active].as_bool() == Some(true) {
            let mut ended = old.clone();
            ended[is_active] = Value::Bool(false);
            transaction.update(&caller, sessions, &old, ended)?;
        }
    }
    let mut session = sessions.default_row();
    session[sessions.at("user_id")] = user.clone();
    session[sessions.at("session_name")] = name.clone();
    let session = transaction.insert(&caller, sessions, session)?;
    Ok(convert::to_json(&session[sessions.at("id")]))
}
