//! What migrations make of rows. No IO.

use std::collections::HashMap;

use models::{Row, TableInfo, Value};

use crate::script::status::Status;
use crate::script::version::KEY;

/// Columns of scripts that the second migration adds.
const ADDED: [&str; 6] =
    ["version", "status", "evaluation_score", "evaluation_feedback", "character_ids", "evaluation"];

/// No row changes.
pub(super) fn none(_: &TableInfo, _: &[Row]) -> Vec<(Row, Row)> {
    Vec::new()
}

/// Scripts of a chapter, account and style are numbered from 1 in the order in which they were made, and the newest of them
/// that has a text is active. (The document's own rule, `active` where the status is NULL, changes nothing: the new
/// column's default fills `draft` first.)
pub(super) fn number_scripts(table: &TableInfo, rows: &[Row]) -> Vec<(Row, Row)> {
    let key = |row: &Row| format!("{:?}", KEY.map(|column| &row[table.at(column)]));
    let has_text = |row: &Row| row[table.at("script")].as_str().is_some_and(|text| !text.trim().is_empty());
    let newest: HashMap<String, &Row> =
        rows.iter().filter(|row| has_text(row)).map(|row| (key(row), row)).collect();
    let mut counts: HashMap<String, i64> = HashMap::new();
    let mut changed = Vec::new();
    for old in rows {
        let key = key(old);
        let count = counts.entry(key.clone()).or_default();
        *count += 1;
        let is_newest = newest.get(&key).is_some_and(|row| row[table.at("id")] == old[table.at("id")]);
        let status = if is_newest { Status::Active } else { Status::Draft };
        let mut row = old.clone();
        row[table.at("version")] = Value::Int(*count);
        row[table.at("status")] = Value::text(status.name());
        changed.push((old.clone(), row));
    }
    // Those that are active no more first: one of a chapter, account and style is, at any time.
    changed.sort_by_key(|(_, row)| row[table.at("status")].as_str() == Some(Status::Active.name()));
    differing(changed)
}

/// Scripts lose what the second migration added.
pub(super) fn forget_versions(table: &TableInfo, rows: &[Row]) -> Vec<(Row, Row)> {
    let defaults = table.default_row();
    let forget = |old: &Row| {
        let mut row = old.clone();
        ADDED.iter().for_each(|column| row[table.at(column)] = defaults[table.at(column)].clone());
        (old.clone(), row)
    };
    differing(rows.iter().map(forget).collect())
}

/// Pictures and sounds name no character.
pub(super) fn forget_characters(table: &TableInfo, rows: &[Row]) -> Vec<(Row, Row)> {
    let forget = |old: &Row| {
        let mut row = old.clone();
        row[table.at("character_id")] = Value::Null;
        (old.clone(), row)
    };
    differing(rows.iter().map(forget).collect())
}

fn differing(mut changed: Vec<(Row, Row)>) -> Vec<(Row, Row)> {
    changed.retain(|(old, new)| old != new);
    changed
}

#[cfg(test)]
mod tests {
    use models::schema;

    use super::*;

    fn script(table: &TableInfo, style: &str, text: &str) -> Row {
        let mut row = table.default_row();
        row[table.at("script_style")] = Value::text(style);
        row[table.at("script")] = Value::text(text);
        row
    }

    #[test]
    fn the_newest_script_with_a_text_becomes_active_and_nothing_changes_twice() {
        let table = schema().known("scripts");
        let mut rows = vec![
            script(table, "a", "one"),
            script(table, "a", "two"),
            script(table, "b", "x"),
            script(table, "a", " "),
        ];
        for (number, row) in (1..).zip(&mut rows) {
            row[table.at("id")] = Value::Uuid(uuid::Uuid::from_u128(number));
        }
        for (old, new) in number_scripts(table, &rows.clone()) {
            let place = rows.iter().position(|row| *row == old).expect("a row");
            rows[place] = new;
        }
        let of = |column: &str| rows.iter().map(|row| row[table.at(column)].clone()).collect::<Vec<_>>();
        assert_eq!(of("version"), [1, 2, 1, 3].map(Value::Int));
        assert_eq!(of("status"), ["draft", "active", "active", "draft"].map(Value::text));
        assert!(number_scripts(table, &rows).is_empty());
        assert_eq!(forget_versions(table, &rows).len(), 3, "the first is as it was before");
    }
}
