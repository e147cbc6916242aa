//! Rows under the caller's own rights.

use actors::write_rows::{Change, WriteRows, Written};
use models::{TableInfo, Value};
use serde_json::Value as Json;
use store::query::{Filter, Limits, Query, Reader};
use store::{Caller, StoreError};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::rows::table;

/// Columns and what they are set to.
pub type Values<'v> = Vec<(&'v str, Value)>;

/// What a query finds that the caller may see.
pub async fn find(context: &Context, query: Query) -> Result<Vec<Json>, ServiceError> {
    let (store, claims) = (context.services.actors.store().clone(), context.claims.clone());
    let task = tokio::task::spawn_blocking(move || {
        let caller = Caller::new(&claims);
        let rows = Reader::new(store.reads(), &caller, Limits::default()).select(&query, false)?;
        let mut text = String::new();
        rows.write_json(&mut text);
        serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(format!("a row as JSON: {error}")))
    });
    match task.await {
        Ok(rows) => Ok(rows?),
        Err(_) => Err(ServiceError::new(Kind::Internal, "the read failed unexpectedly")),
    }
}

/// A row that the caller may see; `what` names it where there is none.
pub async fn get(context: &Context, name: &'static str, id: Uuid, what: &str) -> Result<Json, ServiceError> {
    let query = Query::all(table(name).id).equal("id", Value::Uuid(id)).limit(1);
    let found = find(context, query).await?.into_iter().next();
    found.ok_or_else(|| ServiceError::not_found(format!("{what} not found")))
}

/// Adds a row and answers with it as it is stored.
pub async fn insert(context: &Context, name: &'static str, values: Values<'_>) -> Result<Json, ServiceError> {
    let table = table(name);
    let mut row = table.default_row();
    if table.table.primary_key == ["id"] {
        row[table.at("id")] = Value::Uuid(Uuid::new_v4());
    }
    for (column, value) in values {
        row[table.at(column)] = value;
    }
    let written = write(context, table, Change::Insert { rows: vec![row], conflict: None }).await?;
    let row = written.first.ok_or_else(|| ServiceError::new(Kind::Internal, "nothing was written"))?;
    Ok(actors::rows::object(table, &row))
}

/// Adds rows, all or none, and answers with them as they are stored.
pub async fn insert_all(
    context: &Context,
    name: &'static str,
    rows: Vec<Values<'_>>,
) -> Result<Vec<Json>, ServiceError> {
    let table = table(name);
    let whole = rows.into_iter().map(|values| {
        let mut row = table.default_row();
        row[table.at("id")] = Value::Uuid(Uuid::new_v4());
        values.into_iter().for_each(|(column, value)| row[table.at(column)] = value);
        row
    });
    let rows: Vec<models::Row> = whole.collect();
    let ids: Vec<Option<Uuid>> = rows.iter().map(|row| row[table.at("id")].as_uuid()).collect();
    write(context, table, Change::Insert { rows, conflict: None }).await?;
    let mut made = Vec::with_capacity(ids.len());
    for id in ids.into_iter().flatten() {
        made.push(get(context, name, id, name).await?);
    }
    Ok(made)
}

/// Changes a row and answers with it as it is stored; `what` names it where there is none that the caller may change.
pub async fn update(
    context: &Context,
    name: &'static str,
    id: Uuid,
    values: Values<'_>,
    what: &str,
) -> Result<Json, ServiceError> {
    let table = table(name);
    let change = Change::Update {
        filter: Filter::equal(table.at("id"), Value::Uuid(id)),
        scope: Box::new(Query::all(table.id)),
        set: values.into_iter().map(|(column, value)| (table.at(column), value)).collect(),
    };
    let written = write(context, table, change).await?;
    let row = written.first.ok_or_else(|| ServiceError::not_found(format!("{what} not found")))?;
    Ok(actors::rows::object(table, &row))
}

/// Removes a row and what belongs to it; `what` names it where there is none that the caller may remove.
pub async fn delete(context: &Context, name: &'static str, id: Uuid, what: &str) -> Result<(), ServiceError> {
    let table = table(name);
    let filter = Filter::equal(table.at("id"), Value::Uuid(id));
    let change = Change::Delete { filter, scope: Box::new(Query::all(table.id)) };
    match write(context, table, change).await?.affected {
        0 => Err(ServiceError::not_found(format!("{what} not found"))),
        _ => Ok(()),
    }
}

async fn write(context: &Context, table: &TableInfo, change: Change) -> Result<Written, ServiceError> {
    let decision = WriteRows {
        table: table.id,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    Ok(context.ask(decision).await?)
}

/// A text that may not be empty or longer than `max` characters.
pub fn text<'t>(field: &str, given: &'t str, max: usize) -> Result<&'t str, ServiceError> {
    let given = given.trim();
    match given.chars().count() {
        0 => Err(ServiceError::field(field, "is empty")),
        count if count > max => {
            Err(ServiceError::field(field, format!("has {count} characters, and {max} are the most")))
        }
        _ => Ok(given),
    }
}
