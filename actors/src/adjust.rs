//! Changes of rows that follow from a change of another row.

use models::{Claims, Command, Row, TableInfo, Value, schema};
use store::{Caller, Event, StoreError, Transaction, guard};

/// Applies `change` to a row found by its id, whatever columns it guards; a missing row is left missing.
///
/// Everybody may refer to any row, as in PostgreSQL, but the reference changes only what its author may change.
pub(crate) fn adjust(
    transaction: &Transaction,
    event: &Event,
    table: &'static str,
    id: &Value,
    change: impl FnOnce(&TableInfo, &mut Row),
) -> Result<(), StoreError> {
    let table = schema().known(table);
    let Some(old) = transaction.reads().get(table, std::slice::from_ref(id))? else { return Ok(()) };
    let author = author(event);
    if !guard::allows(&transaction.reads(), &Caller::new(&author), table, Command::Update, &old)? {
        return Ok(());
    }
    let mut row = old.clone();
    change(table, &mut row);
    if row != old {
        let service = event.claims.elevated();
        transaction.update(&Caller::new(&service), table, &old, row)?;
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
    service: &Caller,
    user: &Value,
    by: i64,
) -> Result<i64, StoreError> {
    let profiles = schema().known("profiles");
    let Some(old) = transaction.reads().get(profiles, std::slice::from_ref(user))? else { return Ok(0) };
    let column = profiles.at("token_balance");
    let left = old[column].as_i64().unwrap_or(0).saturating_add(by).min(i64::from(i32::MAX));
    let mut row = old.clone();
    row[column] = Value::Int(left);
    transaction.update(service, profiles, &old, row)?;
    Ok(left)
}
