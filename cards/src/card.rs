//! What does a character card say? Versions 1, 2 and 3, with every field kept that we do not know.

use serde_json::{Map, Value, json};

use crate::error::CardError;
use crate::lorebook::Lorebook;

/// Longest JSON of a card; its lorebook and inline pictures included.
pub const CARD_JSON_BYTES_MAX: usize = 32 << 20;

/// The fields that a first version had, at its root.
const V1_FIELDS: [&str; 6] = ["name", "description", "personality", "scenario", "first_mes", "mes_example"];
const V2_TEXTS: [&str; 5] =
    ["creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version"];
const TEXT_LISTS: [&str; 4] = ["alternate_greetings", "tags", "group_only_greetings", "source"];

/// Members of `extensions` that hold scripts of other programs: regular expressions to rewrite what is said, and triggers.
const SCRIPTS: [&str; 3] = ["regex_scripts", "risuai.customScripts", "risuai.triggerscript"];

/// Which form a card has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CardVersion {
    /// Six fields at the root.
    V1,
    /// `chara_card_v2`.
    V2,
    /// `chara_card_v3`, or a later one read as such.
    V3,
}

/// A character card: its JSON as it came, and typed access to what we know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    raw: Map<String, Value>,
    version: CardVersion,
}

/// A file that belongs to a card, by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetReference {
    /// `icon`, `background`, `user_icon`, `emotion` or `x_…`.
    pub kind: String,
    /// `http(s):`, `data:`, `ccdefault:` or `embeded://path`.
    pub uri: String,
    /// What the card calls it.
    pub name: String,
    /// File name extension.
    pub ext: String,
}

impl Card {
    /// Reads a card from JSON text of any version.
    pub fn from_json(json: &[u8]) -> Result<Card, CardError> {
        CardError::check_size("card", json.len(), CARD_JSON_BYTES_MAX)?;
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let value = serde_json::from_slice(json).map_err(|error| CardError::json("card", &error))?;
        Card::from_value(value)
    }

    /// Reads a card from parsed JSON of any version.
    pub fn from_value(value: Value) -> Result<Card, CardError> {
        let Value::Object(raw) = value else {
            return Err(CardError::field("card", format!("an object is needed, found {}", kind_of(&value))));
        };
        let version = match raw.get("spec") {
            Some(Value::String(spec)) if spec == "chara_card_v2" => CardVersion::V2,
            Some(Value::String(spec)) if spec.starts_with("chara_card_v") => CardVersion::V3,
            Some(Value::String(spec)) => return Err(CardError::NoCard(format!("spec is {spec:?}"))),
            Some(other) if !other.is_null() => {
                return Err(CardError::field("spec", format!("a text is needed, found {}", kind_of(other))));
            }
            // Some programs write the second version without its name.
            _ if raw.get("data").is_some_and(Value::is_object) => CardVersion::V2,
            _ => CardVersion::V1,
        };
        let card = Card { raw, version };
        card.check()?;
        Ok(card)
    }

    /// A new card of the third version.
    pub fn new(name: &str) -> Card {
        let card = Card { raw: Map::new(), version: CardVersion::V1 };
        let Value::Object(mut raw) = card.to_v3() else { return card };
        if let Some(data) = raw.get_mut("data").and_then(Value::as_object_mut) {
            data.insert("name".into(), json!(name));
        }
        Card { raw, version: CardVersion::V3 }
    }

    /// Which form the card has.
    pub fn version(&self) -> CardVersion {
        self.version
    }

