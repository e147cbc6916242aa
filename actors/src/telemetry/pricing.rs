//! What a call of a model takes, by its row in the catalogue.
//!
//! `cost_per_use` is the price of a picture, a video or a chat call. `pricing` has prices by what was used: `per_image`,
//! `per_video` and `per_call` in dollars, `input_per_1m`, `output_per_1m` and `cached_per_1m` in dollars for a million
//! tokens, or `prompt` and `completion` for one token, as OpenRouter lists them.

use models::{Row, Value, schema};
use rust_decimal::Decimal;
use serde_json::Value as Json;

/// How many digits behind the point are kept.
const SCALE: u32 = 9;
/// Prices above are taken for none: they would not add up.
const PRICE_MAX: i64 = 1_000_000_000;

/// What was used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Pictures or videos.
    pub results: i64,
    /// Tokens of the prompt, remembered ones among them.
    pub tokens_input: i64,
    /// Tokens of the reply.
    pub tokens_output: i64,
    /// Prompt tokens that were remembered.
    pub tokens_cached: i64,
}

/// The prices of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    per_use: Option<Decimal>,
    input: Decimal,
    output: Decimal,
    cached: Option<Decimal>,
}

impl Prices {
    /// The prices of a row of `api_models`.
    pub fn of_row(row: &Row) -> Prices {
        let table = schema().known("api_models");
        let per_use = match &row[table.at("cost_per_use")] {
            Value::Numeric(price) => Some(*price),
            _ => None,
        };
        let pricing = row[table.at("pricing")].as_json().unwrap_or_default();
        Prices::read(per_use, &pricing, row[table.at("modality")].as_str().unwrap_or_default())
    }

    /// The prices of a row as JSON.
    pub fn of_json(row: &Json) -> Prices {
        Prices::read(
            decimal(&row["cost_per_use"]),
            &row["pricing"],
            row["modality"].as_str().unwrap_or_default(),
        )
    }

    fn read(cost_per_use: Option<Decimal>, pricing: &Json, modality: &str) -> Prices {
        let price = |name: &str| decimal(&pricing[name]);
        let million = Decimal::from(1_000_000);
        let per_token = |by_million: &str, by_one: &str| {
            price(by_million).and_then(|price| price.checked_div(million)).or(price(by_one))
        };
        let listed = match modality {
            "image" => price("per_image"),
            "video" => price("per_video"),
            _ => None,
        };
        let sane = |price: &Decimal| *price >= Decimal::ZERO && *price <= Decimal::from(PRICE_MAX);
        Prices {
            per_use: cost_per_use.or(listed).or(price("per_call")).filter(sane),
            input: per_token("input_per_1m", "prompt").filter(sane).unwrap_or_default(),
            output: per_token("output_per_1m", "completion").filter(sane).unwrap_or_default(),
            cached: per_token("cached_per_1m", "input_cache_read").filter(sane),
        }
    }

    /// Whether nothing costs anything.
    pub fn is_free(&self) -> bool {
        self.per_use.unwrap_or_default().is_zero() && self.input.is_zero() && self.output.is_zero()
    }

    /// Whether the catalogue says what it costs.
    fn is_known(&self) -> bool {
        self.per_use.is_some() || !self.input.is_zero() || !self.output.is_zero()
    }

    /// What a use costs in dollars; `None` where the catalogue says nothing of it.
    pub fn cost(&self, used: Used) -> Option<Decimal> {
        if !self.is_known() {
            return None;
        }
        let cached = used.tokens_cached.clamp(0, used.tokens_input.max(0));
        let parts = [
            (self.per_use.unwrap_or_default(), used.results),
            (self.input, used.tokens_input.max(0) - cached),
            (self.cached.unwrap_or(self.input), cached),
            (self.output, used.tokens_output.max(0)),
        ];
        let sum = parts.iter().fold(Decimal::ZERO, |sum, (price, count)| {
            sum.saturating_add(price.saturating_mul(Decimal::from(*count)))
        });
        Some(sum.round_dp(SCALE).normalize())
    }
}

/// A number, or a text that is one.
fn decimal(value: &Json) -> Option<Decimal> {
    let text = match value {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_string(),
        _ => return None,
    };
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_costs_what_it_used() {
        let cost = |row: Json, used: Used| Prices::of_json(&row).cost(used).map(|cost| cost.to_string());
        let used = Used { results: 1, tokens_input: 1000, tokens_output: 500, tokens_cached: 400 };
        let by_million = json!({"modality": "chat", "pricing": {"input_per_1m": 2, "output_per_1m": "10"}});
        assert_eq!(cost(by_million, used).as_deref(), Some("0.007"));
        let cached = json!({"modality": "chat", "pricing": {"input_per_1m": 2, "cached_per_1m": 1}});
        assert_eq!(cost(cached, used).as_deref(), Some("0.0016"));
        let by_one = json!({"modality": "chat", "pricing": {"prompt": "0.000002", "completion": 1e-5}});
        assert_eq!(cost(by_one, used).as_deref(), Some("0.007"));
        let pictures = json!({"modality": "image", "cost_per_use": 0.04, "pricing": {"per_image": 9}});
        assert_eq!(cost(pictures, Used { results: 3, ..Used::default() }).as_deref(), Some("0.12"));
        assert_eq!(cost(json!({"modality": "image", "pricing": {}}), used), None);
        let huge = json!({"modality": "chat", "cost_per_use": 1e27, "pricing": {"prompt": "1e28"}});
        assert_eq!(cost(huge, used), None, "what cannot be a price is none");
        assert!(Prices::of_json(&json!({"cost_per_use": 0})).is_free());
    }
}
