//! What does a lorebook hold? Entries with keys, read from a card or from a file of their own.

use serde_json::{Map, Value, json};

use crate::card::CARD_JSON_BYTES_MAX;
use crate::decorators::{Decorators, split_decorators};
use crate::error::CardError;
use crate::json_text;
use crate::key_pattern::KeyPattern;
use crate::odd_values::{AsText, Notes, flag, kind_of, number, text, texts};
use crate::tavern::{self, Place, Rules, Said};

const ENTRIES_MAX: usize = 20_000;
const KEYS_MAX: usize = 1_000;
/// Keys reported as useless at most.
const USELESS_MAX: usize = 20;
/// What looking for useless patterns may cost.
const CHECKED_COST_MAX: usize = 16 << 20;

/// Where an entry's text goes, relative to the character's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// Before it.
    #[default]
    BeforeChar,
    /// After it.
    AfterChar,
}

/// Which keys of an entry are patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyForm {
    /// None: they are texts.
    #[default]
    Texts,
    /// All of them.
    Patterns,
    /// Those that are written as `/pattern/flags`; the others are texts.
    Slashed,
}

/// One entry, as far as we know its fields; the others stay in [`Lorebook::raw`].
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Texts or patterns that call it.
    pub keys: Vec<String>,
    /// With `selective`, one of these must be found as well.
    pub secondary_keys: Vec<String>,
    /// Whether the secondary keys count.
    pub selective: bool,
    /// Its text, without decorators.
    pub content: String,
    /// The decorators before its text.
    pub decorators: Decorators,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Lower comes earlier.
    pub insertion_order: f64,
    /// Whether case matters; not, unless said.
    pub case_sensitive: bool,
    /// Always called.
    pub constant: bool,
    /// Lowest goes first when the budget is short.
    pub priority: Option<f64>,
    /// Where it goes.
    pub position: Position,
    /// Which keys are patterns.
    pub key_form: KeyForm,
    /// When it is called, beyond its keys.
    pub rules: Rules,
    /// What people call it.
    pub name: String,
    /// Its place in the file, counted from 0; entries that cannot be read have one too.
    pub number: usize,
}

/// A lorebook: its JSON as it came, and its entries as we understand them.
#[derive(Debug, Clone, PartialEq)]
pub struct Lorebook {
    raw: Map<String, Value>,
    /// How many of the latest messages are searched; all, unless said.
    pub scan_depth: Option<usize>,
    /// Tokens that all entries may take together; any number, unless said.
    pub token_budget: Option<usize>,
    /// Whether entries call others.
    pub recursive_scanning: bool,
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// What warnings call it.
    place: String,
    warnings: Vec<String>,
}

impl Lorebook {
    /// Reads a standalone lorebook: `{"spec": "lorebook_v3", "data": …}`, or the book alone, as SillyTavern, Agnai,
    /// RisuAI and NovelAI write it.
    pub fn from_json(json: &[u8]) -> Result<Lorebook, CardError> {
        let (value, mut notes) = json_text::parse("lorebook", json, CARD_JSON_BYTES_MAX)?;
        let mut book = Lorebook::from_file(&value, "lorebook")?;
        notes.append(&mut book.warnings);
        book.warnings = notes;
        Ok(book)
    }

    /// The same from parsed JSON; `place` is how errors call a book without a wrapping.
    pub fn from_file(value: &Value, place: &str) -> Result<Lorebook, CardError> {
        // KoboldAI's world info is a list of entries.
        if let Value::Array(items) = value
            && !items.is_empty()
            && items.iter().all(Value::is_object)
        {
            let mut book = Lorebook::from_value(&json!({ "entries": items }), place)?;
            book.warnings.insert(0, format!("{place}: a list was read as the entries of a book"));
            return Ok(book);
        }
        match value.get("spec") {
            Some(Value::String(spec)) if spec.starts_with("lorebook_v") => {
                Lorebook::from_value(value.get("data").unwrap_or(&Value::Null), "data")
            }
            Some(spec @ Value::String(_)) if value.get("entries").is_none() => {
                Err(CardError::field("spec", format!("{spec}; lorebook_v3 is read")))
            }
            _ => Lorebook::from_value(value, place),
        }
    }

