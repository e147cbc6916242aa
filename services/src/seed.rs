//! Seeds as programs write them.

use models::value_words::{Takes, seed};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value as Json};

/// Reads a seed of a request; null and −1 mean a random one.
pub fn or_random<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let value = Json::Number(number);
    seed(&value).ok_or_else(|| D::Error::custom(format!("{value} is no seed: {}", Takes::Seed.words())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Seeded {
        #[serde(default, deserialize_with = "or_random")]
        seed: Option<u64>,
    }

    #[test]
    fn minus_one_is_random_and_fractions_are_none() {
        let read = |text: &str| serde_json::from_str::<Seeded>(text).map(|seeded| seeded.seed);
        for (text, seed) in [
            ("{}", None),
            (r#"{"seed": null}"#, None),
            (r#"{"seed": -1}"#, None),
            (r#"{"seed": -1.0}"#, None),
            (r#"{"seed": 0}"#, Some(0)),
            (r#"{"seed": 42.0}"#, Some(42)),
            (r#"{"seed": 18446744073709551615}"#, Some(u64::MAX)),
        ] {
            assert_eq!(read(text).ok(), Some(seed), "{text}");
        }
        for text in [
            r#"{"seed": -2}"#,
            r#"{"seed": 0.5}"#,
            r#"{"seed": "7"}"#,
            r#"{"seed": 1e30}"#,
            r#"{"seed": 18446744073709551616}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
