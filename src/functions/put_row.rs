//! Rows that a function writes with the server's rights, after it has checked whose they are.

use actors::write_rows::{Change, WriteRows};
use models::Value;
use store::query::{Filter, Limits, Query};
use uuid::Uuid;

use super::call::{Call, table};
use super::error::FunctionError;

type Values<'v> = Vec<(&'v str, Value)>;

/// Adds a row; answers with its id.
pub(super) async fn insert(
    call: &Call,
    name: &'static str,
    values: Values<'_>,
) -> Result<Uuid, FunctionError> {
    let table = table(name);
    let id = Uuid::new_v4();
    let mut row = table.default_row();
    row[table.at("id")] = Value::Uuid(id);
    for (column, value) in values {
        row[table.at(column)] = value;
    }
    write(call, table.id, Change::Insert { rows: vec![row], conflict: None }).await?;
    Ok(id)
}

/// Changes columns of the row with an id.
pub(super) async fn update(
    call: &Call,
    name: &'static str,
    id: Uuid,
    values: Values<'_>,
) -> Result<(), FunctionError> {
    let table = table(name);
    let change = Change::Update {
        filter: Filter::equal(table.at("id"), Value::Uuid(id)),
        scope: Box::new(Query::all(table.id)),
        set: values.into_iter().map(|(column, value)| (table.at(column), value)).collect(),
    };
    write(call, table.id, change).await
}

async fn write(call: &Call, table: models::TableId, change: Change) -> Result<(), FunctionError> {
    let decision = WriteRows {
        table,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    call.app.actors.ask(&call.service(), decision).await?;
    Ok(())
}
