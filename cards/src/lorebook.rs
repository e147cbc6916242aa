//! What does a lorebook hold? Entries with keys, read from a card or from a file of their own.

use serde_json::{Map, Value, json};

use crate::card::{CARD_JSON_BYTES_MAX, kind_of};
use crate::decorators::{Decorators, split_decorators};
use crate::error::CardError;
use crate::key_pattern::KeyPattern;

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
    /// Whether keys are patterns.
    pub use_regex: bool,
    /// What people call it.
    pub name: String,
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
}

impl Lorebook {
    /// Reads a standalone lorebook: `{"spec": "lorebook_v3", "data": …}`, or the book alone.
    pub fn from_json(json: &[u8]) -> Result<Lorebook, CardError> {
        CardError::check_size("lorebook", json.len(), CARD_JSON_BYTES_MAX)?;
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let value: Value =
            serde_json::from_slice(json).map_err(|error| CardError::json("lorebook", &error))?;
        match value.get("spec") {
            None => Lorebook::from_value(&value, "lorebook"),
            Some(Value::String(spec)) if spec.starts_with("lorebook_v") => {
                Lorebook::from_value(value.get("data").unwrap_or(&Value::Null), "data")
            }
            Some(other) => Err(CardError::field("spec", format!("{other}; lorebook_v3 is read"))),
        }
    }

    /// Reads a book from parsed JSON; `place` is how errors call it.
    pub fn from_value(value: &Value, place: &str) -> Result<Lorebook, CardError> {
        let Value::Object(raw) = value else {
            return Err(CardError::field(place, format!("an object is needed, found {}", kind_of(value))));
        };
        let book = Reader { object: raw, place };
        let list = match raw.get("entries") {
            Some(Value::Array(list)) => list.iter().collect(),
            // SillyTavern's own files number their entries as members of an object.
            Some(Value::Object(numbered)) => numbered.values().collect(),
            None | Some(Value::Null) => Vec::new(),
            Some(other) => return Err(book.wrong("entries", "a list", other)),
        };
        if list.len() > ENTRIES_MAX {
            return Err(CardError::field(format!("{place}.entries"), format!("{} entries", list.len())));
        }
        let entries = list
            .into_iter()
            .enumerate()
            .map(|(i, entry)| read_entry(entry, &format!("{place}.entries[{i}]")))
            .collect::<Result<_, _>>()?;
        Ok(Lorebook {
            scan_depth: book.count("scan_depth")?,
            token_budget: book.count("token_budget")?,
            recursive_scanning: book.flag("recursive_scanning")?.unwrap_or(false),
            entries,
            raw: raw.clone(),
        })
    }

    /// The JSON as it came.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// Keys that are meant as patterns and are none, by entry; such a key never matches.
    pub fn useless_patterns(&self) -> Vec<(usize, &str)> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.use_regex);
        let keys = entries.flat_map(|(index, entry)| {
            let keys = entry.keys.iter().chain(&entry.secondary_keys);
            keys.map(move |key| (index, key.as_str()))
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

fn read_entry(value: &Value, place: &str) -> Result<Entry, CardError> {
    let Value::Object(object) = value else {
        return Err(CardError::field(place, format!("an object is needed, found {}", kind_of(value))));
    };
    let entry = Reader { object, place };
    let (decorators, content) = split_decorators(entry.text("content")?);
    let position = match object.get("position") {
        Some(Value::String(position)) if position == "after_char" => Position::AfterChar,
        // SillyTavern's own files use numbers here: 0 before, 1 after, others elsewhere.
        Some(Value::Number(number)) if number.as_i64() == Some(1) => Position::AfterChar,
        _ => Position::BeforeChar,
    };
    Ok(Entry {
        keys: entry.texts(&["keys", "key"])?,
        secondary_keys: entry.texts(&["secondary_keys", "keysecondary"])?,
        selective: entry.flag("selective")?.unwrap_or(false),
        content: content.to_string(),
        decorators,
        enabled: match entry.flag("enabled")? {
            Some(enabled) => enabled,
            None => !entry.flag("disable")?.unwrap_or(false),
        },
        insertion_order: entry.number("insertion_order")?.or(entry.number("order")?).unwrap_or(0.0),
        case_sensitive: entry.flag("case_sensitive")?.unwrap_or(false),
        constant: entry.flag("constant")?.unwrap_or(false),
        priority: entry.number("priority")?,
        position,
        use_regex: entry.flag("use_regex")?.unwrap_or(false),
        name: match object.get("name").or(object.get("comment")) {
            Some(Value::String(name)) => name.clone(),
            _ => String::new(),
        },
    })
}

/// Typed access to an object whose path is known for errors; null counts as absent.
struct Reader<'a> {
    object: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, field: &str, wanted: &str, found: &Value) -> CardError {
        let found = kind_of(found);
        CardError::field(format!("{}.{field}", self.place), format!("{wanted} is needed, found {found}"))
    }

    fn present(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> Result<&'a str, CardError> {
        match self.present(field) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(field, "a text", other)),
        }
    }

    fn flag(&self, field: &str) -> Result<Option<bool>, CardError> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(field, "a boolean", other)),
        }
    }

    fn number(&self, field: &str) -> Result<Option<f64>, CardError> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(self.wrong(field, "a number", other)),
        }
    }

    fn count(&self, field: &str) -> Result<Option<usize>, CardError> {
        match self.number(field)? {
            None => Ok(None),
            // Programs write -1 for "no limit".
            Some(number) if number < 0.0 => Ok(None),
            Some(number) => Ok(Some(number.min(1e9) as usize)),
        }
    }

    fn texts(&self, names: &[&str]) -> Result<Vec<String>, CardError> {
        let Some((field, value)) = names.iter().find_map(|name| Some((*name, self.present(name)?))) else {
            return Ok(Vec::new());
        };
        let Value::Array(list) = value else { return Err(self.wrong(field, "a list", value)) };
        if list.len() > KEYS_MAX {
            return Err(CardError::field(format!("{}.{field}", self.place), format!("{} keys", list.len())));
        }
        list.iter()
            .enumerate()
            .map(|(i, item)| match item {
                Value::String(text) => Ok(text.clone()),
                other => Err(self.wrong(&format!("{field}[{i}]"), "a text", other)),
            })
            .collect()
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
        assert_eq!(Lorebook::from_json(wrapped.to_string().as_bytes()).unwrap(), alone);
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
    fn errors_name_the_entry() {
        for (book, named) in [
            (json!({"entries": [{}, {"keys": "cat"}]}), "book.entries[1].keys"),
            (json!({"entries": [{"keys": ["a", 1]}]}), "book.entries[0].keys[1]"),
            (json!({"entries": [{"content": []}]}), "book.entries[0].content"),
            (json!({"entries": [7]}), "book.entries[0]"),
            (json!({"entries": "x"}), "book.entries"),
            (json!({"entries": [], "token_budget": "x"}), "book.token_budget"),
            (json!([]), "book"),
        ] {
            match Lorebook::from_value(&book, "book") {
                Err(CardError::Field { field, .. }) => assert_eq!(field, named),
                other => panic!("{other:?}"),
            }
        }
        let many = json!({"entries": vec![json!({}); ENTRIES_MAX + 1]});
        assert!(Lorebook::from_value(&many, "book").is_err());
    }
}
