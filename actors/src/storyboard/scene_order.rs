//! The scenes of a storyboard are numbered from 1 without gaps, in the commit that adds, moves or removes one.

use std::collections::{BTreeSet, HashMap};

use models::{Row, TableInfo, Value, schema};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

/// Where a scene that a request wrote stands among others of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It is new, or came from behind: it takes the place, and the others move up.
    Before,
    /// The request did not write it.
    Untouched,
    /// It came from before.
    After,
}

/// Numbers the scenes of each storyboard of which a request wrote some.
pub(crate) fn settle(transaction: &Transaction, table: &TableInfo) -> Result<(), StoreError> {
    let [id, project, order] = ["id", "project_id", "scene_order"].map(|column| table.at(column));
    let number = |row: &Row| row[order].as_i64().unwrap_or(0);
    let (mut projects, mut first, mut places) = (BTreeSet::new(), HashMap::new(), HashMap::new());
    for change in transaction.changes().iter().filter(|change| change.table == table.id) {
        for row in [&change.old, &change.new].into_iter().flatten() {
            projects.extend(row[project].as_uuid());
        }
        let Some(new) = &change.new else { continue };
        let Some(key) = new[id].as_uuid() else { continue };
        let before: &Option<i64> =
            first.entry(key).or_insert_with(|| change.old.as_ref().map(|old| number(old)));
        let place = match before {
            Some(before) if *before < number(new) => Place::After,
            Some(before) if *before == number(new) => Place::Untouched,
            _ => Place::Before,
        };
        places.insert(key, place);
    }
    projects.into_iter().try_for_each(|project| renumber(transaction, table, project, &places))
}

/// The number of a scene that is added alone: at most one more than there are, so that it is written once.
pub(crate) fn place(transaction: &Transaction, table: &TableInfo, row: &mut Row) -> Result<(), StoreError> {
    let [project, order] = ["project_id", "scene_order"].map(|column| table.at(column));
    let Some(number) = row[order].as_i64() else { return Ok(()) };
    let there = transaction.reads().referring(table, project, &row[project])?.len();
    row[order] = Value::Int(number.clamp(1, there as i64 + 1));
    Ok(())
}

fn renumber(
    transaction: &Transaction,
    table: &TableInfo,
    project: Uuid,
    places: &HashMap<Uuid, Place>,
) -> Result<(), StoreError> {
    let [id, order, made] = ["id", "scene_order", "created_at"].map(|column| table.at(column));
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let reads = transaction.reads();
    let mut scenes = reads.referring(table, table.at("project_id"), &Value::Uuid(project))?;
    scenes.sort_by_key(|row| {
        let key = row[id].as_uuid().unwrap_or_default();
        let place = places.get(&key).copied().unwrap_or(Place::Untouched);
        (row[order].as_i64().unwrap_or(0), place, row[made].as_micros().unwrap_or(0), key)
    });
    for (number, scene) in (1_i64..).zip(&scenes) {
        if scene[order].as_i64() != Some(number) {
            let mut moved = scene.clone();
            moved[order] = Value::Int(number);
            transaction.update(&service, table, scene, moved)?;
        }
    }
    Ok(())
}

/// Puts the scenes of a storyboard into the order of a list, which names each of them once.
pub(crate) fn arrange(
    transaction: &Transaction,
    project: Uuid,
    wanted: &[Uuid],
) -> Result<Result<usize, String>, StoreError> {
    let table = schema().known("storyboard_scenes");
    let [id, order] = ["id", "scene_order"].map(|column| table.at(column));
    let scenes = transaction.reads().referring(table, table.at("project_id"), &Value::Uuid(project))?;
    let there: BTreeSet<Uuid> = scenes.iter().filter_map(|row| row[id].as_uuid()).collect();
    let listed: BTreeSet<Uuid> = wanted.iter().copied().collect();
    if listed.len() != wanted.len() {
        return Ok(Err("a scene is named twice".into()));
    }
    if let Some(missing) = there.difference(&listed).next() {
        return Ok(Err(format!(
            "the scene {missing} is missing; the list names every scene of the storyboard"
        )));
    }
    if let Some(foreign) = listed.difference(&there).next() {
        return Ok(Err(format!("{foreign} is no scene of this storyboard")));
    }
    let caller = Caller::new(transaction.claims);
    for (number, key) in (1_i64..).zip(wanted) {
        let Some(scene) = scenes.iter().find(|row| row[id].as_uuid() == Some(*key)) else { continue };
        if scene[order].as_i64() != Some(number) {
            let mut moved = scene.clone();
            moved[order] = Value::Int(number);
            transaction.update(&caller, table, scene, moved)?;
        }
    }
    Ok(Ok(wanted.len()))
}
