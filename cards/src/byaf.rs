//! What is in a Backyard archive (`.byaf`)? A zip with `manifest.json`, which names the characters and scenarios.
//!
//! The first character becomes a card: its `persona` the description, the narrative of the first scenario the scenario,
//! `loreItems` the lorebook. The documents themselves stay whole in `extensions.backyard`.

use serde_json::{Map, Value, json};

use crate::card::{CARD_JSON_BYTES_MAX, Card};
use crate::charx::{AssetFile, Unpacked, unpack};
use crate::error::CardError;
use crate::json_text;
use crate::odd_values::kind_of;

const MANIFEST: &str = "manifest.json";

/// Whether the archive has a manifest and no card.
pub(crate) fn is_byaf(bytes: &[u8]) -> bool {
    let Ok(archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else { return false };
    let has = |wanted: &str| archive.file_names_raw().any(|name| name == wanted.as_bytes());
    has(MANIFEST) && !has("card.json")
}

/// Reads the first character as a card, and the archive's pictures.
pub fn read(bytes: &[u8]) -> Result<(Card, Vec<AssetFile>, Vec<String>), CardError> {
    let Unpacked { files, mut warnings } = unpack("byaf", bytes)?;
    let manifest = document(&files, MANIFEST, &mut warnings)?;
    let names = |member: &str| -> Vec<String> {
        let list = manifest[member].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(|path| path.replace('\\', "/")).collect()
    };
    let characters = names("characters");
    let path = characters.first();
    let path = path.ok_or_else(|| CardError::NoCard("the manifest names no character".into()))?;
    if characters.len() > 1 {
        warnings.push(format!("byaf: {} characters; the first one was read", characters.len()));
    }
    let character = document(&files, path, &mut warnings)?;
    let mut scenarios = Vec::new();
    for path in names("scenarios") {
        match document(&files, &path, &mut warnings) {
            Ok(scenario) => scenarios.push(scenario),
            Err(error) => warnings.push(format!("{error}; the scenario is left out")),
        }
    }
    let first = scenarios.first().cloned().unwrap_or_default();
    let first_message =
        |scenario: &Value| text_of(&scenario["firstMessages"][0]["text"]).filter(|text| !text.is_empty());
    let greetings: Vec<String> = scenarios.iter().skip(1).filter_map(first_message).collect();
    let examples = first["exampleMessages"].as_array().into_iter().flatten();
    let examples = examples.filter_map(|example| text_of(&example["text"]));
    let examples: Vec<String> = examples.map(|text| format!("<START>\n{text}")).collect();
    let said = scenarios.iter().filter_map(|scenario| scenario["messages"].as_array()).map(Vec::len);
    let said: usize = said.sum();
    if said > 0 {
        warnings.push(format!("byaf: {said} messages of its chats are kept in the file and not imported"));
    }
    for member in ["grammar", "promptTemplate", "model"] {
        if first[member].as_str().is_some_and(|text| !text.is_empty() && text != "general") {
            warnings.push(format!("byaf: {member} of the scenario is not used"));
        }
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut documents = Map::new();
    documents.insert("manifest".into(), manifest.clone());
    documents.insert("character".into(), character.clone());
    documents.insert("scenarios".into(), json!(scenarios));
    let mut data = json!({
        "description": text_of(&character["persona"]),
        "personality": "",
        "scenario": text_of(&first["narrative"]),
        "first_mes": first_message(&first),
        "mes_example": examples.join("\n"),
        "creator_notes": manifest["author"]["backyardURL"],
        "system_prompt": text_of(&first["formattingInstructions"]),
        "post_history_instructions": "",
        "alternate_greetings": greetings,
        "character_book": book(&character["loreItems"], &mut warnings),
        "tags": if character["isNSFW"] == json!(true) { json!(["nsfw"]) } else { json!([]) },
        "creator": manifest["author"]["name"],
        "character_version": "",
        "assets": assets(&character["images"], folder),
        "extensions": {"backyard": documents},
    });
    let named = ["name", "displayName"].map(|member| character[member].as_str().unwrap_or_default());
    if let Some(name) = named.iter().find(|name| !name.trim().is_empty()) {
        data["name"] = json!(name);
    }
    let card = Card::from_value(json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}))?;
    let pictures = files.into_iter().filter(|file| !file.path.ends_with(".json")).collect();
    Ok((card, pictures, warnings))
}

fn document(files: &[AssetFile], path: &str, warnings: &mut Vec<String>) -> Result<Value, CardError> {
    let file = files.iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| CardError::NoCard(format!("the archive has no {path}")))?;
    let (value, notes) = json_text::parse(path, &file.bytes, CARD_JSON_BYTES_MAX)?;
    warnings.extend(notes);
    match value {
        Value::Object(_) => Ok(value),
        other => Err(CardError::field(path, format!("an object is needed, found {}", kind_of(&other)))),
    }
}

