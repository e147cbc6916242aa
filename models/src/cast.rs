//! Casts between values, as PostgreSQL's `::` does them.

use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::convert::{ConvertError, from_text, out_of_range, to_text};
use crate::value::{ColumnType, Value};

const DAY_MICROS: i64 = 86_400_000_000;
/// 2⁶³, the first number above `bigint`.
const INT8_END: f64 = 9_223_372_036_854_775_808.0;

/// The value as one of `kind`; types without a cast of their own go through their text.
pub fn cast(value: Value, kind: ColumnType) -> Result<Value, ConvertError> {
    let range = |value: &Value| out_of_range(kind, &to_text(value).unwrap_or_default());
    Ok(match (kind, value) {
        (_, Value::Null) => Value::Null,
        (kind, Value::Json(text))
            if text == "null" && !matches!(kind, ColumnType::Jsonb | ColumnType::Text) =>
        {
            Value::Null
        }
        (ColumnType::Bool, value @ Value::Bool(_))
        | (ColumnType::Float8, value @ Value::Float(_))
        | (ColumnType::Numeric, value @ Value::Numeric(_))
        | (ColumnType::Timestamptz, value @ Value::Timestamp(_))
        | (ColumnType::Date, value @ Value::Date(_)) => value,
        (ColumnType::Date, Value::Timestamp(i64::MAX)) => Value::Date(i32::MAX),
        (ColumnType::Date, Value::Timestamp(i64::MIN)) => Value::Date(i32::MIN),
        (ColumnType::Timestamptz, Value::Date(i32::MAX)) => Value::Timestamp(i64::MAX),
        (ColumnType::Timestamptz, Value::Date(i32::MIN)) => Value::Timestamp(i64::MIN),
        (ColumnType::Date, Value::Timestamp(micros)) => {
            let days = micros.div_euclid(DAY_MICROS);
            Value::Date(i32::try_from(days).map_err(|_| range(&Value::Timestamp(micros)))?)
        }
        (ColumnType::Timestamptz, Value::Date(days)) => Value::Timestamp(i64::from(days) * DAY_MICROS),
        (ColumnType::Bool, Value::Int(number)) => Value::Bool(number != 0),
        (ColumnType::Int4 | ColumnType::Int8, value) => {
            let number = match &value {
                Value::Int(number) => Some(*number),
                Value::Bool(truth) => Some(i64::from(*truth)),
                Value::Numeric(number) => {
                    number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64()
                }
                Value::Float(number) => {
                    let whole = number.round_ties_even();
                    (-INT8_END..INT8_END).contains(&whole).then_some(whole as i64)
                }
                _ => return through_text(value, kind),
            };
            let fits = |number: &i64| kind == ColumnType::Int8 || i32::try_from(*number).is_ok();
            Value::Int(number.filter(fits).ok_or_else(|| range(&value))?)
        }
        (ColumnType::Float8, Value::Int(number)) => Value::Float(number as f64),
        (ColumnType::Float8, Value::Numeric(number)) => {
            Value::Float(number.to_f64().ok_or_else(|| range(&Value::Numeric(number)))?)
        }
        (ColumnType::Numeric, Value::Int(number)) => Value::Numeric(Decimal::from(number)),
        (ColumnType::Numeric, Value::Float(number)) => {
            let decimal = Decimal::from_f64(number).ok_or_else(|| range(&Value::Float(number)))?;
            Value::Numeric(decimal.normalize())
        }
        (_, value) => through_text(value, kind)?,
    })
}

