//! Behaviour that belongs to rows, whichever message writes them: what the documents describe as triggers.
//!
//! One function per table, in the aggregate's folder; this file only routes.

use models::{Claims, Command, Row, Value};
use store::{Event, StoreError, Transaction, Triggers, guard};

use crate::{audit, character, conversation, job_scheduler, user};

/// Routes row events to their tables.
pub(crate) struct RowTriggers;

impl Triggers for RowTriggers {
    fn before(
        &self,
        transaction: &Transaction,
        event: &Event,
        new: Option<&mut Row>,
    ) -> Result<(), StoreError> {
        let Some(new) = new else { return Ok(()) };
        match (event.table.table.schema, event.table.table.name) {
            ("public", "profiles") => user::profiles::before_write(transaction, event, new)?,
            ("public", "characters") => character::characters::before_write(transaction, event, new)?,
            ("public", "jobs") => job_scheduler::jobs::before_write(event, new)?,
            _ => {}
        }
        if let (Command::Update, Some(column)) = (event.command, event.table.updated_at) {
            new[column] = Value::now();
        }
        Ok(())
    }

    fn after(&self, transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
        match (event.table.table.schema, event.table.table.name) {
            ("auth", "users") => user::users::after_write(transaction, event, new)?,
            ("public", "profiles") => user::profiles::after_write(transaction, event, new)?,
            ("public", "user_library") => user::user_library::after_write(transaction, event, new)?,
            ("public", "character_scenes") => {
                character::character_scenes::after_write(transaction, event, new)?
            }
            ("public", "messages") => conversation::messages::after_write(transaction, event, new)?,
            ("public", "jobs") => job_scheduler::jobs::after_write(transaction, event, new)?,
            ("queue", "entries") => job_scheduler::jobs::after_entry_write(transaction, event, new)?,
            _ => {}
        }
        audit::record(transaction, event, new)
    }
}

/// Applies `change` to a row found by its id, whatever columns it guards; a missing row is left missing.
///
/// Anybody may refer to any row, as in PostgreSQL, but the reference changes only what its author may change.
pub(crate) fn adjust(
    transaction: &Transaction,
    event: &Event,
    table: &'static str,
    id: &Value,
    change: impl FnOnce(&models::TableInfo, &mut Row),
) -> Result<(), StoreError> {
    let table = models::schema().known(table);
    let Some(old) = transaction.reads().get(table, std::slice::from_ref(id))? else { return Ok(()) };
    let author = author(event);
    if !guard::allows(&transaction.reads(), &store::Caller::new(&author), table, Command::Update, &old)? {
        return Ok(());
    }
    let mut row = old.clone();
    change(table, &mut row);
    if row != old {
        let service = event.claims.elevated();
        transaction.update(&store::Caller::new(&service), table, &old, row)?;
    }
    Ok(())
}

/// Who is behind a change, with their own rights where the server acts for them.
pub(crate) fn author(event: &Event) -> Claims {
    event.claims.user_id.map_or_else(|| event.claims.clone(), Claims::user)
}

/// Adds to an account's credits with the server's rights and answers with what is left; a missing account has 0.
pub(crate) fn balance(
    transaction: &Transaction,
    service: &store::Caller,
    user: &Value,
    by: i64,
) -> Result<i64, StoreError> {
    let profiles = models::schema().known("profiles");
    let Some(old) = transaction.reads().get(profiles, std::slice::from_ref(user))? else { return Ok(0) };
    let column = profiles.at("token_balance");
    let left = old[column].as_i64().unwrap_or(0).saturating_add(by).min(i64::from(i32::MAX));
    let mut row = old.clone();
    row[column] = Value::Int(left);
    transaction.update(service, profiles, &old, row)?;
    Ok(left)
}
