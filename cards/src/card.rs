//! What does a character card say? Versions 1, 2 and 3, with every field kept that we do not know.

use serde_json::{Map, Value, json};

use crate::card_fields::{self, V1_FIELDS, V2_TEXTS};
use crate::error::CardError;
use crate::json_text;
use crate::lorebook::Lorebook;
use crate::odd_values::{Notes, kind_of};
use crate::other_forms::Form;

/// Longest JSON of a card; its lorebook and inline pictures included.
pub const CARD_JSON_BYTES_MAX: usize = 32 << 20;

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
    form: Form,
    /// Fields that other members of the file hold, as they are there.
    mapped: Map<String, Value>,
    /// What odd fields are read as; null for those that are left out.
    read: Map<String, Value>,
    notes: Vec<String>,
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
    /// Reads a card from JSON text of any version, or of a form that other programs write.
    pub fn from_json(json: &[u8]) -> Result<Card, CardError> {
        let (value, mut notes) = json_text::parse("card", json, CARD_JSON_BYTES_MAX)?;
        let mut card = Card::from_value(value)?;
        notes.append(&mut card.notes);
        card.notes = notes;
        Ok(card)
    }

    /// Reads a card from parsed JSON of any version. Fields of odd types are coerced or left out, which
    /// [`Card::warnings`] tells; refused is only what has no name, or nothing of a card.
    pub fn from_value(value: Value) -> Result<Card, CardError> {
        let mut notes = Notes::default();
        let raw = unwrapped(value, &mut notes)?;
        let version = version_of(&raw, &mut notes)?;
        let form = if version == CardVersion::V1 { Form::of(&raw) } else { Form::Card };
        let mapped = form.mapped(&raw, &mut notes);
        let (read, notes) = (Map::new(), notes);
        let mut card = Card { raw, version, form, mapped, read, notes: Vec::new() };
        card.check(notes)?;
        Ok(card)
    }

    /// A new card of the third version.
    pub fn new(name: &str) -> Card {
        let fields = V1_FIELDS.iter().chain(&V2_TEXTS);
        let mut data: Map<String, Value> = fields
            .map(|field| ((*field).to_string(), json!(if *field == "name" { name } else { "" })))
            .collect();
        for list in ["alternate_greetings", "tags", "group_only_greetings"] {
            data.insert(list.into(), json!([]));
        }
        data.insert("extensions".into(), json!({}));
        let Value::Object(raw) = json!({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}) else {
            unreachable!("it is written as an object")
        };
        let (mapped, read) = (Map::new(), Map::new());
        Card { raw, version: CardVersion::V3, form: Form::Card, mapped, read, notes: Vec::new() }
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
        let mut warnings = self.notes.clone();
        let said_already = warnings.len();
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
        let spec = self.raw.get("spec").and_then(Value::as_str).filter(|_| self.version == CardVersion::V3);
        let is_unknown = |spec: &&str| !["chara_card_v2", "chara_card_v3"].contains(spec);
        if let Some(spec) = spec.filter(is_unknown).filter(|_| warnings.len() == said_already) {
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
        self.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// A list of texts such as `tags`; empty if absent.
    pub fn texts(&self, field: &str) -> Vec<&str> {
        let list = self.get(field).and_then(Value::as_array);
        list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// Any field, as JSON: of the type that the format has for it, if it has one.
    pub fn get(&self, field: &str) -> Option<&Value> {
        let used = self.read.get(field).or_else(|| self.mapped.get(field));
        match used {
            Some(Value::Null) => None,
            Some(value) => Some(value),
            None => self.fields().get(field),
        }
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
        match self.get("character_book") {
            None | Some(Value::Null) => Ok(None),
            Some(book) => Lorebook::from_value(book, &format!("{}character_book", self.place())).map(Some),
        }
    }

    /// The files that the card refers to.
    pub fn assets(&self) -> Vec<AssetReference> {
        let list = self.get("assets").and_then(Value::as_array);
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

    /// Changes one field and nothing else; a mirror of it at the root changes with it. Refuses a type that the format
    /// does not have for it.
    pub fn set(&mut self, field: &str, value: Value) -> Result<(), CardError> {
        let mut raw = self.raw.clone();
        if self.version != CardVersion::V1 {
            if raw.contains_key(field) && V1_FIELDS.contains(&field) {
                raw.insert(field.into(), value.clone());
            }
            if let Some(data) = raw.get_mut("data").and_then(Value::as_object_mut) {
                data.insert(field.into(), value);
            }
        } else {
            let (member, value) = self.form.place(&raw, field, value);
            raw.insert(member, value);
        }
        let changed = Card::from_value(Value::Object(raw))?;
        if let Some(odd) = changed.notes.iter().find(|note| !self.notes.contains(note)) {
            return Err(CardError::field(format!("{}{field}", self.place()), odd.clone()));
        }
        let notes = std::mem::take(&mut self.notes);
        *self = Card { notes, ..changed };
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

    /// The card as version 1, with all fields at the root; later fields stay as extras.
    pub fn to_v1(&self) -> Value {
        let mut raw = self.raw.clone();
        if self.version != CardVersion::V1 {
            raw.remove("spec");
            raw.remove("spec_version");
            if let Some(Value::Object(data)) = raw.remove("data") {
                raw.extend(data);
            }
        } else if self.form == Form::Card {
            return Value::Object(raw);
        }
        raw.extend(self.mapped.iter().map(|(field, value)| (field.clone(), value.clone())));
        for field in V1_FIELDS {
            raw.entry(field).or_insert_with(|| json!(""));
        }
        Value::Object(raw)
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
            let mut data = raw.clone();
            data.extend(self.mapped.iter().map(|(field, value)| (field.clone(), value.clone())));
            for field in V1_FIELDS.iter().chain(&V2_TEXTS) {
                data.entry(*field).or_insert_with(|| json!(""));
            }
            for list in ["alternate_greetings", "tags"] {
                data.entry(list).or_insert_with(|| json!([]));
            }
            data.entry("extensions").or_insert_with(|| json!({}));
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

    /// Where the fields stand, as a prefix of their paths.
    fn place(&self) -> &'static str {
        if self.version == CardVersion::V1 { "" } else { "data." }
    }

    /// Finds out what the fields are read as, and refuses what is no character.
    fn check(&mut self, mut notes: Notes) -> Result<(), CardError> {
        let place = self.place();
        if self.version != CardVersion::V1 && !self.raw.get("data").is_some_and(Value::is_object) {
            return Err(CardError::field("data", "an object is needed"));
        }
        self.read = card_fields::read(&|field| self.get(field).cloned(), place, &mut notes);
        if self.name().trim().is_empty() {
            let others = [self.raw.get("name"), self.raw.get("char_name"), self.get("nickname")];
            let name = others.into_iter().flatten().filter_map(Value::as_str);
            let Some(name) = name.map(str::trim).find(|name| !name.is_empty()).map(str::to_string) else {
                let detail = if self.get("name").is_some() { "is empty" } else { "is missing" };
                return Err(CardError::field(format!("{place}name"), detail));
            };
            notes.add(&format!("{place}name"), &format!("is missing; {name:?} was taken from another field"));
            self.read.insert("name".into(), json!(name));
        }
        // A card at the root has no mark of its own, so its fields are all that tells it from other JSON.
        let is_told = V1_FIELDS[1..].iter().any(|field| self.get(field).is_some());
        if self.version == CardVersion::V1 && !is_told {
            return Err(CardError::NoCard("there is a name, but no other field of a card".into()));
        }
        self.notes = notes.all();
        Ok(())
    }
}

/// What programs put a character in, beside a list of one.
const WRAPPINGS: [&str; 4] = ["character", "char", "card", "definition"];

/// The card itself, out of what it came in: a list of one, a member of an object, or JSON within a text.
fn unwrapped(value: Value, notes: &mut Notes) -> Result<Map<String, Value>, CardError> {
    let wrong = |found: &str| CardError::field("card", format!("an object is needed, found {found}"));
    let mut raw = match value {
        Value::Object(raw) => raw,
        Value::Array(mut items) => match (items.pop(), items.len()) {
            (Some(Value::Object(raw)), 0) => {
                notes.add("card", "it is the one element of a list");
                raw
            }
            (None, _) => return Err(wrong("an empty list")),
            (_, others) => return Err(wrong(&format!("a list of {}; save each one alone", others + 1))),
        },
        other => return Err(wrong(kind_of(&other))),
    };
    let is_card =
        ["spec", "data", "name", "char_name", "persona"].iter().any(|member| raw.contains_key(*member));
    let within = WRAPPINGS.iter().find(|member| {
        let inner = raw.get(**member).and_then(Value::as_object);
        inner.is_some_and(|inner| ["name", "char_name", "data"].iter().any(|name| inner.contains_key(*name)))
    });
    if let Some(member) = within.filter(|_| !is_card)
        && let Some(Value::Object(inner)) = raw.remove(*member)
    {
        notes.add(
            "card",
            &format!("it was read from the member {member}; what stands beside it is kept in the file alone"),
        );
        raw = inner;
    }
    if let Some(Value::String(text)) = raw.get("data")
        && let Ok(data @ Value::Object(_)) = serde_json::from_str(text)
    {
        notes.add("data", "a text was read as the JSON in it");
        raw.insert("data".into(), data);
    }
    Ok(raw)
}

/// Which version the file says it is, as far as its content bears that out.
fn version_of(raw: &Map<String, Value>, notes: &mut Notes) -> Result<CardVersion, CardError> {
    let data = raw.get("data").and_then(Value::as_object);
    let is_card = data.is_some_and(|data| data.contains_key("name"));
    let at_root = raw.contains_key("name") && V1_FIELDS[1..].iter().any(|field| raw.contains_key(*field));
    let version = match raw.get("spec") {
        Some(Value::String(spec)) if spec == "chara_card_v2" => CardVersion::V2,
        Some(Value::String(spec)) if spec.starts_with("chara_card_v") => CardVersion::V3,
        Some(Value::String(spec)) if !is_card || spec.starts_with("lorebook") => {
            let spec: String = spec.chars().take(60).collect();
            return Err(CardError::NoCard(format!("spec is {spec:?}")));
        }
        Some(other) if !other.is_null() => {
            if !is_card {
                let found = kind_of(other);
                return Err(CardError::field("spec", format!("a text is needed, found {found}")));
            }
            notes.add("spec", "it names no version of the format; read as chara_card_v2");
            CardVersion::V2
        }
        // Some programs write the second version without its name.
        _ if data.is_some() => CardVersion::V2,
        _ => CardVersion::V1,
    };
    if version != CardVersion::V1 && data.is_none() && at_root {
        notes.add("data", "an object is needed; the fields at the root were read");
        return Ok(CardVersion::V1);
    }
    Ok(version)
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
