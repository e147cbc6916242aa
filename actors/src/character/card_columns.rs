//! Which field of a card is which column of a character.

use cards::{Card, CardError};
use models::{ColumnType, Row, TableInfo, Value, convert, schema};
use serde_json::{Map, Value as Json, json};

/// Longest text that a column takes over from a card, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The member of a card's `extensions` that holds what cards have no field for.
pub const EXTENSION: &str = "playhouse";

#[derive(Clone, Copy)]
enum Form {
    /// A text.
    Text,
    /// A list of texts, kept as JSON.
    Texts,
    /// Examples of talk, one after each `<START>`.
    Examples,
}

/// Fields of cards that are columns.
const SHARED: [(&str, &str, Form); 10] = [
    ("name", "name", Form::Text),
    ("description", "description", Form::Text),
    ("personality", "traits", Form::Text),
    ("scenario", "backstory", Form::Text),
    ("first_mes", "first_message", Form::Text),
    ("mes_example", "voice_examples", Form::Examples),
    ("system_prompt", "system_prompt", Form::Text),
    ("creator_notes", "bio", Form::Text),
    ("nickname", "display_name", Form::Text),
    ("alternate_greetings", "alternate_greetings", Form::Texts),
];

/// Columns that cards have no field for; they travel in the extension.
const OWN: [&str; 25] = [
    "content_rating",
    "age_range",
    "gender",
    "role",
    "persona",
    "tagline",
    "voice_tone",
    "mood",
    "appearance_tags",
    "clothing_tags",
    "appearance",
    "physical_traits",
    "personality_traits",
    "hair_description",
    "base_outfit",
    "identity_line",
    "signature_items",
    "outfit_defaults",
    "forbidden_phrases",
    "avoid_traits",
    "locked_traits",
    "style_preset",
    "base_prompt",
    "scene_behavior_rules",
    "rendering_rules",
];

fn characters() -> &'static TableInfo {
    schema().known("characters")
}

fn field_error(field: String, detail: impl Into<String>) -> CardError {
    CardError::Field { field, detail: detail.into() }
}

/// A new character as a card describes it. Whose it is and how it is rated is for the asker to say. What of the card's
/// extension does not fit its column is left out, and `warnings` names it.
pub fn character_of(card: &Card, warnings: &mut Vec<String>) -> Result<Row, CardError> {
    let table = characters();
    let mut row = table.default_row();
    // Those that want to be seen say so.
    row[table.at("is_public")] = Value::Bool(false);
    for (field, column, form) in SHARED {
        let at = table.at(column);
        match form {
            Form::Text => {
                let text = plain(field, card.text(field))?;
                if !text.is_empty() || matches!(field, "name" | "description") {
                    row[at] = Value::Text(text);
                }
            }
            Form::Texts => {
                let texts: Vec<String> =
                    card.texts(field).into_iter().map(|text| plain(field, text)).collect::<Result<_, _>>()?;
                row[at] = Value::json(&json!(texts));
            }
            Form::Examples => {
                let examples = examples(&plain(field, card.text(field))?);
                if !examples.is_empty() {
                    row[at] = Value::TextArray(examples.into_iter().map(Some).collect());
                }
            }
        }
    }
    if row[table.at("name")].as_str().is_none_or(|name| name.trim().is_empty()) {
        return Err(field_error("name".into(), "is empty"));
    }
    for (column, value) in own_members(card, warnings) {
        let Some(column) = OWN.iter().find(|own| **own == column) else { continue };
        let value = &value;
        let kind = table.kind(table.at(column));
        let fits = match kind {
            ColumnType::Text => value.is_string() || value.is_null(),
            ColumnType::TextArray => value.is_array() || value.is_null(),
            _ => true,
        };
        let read = match fits {
            true => convert::from_json(kind, value).map_err(|error| error.to_string()),
            false => Err(format!("{} is needed", kind.schema_name())),
        };
        match read {
            Ok(read) => row[table.at(column)] = read,
            Err(reason) => {
                warnings.push(format!("data.extensions.{EXTENSION}.{column}: {reason}; it is left out"));
            }
        }
    }
    Ok(row)
}

/// What the extension of a card holds.
fn own_members(card: &Card, warnings: &mut Vec<String>) -> Vec<(String, Json)> {
    match card.get("extensions").and_then(|extensions| extensions.get(EXTENSION)) {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Object(own)) => own.clone().into_iter().collect(),
        Some(_) => {
            warnings.push(format!("data.extensions.{EXTENSION}: an object is needed; it is left out"));
            Vec::new()
        }
    }
}

/// The columns that an export compares, as they are now.
pub fn snapshot(row: &[Value]) -> Json {
    let table = characters();
    let shared = SHARED.iter().map(|(_, column, _)| *column);
    let columns = shared.chain(OWN).chain(["image_url"]);
    Json::Object(columns.map(|name| (name.to_string(), convert::to_json(&row[table.at(name)]))).collect())
}

