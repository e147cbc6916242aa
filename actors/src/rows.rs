//! Rows as JSON objects, read with the server's rights, for work that runs without a client's query.

use models::{Claims, TableInfo, Value, schema};
use serde_json::Value as Json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;

/// A query on a declared table.
pub fn all(table: &'static str) -> Query {
    Query::all(schema().known(table).id)
}

/// What a query finds. Blocks while it reads.
pub fn select(store: &Store, query: &Query) -> Result<Vec<Json>, StoreError> {
    let service = Claims::service();
    let caller = Caller::new(&service);
    let rows = Reader::new(store.reads(), &caller, Limits::default()).select(query, false)?;
    let mut text = String::new();
    rows.write_json(&mut text);
    serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(format!("a row as JSON: {error}")))
}

/// One row by its id.
pub fn get(store: &Store, table: &'static str, id: Uuid) -> Result<Option<Json>, StoreError> {
    let table: &TableInfo = schema().known(table);
    let Some(row) = store.reads().get(table, &[Value::Uuid(id)])? else { return Ok(None) };
    Ok(Some(object(table, &row)))
}

/// A whole row as an object.
pub fn object(table: &TableInfo, row: &[Value]) -> Json {
    let columns = table.table.columns.iter().zip(row);
    Json::Object(
        columns.map(|(column, value)| (column.name.to_string(), models::convert::to_json(value))).collect(),
    )
}
