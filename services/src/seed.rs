//! Seeds as programs write them.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// Reads a seed: a whole number, also as a float without a fraction; −1 and null mean a random one.
pub fn or_random<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    if let Some(seed) = number.as_u64() {
        return Ok(Some(seed));
    }
    match number.as_f64() {
        Some(-1.0) => Ok(None),
        // Up to here every whole number has its own float.
        Some(seed) if seed.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&seed) => {
            Ok(Some(seed as u64))
        }
        _ => Err(D::Error::custom(format!(
            "{number} is no seed: a whole number from 0, or -1 for a random one"
        ))),
    }
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
        for text in [r#"{"seed": -2}"#, r#"{"seed": 0.5}"#, r#"{"seed": "7"}"#, r#"{"seed": 1e30}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
