//! Characters of other programs than those that write cards: which member of their JSON is which field of a card.
//!
//! The forms, as their programs write them: Pygmalion's and text-generation-webui's JSON (`char_name`, or `name` with
//! `greeting` and `context`), and Agnai's exports (`kind: "character"`, with a `persona` of attributes).

use serde_json::{Map, Value, json};

use crate::odd_values::{Notes, kind_of};

/// Which form a file at whose root the fields stand has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The fields of a card.
    Card,
    /// Pygmalion, text-generation-webui.
    Pygmalion,
    /// Agnai.
    Agnai,
}

/// Field of a card, member of the file.
const PYGMALION: [(&str, &str); 7] = [
    ("name", "char_name"),
    ("description", "char_persona"),
    ("scenario", "world_scenario"),
    ("first_mes", "char_greeting"),
    ("mes_example", "example_dialogue"),
    ("description", "context"),
    ("first_mes", "greeting"),
];
const AGNAI: [(&str, &str); 10] = [
    ("first_mes", "greeting"),
    ("mes_example", "sampleChat"),
    ("creator_notes", "description"),
    ("alternate_greetings", "alternateGreetings"),
    ("character_book", "characterBook"),
    ("system_prompt", "systemPrompt"),
    ("post_history_instructions", "postHistoryInstructions"),
    ("character_version", "characterVersion"),
    ("description", "persona"),
    ("nickname", "nickname"),
];
/// What Agnai's characters may have that changes how they speak or look there, and has no place here.
const AGNAI_UNUSED: [&str; 6] = ["insert", "voice", "appearance", "sprite", "culture", "json"];

impl Form {
    /// The form of a file without a mark of a card's version.
    pub fn of(raw: &Map<String, Value>) -> Form {
        let text = |member: &str| raw.get(member).is_some_and(|value| value.is_string() || value.is_number());
        let persona = raw.get("persona").and_then(Value::as_object);
        if persona.is_some_and(|persona| persona.contains_key("attributes")) {
            return Form::Agnai;
        }
        match text("char_name") || (text("name") && text("greeting")) {
            true => Form::Pygmalion,
            false => Form::Card,
        }
    }

    fn members(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Form::Card => &[],
            Form::Pygmalion => &PYGMALION,
            Form::Agnai => &AGNAI,
        }
    }

    /// The fields of a card that other members of the file hold, as they are there.
    pub fn mapped(self, raw: &Map<String, Value>, notes: &mut Notes) -> Map<String, Value> {
        let mut mapped = Map::new();
        for (field, member) in self.members() {
            // Some files have both spellings; then what a card has counts, unless that is empty.
            let own = raw.get(*field).filter(|_| self == Form::Pygmalion);
            let is_said = own.is_some_and(|value| !is_empty(value)) || mapped.contains_key(*field);
            let Some(value) = raw.get(*member).filter(|value| !is_said && !is_empty(value)) else { continue };
            let value = match (self, *member) {
                (Form::Agnai, "persona") => persona(raw, value, notes),
                _ => value.clone(),
            };
            mapped.insert((*field).into(), value);
        }
        if self == Form::Agnai {
            // What the file calls a description is about the character, not of it.
            for (field, member) in AGNAI {
                if field != member && raw.contains_key(field) && !mapped.contains_key(field) {
                    mapped.insert(field.into(), Value::Null);
                }
            }
            for member in AGNAI_UNUSED {
                if raw.get(member).is_some_and(|value| !is_empty(value)) {
                    notes.add(member, "kept with the character and not used");
                }
            }
        }
        mapped
    }

    /// Where a field's new value goes in the file, and how it is written there.
    pub fn place(self, raw: &Map<String, Value>, field: &str, value: Value) -> (String, Value) {
        let known = self.members().iter().filter(|(known, _)| *known == field);
        let known = known.map(|(_, member)| *member);
        let member = match self {
            Form::Card => None,
            Form::Agnai => known.into_iter().next_back(),
            Form::Pygmalion => known.into_iter().find(|member| raw.contains_key(*member)),
        };
        match member {
            Some("persona") if self == Form::Agnai => {
                let persona = json!({"kind": "text", "attributes": {"text": [value]}});
                ("persona".into(), persona)
            }
            Some(member) => (member.into(), value),
            None => (field.into(), value),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A persona's attributes as its kind writes them: W++, square brackets, Boostyle, one a line, or plain text.
fn persona(raw: &Map<String, Value>, persona: &Value, notes: &mut Notes) -> Value {
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut attributes: Vec<(&str, Vec<String>)> = Vec::new();
    let Some(Value::Object(members)) = persona.get("attributes") else {
        notes.add("persona.attributes", "an object is needed; it is left out");
        return Value::Null;
    };
    for (attribute, values) in members {
        let values: Vec<String> = match values {
            Value::Array(values) => {
                let (texts, others): (Vec<_>, Vec<_>) =
                    values.iter().partition(|value| value.is_string() || value.is_number());
                if let Some(odd) = others.first() {
                    let note = format!("a text is needed, found {}; it is left out", kind_of(odd));
                    notes.add(&format!("persona.attributes.{attribute}"), &note);
                }
                texts.iter().map(|value| value.as_str().map_or(value.to_string(), str::to_string)).collect()
            }
            Value::String(text) => vec![text.clone()],
            other => {
                let note = format!("a list is needed, found {}; it is left out", kind_of(other));
                notes.add(&format!("persona.attributes.{attribute}"), &note);
                continue;
            }
        };
        attributes.push((attribute, values));
    }
    let quoted = |values: &[String], between: &str| {
        values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(between)
    };
    let each = |write: &dyn Fn(&str, &[String]) -> String, between: &str| {
        let written: Vec<String> =
            attributes.iter().map(|(attribute, values)| write(attribute, values)).collect();
        written.join(between)
    };
    let text = match persona.get("kind").and_then(Value::as_str).unwrap_or("text") {
        "wpp" => {
            let lines = each(&|attribute, values| format!("{attribute}({})", quoted(values, " + ")), "\n");
            format!("[character(\"{name}\") {{\n{lines}\n}}]")
        }
        "sbf" => {
            let parts = each(&|attribute, values| format!("{attribute}: {}", quoted(values, ", ")), "; ");
            format!("[ character: \"{name}\"; {parts} ]")
        }
        "boostyle" => each(&|_, values| values.join(" + "), " + "),
        "attributes" => each(&|attribute, values| format!("{attribute}: {}", values.join(", ")), "\n"),
        kind => {
            if kind != "text" {
                notes.add("persona.kind", &format!("{kind:?} is not known; read as text"));
            }
            each(&|_, values| values.join("\n"), "\n")
        }
    };
    json!(text)
}
