//! Names of fields: the spellings of one, those that a request does not have, and how a client spelled them.

use std::collections::HashMap;

use models::field_names::{KnownNames, Named, folded, shown_name};
use serde_json::{Map, Value as Json};

use super::place::Place;
use crate::nearest::did_you_mean;

/// Spellings that are remembered. No type has that many fields; what a client names beyond is its own name.
const SPELLED_MAX: usize = 1024;
/// Fields that a mistyped one is compared with; where clients name fields themselves, those of the type stand first.
const COMPARED_MAX: usize = 100;
/// Other names of fields, which some programs know them by.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("num_frames", "frame_num"),
    ("duration_seconds", "duration"),
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
    /// What the caller is to learn beside the fields that were not used.
    pub warnings: Vec<String>,
    /// Fields that were not used.
    unused: Named,
    /// How the client spelled the fields of the body, by their plain names.
    spelled: HashMap<String, String>,
}

/// The members of an object that a type knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the names that the type gives them.
    pub members: Map<String, Json>,
    /// How the client spelled those that it spelled otherwise.
    pub respelled: HashMap<String, String>,
}

impl Known {
    /// A name of the type as the client spelled it.
    pub fn as_given<'n>(&'n self, name: &'n str) -> &'n str {
        as_given(&self.respelled, name)
    }
}

/// A name of a type as a client spelled it.
pub(super) fn as_given<'n>(respelled: &'n HashMap<String, String>, name: &'n str) -> &'n str {
    respelled.get(name).map_or(name, String::as_str)
}

impl Notes {
    /// All warnings; of very many fields the rest are counted.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = self.unused.take(|more| format!("{more} more unknown fields, not used"));
        warnings.append(&mut self.warnings);
        warnings
    }

    fn spell(&mut self, plain: &str, given: &str) {
        if self.spelled.len() < SPELLED_MAX {
            self.spelled.entry(plain.to_string()).or_insert_with(|| given.to_string());
        }
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
        let given = |name: &str| self.spelled.get(&folded(name));
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
    place: &Place<'_>,
    notes: &mut Notes,
) -> Known {
    let mut known = Known::default();
    if given.is_empty() {
        return known;
    }
    let names = KnownNames::of(fields.iter().copied());
    let mut given: Vec<(String, Json)> = given.into_iter().collect();
    // What has a value goes before null, and a name as the type spells it before another spelling of it.
    given.sort_by_key(|(name, value)| (value.is_null(), !names.has(name)));
    let mut taken: HashMap<String, String> = HashMap::new();
    for (name, value) in given {
        let plain = folded(&name);
        let Some(field) = names.of_letters(&plain) else {
            // Clients send back what they were sent, with null where there is nothing.
            if place.is_whole() || !value.is_null() {
                notes.unused.note(|| unknown(&place.worded(), &name, fields));
            }
            continue;
        };
        if let Some(field) = taken.get(&plain) {
            // Clients that send both spellings of what they mean lose nothing.
            if !value.is_null() && known.members.get(field) != Some(&value) {
                notes.unused.note(|| {
                    let (place, other) = (place.worded(), shown_name(known.as_given(field)));
                    format!("{}: given beside {other}, and not used", member(&place, &shown_name(&name)))
                });
            }
            continue;
        }
        let field = if names.has(&name) { name.clone() } else { field.to_string() };
        if place.is_whole() {
            notes.spell(&plain, &name);
        }
        if field != name {
            known.respelled.insert(field.clone(), name);
        }
        taken.insert(plain, field.clone());
        known.members.insert(field, value);
    }
    known
}

/// The warning about a field that a request does not have.
pub(crate) fn unknown(path: &str, name: &str, fields: &[&str]) -> String {
    let meant = match CHOOSE_A_MODEL.iter().find(|field| name == "model" && fields.contains(field)) {
        Some(field) => format!("; {field} chooses the model"),
        None if name == "size" && fields.contains(&"width") => "; width and height set the size".to_string(),
        None => did_you_mean(name, fields.iter().take(COMPARED_MAX).copied()),
    };
    format!("{}: an unknown field, not used{meant}", member(path, &shown_name(name)))
}

/// A member of what stands at a place.
pub(super) fn member(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}