fn through_text(value: Value, kind: ColumnType) -> Result<Value, ConvertError> {
    let text = to_text(&value).unwrap_or_default();
    let is_number = matches!(kind, ColumnType::Int4 | ColumnType::Int8);
    match value {
        // A number in JSON is one with decimals.
        Value::Json(_) if is_number => cast(from_text(ColumnType::Numeric, &text)?, kind),
        _ => from_text(kind, &text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Value {
        from_text(ColumnType::Numeric, text).expect("a number")
    }

    fn int(value: Value) -> Result<Value, ConvertError> {
        cast(value, ColumnType::Int4)
    }

    #[test]
    fn a_json_null_is_null() {
        assert_eq!(int(Value::Json("null".into())), Ok(Value::Null));
        assert_eq!(cast(Value::Json("null".into()), ColumnType::Text), Ok(Value::text("null")));
    }

    #[test]
    fn times_and_dates_become_each_other() {
        let time = from_text(ColumnType::Timestamptz, "1969-12-31 23:59:59+00").expect("a time");
        assert_eq!(cast(time, ColumnType::Date), from_text(ColumnType::Date, "1969-12-31"));
        let date = from_text(ColumnType::Date, "2026-11-21").expect("a date");
        let midnight = from_text(ColumnType::Timestamptz, "2026-11-21 00:00:00+00");
        assert_eq!(cast(date.clone(), ColumnType::Timestamptz), midnight);
        assert_eq!(cast(date, ColumnType::Text), Ok(Value::text("2026-11-21")));
    }

    #[test]
    fn numerics_round_away_from_zero_and_floats_to_even() {
        for (from, to) in [("2.5", 3), ("-2.5", -3), ("3.5", 4), ("2.4", 2), ("-0.4", 0)] {
            assert_eq!(int(numeric(from)), Ok(Value::Int(to)), "{from}");
        }
        for (from, to) in [(2.5, 2), (-2.5, -2), (3.5, 4), (-0.4, 0), (2_147_483_647.4, 2_147_483_647)] {
            assert_eq!(int(Value::Float(from)), Ok(Value::Int(to)), "{from}");
        }
        assert_eq!(int(Value::Json("2.5".into())), Ok(Value::Int(3)));
        assert_eq!(int(Value::text("2.5")).map_err(|error| error.sqlstate()), Err("22P02"));
    }

    #[test]
    fn truth_and_integers_become_each_other() {
        assert_eq!(int(Value::Bool(true)), Ok(Value::Int(1)));
        assert_eq!(cast(Value::Int(0), ColumnType::Bool), Ok(Value::Bool(false)));
        assert_eq!(cast(Value::Int(-7), ColumnType::Bool), Ok(Value::Bool(true)));
        assert_eq!(cast(Value::Null, ColumnType::Bool), Ok(Value::Null));
    }

    #[test]
    fn numbers_become_each_other() {
        assert_eq!(cast(Value::Int(3), ColumnType::Float8), Ok(Value::Float(3.0)));
        assert_eq!(cast(numeric("0.5"), ColumnType::Float8), Ok(Value::Float(0.5)));
        assert_eq!(cast(Value::Float(0.5), ColumnType::Numeric), Ok(numeric("0.5")));
        assert_eq!(cast(Value::Int(3), ColumnType::Numeric), Ok(numeric("3")));
    }

    #[test]
    fn what_does_not_fit_is_out_of_range() {
        let too_large = [
            int(Value::Int(1 << 31)),
            int(numeric("2147483647.5")),
            int(Value::Float(-3e9)),
            int(Value::Float(f64::NAN)),
            cast(Value::Float(INT8_END), ColumnType::Int8),
            cast(numeric("9223372036854775808"), ColumnType::Int8),
            cast(Value::Float(1e300), ColumnType::Numeric),
            from_text(ColumnType::Numeric, "123456789012345678901234567890123"),
            from_text(ColumnType::Numeric, "-1e40"),
            from_text(ColumnType::Float8, "1e999"),
        ];
        for result in too_large {
            assert_eq!(result.map_err(|error| error.sqlstate()), Err("22003"));
        }
        for text in ["", "1e", "1.2.3", "1e5.5", "x"] {
            let error = from_text(ColumnType::Numeric, text).expect_err("no number");
            assert_eq!(error.sqlstate(), "22P02", "{text}");
        }
        assert_eq!(from_text(ColumnType::Float8, "-infinity"), Ok(Value::Float(f64::NEG_INFINITY)));
        assert_eq!(cast(Value::Float(-INT8_END), ColumnType::Int8), Ok(Value::Int(i64::MIN)));
    }
}
