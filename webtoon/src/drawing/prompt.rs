//! The words that a picture is drawn from, in layers.

use serde_json::{Map, Value as Json};

use super::style::is_monochrome;

/// A character in a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its canonical code; a temporary one where it has none.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What it looks like.
    pub identity: String,
    /// What it wears.
    pub outfit: String,
    /// Whether a picture of it is drawn from: its words then give way.
    pub has_reference: bool,
}

impl Shown {
    /// `CHAR_A (Mira)`
    pub fn label(&self) -> String {
        format!("{} ({})", self.code, self.name)
    }
}

/// What a prompt is made of.
#[derive(Clone, Debug, Default)]
pub struct Scene<'s> {
    /// What the style says with all that it inherits.
    pub style: Map<String, Json>,
    /// Lighting, colour temperature and atmosphere of the scene.
    pub art_direction: Option<&'s Json>,
    /// How the page is shaped, in words.
    pub layout_text: &'s str,
    /// The characters in it.
    pub characters: &'s [Shown],
    /// What stays the same of the place.
    pub environment: Option<&'s str>,
    /// The panels, as they are seen.
    pub panels: &'s [Json],
}

/// Words of a prompt, and what must not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What is seen.
    pub positive: String,
    /// What is not.
    pub negative: String,
}

/// What no picture shows: text is lettered later.
const NEGATIVE: &str = "text, speech bubbles, watermark, signature, extra limbs, deformed hands, blurry";

impl Scene<'_> {
    /// The prompt of the whole page, layer by layer: style, art direction, format, reference authority, composition,
    /// characters, panels, technical, negative.
    pub fn page(&self) -> Prompt {
        let panels: Vec<String> = self
            .panels
            .iter()
            .zip(1..)
            .map(|(panel, number)| format!("Panel {number}: {}", self.panel_words(panel)))
            .collect();
        let count = self.panels.len();
        let format = format!("vertical webtoon page 9:16, {count} panels, {}", self.layout_text);
        self.layers(&format, self.characters, panels.join(". "))
    }

    /// The prompt of one panel, which is drawn by itself: the characters that it shows alone.
    pub fn panel(&self, panel: &Json) -> Prompt {
        let seen = super::references::names(&panel["characters"]);
        let shown: Vec<Shown> = self
            .characters
            .iter()
            .filter(|shown| {
                seen.iter().any(|name| name.eq_ignore_ascii_case(&shown.name) || *name == shown.code)
            })
            .cloned()
            .collect();
        self.layers("one webtoon panel", &shown, self.panel_words(panel))
    }

    fn layers(&self, format: &str, characters: &[Shown], panels: String) -> Prompt {
        let text = |name: &str| self.style.get(name).and_then(Json::as_str).unwrap_or_default().trim();
        let referenced: Vec<String> =
            characters.iter().filter(|shown| shown.has_reference).map(Shown::label).collect();
        let authority = match referenced.is_empty() {
            true => String::new(),
            false => format!("{} as in the reference picture", referenced.join(", ")),
        };
        let layers = [
            text("prompt").to_string(),
            self.art_direction_words(),
            format.to_string(),
            authority,
            self.environment.map(|place| format!("place: {place}")).unwrap_or_default(),
            characters.iter().map(character_words).collect::<Vec<_>>().join("; "),
            panels,
            text("technical").to_string(),
        ];
        let layers: Vec<String> = layers
            .into_iter()
            .map(|layer| layer.trim().to_string())
            .filter(|layer| !layer.is_empty())
            .collect();
        let negative = [text("negative"), NEGATIVE].into_iter().filter(|text| !text.is_empty());
        Prompt { positive: layers.join(", "), negative: negative.collect::<Vec<_>>().join(", ") }
    }

    fn art_direction_words(&self) -> String {
        let Some(art) = self.art_direction else { return String::new() };
        let temperature = match is_monochrome(&self.style) {
            true => None,
            false => art["color_temperature"].as_str().filter(|text| *text != "N/A (monochrome)"),
        };
        let keywords = art["atmosphere_keywords"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let words = art["lighting"].as_str().into_iter().chain(temperature).chain(keywords);
        words.filter(|word| !word.trim().is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// A panel in words: camera, what happens, who stands where, and the place.
    fn panel_words(&self, panel: &Json) -> String {
        let mut words = Vec::new();
        let text =
            |value: &Json| value.as_str().map(str::trim).filter(|it| !it.is_empty()).map(str::to_string);
        words.extend(text(&panel["camera"]));
        words.extend(text(&panel["description"]).map(|text| self.with_codes(&text)));
        for character in panel["characters"].as_array().into_iter().flatten() {
            let Some(name) = character["name"].as_str().or(character.as_str()) else { continue };
            let details = ["position", "expression", "action"].map(|member| text(&character[member]));
            let details: Vec<String> = details.into_iter().flatten().collect();
            words.push(match details.is_empty() {
                true => self.with_codes(name),
                false => format!("{} {}", self.with_codes(name), details.join(", ")),
            });
        }
        words.extend(text(&panel["environment"]["location"]).map(|place| format!("in {place}")));
        words.join(", ")
    }

    /// Names become `CHAR_A (Name)`, each whole word once.
    fn with_codes(&self, text: &str) -> String {
        let mut text = text.to_string();
        for shown in self.characters.iter().filter(|shown| !shown.name.is_empty()) {
            text = replace_word(&text, &shown.name, &shown.label());
        }
        text
    }
}

/// A character's line: its words of identity only where no picture of it is drawn from.
fn character_words(shown: &Shown) -> String {
    let mut words = vec![shown.label()];
    if !shown.has_reference && !shown.identity.trim().is_empty() {
        words.push(shown.identity.trim().to_string());
    }
    if !shown.outfit.trim().is_empty() {
        words.push(format!("wearing {}", shown.outfit.trim()));
    }
    words.join(", ")
}

/// Replaces a name where it stands as a word and is not in parentheses already.
fn replace_word(text: &str, name: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back().or(replaced.chars().next_back());
        let after = rest[at + name.len()..].chars().next();
        let is_word = before.is_none_or(|it| !it.is_alphanumeric() && it != '_')
            && after.is_none_or(|it| !it.is_alphanumeric() && it != '_');
        let is_labelled = before == Some('(') && after == Some(')');
        replaced.push_str(&rest[..at]);
        replaced.push_str(if is_word && !is_labelled { by } else { name });
        rest = &rest[at + name.len()..];
    }
    replaced.push_str(rest);
    replaced
}

/// The colour temperature of an art direction: none in a style without colours.
pub fn color_temperature(style: &Map<String, Json>, wanted: &str) -> String {
    if is_monochrome(style) { "N/A (monochrome)".into() } else { wanted.into() }
}