/// A text with Backyard's placeholders as cards write them: `{character}`, `{user}`, and `#{user}:` before what a
/// person says.
fn text_of(value: &Value) -> Option<String> {
    let mut text = value.as_str()?.to_string();
    for (theirs, ours) in [("{character}", "{{char}}"), ("{user}", "{{user}}")] {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = find_ignoring_case(rest, theirs) {
            let (before, after) = (&rest[..at], &rest[at + theirs.len()..]);
            let is_double = before.ends_with('{') && after.starts_with('}');
            let before = match after.starts_with(':') {
                true => before.strip_suffix('#').unwrap_or(before),
                false => before,
            };
            out.push_str(before);
            out.push_str(if is_double { &rest[at..at + theirs.len()] } else { ours });
            rest = after;
        }
        out.push_str(rest);
        text = out;
    }
    Some(text)
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let wanted = wanted.as_bytes();
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

fn book(items: &Value, warnings: &mut Vec<String>) -> Value {
    let Some(items) = items.as_array().filter(|items| !items.is_empty()) else { return Value::Null };
    let mut entries = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (key, value) = (text_of(&item["key"]), text_of(&item["value"]));
        let (Some(key), Some(value)) = (key, value) else {
            warnings.push(format!("byaf: loreItems[{index}]: key and value are needed; it is left out"));
            continue;
        };
        let keys: Vec<&str> = key.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        entries.push(json!({"keys": keys, "content": value, "enabled": true, "insertion_order": index,
            "extensions": {}}));
    }
    json!({"entries": entries, "extensions": {}})
}

/// The pictures, the first of them as the portrait. Their paths are relative to the character's folder.
fn assets(images: &Value, folder: &str) -> Value {
    let paths = images.as_array().into_iter().flatten().filter_map(|image| image["path"].as_str());
    let assets = paths.enumerate().map(|(index, path)| {
        let path = path.replace('\\', "/");
        let path = if folder.is_empty() { path } else { format!("{folder}/{path}") };
        let ext = path.rsplit_once('.').map_or("", |(_, ext)| ext).to_string();
        let name = if index == 0 { "main".to_string() } else { format!("image_{index}") };
        json!({"type": "icon", "uri": format!("embeded://{path}"), "name": name, "ext": ext})
    });
    Value::Array(assets.collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in files {
            writer.start_file(*path, zip::write::SimpleFileOptions::default()).expect("a file");
            writer.write_all(bytes).expect("its bytes");
        }
        writer.finish().expect("an archive").into_inner()
    }

    #[test]
    fn the_first_character_becomes_a_card() {
        let manifest = json!({"schemaVersion": 1, "author": {"name": "Ann", "backyardURL": "https://example.com/a"},
            "characters": ["characters/1/character.json", "characters/2/character.json"],
            "scenarios": ["scenarios/a.json", "scenarios/gone.json", "scenarios/b.json"]});
        let character = json!({"name": "Orla", "displayName": "O", "isNSFW": false,
            "persona": "{character} mends clocks for {User}; {{user}} waits.",
            "loreItems": [{"key": "bell, clapper", "value": "The bell is cracked."}, {"key": 7}],
            "images": [{"path": "images/a.png", "label": ""}]});
        let first = json!({"narrative": "a workshop", "formattingInstructions": "Be {character}.",
            "firstMessages": [{"characterID": "1", "text": "The bell rings."}],
            "exampleMessages": [{"text": "#{user}: hi\n#{character}: ho"}],
            "messages": [{"type": "human", "text": "x"}]});
        let second = json!({"firstMessages": [{"text": "Come in, {user}."}]});
        let bytes = archive(&[
            ("manifest.json", manifest.to_string().into_bytes()),
            ("characters/1/character.json", character.to_string().into_bytes()),
            ("characters/1/images/a.png", b"png".to_vec()),
            ("scenarios/a.json", first.to_string().into_bytes()),
            ("scenarios/b.json", second.to_string().into_bytes()),
        ]);
        assert!(is_byaf(&bytes));
        let (card, files, warnings) = read(&bytes).expect("a card");
        for (field, value) in [
            ("name", "Orla"),
            ("description", "{{char}} mends clocks for {{user}}; {{user}} waits."),
            ("scenario", "a workshop"),
            ("first_mes", "The bell rings."),
            ("mes_example", "<START>\n{{user}}: hi\n{{char}}: ho"),
            ("system_prompt", "Be {{char}}."),
            ("creator", "Ann"),
        ] {
            assert_eq!(card.text(field), value, "{field}");
        }
        assert_eq!(card.texts("alternate_greetings"), ["Come in, {{user}}."]);
        let book = card.lorebook().expect("a book").expect("one");
        assert_eq!((book.entries.len(), book.entries[0].keys.len()), (1, 2));
        assert_eq!(files[0].path, "characters/1/images/a.png");
        assert!(card.assets()[0].uri.ends_with(&files[0].path));
        assert_eq!(card.get("extensions").expect("some")["backyard"]["character"], character);
        let said = warnings.join("\n");
        for named in ["2 characters", "scenarios/gone.json", "loreItems[1]", "1 messages"] {
            assert!(said.contains(named), "{named}: {said}");
        }
        let empty = archive(&[("manifest.json", b"{}".to_vec())]);
        assert!(matches!(read(&empty), Err(CardError::NoCard(_))));
    }
}
