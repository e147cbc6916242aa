//! Names of fields: the spellings of one, those that a request does not have, and how a client spelled them.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::nearest::did_you_mean;

/// Longest name of an unknown field that a warning repeats, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Unknown fields that are named one by one; the rest are counted.
const NAMED_MAX: usize = 20;
/// Other names of fields, which some programs know them by.
const OTHER_NAMES: [(&str, &str); 7] = [
    ("num_frames", "frame_num"),
    ("mask_image_url", "mask_object"),
    ("mask_image_url", "mask"),
    ("guidance_scale", "cfg_scale"),
    ("strength", "denoise_strength"),
    ("repetition_penalty", "repeat_penalty"),
    ("content_tier", "contentMode"),
];
/// Fields that choose what others call `model`.
const CHOOSE_A_MODEL: [&str; 4] = ["model_provider", "modelKey", "apiModelId", "selectedModel"];

/// What was noted while a body was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Fields that were not used, each a warning.
    pub warnings: Vec<String>,
    /// Names that were not counted one by one.
    unnamed: usize,
    /// How the client spelled a field, by its place and its plain name.
    spelled: HashMap<(String, String), String>,
}

impl Notes {
    /// The name that a client gave a member of the object at a place; the name itself where it gave none.
    pub(super) fn spelled_at(&self, path: &str, name: &str) -> String {
        self.spelled.get(&(path.to_string(), folded(name))).cloned().unwrap_or_else(|| name.to_string())
    }

    fn unknown(&mut self, warning: String) {
        if self.warnings.len() < NAMED_MAX {
            self.warnings.push(warning);
        } else {
            self.unnamed += 1;
        }
    }

    /// All warnings; of very many fields the rest are counted.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if self.unnamed > 0 {
            warnings.push(format!("{} more unknown fields, not used", std::mem::take(&mut self.unnamed)));
        }
        warnings
    }

    /// A field as the client spelled it: `character_id` for `characterId`, also as the beginning of a path and in a list
    /// of fields.
    pub(crate) fn spelled(&self, field: &str) -> String {
        let parts = field.split(", ").map(|field| {
            let end = field.find(['.', '[']).unwrap_or(field.len());
            let (name, rest) = field.split_at(end);
            format!("{}{rest}", self.spelled_first(name))
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    fn spelled_first(&self, name: &str) -> String {
        let given = |name: &str| self.spelled.get(&(String::new(), folded(name)));
        let others = OTHER_NAMES.iter().filter(|(known, _)| folded(known) == folded(name));
        let found = given(name).or_else(|| others.into_iter().find_map(|(_, other)| given(other)));
        found.cloned().unwrap_or_else(|| name.to_string())
    }

    /// A message that begins with the field that it is about, with that field as the client spelled it.
    pub(crate) fn reword(&self, message: &str) -> String {
        let Some((field, rest)) = message.split_once(": ") else { return message.to_string() };
        let is_field = field.split(", ").all(|field| !field.is_empty() && !field.contains(' '));
        if is_field { format!("{}: {rest}", self.spelled(field)) } else { message.to_string() }
    }
}

/// The fields of an object under the names by which a type knows them; what it does not know is noted.
pub(super) fn in_known_spelling(
    given: Map<String, Json>,
    fields: &[&str],
    path: &str,
    notes: &mut Notes,
) -> Map<String, Json> {
    let mut names: HashMap<String, &str> = HashMap::new();
    for field in fields {
        names.entry(folded(field)).or_insert(field);
    }
    let mut known = Map::new();
    // A name as the type spells it goes before another spelling of it.
    let (exact, others): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|(name, _)| fields.contains(&name.as_str()));
    for (name, value) in exact.into_iter().chain(others) {
        let plain = folded(&name);
        let Some(field) = names.get(&plain) else {
            // Clients send back what they were sent, with null where there is nothing.
            if path.is_empty() || !value.is_null() {
                notes.unknown(unknown(path, &name, fields));
            }
            continue;
        };
        let place = (path.to_string(), plain);
        if let Some(other) = notes.spelled.get(&place) {
            let other = other.clone();
            notes.unknown(format!("{}: given beside {other}, and not used", member(path, &shown(&name))));
            continue;
        }
        let field = if fields.contains(&name.as_str()) { name.clone() } else { (*field).to_string() };
        notes.spelled.insert(place, name);
        known.insert(field, value);
    }
    known
}

/// The warning about a field that a request does not have.
pub(crate) fn unknown(path: &str, name: &str, fields: &[&str]) -> String {
    let meant = match CHOOSE_A_MODEL.iter().find(|field| name == "model" && fields.contains(field)) {
        Some(field) => format!("; {field} chooses the model"),
        None => did_you_mean(name, fields.iter().copied()),
    };
    format!("{}: an unknown field, not used{meant}", member(path, &shown(name)))
}

/// A member of what stands at a place.
pub(super) fn member(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Whether two names are spellings of one.
pub(crate) fn is_same_name(a: &str, b: &str) -> bool {
    folded(a) == folded(b)
}

/// A name without what tells one spelling from the other.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}
