//! A character as a prompt needs it.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::content_rules::{self, ContentRating};
use crate::refusal::Refusal;

/// Longest list of one kind that goes into a prompt.
const ITEMS_MAX: usize = 40;

/// How deep a free-form document is read.
const DEPTH_MAX: usize = 4;
/// Greetings of one card.
const GREETINGS_MAX: usize = 100;
/// That a template says what the character is called.
const NAME: &str = "name";
/// That a template says how the character talks.
pub const EXAMPLES: &str = "voice_examples";

/// What a prompt says of a character: the label, and what it stands for, mostly a column.
const ASPECTS: [(&str, &str); 13] = [
    ("Description", "description"),
    ("Persona", "persona"),
    ("Traits", "traits"),
    ("Background", "backstory"),
    ("Way of speaking", "voice_tone"),
    ("Mood", "mood"),
    ("Gender", "gender"),
    ("Looks", "looks"),
    ("goals", "goals"),
    ("quirks", "quirks"),
    ("relationships", "relationships"),
    ("Never says", "forbidden_phrases"),
    ("In scenes", "scene_behavior_rules"),
];

/// What stands in a template's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The text.
    pub text: String,
    /// What of the sheet it says, so that it is not said twice.
    pub says: Option<&'static str>,
}

/// What is known of a character.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// The character.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    row: Json,
}

impl Sheet {
    /// Reads a row of `characters`.
    pub fn read(row: Json) -> Option<Sheet> {
        let id = Uuid::parse_str(row["id"].as_str()?).ok()?;
        let name = row["name"].as_str()?.trim().to_string();
        Some(Sheet { id, name, row })
    }

    /// The same with a picture to draw from, where it names none itself.
    pub fn with_reference(mut self, address: &str) -> Sheet {
        if self.text("reference_image_url").is_empty() {
            self.row["reference_image_url"] = Json::from(address);
        }
        self
    }

    /// A column's text; empty without one.
    pub fn text(&self, column: &str) -> &str {
        self.row[column].as_str().unwrap_or_default().trim()
    }

    /// A column whatever it holds; null without one.
    pub fn document(&self, column: &str) -> &Json {
        &self.row[column]
    }

    /// What others call it, which is what `{{char}}` means: the nickname of its card, or else its name.
    pub fn nickname(&self) -> &str {
        Some(self.text("display_name")).filter(|name| !name.is_empty()).unwrap_or(&self.name)
    }

    /// Whether it is rated for adults.
    pub fn is_nsfw(&self) -> bool {
        self.row["content_rating"] == "nsfw"
    }

    /// Whose it is.
    pub fn user_id(&self) -> Option<&str> {
        self.row["user_id"].as_str()
    }

    fn items(&self, column: &str) -> String {
        words(&self.row[column], 0)
    }

    /// What is known under a heading of [`ASPECTS`], in words.
    fn aspect(&self, column: &str) -> String {
        match column {
            "looks" => self.looks(),
            // The column's default says nothing.
            "gender" if self.text("gender") == "unspecified" => String::new(),
            "goals" | "quirks" | "relationships" => words(&self.row["personality_traits"][column], 0),
            _ => self.items(column),
        }
    }

    /// What a template's place stands for, and what of the sheet it says.
    pub fn placeholder(&self, name: &str) -> Option<Placed> {
        let first = |columns: &[&'static str]| {
            let known = columns.iter().find(|column| !self.text(column).is_empty());
            Placed { text: known.map_or("", |column| self.text(column)).to_string(), says: known.copied() }
        };
        let whole = |aspect: &'static str| Placed { text: self.aspect(aspect), says: Some(aspect) };
        Some(match name {
            "character_name" => Placed { text: self.name.clone(), says: Some(NAME) },
            "character_description" => first(&["description", "bio", "tagline"]),
            "character_personality" => first(&["traits", "persona"]),
            "character_background" => first(&["backstory", "bio"]),
            "character_speaking_style" => first(&["voice_tone"]),
            "character_persona" => first(&["persona", "description"]),
            "character_goals" => whole("goals"),
            "character_quirks" => whole("quirks"),
            "character_relationships" => whole("relationships"),
            "character_gender" => whole("gender"),
            "character_forbidden_phrases" => whole("forbidden_phrases"),
            "character_scene_behavior" => whole("scene_behavior_rules"),
            "character_visual_description" => whole("looks"),
            "character_voice_examples" => Placed { text: self.examples(), says: Some(EXAMPLES) },
            "voice_tone" | "character_voice_tone" => first(&["voice_tone"]),
            "mood" | "character_mood" => first(&["mood"]),
            _ => return None,
        })
    }