    /// Reads a book from parsed JSON; `place` is how warnings call it. Entries and fields of odd types are coerced or
    /// left out, which [`Lorebook::warnings`] tells.
    pub fn from_value(value: &Value, place: &str) -> Result<Lorebook, CardError> {
        let Value::Object(raw) = value else {
            return Err(CardError::field(place, format!("an object is needed, found {}", kind_of(value))));
        };
        let mut notes = Notes::default();
        // RisuAI calls the list data.
        let list = match raw.get("entries").or(raw.get("data")) {
            Some(Value::Array(list)) => list.iter().collect(),
            // SillyTavern's own files number their entries as members of an object.
            Some(Value::Object(numbered)) => numbered.values().collect(),
            None | Some(Value::Null) => Vec::new(),
            Some(other) => {
                notes.skipped(&format!("{place}.entries"), other, "a list");
                Vec::new()
            }
        };
        if list.len() > ENTRIES_MAX {
            return Err(CardError::field(format!("{place}.entries"), format!("{} entries", list.len())));
        }
        // NovelAI's keys are patterns where they are written as such.
        let is_slashed = raw.contains_key("lorebookVersion");
        let mut entries = Vec::with_capacity(list.len());
        for (index, entry) in list.into_iter().enumerate() {
            let place = format!("{place}.entries[{index}]");
            match entry.as_object() {
                Some(object) => {
                    let mut entry = read_entry(object, &place, index, &mut notes)?;
                    if is_slashed {
                        entry.key_form = KeyForm::Slashed;
                    }
                    entries.push(entry);
                }
                None => notes.skipped(&place, entry, "an object"),
            }
        }
        let mut book = Reader { object: raw, place, notes: &mut notes };
        Ok(Lorebook {
            scan_depth: book.count("scan_depth"),
            token_budget: book.count("token_budget"),
            recursive_scanning: book.flag("recursive_scanning").unwrap_or(false),
            entries,
            raw: raw.clone(),
            place: place.to_string(),
            warnings: notes.all(),
        })
    }

    /// What a person should know before relying on this book: what was coerced, left out, or is not obeyed here.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        for (number, key) in self.useless_patterns() {
            let key: String = key.chars().take(80).collect();
            let place = &self.place;
            warnings.push(format!(
                "{place}.entries[{number}]: {key:?} is not a usable pattern and never matches"
            ));
        }
        warnings
    }

    /// The JSON as it came.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// Keys that are meant as patterns and are none, by entry; such a key never matches.
    pub fn useless_patterns(&self) -> Vec<(usize, &str)> {
        let keys = self.entries.iter().flat_map(|entry| {
            let keys = entry.keys.iter().chain(&entry.secondary_keys);
            keys.filter(|key| entry.is_pattern(key)).map(move |key| (entry.number, key.as_str()))
        });
        // What compiling may cost in all; what lies beyond it is not looked at.
        let mut left = CHECKED_COST_MAX;
        let affordable = keys.take_while(|(_, key)| {
            left = left.saturating_sub(KeyPattern::cost(key));
            left > 0
        });
        affordable.filter(|(_, key)| KeyPattern::new(key, true).is_none()).take(USELESS_MAX).collect()
    }

    /// The book as a file of its own.
    pub fn to_standalone(&self) -> Value {
        json!({"spec": "lorebook_v3", "data": self.raw})
    }
}

impl Entry {
    /// Whether one of its keys is a pattern.
    pub(crate) fn is_pattern(&self, key: &str) -> bool {
        match self.key_form {
            KeyForm::Texts => false,
            KeyForm::Patterns => true,
            KeyForm::Slashed => KeyPattern::is_slashed(key),
        }
    }
}

fn read_entry(
    object: &Map<String, Value>,
    place: &str,
    number: usize,
    notes: &mut Notes,
) -> Result<Entry, CardError> {
    let is_tavern = tavern::is_its(object);
    let (rules, case_sensitive, said_place) = {
        let mut said = Said::of(object, place, notes);
        (said.rules(), said.case_sensitive(), said.place())
    };
    let mut entry = Reader { object, place, notes };
    let content = entry.text(&["content", "entry", "text"]);
    let (mut decorators, content) = split_decorators(&content);
    let content = content.to_string();
    let mut position = entry.position();
    match said_place {
        Some(Place::Before) => position = Position::BeforeChar,
        Some(Place::After) => position = Position::AfterChar,
        Some(Place::In(placement, role)) if decorators.placement.is_none() => {
            decorators.placement = Some(placement);
            decorators.role = decorators.role.or(role);
        }
        Some(Place::In(..)) | None => {}
    }
    let use_regex = entry.flag("use_regex").or_else(|| entry.flag("useRegex")).unwrap_or(false);
    let name = entry.text(&["name", "comment", "displayName"]);
    Ok(Entry {
        keys: entry.texts(&["keys", "key", "keywords"])?,
        secondary_keys: entry.texts(&["secondary_keys", "keysecondary", "secondkey"])?,
        selective: entry.flag("selective").unwrap_or(false),
        content,
        decorators,
        enabled: match entry.flag("enabled") {
            Some(enabled) => enabled,
            None => !entry.flag("disable").unwrap_or(false),
        },
        insertion_order: entry.number(&["insertion_order", "order", "insertorder", "weight"]).unwrap_or(0.0),
        case_sensitive: case_sensitive.or_else(|| entry.flag("case_sensitive")).unwrap_or(false),
        constant: ["constant", "alwaysActive", "forceActivation"]
            .iter()
            .any(|member| entry.flag(member).unwrap_or(false)),
        priority: entry.number(&["priority"]),
        position,
        key_form: match (is_tavern, use_regex) {
            (true, _) => KeyForm::Slashed,
            (false, true) => KeyForm::Patterns,
            (false, false) => KeyForm::Texts,
        },
        rules,
        name,
        number,
    })
}

