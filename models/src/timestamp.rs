//! Times and dates as PostgreSQL's JSON shows them.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, Timelike};

/// `2026-01-01T00:00:00.123456+00:00`, without trailing zeros in the fraction.
pub fn format_timestamp(micros: i64) -> String {
    let mut text = String::with_capacity(32);
    write_timestamp(micros, &mut text);
    text
}

/// The same at the end of `out`. Answers are full of timestamps: the general formatter takes ten times as long.
pub(crate) fn write_timestamp(micros: i64, out: &mut String) {
    let Some(time) = DateTime::from_timestamp_micros(micros) else {
        return out.push_str(if micros < 0 { "-infinity" } else { "infinity" });
    };
    let year = time.year();
    if !(0..=9999).contains(&year) {
        let _ = write!(out, "{}", time.format("%Y-%m-%dT%H:%M:%S"));
    } else {
        let mut digits = *b"0000-00-00T00:00:00";
        let year = year.unsigned_abs();
        let numbers =
            [year / 100, year % 100, time.month(), time.day(), time.hour(), time.minute(), time.second()];
        for (at, number) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(numbers) {
            digits[at] += (number / 10) as u8;
            digits[at + 1] += (number % 10) as u8;
        }
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
    let mut fraction = micros.rem_euclid(1_000_000);
    if fraction == 0 {
        return out.push_str("+00:00");
    }
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit += (fraction % 10) as u8;
        fraction /= 10;
    }
    out.push_str(std::str::from_utf8(&digits).unwrap_or_default().trim_end_matches('0'));
    out.push_str("+00:00");
}

/// `2026-01-01`.
pub fn format_date(days: i32) -> String {
    match days {
        i32::MAX => return "infinity".into(),
        i32::MIN => return "-infinity".into(),
        _ => {}
    }
    let date = DateTime::UNIX_EPOCH.date_naive();
    let date = date.checked_add_signed(chrono::TimeDelta::days(i64::from(days))).unwrap_or_default();
    date.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_agree_with_the_general_formatter() {
        let days = (-800_000..3_000_000_i64).step_by(997);
        for seconds in days.map(|day| day * 86_400 + day.rem_euclid(86_400)) {
            for fraction in [0, 1, 10, 120_000, 123_456, 999_999, 500_000] {
                let micros = seconds * 1_000_000 + fraction;
                let time = DateTime::from_timestamp_micros(micros).expect("a time");
                let mut expected = time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
                while fraction != 0 && expected.ends_with('0') {
                    expected.pop();
                }
                let expected = expected.trim_end_matches(".000000");
                assert_eq!(format_timestamp(micros), format!("{expected}+00:00"));
            }
        }
    }

    #[test]
    fn what_is_no_time_is_infinity() {
        assert_eq!(format_timestamp(i64::MAX), "infinity");
        assert_eq!(format_date(0), "1970-01-01");
    }
}