    /// How the character looks, in words.
    pub fn looks(&self) -> String {
        let parts = [
            self.text("identity_line").to_string(),
            self.text("hair_description").to_string(),
            self.items("appearance_tags"),
            self.text("base_outfit").to_string(),
            self.items("clothing_tags"),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(", ")
    }

    /// The sheet, but for what a template says already; empty when that is all of it.
    pub fn describe(&self, said: &BTreeSet<&'static str>) -> String {
        let mut lines = Vec::new();
        for (label, column) in ASPECTS.iter().filter(|(_, column)| !said.contains(column)) {
            let text = self.aspect(column);
            if !text.is_empty() {
                lines.push(format!("{label}: {text}"));
            }
        }
        match said.contains(NAME) {
            true if lines.is_empty() => return String::new(),
            true => lines.insert(0, format!("More about {}:", self.name)),
            false => lines.insert(0, format!("Character: {}", self.name)),
        }
        lines.join("\n")
    }

    /// The greetings of its card that say something, each with its number: 0 is the first message, the alternates follow.
    pub fn greetings(&self) -> Vec<(usize, &str)> {
        let alternates = self.row["alternate_greetings"].as_array().into_iter().flatten();
        let texts = std::iter::once(&self.row["first_message"]).chain(alternates).take(GREETINGS_MAX);
        let texts = texts.map(|text| text.as_str().unwrap_or_default().trim()).enumerate();
        texts.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// How the character talks, by example.
    pub fn examples(&self) -> String {
        let examples = self.row["voice_examples"].as_array().into_iter().flatten().take(ITEMS_MAX);
        let lines: Vec<String> = examples
            .filter_map(Json::as_str)
            .map(|text| {
                if self.says_who_speaks(text) { text.trim().into() } else { format!("{}: {text}", self.name) }
            })
            .collect();
        if lines.is_empty() { String::new() } else { format!("Examples:\n{}", lines.join("\n")) }
    }

    /// Whether an example names its speakers itself, as those of cards do.
    fn says_who_speaks(&self, example: &str) -> bool {
        let first = example.trim_start().trim_start_matches('*');
        let speaker = first.split_once(':').map_or("", |(speaker, _)| speaker.trim_end_matches('*').trim());
        let names = ["{{char}}", "{{user}}", "<bot>", "<user>", self.name.as_str(), self.nickname()];
        names.iter().any(|name| speaker.eq_ignore_ascii_case(name))
    }

    /// Refuses a character that a conversation of this tier may not have.
    pub fn admit(&self, tier: ContentRating, caller_may_have_nsfw: bool) -> Result<(), Refusal> {
        let refuse =
            |reason: &str| Err(Refusal::ContentRefused { reason: format!("{}: {reason}", self.name) });
        if self.is_nsfw() && !caller_may_have_nsfw {
            return refuse(&content_rules::needs_verified_age("an nsfw character"));
        }
        if tier == ContentRating::Sfw {
            return Ok(());
        }
        if content_rules::is_minors_age_range(self.text("age_range")) {
            return refuse("a character whose age_range is a minor's can never be in an nsfw conversation");
        }
        let mut refused = Ok(());
        each_text(&self.row, &mut |text| {
            if refused.is_ok() {
                refused = content_rules::check(tier, &format!("character {}", self.name), text);
            }
        });
        refused
    }
}

/// Every text in a document.
pub fn each_text(value: &Json, visit: &mut dyn FnMut(&str)) {
    match value {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter().for_each(|item| each_text(item, visit)),
        Json::Object(members) => members.values().for_each(|member| each_text(member, visit)),
        _ => {}
    }
}

/// What a document says, in words: lists with commas, members with their names.
fn words(value: &Json, depth: usize) -> String {
    let parts: Vec<String> = match value {
        Json::Null => Vec::new(),
        Json::String(text) => return text.trim().to_string(),
        Json::Bool(_) | Json::Number(_) => return value.to_string(),
        _ if depth >= DEPTH_MAX => Vec::new(),
        Json::Array(items) => items.iter().take(ITEMS_MAX).map(|item| words(item, depth + 1)).collect(),
        Json::Object(members) => {
            let named = members.iter().take(ITEMS_MAX).map(|(name, value)| (name, words(value, depth + 1)));
            let named = named.filter(|(_, text)| !text.is_empty());
            named.map(|(name, text)| format!("{}: {text}", name.replace('_', " "))).collect()
        }
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join(if value.is_object() { "; " } else { ", " })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sheet(extra: Json) -> Sheet {
        let mut row = json!({"id": Uuid::from_u128(1), "name": "Mira", "description": "keeps the light",
            "personality_traits": {"goals": ["rest", "peace"]}, "appearance_tags": ["tall"], "content_rating": "sfw"});
        for (key, value) in extra.as_object().expect("an object") {
            row[key] = value.clone();
        }
        Sheet::read(row).expect("a character")
    }

    #[test]
    fn placeholders_and_description_say_what_is_known() {
        let mira = sheet(json!({}));
        let goals = mira.placeholder("character_goals").map(|placed| placed.text);
        assert_eq!(goals.as_deref(), Some("rest, peace"));
        assert_eq!(mira.placeholder("char"), None);
        let nothing = BTreeSet::new();
        assert_eq!(
            mira.describe(&nothing),
            "Character: Mira\nDescription: keeps the light\nLooks: tall\ngoals: rest, peace"
        );
        let all = ["name", "description", "looks", "goals"].into_iter().collect();
        assert_eq!(mira.describe(&all), "");
    }

    #[test]
    fn what_a_template_does_not_say_is_said_once() {
        let mira = sheet(json!({
            "gender": "female", "persona": "shy", "traits": "calm", "forbidden_phrases": ["As an AI", "whatever"],
            "personality_traits": {"quirks": "hums", "relationships": {"Tom": "brother", "Ann": ""}},
            "scene_behavior_rules": {"in_storms": ["stays up", "rings the bell"], "else": null},
        }));
        let placed = mira.placeholder("character_personality").expect("a place");
        assert_eq!((placed.text.as_str(), placed.says), ("calm", Some("traits")));
        let said = ["name", "traits"].into_iter().collect();
        assert_eq!(
            mira.describe(&said),
            "More about Mira:\nDescription: keeps the light\nPersona: shy\nGender: female\nLooks: tall\nquirks: hums\n\
             relationships: Tom: brother\nNever says: As an AI, whatever\nIn scenes: in storms: stays up, rings the bell"
        );
    }

    #[test]
    fn greetings_keep_their_numbers() {
        let mira = sheet(json!({"first_message": " ", "alternate_greetings": ["Ah.", 7, "Oh."]}));
        assert_eq!(mira.greetings(), [(1, "Ah."), (3, "Oh.")]);
        assert_eq!(
            sheet(json!({"first_message": "Hi", "alternate_greetings": null})).greetings(),
            [(0, "Hi")]
        );
    }

    #[test]
    fn examples_name_each_speaker_once() {
        let examples =
            ["{{user}}: hi\n{{char}}: ho", "{{Char}}: well", "Mira: so", "**Mira:** now", "I: she said"];
        let mira = sheet(json!({"voice_examples": examples}));
        let expected = "Examples:\n{{user}}: hi\n{{char}}: ho\n{{Char}}: well\nMira: so\n**Mira:** now\nMira: I: she said";
        assert_eq!(mira.examples(), expected);
    }

    #[test]
    fn nobody_young_is_admitted_to_nsfw() {
        for extra in [
            json!({"age_range": "teen"}),
            json!({"age_range": "Child"}),
            json!({"backstory": "a girl of 15 years of age"}),
            json!({"scene_behavior_rules": {"setting": ["at her high school"]}}),
        ] {
            assert!(sheet(extra.clone()).admit(ContentRating::Nsfw, true).is_err(), "{extra}");
            assert!(sheet(extra).admit(ContentRating::Sfw, true).is_ok());
        }
        assert!(sheet(json!({"age_range": "adult"})).admit(ContentRating::Nsfw, true).is_ok());
        assert!(sheet(json!({"content_rating": "nsfw"})).admit(ContentRating::Sfw, false).is_err());
    }
}
