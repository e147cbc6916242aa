//! What keeps a character recognisable from picture to picture: what its row and a chat's settings say of it, and what
//! that means for a drawing.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::conversation::sheet::Sheet;

/// How a character is kept recognisable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Drawn over the character's reference picture.
    #[default]
    I2iReference,
    /// Drawn from the character's seed, without its reference picture.
    SeedLocked,
    /// Drawn from the words with the looks of its reference: by the IP-Adapter that fits the model, or, where there is
    /// none, by self-attention that looks at the reference.
    IpAdapter,
    /// All of them: the seed, over the reference, with its looks.
    Hybrid,
    /// Nothing of the character bears on the drawing.
    None,
}

impl Method {
    /// All of them by name.
    const NAMES: [(&'static str, Method); 5] = [
        ("i2i_reference", Method::I2iReference),
        ("seed_locked", Method::SeedLocked),
        ("ip_adapter", Method::IpAdapter),
        ("hybrid", Method::Hybrid),
        ("none", Method::None),
    ];

    fn parse(name: &str) -> Option<Method> {
        let found = Method::NAMES.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, method)| *method)
    }

    /// Whether the picture is drawn over the reference.
    pub fn draws_over(self) -> bool {
        matches!(self, Method::I2iReference | Method::Hybrid)
    }

    /// Whether the looks of the reference lead the drawing.
    pub fn takes_looks(self) -> bool {
        matches!(self, Method::IpAdapter | Method::Hybrid)
    }
}

/// `consistency_settings` of a chat: what it says wins over the character's row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsistencySettings {
    /// `i2i_reference`, `seed_locked`, `ip_adapter`, `hybrid` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The field that named the method where it was another one than `consistency_settings.method`.
    #[serde(skip)]
    pub method_named: Option<&'static str>,
    /// How much of the reference stays, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_strength: Option<f64>,
    /// How much of the reference goes, 0 to 1; wins over `reference_strength`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoise_strength: Option<f64>,
    /// The seed; -1 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed_value: Option<i64>,
}

impl ConsistencySettings {
    /// Refuses numbers that cannot be followed: the field, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, given) in
            [("reference_strength", self.reference_strength), ("denoise_strength", self.denoise_strength)]
        {
            if let Some(given) = given.filter(|given| !(0.0..=1.0).contains(given)) {
                return Err((field, format!("{given} is not within 0 to 1")));
            }
        }
        match self.seed_value {
            Some(seed) if seed < -1 => {
                Err(("seed_value", format!("{seed} is neither a seed of 0 or more nor -1")))
            }
            _ => Ok(()),
        }
    }

    /// How much of the reference goes, if it says so.
    pub fn denoise(&self) -> Option<f64> {
        self.denoise_strength.or(self.reference_strength.map(|strength| 1.0 - strength))
    }
}

/// What a character has to say of a drawing of it. Whatever the drawing's own request says wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consistency {
    /// The method that is followed.
    pub method: Method,
    /// The words that come first.
    pub base_prompt: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// The picture to draw over, or whose looks lead, as the row names it. It may be one that the account must not read.
    pub reference_image_url: Option<String>,
    /// How much of that goes, 0 to 1.
    pub denoise_strength: Option<f64>,
    /// What is not followed, and why.
    pub warnings: Vec<String>,
}

impl Consistency {
    /// Reads a character under a chat's settings.
    pub fn of(character: &Sheet, settings: &ConsistencySettings) -> Consistency {
        let mut warnings = Vec::new();
        let text = |column: &str| Some(character.text(column)).filter(|text| !text.is_empty());
        let asked = settings.method.as_deref().filter(|name| !name.trim().is_empty());
        let field = match asked {
            Some(_) => settings.method_named.unwrap_or("consistency_settings.method"),
            None => "consistency_method",
        };
        let asked = asked.or(text("consistency_method"));
        let method = asked.map_or(Some(Method::default()), Method::parse).unwrap_or_else(|| {
            let known = Method::NAMES.map(|(name, _)| name).join(", ");
            let asked = asked.unwrap_or_default();
            warnings.push(format!(
                "{field}: {asked:?} is unknown, so i2i_reference is followed; there are {known}"
            ));
            Method::I2iReference
        });
        if method == Method::None {
            return Consistency { method, warnings, ..Consistency::default() };
        }
        let seed = match settings.seed_value {
            Some(seed) => u64::try_from(seed).ok(),
            None => locked_seed(character, &mut warnings),
        };
        if seed.is_none() && matches!(method, Method::SeedLocked | Method::Hybrid) {
            warnings.push("consistency_method: it locks a seed, and the character has no seed_locked".into());
        }
        let reference = text("reference_image_url").filter(|_| method != Method::SeedLocked);
        if reference.is_none() && method.takes_looks() {
            warnings.push(
                "consistency_method: it needs a reference, and the character has no reference_image_url"
                    .into(),
            );
        }
        Consistency {
            method,
            base_prompt: text("base_prompt").map(str::to_string),
            seed,
            reference_image_url: reference.map(str::to_string),
            denoise_strength: settings.denoise().or_else(|| own_denoise(character, &mut warnings)),
            warnings,
        }
    }
}

