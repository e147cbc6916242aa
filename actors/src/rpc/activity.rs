//! The log of what accounts do.

use models::{Value, convert, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};

use super::account_itself;
use crate::refusal::Refusal;

/// Adds an entry about the caller; returns its id.
pub(super) fn log_user_activity(transaction: &Transaction<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    account_itself(transaction.claims, &arguments[0], "log_user_activity")?;
    let log = schema().known("user_activity_log");
    let mut entry = log.default_row();
    let columns =
        ["user_id", "action", "resource_type", "resource_id", "metadata", "ip_address", "user_agent"];
    for (column, value) in columns.into_iter().zip(arguments) {
        entry[log.at(column)] = value.clone();
    }
    // The policy keeps the table to admins; this function is how everybody else writes to it.
    let service = transaction.claims.elevated();
    let entry = transaction.insert(&Caller::new(&service), log, entry)?;
    Ok(convert::to_json(&entry[log.at("id")]))
}
