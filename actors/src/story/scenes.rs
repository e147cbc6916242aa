//! Scenes of stories: the lock of their planning, their style, and how often places are used.

use models::{Row, Value, schema};
use store::{Event, StoreError, Transaction};

use super::{artifacts, style_names};
use crate::adjust::adjust;

/// Artifacts by which a scene is planned.
pub(crate) const PLANNED: [&str; 5] =
    ["scene_intent", "panel_plan", "panel_plan_normalized", "layout_template", "panel_semantics"];

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    let locked = table.at("planning_locked");
    let was_locked = event.old.is_some_and(|old| old[locked].as_bool() == Some(true));
    if new[locked].as_bool() == Some(true) && !was_locked && !new[table.at("story_id")].is_null() {
        let mut missing = Vec::new();
        for kind in PLANNED {
            if artifacts::latest(transaction, &new[table.at("id")], kind)?.is_none() {
                missing.push(kind);
            }
        }
        if !missing.is_empty() {
            let message = format!("cannot lock planning; missing artifacts: {}", missing.join(", "));
            return Err(StoreError::raised("PT400", message));
        }
    }
    let style = table.at("image_style_override");
    if event.old.is_none_or(|old| old[style] != new[style]) {
        let stories = schema().known("stories");
        let story = transaction.reads().get(stories, std::slice::from_ref(&new[table.at("story_id")]))?;
        let project = story.map_or(Value::Null, |story| story[stories.at("project_id")].clone());
        style_names::check(transaction, "scenes.image_style_override", &project, &new[style])?;
    }
    Ok(())
}

/// How many scenes use a place follows its scenes.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let column = event.table.at("environment_id");
    let place = |row: Option<&Row>| row.map_or(Value::Null, |row| row[column].clone());
    let (before, after) = (place(event.old), place(new));
    if before == after {
        return Ok(());
    }
    for (id, by) in [(before, -1), (after, 1)] {
        if id.is_null() {
            continue;
        }
        adjust(transaction, event, "environment_anchors", &id, |places, row| {
            let count = row[places.at("usage_count")].as_i64().unwrap_or(0) + by;
            row[places.at("usage_count")] = Value::Int(count.max(0));
        })?;
    }
    Ok(())
}