/// Typed access to an object whose path is known for notes; null counts as absent.
struct Reader<'a> {
    object: &'a Map<String, Value>,
    place: &'a str,
    notes: &'a mut Notes,
}

impl<'a> Reader<'a> {
    fn path(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    fn present(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &'a Value)> {
        names.iter().find_map(|name| Some((*name, self.present(name)?)))
    }

    /// Notes how a value was read, and answers that.
    fn noted<T>(
        &mut self,
        field: &str,
        value: &Value,
        read: Option<T>,
        is_odd: bool,
        wanted: &str,
    ) -> Option<T> {
        match read {
            None => self.notes.skipped(&self.path(field), value, wanted),
            Some(_) if is_odd => self.notes.coerced(&self.path(field), value, wanted),
            Some(_) => {}
        }
        read
    }

    fn text(&mut self, names: &[&str]) -> String {
        let Some((field, value)) = self.first(names) else { return String::new() };
        self.noted(field, value, text(value, "\n"), !value.is_string(), "a text").unwrap_or_default()
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        let value = self.present(field)?;
        self.noted(field, value, flag(value), !value.is_boolean(), "a boolean")
    }

    fn number(&mut self, names: &[&str]) -> Option<f64> {
        let (field, value) = self.first(names)?;
        self.noted(field, value, number(value), !value.is_number(), "a number")
    }

    fn count(&mut self, field: &str) -> Option<usize> {
        // Programs write -1 for "no limit".
        let number = self.number(&[field]).filter(|number| *number >= 0.0)?;
        Some(number.min(1e9) as usize)
    }

    fn position(&mut self) -> Position {
        match self.present("position") {
            Some(Value::String(position)) if position == "after_char" => Position::AfterChar,
            // Numbers are another program's, which is asked for what they mean.
            None | Some(Value::String(_) | Value::Number(_)) => Position::BeforeChar,
            Some(other) => {
                self.notes.skipped(&self.path("position"), other, "before_char or after_char");
                Position::BeforeChar
            }
        }
    }

    fn texts(&mut self, names: &[&str]) -> Result<Vec<String>, CardError> {
        let Some((field, value)) = self.first(names) else { return Ok(Vec::new()) };
        let path = self.path(field);
        let list = match value {
            // RisuAI writes its keys with commas.
            Value::String(text) if matches!(field, "key" | "secondkey") => {
                text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_string).collect()
            }
            value => texts(value, AsText::Commas, &path, self.notes).unwrap_or_default(),
        };
        match list.len() > KEYS_MAX {
            true => Err(CardError::field(path, format!("{} keys", list.len()))),
            false => Ok(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wrappings_and_both_spellings_are_read() {
        let entry = json!({"keys": ["cat"], "content": "@@depth 2\nMeow", "insertion_order": 5, "priority": 3,
            "enabled": true, "position": "after_char", "extensions": {"x": 1}});
        let book = json!({"entries": [entry], "token_budget": 100, "scan_depth": -1, "x": [1]});
        let alone = Lorebook::from_json(book.to_string().as_bytes()).unwrap();
        let wrapped = json!({"spec": "lorebook_v3", "data": book});
        let read = Lorebook::from_json(wrapped.to_string().as_bytes()).unwrap();
        assert_eq!((read.raw(), &read.entries, read.token_budget), (alone.raw(), &alone.entries, Some(100)));
        assert_eq!(alone.to_standalone(), wrapped);
        let entry = &alone.entries[0];
        assert_eq!((entry.content.as_str(), entry.position), ("Meow", Position::AfterChar));
        assert_eq!((alone.scan_depth, alone.token_budget), (None, Some(100)));

        let tavern = json!({"entries": {"0": {"uid": 0, "key": ["a"], "keysecondary": ["b"], "order": 7, "disable": true,
            "position": 1, "comment": "note", "content": "c"}}});
        let entry = &Lorebook::from_value(&tavern, "book").unwrap().entries[0];
        assert_eq!((entry.keys.len(), entry.secondary_keys.len(), entry.enabled), (1, 1, false));
        assert_eq!(
            (entry.insertion_order, entry.position, entry.name.as_str()),
            (7.0, Position::AfterChar, "note")
        );
    }

    #[test]
    fn warnings_name_what_is_odd_and_the_rest_is_there() {
        for (book, named, entries) in [
            (json!({"entries": [{}, {"keys": "cat, dog"}]}), "book.entries[1].keys", 2),
            (json!({"entries": [{"keys": ["a", 1, null]}]}), "book.entries[0].keys[1]", 1),
            (json!({"entries": [{"content": {}}]}), "book.entries[0].content", 1),
            (json!({"entries": [7, {"keys": ["a"]}]}), "book.entries[0]", 1),
            (json!({"entries": [{"insertion_order": "100"}]}), "book.entries[0].insertion_order", 1),
            (json!({"entries": [{"priority": ""}]}), "book.entries[0].priority", 1),
            (json!({"entries": [{"enabled": 1}]}), "book.entries[0].enabled", 1),
            (json!({"entries": [{"constant": "no", "position": []}]}), "book.entries[0].position", 1),
            (
                json!({"entries": [{"extensions": {"probability": "x"}}]}),
                "book.entries[0].extensions.probability",
                1,
            ),
            (json!({"entries": "x"}), "book.entries", 0),
            (json!({"entries": [], "token_budget": "x"}), "book.token_budget", 0),
        ] {
            let read = Lorebook::from_value(&book, "book").expect("a book");
            let warnings = read.warnings();
            assert!(
                warnings.iter().any(|warning| warning.starts_with(&format!("{named}: "))),
                "{named}: {warnings:?}"
            );
            assert_eq!((read.entries.len(), Value::Object(read.raw().clone())), (entries, book), "{named}");
        }
        let keys = json!({"entries": [{"keys": "bell, clapper"}, {"keys": ["bell", 1984]}]});
        let keys = Lorebook::from_value(&keys, "book").expect("a book");
        assert_eq!(keys.entries[0].keys, ["bell", "clapper"]);
        assert_eq!(keys.entries[1].keys, ["bell", "1984"]);
        assert!(matches!(Lorebook::from_value(&json!([]), "book"), Err(CardError::Field { .. })));
        let many = json!({"entries": vec![json!({}); ENTRIES_MAX + 1]});
        assert!(Lorebook::from_value(&many, "book").is_err());
    }

    #[test]
    fn books_of_other_programs_are_read() {
        for (book, order) in [
            (
                json!({"kind": "memory", "name": "b", "entries": [{"name": "bells", "entry": "cracked", "keywords": ["bell"],
                "priority": 10, "weight": 5, "enabled": true}]}),
                5.0,
            ),
            (
                json!({"type": "risu", "ver": 1, "data": [{"key": "bell", "comment": "bells", "content": "cracked",
                "mode": "normal", "insertorder": 7, "alwaysActive": false, "secondkey": "", "selective": false}]}),
                7.0,
            ),
            (
                json!({"lorebookVersion": 5, "entries": [{"text": "cracked", "displayName": "bells", "keys": ["bell"],
                "forceActivation": false, "enabled": true}]}),
                0.0,
            ),
        ] {
            let read = Lorebook::from_file(&book, "book").expect("a book");
            let entry = &read.entries[0];
            assert_eq!((entry.content.as_str(), entry.name.as_str()), ("cracked", "bells"), "{book}");
            assert_eq!(
                (entry.keys.join("|"), entry.insertion_order, entry.enabled),
                ("bell".into(), order, true)
            );
            assert!(read.warnings().is_empty(), "{:?}", read.warnings());
        }
        let novel = json!({"lorebookVersion": 5, "entries": [{"text": "x", "keys": ["/be+l/i", "a (b)"]}]});
        assert_eq!(
            Lorebook::from_file(&novel, "book").expect("a book").entries[0].key_form,
            KeyForm::Slashed
        );
        let world = json!([{"key": "bell, clapper", "content": "cracked", "constant": false}]);
        let read = Lorebook::from_file(&world, "book").expect("a book");
        assert_eq!((read.entries[0].keys.len(), read.warnings().len()), (2, 1), "{:?}", read.warnings());
        assert!(
            Lorebook::from_file(&json!([]), "book").is_err()
                && Lorebook::from_file(&json!([1]), "book").is_err()
        );
    }
}
