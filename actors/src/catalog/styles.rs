//! Styles and what they inherit from: chains of one kind that end; the server's own stay as they are.

use std::collections::HashMap;

use models::{Command, Row, TableInfo, Value, schema};
use serde_json::Map;
use store::{Caller, Event, StoreError, Transaction, guard};
use uuid::Uuid;
use webtoon::drawing::style::{Preset, is_circle};

pub(crate) fn before_write(transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError> {
    let table = event.table;
    if event.old.is_some_and(|old| old != new) {
        refuse_system(event)?;
    }
    let parent = &new[table.at("parent_id")];
    let kind = table.at("style_type");
    let unchanged =
        event.old.is_some_and(|old| old[table.at("parent_id")] == *parent && old[kind] == new[kind]);
    let (false, Some(parent_id), Some(id)) = (unchanged, parent.as_uuid(), new[table.at("id")].as_uuid())
    else {
        return Ok(());
    };
    let reads = transaction.reads();
    let circle =
        || StoreError::raised("PT400", "style_presets.parent_id: the style would inherit from itself");
    if parent_id == id {
        return Err(circle());
    }
    // What is missing or hidden the reference says.
    let Some(row) = reads.get(table, std::slice::from_ref(parent))? else { return Ok(()) };
    if !guard::allows(&reads, &Caller::new(event.claims), table, Command::Select, &row)? {
        return Ok(());
    }
    if row[kind] != new[kind] {
        let message = "style_presets.parent_id: a style inherits from one of the same style_type";
        return Err(StoreError::raised("PT400", message));
    }
    let known = ancestors(transaction, table, row)?;
    match is_circle(id, parent_id, |id| known.get(&id).cloned()) {
        true => Err(circle()),
        false => Ok(()),
    }
}

pub(crate) fn before_delete(transaction: &Transaction, event: &Event) -> Result<(), StoreError> {
    refuse_system(event)?;
    let (table, Some(old)) = (event.table, event.old) else { return Ok(()) };
    let projects = schema().known("projects");
    let project = &old[table.at("project_id")];
    // With its project all of a family goes.
    if !project.is_null() && transaction.reads().get(projects, std::slice::from_ref(project))?.is_none() {
        return Ok(());
    }
    let children = transaction.reads().referring(table, table.at("parent_id"), &old[table.at("id")])?;
    match children.is_empty() {
        true => Ok(()),
        false => {
            let message = format!("the style cannot be deleted: {} inherit from it", children.len());
            Err(StoreError::raised("PT400", message))
        }
    }
}

/// The server's styles are changed by the server alone.
fn refuse_system(event: &Event) -> Result<(), StoreError> {
    let is_system = event.old.is_some_and(|old| old[event.table.at("is_system")].as_bool() == Some(true));
    match is_system && !event.claims.is_service() {
        true => Err(StoreError::raised("PT403", "a style of the server cannot be changed; clone it instead")),
        false => Ok(()),
    }
}

/// A style and what it inherits from, as far as a circle goes.
fn ancestors(
    transaction: &Transaction,
    table: &TableInfo,
    start: Row,
) -> Result<HashMap<Uuid, Preset<Uuid>>, StoreError> {
    let mut known = HashMap::new();
    let mut next = Some(start);
    while let Some(row) = next.take() {
        let Some(id) = row[table.at("id")].as_uuid() else { break };
        let parent = row[table.at("parent_id")].as_uuid();
        if known.insert(id, Preset { id, parent, config: Map::new() }).is_some() {
            break;
        }
        if let Some(parent) = parent {
            next = transaction.reads().get(table, &[Value::Uuid(parent)])?;
        }
    }
    Ok(known)
}