/// Writes into a card what a character says otherwise than the snapshot of its import; everything, without one.
/// Answers whether anything did.
pub fn write_edits(card: &mut Card, row: &[Value], imported: Option<&Json>) -> Result<bool, CardError> {
    let table = characters();
    let now = snapshot(row);
    let differs = |column: &str| imported.is_none_or(|imported| imported[column] != now[column]);
    let mut edited = false;
    for (field, column, form) in SHARED {
        let value = &now[column];
        // Without a card to begin with, what is empty needs no field.
        if !differs(column) || (imported.is_none() && is_empty(value)) {
            continue;
        }
        let value = match form {
            Form::Text => json!(value.as_str().unwrap_or_default()),
            Form::Texts => json!(texts(value)),
            Form::Examples => {
                let blocks = texts(value).iter().map(|text| format!("<START>\n{text}")).collect::<Vec<_>>();
                json!(blocks.join("\n"))
            }
        };
        card.set(field, value)?;
        edited = true;
    }
    if OWN.iter().any(|column| differs(column)) {
        let defaults = snapshot(&table.default_row());
        let mut extensions = match card.get("extensions") {
            Some(Json::Object(extensions)) => extensions.clone(),
            _ => Map::new(),
        };
        let mut own = match extensions.get(EXTENSION) {
            Some(Json::Object(own)) => own.clone(),
            _ => Map::new(),
        };
        for column in OWN {
            let said = own.contains_key(column) || now[column] != defaults[column];
            if said && (imported.is_none() || differs(column)) {
                own.insert(column.into(), now[column].clone());
            }
        }
        if !own.is_empty() {
            extensions.insert(EXTENSION.into(), Json::Object(own));
            card.set("extensions", Json::Object(extensions))?;
            edited = true;
        }
    }
    Ok(edited)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn texts(value: &Json) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

/// A text as a column takes it: without NUL, and not endless.
fn plain(field: &str, text: &str) -> Result<String, CardError> {
    if text.len() > TEXT_BYTES_MAX {
        let detail = format!("{} bytes; at most {TEXT_BYTES_MAX}", text.len());
        return Err(field_error(field.to_string(), detail));
    }
    Ok(text.replace('\0', ""))
}

fn examples(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        if line.trim().eq_ignore_ascii_case("<START>") {
            blocks.push(String::new());
        } else if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.iter().map(|block| block.trim().to_string()).filter(|block| !block.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        let card = json!({"spec": "chara_card_v2", "spec_version": "2.0", "odd": {"root": 1}, "data": {
            "name": "Mira", "description": "keeps the light\u{0}", "personality": "calm", "scenario": "a storm",
            "first_mes": "Oh.", "mes_example": "<START>\n{{user}}: hi\n{{char}}: ho\n<START>\nbye",
            "alternate_greetings": ["Ah."], "tags": ["sea"], "system_prompt": "", "creator": "x",
            "extensions": {"other": [1], "playhouse": {"appearance_tags": ["tall"], "unknown": 7}}}});
        Card::from_value(card).expect("a card")
    }

    #[test]
    fn fields_become_columns() {
        let row = character_of(&card(), &mut Vec::new()).expect("a character");
        let now = snapshot(&row);
        for (column, value) in [
            ("name", json!("Mira")),
            ("description", json!("keeps the light")),
            ("traits", json!("calm")),
            ("backstory", json!("a storm")),
            ("first_message", json!("Oh.")),
            ("voice_examples", json!(["{{user}}: hi\n{{char}}: ho", "bye"])),
            ("alternate_greetings", json!(["Ah."])),
            ("appearance_tags", json!(["tall"])),
            ("system_prompt", Json::Null),
        ] {
            assert_eq!(now[column], value, "{column}");
        }
        assert_eq!(row[characters().at("is_public")], Value::Bool(false));
    }

    #[test]
    fn only_edits_change_a_card() {
        let mut row = character_of(&card(), &mut Vec::new()).expect("a character");
        let imported = snapshot(&row);
        let mut same = card();
        assert!(!write_edits(&mut same, &row, Some(&imported)).expect("no edits"));
        assert_eq!(same, card());

        row[characters().at("traits")] = Value::text("wild");
        row[characters().at("mood")] = Value::text("bright");
        assert!(write_edits(&mut same, &row, Some(&imported)).expect("edits"));
        let mut expected = card().to_value();
        expected["data"]["personality"] = json!("wild");
        expected["data"]["extensions"]["playhouse"]["mood"] = json!("bright");
        assert_eq!(same.to_value(), expected);
    }

    #[test]
    fn a_character_without_a_card_gets_one_that_says_it_all() {
        let row = character_of(&card(), &mut Vec::new()).expect("a character");
        let mut made = Card::new("");
        write_edits(&mut made, &row, None).expect("a card");
        assert_eq!(snapshot(&character_of(&made, &mut Vec::new()).expect("a character")), snapshot(&row));
    }

    #[test]
    fn wrong_types_are_named_and_left_out() {
        for (own, field) in [
            (json!({"appearance_tags": "tall"}), "data.extensions.playhouse.appearance_tags"),
            (json!({"mood": 7}), "data.extensions.playhouse.mood"),
            (json!([]), "data.extensions.playhouse"),
        ] {
            let card =
                json!({"spec": "chara_card_v2", "data": {"name": "x", "extensions": {"playhouse": own}}});
            let mut warnings = Vec::new();
            character_of(&Card::from_value(card).expect("a card"), &mut warnings).expect("a character");
            assert!(warnings.len() == 1 && warnings[0].starts_with(&format!("{field}: ")), "{warnings:?}");
        }
        let empty = json!({"name": " ", "description": "x"});
        assert!(Card::from_value(empty).is_err());
    }
}
