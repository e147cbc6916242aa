//! A new account gets a profile and the role `basic_user`.

use models::{Command, Row, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

/// Longest user name taken over from an address or metadata, in characters.
pub(super) const USERNAME_CHARS_MAX: usize = 64;

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (Command::Insert, Some(user)) = (event.command, new) else { return Ok(()) };
    let users = event.table;
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    let id = user[users.at("id")].clone();

    let profiles = schema().known("profiles");
    let mut profile = profiles.default_row();
    profile[profiles.at("id")] = id.clone();
    profile[profiles.at("username")] = username(transaction, event, user)?;
    transaction.insert(&service, profiles, profile)?;

    let roles = schema().known("user_roles");
    let mut role = roles.default_row();
    role[roles.at("user_id")] = id;
    role[roles.at("role")] = Value::text("basic_user");
    transaction.insert(&service, roles, role).map(|_| ())
}

/// `username` of the sign-up metadata, else the local part of the address; made unique by a number.
fn username(transaction: &Transaction, event: &Event, user: &Row) -> Result<Value, StoreError> {
    let users = event.table;
    let metadata = user[users.at("user_metadata")].as_json().unwrap_or_default();
    let wanted = metadata
        .get("username")
        .and_then(|name| name.as_str())
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let local_part = user[users.at("email")].as_str().and_then(|email| email.split('@').next());
    let Some(base) = wanted.or(local_part) else { return Ok(Value::Null) };
    let base: String = base.chars().filter(|character| *character != '\0').take(USERNAME_CHARS_MAX).collect();
    let profiles = schema().known("profiles");
    for number in 1..1000 {
        let name = if number == 1 { base.clone() } else { format!("{base}{number}") };
        let taken = transaction.reads().referring(profiles, profiles.at("username"), &Value::text(&name))?;
        if taken.is_empty() {
            return Ok(Value::Text(name));
        }
    }
    Ok(Value::Text(format!("{base}-{}", uuid::Uuid::new_v4().simple())))
}
