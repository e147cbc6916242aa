//! Rows that a use case writes with the server's rights, after it has checked whose they are.

use actors::write_rows::{Change, WriteRows};
use models::{TableId, TableInfo, Value, schema};
use store::query::{Filter, Limits, Query};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;

/// A declared table.
pub fn table(name: &'static str) -> &'static TableInfo {
    schema().known(name)
}

/// The place of a declared table in the schema.
pub fn position(table: &'static str) -> TableId {
    schema().known(table).id
}

type Values<'v> = Vec<(&'v str, Value)>;

/// Adds a row; answers with its id.
pub async fn insert(context: &Context, name: &'static str, values: Values<'_>) -> Result<Uuid, ServiceError> {
    let table = table(name);
    let id = Uuid::new_v4();
    let mut row = table.default_row();
    row[table.at("id")] = Value::Uuid(id);
    for (column, value) in values {
        row[table.at(column)] = value;
    }
    write(context, table.id, Change::Insert { rows: vec![row], conflict: None }).await?;
    Ok(id)
}

/// Changes columns of the row with an id.
pub async fn update(
    context: &Context,
    name: &'static str,
    id: Uuid,
    values: Values<'_>,
) -> Result<(), ServiceError> {
    let table = table(name);
    let change = Change::Update {
        filter: Filter::equal(table.at("id"), Value::Uuid(id)),
        scope: Box::new(Query::all(table.id)),
        set: values.into_iter().map(|(column, value)| (table.at(column), value)).collect(),
    };
    write(context, table.id, change).await
}

async fn write(context: &Context, table: TableId, change: Change) -> Result<(), ServiceError> {
    let decision = WriteRows {
        table,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    context.ask_elevated(decision).await?;
    Ok(())
}