    /// The JSON as it came, with the changes made since.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// What a person should know before relying on this card.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.version == CardVersion::V3 {
            let version = self.raw.get("spec_version");
            let number = version.and_then(|version| match version {
                Value::String(text) => text.trim().parse::<f64>().ok(),
                other => other.as_f64(),
            });
            match number {
                Some(number) if number > 3.0 => {
                    warnings.push(format!("made for version {number} of the format; read as version 3"));
                }
                Some(_) => {}
                None => warnings.push("spec_version is not a number".into()),
            }
        }
        let spec = self.raw.get("spec").and_then(Value::as_str);
        let is_unknown = |spec: &&str| !["chara_card_v2", "chara_card_v3"].contains(spec);
        if let Some(spec) = spec.filter(is_unknown).filter(|_| warnings.is_empty()) {
            let spec: String = spec.chars().take(60).collect();
            warnings.push(format!(
                "spec: {spec:?} is neither chara_card_v2 nor chara_card_v3; read as chara_card_v3"
            ));
        }
        for path in SCRIPTS {
            let scripts = path.split('.').fold(self.get("extensions"), |at, name| at?.get(name));
            let count = scripts.and_then(Value::as_array).map_or(0, Vec::len);
            if count > 0 {
                warnings.push(format!(
                    "data.extensions.{path}: {count} scripts of the card are kept with it and not run"
                ));
            }
        }
        warnings
    }

    /// A text field such as `description`; empty if absent.
    pub fn text(&self, field: &str) -> &str {
        self.fields().get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// A list of texts such as `tags`; empty if absent.
    pub fn texts(&self, field: &str) -> Vec<&str> {
        let list = self.fields().get(field).and_then(Value::as_array);
        list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// Any field, as JSON.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields().get(field)
    }

    /// The character's name.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// What `{{char}}` stands for: the nickname, or else the name.
    pub fn spoken_name(&self) -> &str {
        Some(self.text("nickname")).filter(|nickname| !nickname.is_empty()).unwrap_or(self.name())
    }

    /// The lorebook within the card.
    pub fn lorebook(&self) -> Result<Option<Lorebook>, CardError> {
        match self.fields().get("character_book") {
            None | Some(Value::Null) => Ok(None),
            Some(book) => Lorebook::from_value(book, "data.character_book").map(Some),
        }
    }

    /// The files that the card refers to.
    pub fn assets(&self) -> Vec<AssetReference> {
        let list = self.fields().get("assets").and_then(Value::as_array);
        let text = |asset: &Value, key: &str| asset[key].as_str().unwrap_or("").to_string();
        list.into_iter()
            .flatten()
            .map(|asset| AssetReference {
                kind: text(asset, "type"),
                uri: text(asset, "uri"),
                name: text(asset, "name"),
                ext: text(asset, "ext"),
            })
            .collect()
    }

    /// Changes one field and nothing else; a mirror of it at the root changes with it.
    pub fn set(&mut self, field: &str, value: Value) -> Result<(), CardError> {
        let mut changed = self.clone();
        if changed.version != CardVersion::V1 {
            if changed.raw.contains_key(field) && V1_FIELDS.contains(&field) {
                changed.raw.insert(field.into(), value.clone());
            }
            if let Some(data) = changed.raw.get_mut("data").and_then(Value::as_object_mut) {
                data.insert(field.into(), value);
            }
        } else {
            changed.raw.insert(field.into(), value);
        }
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// The card as version 2, for programs that know no later one; later fields stay as extras.
    pub fn to_v2(&self) -> Value {
        self.converted("chara_card_v2", "2.0", CardVersion::V2)
    }

    /// The card as version 3.
    pub fn to_v3(&self) -> Value {
        let mut card = self.converted("chara_card_v3", "3.0", CardVersion::V3);
        if let Some(data) = card.get_mut("data").and_then(Value::as_object_mut) {
            data.entry("group_only_greetings").or_insert_with(|| json!([]));
        }
        card
    }

    /// The card in its own version, exactly as it came except for the changes made since.
    pub fn to_value(&self) -> Value {
        Value::Object(self.raw.clone())
    }

    fn converted(&self, spec: &str, spec_version: &str, version: CardVersion) -> Value {
        let mut raw = self.raw.clone();
        if self.version == version {
            return Value::Object(raw);
        }
        if self.version == CardVersion::V1 {
            // The root stays as it is, since old programs look there.
            let mut data = Map::new();
            for field in V1_FIELDS.iter().chain(&V2_TEXTS) {
                data.insert((*field).into(), raw.get(*field).cloned().unwrap_or_else(|| json!("")));
            }
            for list in ["alternate_greetings", "tags"] {
                data.insert(list.into(), json!([]));
            }
            data.insert("extensions".into(), json!({}));
            for (field, value) in &raw {
                data.insert(field.clone(), value.clone());
            }
            raw.insert("data".into(), Value::Object(data));
        }
        raw.insert("spec".into(), json!(spec));
        raw.insert("spec_version".into(), json!(spec_version));
        Value::Object(raw)
    }

    fn fields(&self) -> &Map<String, Value> {
        match self.raw.get("data") {
            Some(Value::Object(data)) if self.version != CardVersion::V1 => data,
            _ => &self.raw,
        }
    }

    /// Refuses wrong types in the fields that we use; null counts as absent.
    fn check(&self) -> Result<(), CardError> {
        let place = if self.version == CardVersion::V1 { "" } else { "data." };
        if self.version != CardVersion::V1 && !self.raw.get("data").is_some_and(Value::is_object) {
            return Err(CardError::field("data", "an object is needed"));
        }
        let fields = self.fields();
        let wrong = |field: &str, wanted: &str, found: &Value| {
            Err(CardError::field(
                format!("{place}{field}"),
                format!("{wanted} is needed, found {}", kind_of(found)),
            ))
        };
        for field in V1_FIELDS.iter().chain(&V2_TEXTS).chain(&["nickname"]) {
            match fields.get(*field) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => return wrong(field, "a text", other),
            }
        }
        for field in TEXT_LISTS {
            match fields.get(field) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) => {
                    if let Some((i, other)) = items.iter().enumerate().find(|(_, item)| !item.is_string()) {
                        return wrong(&format!("{field}[{i}]"), "a text", other);
                    }
                }
                Some(other) => return wrong(field, "a list", other),
            }
        }
        for field in ["extensions", "creator_notes_multilingual", "character_book"] {
            match fields.get(field) {
                None | Some(Value::Null | Value::Object(_)) => {}
                Some(other) => return wrong(field, "an object", other),
            }
        }
        for field in ["creation_date", "modification_date"] {
            match fields.get(field) {
                None | Some(Value::Null | Value::Number(_)) => {}
                Some(other) => return wrong(field, "a number", other),
            }
        }
        match fields.get("assets") {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                if let Some((i, other)) = items.iter().enumerate().find(|(_, item)| !item.is_object()) {
                    return wrong(&format!("assets[{i}]"), "an object", other);
                }
            }
            Some(other) => return wrong("assets", "a list", other),
        }
        // A V1 card has no mark of its own, so its fields are all that tells it from other JSON.
        if !fields.get("name").is_some_and(Value::is_string) {
            return Err(CardError::field(format!("{place}name"), "is missing"));
        }
        if self.version == CardVersion::V1 && !V1_FIELDS[1..].iter().any(|field| fields.contains_key(*field))
        {
            return Err(CardError::NoCard("there is a name, but no other field of a card".into()));
        }
        Ok(())
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
