//! Versions of artifacts: 1, 2, … for each scene and type, by any way of writing; what is written stays as it is.
//!
//! Commits are serialised, so that the number that a row takes is the next one when it is written: writers at one time
//! get one after the other and none a conflict.

use models::{Command, Row, TableInfo, Value, schema};
use serde_json::{Value as Json, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, Event, StoreError, Transaction};

use super::scenes::PLANNED;

/// A rule of versions says no: 409.
const CHANGED: &str = "PT409";

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    match (event.command, event.old) {
        (Command::Update, Some(old)) => unchanged(transaction, event.table, old, new),
        _ => number(transaction, event, new),
    }
}

/// Refuses every change but the loss of a parent that is gone.
fn unchanged(transaction: &Transaction, table: &TableInfo, old: &Row, new: &Row) -> Result<(), StoreError> {
    let parent = table.at("parent_id");
    let lost = new[parent].is_null()
        && transaction.reads().get(table, std::slice::from_ref(&old[parent]))?.is_none();
    let changed = (0..old.len()).find(|column| old[*column] != new[*column] && !(*column == parent && lost));
    let Some(column) = changed else { return Ok(()) };
    let name = table.table.columns[column].name;
    Err(StoreError::Raised {
        sqlstate: CHANGED,
        message: format!("artifacts.{name}: an artifact is never changed; a new version is written instead"),
        details: None,
        hint: Some("insert an artifact of the same scene and type".into()),
    })
}

/// Gives a new artifact its version, its parent and the request that made it.
fn number(transaction: &Transaction, event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let kind = new[table.at("type")].as_str().unwrap_or_default().to_string();
    if kind.trim().is_empty() {
        return Err(StoreError::raised("PT400", "artifacts.type: is empty"));
    }
    refuse_while_locked(transaction, new, &kind)?;
    let latest = latest(transaction, &new[table.at("scene_id")], &kind)?;
    let version = latest.as_ref().and_then(|row| row[table.at("version")].as_i64()).unwrap_or(0);
    new[table.at("version")] = Value::Int(version + 1);
    let parent = table.at("parent_id");
    if new[parent].is_null() {
        new[parent] = latest.map_or(Value::Null, |row| row[table.at("id")].clone());
    } else if new[parent] == new[table.at("id")] {
        return Err(StoreError::raised("PT400", "artifacts.parent_id: an artifact is not its own parent"));
    }
    let payload = table.at("payload");
    let Some(Json::Object(mut members)) = new[payload].as_json() else {
        return Err(StoreError::raised("PT400", "artifacts.payload: an object is needed"));
    };
    if let Some(request) = &event.claims.request_id {
        if !members.contains_key("request_id") {
            members.insert("request_id".into(), json!(request));
            new[payload] = Value::json(&Json::Object(members));
        }
        for column in ["created_by", "updated_by"] {
            new[table.at(column)] = Value::text(&**request);
        }
    }
    Ok(())
}

/// The latest artifact of a scene and type.
pub(crate) fn latest(
    transaction: &Transaction,
    scene: &Value,
    kind: &str,
) -> Result<Option<Row>, StoreError> {
    let table = schema().known("artifacts");
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let limits = Limits { rows_max: 1, ..Limits::default() };
    let query = Query::all(table.id)
        .equal("scene_id", scene.clone())
        .equal("type", Value::text(kind))
        .order("version", true)
        .limit(1);
    let found = Reader::new(transaction.reads(), &caller, limits).select(&query, false)?;
    let Some(row) = found.rows.into_iter().next() else { return Ok(None) };
    transaction.reads().get(table, &[row[table.at("id")].clone()])
}

/// What a locked scene is planned by stays.
fn refuse_while_locked(transaction: &Transaction, new: &Row, kind: &str) -> Result<(), StoreError> {
    if !PLANNED.contains(&kind) {
        return Ok(());
    }
    let (table, scenes) = (schema().known("artifacts"), schema().known("scenes"));
    let scene = transaction.reads().get(scenes, std::slice::from_ref(&new[table.at("scene_id")]))?;
    match scene.is_some_and(|scene| scene[scenes.at("planning_locked")].as_bool() == Some(true)) {
        true => Err(StoreError::raised("PT400", format!("planning is locked: no new {kind} is written"))),
        false => Ok(()),
    }
}
