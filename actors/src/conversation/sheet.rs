//! A character as a prompt needs it.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::content_rules::{self, ContentRating};
use crate::refusal::Refusal;

/// Longest list of one kind that goes into a prompt.
const ITEMS_MAX: usize = 40;

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

    /// A column's text; empty without one.
    pub fn text(&self, column: &str) -> &str {
        self.row[column].as_str().unwrap_or_default().trim()
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
        join(&self.row[column])
    }

    /// A trait, such as `goals`, of the free-form traits.
    fn free(&self, name: &str) -> String {
        let value = &self.row["personality_traits"][name];
        value.as_str().map_or_else(|| join(value), str::to_string)
    }

    /// What a template's placeholder stands for.
    pub fn placeholder(&self, name: &str) -> Option<String> {
        let first = |columns: &[&str]| {
            let texts = columns.iter().map(|column| self.text(column)).find(|text| !text.is_empty());
            texts.unwrap_or_default().to_string()
        };
        Some(match name {
            "character_name" => self.name.clone(),
            "character_description" => first(&["description", "bio", "tagline"]),
            "character_personality" => first(&["traits", "persona"]),
            "character_background" => first(&["backstory", "bio"]),
            "character_speaking_style" => first(&["voice_tone"]),
            "character_persona" => first(&["persona", "description"]),
            "character_goals" => self.free("goals"),
            "character_quirks" => self.free("quirks"),
            "character_relationships" => self.free("relationships"),
            "character_visual_description" => self.looks(),
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

    /// The whole sheet, for templates without places of their own for it.
    pub fn describe(&self) -> String {
        let mut out = format!("Character: {}", self.name);
        let mut line = |label: &str, text: String| {
            if !text.is_empty() {
                out.push_str(&format!("\n{label}: {text}"));
            }
        };
        for (label, column) in [
            ("Description", "description"),
            ("Persona", "persona"),
            ("Traits", "traits"),
            ("Background", "backstory"),
            ("Way of speaking", "voice_tone"),
            ("Mood", "mood"),
        ] {
            line(label, self.text(column).to_string());
        }
        if !matches!(self.text("gender"), "" | "unspecified") {
            line("Gender", self.text("gender").to_string());
        }
        line("Looks", self.looks());
        for name in ["goals", "quirks", "relationships"] {
            line(name, self.free(name));
        }
        line("Never says", self.items("forbidden_phrases"));
        out
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

fn join(value: &Json) -> String {
    let items = value.as_array().into_iter().flatten().take(ITEMS_MAX);
    let items: Vec<&str> =
        items.filter_map(Json::as_str).map(str::trim).filter(|it| !it.is_empty()).collect();
    items.join(", ")
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
        assert_eq!(mira.placeholder("character_goals").as_deref(), Some("rest, peace"));
        assert_eq!(mira.placeholder("char"), None);
        assert_eq!(
            mira.describe(),
            "Character: Mira\nDescription: keeps the light\nLooks: tall\ngoals: rest, peace"
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