fn locked_seed(character: &Sheet, warnings: &mut Vec<String>) -> Option<u64> {
    match character.document("seed_locked") {
        Json::Null => None,
        seed => {
            let read = seed.as_u64();
            if read.is_none() {
                warnings.push(format!("seed_locked: {seed} is no seed, so none is locked"));
            }
            read
        }
    }
}

/// How far drawings of a character depart from its reference: `reference_strength` or `denoise_strength` of its
/// `media_defaults`.
fn own_denoise(character: &Sheet, warnings: &mut Vec<String>) -> Option<f64> {
    let defaults = character.document("media_defaults");
    let mut read = |name: &str| match &defaults[name] {
        Json::Null => None,
        given => {
            let number = given.as_f64().filter(|number| (0.0..=1.0).contains(number));
            if number.is_none() {
                warnings.push(format!(
                    "media_defaults.{name}: {given} is not within 0 to 1, so it is not followed"
                ));
            }
            number
        }
    };
    read("denoise_strength").or_else(|| read("reference_strength").map(|strength| 1.0 - strength))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn character(columns: Json) -> Sheet {
        let mut row = json!({"id": Uuid::from_u128(1), "name": "Mira", "base_prompt": "grey coat",
            "seed_locked": 11, "reference_image_url": "avatars/mira.png"});
        for (column, value) in columns.as_object().expect("an object") {
            row[column] = value.clone();
        }
        Sheet::read(row).expect("a character")
    }

    fn settings(given: Json) -> ConsistencySettings {
        serde_json::from_value(given).expect("settings")
    }

    #[test]
    fn each_method_takes_its_part() {
        for (method, seed, has_reference, has_words, warnings) in [
            (json!(null), Some(11), true, true, 0),
            (json!("i2i_reference"), Some(11), true, true, 0),
            (json!("hybrid"), Some(11), true, true, 0),
            (json!("seed_locked"), Some(11), false, true, 0),
            (json!("none"), None, false, false, 0),
            (json!("ip_adapter"), Some(11), true, true, 0),
            (json!("photo_maker"), Some(11), true, true, 1),
        ] {
            let found = Consistency::of(
                &character(json!({"consistency_method": method})),
                &ConsistencySettings::default(),
            );
            assert_eq!(found.seed, seed, "{method}");
            assert_eq!(found.reference_image_url.is_some(), has_reference, "{method}");
            assert_eq!(found.base_prompt.is_some(), has_words, "{method}");
            assert_eq!(found.warnings.len(), warnings, "{method}: {:?}", found.warnings);
        }
    }

    #[test]
    fn a_chats_settings_win() {
        let own = json!({"consistency_method": "seed_locked", "media_defaults": {"reference_strength": 0.9}});
        let of = |given: Json| Consistency::of(&character(own.clone()), &settings(given));
        assert_eq!(of(json!({})).denoise_strength.map(|it| (it * 10.0).round()), Some(1.0));
        let chat = of(json!({"method": "hybrid", "reference_strength": 0.25, "seed_value": 5}));
        assert_eq!((chat.seed, chat.denoise_strength), (Some(5), Some(0.75)));
        assert!(chat.reference_image_url.is_some());
        assert_eq!(of(json!({"seed_value": -1})).seed, None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let bare = json!({"seed_locked": null, "reference_image_url": null, "consistency_method": "hybrid"});
        let found = Consistency::of(&character(bare), &ConsistencySettings::default());
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
        let odd = json!({"seed_locked": -4, "media_defaults": {"denoise_strength": "much"}});
        let found = Consistency::of(&character(odd), &ConsistencySettings::default());
        assert_eq!((found.seed, found.denoise_strength, found.warnings.len()), (None, None, 2));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for (given, field) in [
            (json!({"reference_strength": 1.5}), "reference_strength"),
            (json!({"denoise_strength": -0.1}), "denoise_strength"),
            (json!({"seed_value": -7}), "seed_value"),
        ] {
            assert_eq!(settings(given).check().expect_err("refused").0, field);
        }
        assert!(settings(json!({"method": "ip_adapter", "seed_value": -1})).check().is_ok());
    }
}
