//! What of a card's fields can be used? What came in another type than the format has is brought into that one where
//! that is plain, or left out; notes name each.

use serde_json::{Map, Value, json};

use crate::odd_values::{AsText, Notes, kind_of, number, text, texts};

/// The fields that a first version had, at its root.
pub(crate) const V1_FIELDS: [&str; 6] =
    ["name", "description", "personality", "scenario", "first_mes", "mes_example"];
/// The texts that the second one added.
pub(crate) const V2_TEXTS: [&str; 5] =
    ["creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version"];
/// Texts of one line, whose lists are written with commas.
const LINES: [&str; 4] = ["name", "nickname", "creator", "character_version"];
/// Lists of texts, and how each is written where it came as one text.
const TEXT_LISTS: [(&str, AsText); 4] = [
    ("alternate_greetings", AsText::Whole),
    ("tags", AsText::Commas),
    ("group_only_greetings", AsText::Whole),
    ("source", AsText::Commas),
];
const DATES: [&str; 2] = ["creation_date", "modification_date"];

/// What the odd fields are read as; null for those that are left out. Fields that are as they should be are not among
/// them.
pub(crate) fn read(
    get: &dyn Fn(&str) -> Option<Value>,
    place: &str,
    notes: &mut Notes,
) -> Map<String, Value> {
    let mut read = Map::new();
    let path = |field: &str| format!("{place}{field}");
    for field in V1_FIELDS.iter().chain(&V2_TEXTS).chain(&["nickname"]) {
        let Some(value) = get(field).filter(|value| !value.is_null() && !value.is_string()) else { continue };
        let separator = if LINES.contains(field) { ", " } else { "\n" };
        let coerced = text(&value, separator);
        match &coerced {
            Some(_) => notes.coerced(&path(field), &value, "a text"),
            None => notes.skipped(&path(field), &value, "a text"),
        }
        read.insert((*field).into(), json!(coerced));
    }
    for (field, form) in TEXT_LISTS {
        let Some(value) = get(field).filter(|value| !value.is_null()) else { continue };
        if value.as_array().is_some_and(|items| items.iter().all(Value::is_string)) {
            continue;
        }
        read.insert(field.into(), json!(texts(&value, form, &path(field), notes)));
    }
    for field in ["extensions", "creator_notes_multilingual", "character_book"] {
        let Some(value) = get(field).filter(|value| !value.is_null() && !value.is_object()) else { continue };
        if let Some(text) = value.as_str()
            && let Ok(within @ Value::Object(_)) = serde_json::from_str(text)
        {
            notes.add(&path(field), "a text was read as the JSON in it");
            read.insert(field.into(), within);
            continue;
        }
        let entries =
            value.as_array().filter(|items| !items.is_empty() && items.iter().all(Value::is_object));
        match entries.filter(|_| field == "character_book") {
            Some(entries) => {
                notes.add(&path(field), "a list was read as the entries of a book");
                read.insert(field.into(), json!({ "entries": entries }));
            }
            None => {
                notes.skipped(&path(field), &value, "an object");
                read.insert(field.into(), Value::Null);
            }
        }
    }
    for field in DATES {
        let Some(value) = get(field).filter(|value| !value.is_null() && !value.is_number()) else { continue };
        let coerced = number(&value);
        match coerced {
            Some(_) => notes.coerced(&path(field), &value, "a number"),
            None => notes.skipped(&path(field), &value, "a number"),
        }
        read.insert(field.into(), json!(coerced));
    }
    if let Some(assets) = get("assets").filter(|value| !value.is_null())
        && let Some(usable) = self::assets(&assets, &path("assets"), notes)
    {
        read.insert("assets".into(), usable);
    }
    read
}

/// The assets that can be used; `None` where all can.
fn assets(value: &Value, path: &str, notes: &mut Notes) -> Option<Value> {
    let Value::Array(items) = value else {
        notes.skipped(path, value, "a list");
        return Some(Value::Null);
    };
    let mut usable = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match item.as_object().map(|asset| asset.get("uri")) {
            Some(Some(Value::String(_))) => usable.push(item.clone()),
            Some(uri) => notes.add(
                &format!("{path}[{index}].uri"),
                &format!("a text is needed, found {}; the asset is left out", uri.map_or("nothing", kind_of)),
            ),
            None => notes.skipped(&format!("{path}[{index}]"), item, "an object"),
        }
    }
    (usable.len() < items.len()).then_some(Value::Array(usable))
}
