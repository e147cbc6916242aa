//! A change of a script's row: a draft is changed in place, a new text of anything else makes a new version.

use models::{Row, TableInfo, Value};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use super::before_write::{clear_evaluation, status_of};
use super::status::{Given, Status, judge};
use super::version::default_name;

/// Writes what `set` makes of a row; answers with the row that holds it afterwards: the same, or the new version.
pub(crate) fn change(
    transaction: &Transaction,
    caller: &Caller,
    table: &TableInfo,
    found: &Row,
    set: &dyn Fn(&mut Row),
) -> Result<Row, StoreError> {
    // An earlier change of the same request may have displaced it.
    let key = std::slice::from_ref(&found[table.at("id")]);
    let old = transaction.reads().get(table, key)?.unwrap_or_else(|| found.clone());
    let mut row = old.clone();
    set(&mut row);
    let text = table.at("script");
    let from = status_of(table, &old, !old[table.at("evaluation_score")].is_null());
    if from == Status::Draft || row[text] == old[text] {
        return transaction.update(caller, table, &old, row);
    }
    let status = table.at("status");
    if row[status] != old[status] {
        judge(Status::Draft, status_of(table, &row, false), Given::default())?;
    }
    let (id, name, defaults) = (table.at("id"), table.at("script_name"), table.default_row());
    if row[id] == old[id] {
        row[id] = Value::Uuid(Uuid::new_v4());
    }
    let style = old[table.at("script_style")].as_str().unwrap_or_default();
    let numbered = old[table.at("version")].as_i64().map(|number| default_name(style, number));
    if row[name] == old[name] && old[name].as_str() == numbered.as_deref() {
        row[name] = Value::Null;
    }
    row[status] = Value::text(Status::Draft.name());
    clear_evaluation(table, &mut row);
    for column in ["created_at", "updated_at"] {
        row[table.at(column)] = defaults[table.at(column)].clone();
    }
    transaction.insert(caller, table, row)
}
