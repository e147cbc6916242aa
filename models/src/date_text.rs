//! Dates and times in the forms that PostgreSQL reads, with DateStyle `ISO, MDY` and time zone UTC:
//! <https://www.postgresql.org/docs/15/datatype-datetime.html>. Years are those of the common era up to 9999.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc};

const DAY_MICROS: i64 = 86_400_000_000;
const SECOND_MICROS: i64 = 1_000_000;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// Abbreviations of zones and their offsets from UTC in hours, after PostgreSQL's set `Default`.
const ZONES: [(&str, f64); 34] = [
    ("z", 0.0),
    ("utc", 0.0),
    ("gmt", 0.0),
    ("ut", 0.0),
    ("zulu", 0.0),
    ("wet", 0.0),
    ("west", 1.0),
    ("bst", 1.0),
    ("cet", 1.0),
    ("cest", 2.0),
    ("met", 1.0),
    ("mest", 2.0),
    ("eet", 2.0),
    ("eest", 3.0),
    ("msk", 3.0),
    ("ist", 2.0),
    ("sast", 2.0),
    ("jst", 9.0),
    ("kst", 9.0),
    ("awst", 8.0),
    ("acst", 9.5),
    ("aest", 10.0),
    ("aedt", 11.0),
    ("nzst", 12.0),
    ("nzdt", 13.0),
    ("est", -5.0),
    ("edt", -4.0),
    ("cst", -6.0),
    ("cdt", -5.0),
    ("mst", -7.0),
    ("mdt", -6.0),
    ("pst", -8.0),
    ("pdt", -7.0),
    ("hst", -10.0),
];

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is written in none of the forms.
    Syntax,
    /// A field is beyond what it may be.
    Range,
    /// An offset from UTC is.
    Displacement,
    /// There is no such zone.
    Zone,
}

/// Microseconds since 1970 in UTC; `i64::MAX` and `i64::MIN` are the infinities.
pub(crate) fn timestamp(text: &str) -> Result<i64, Fault> {
    match read(text)? {
        Read::Infinity(true) => Ok(i64::MAX),
        Read::Infinity(false) => Ok(i64::MIN),
        Read::Now => Ok(Utc::now().timestamp_micros()),
        Read::Fields(fields) => fields.micros(),
    }
}

/// Days since 1970; `i32::MAX` and `i32::MIN` are the infinities. A time of day counts for nothing.
pub(crate) fn date(text: &str) -> Result<i32, Fault> {
    match read(text)? {
        Read::Infinity(true) => Ok(i32::MAX),
        Read::Infinity(false) => Ok(i32::MIN),
        Read::Now => Ok(days_of(Utc::now().date_naive())),
        Read::Fields(fields) => Ok(days_of(fields.day.ok_or(Fault::Syntax)?)),
    }
}

enum Read {
    /// The later one, or the earlier.
    Infinity(bool),
    Now,
    Fields(Fields),
}

#[derive(Default)]
struct Fields {
    day: Option<NaiveDate>,
    /// Microseconds of the day, up to and with its end.
    clock: Option<i64>,
    zone: Option<Zone>,
    /// Numbers and a month's name that stand by themselves.
    numbers: Vec<String>,
    month: Option<u32>,
    /// Whether hours count from 1 to 12, and whether they are those after noon.
    noon: Option<bool>,
}

enum Zone {
    /// Seconds east of UTC.
    Offset(i64),
    Named(chrono_tz::Tz),
}

fn read(text: &str) -> Result<Read, Fault> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(Read::Infinity(true)),
        "-infinity" => return Ok(Read::Infinity(false)),
        "now" | "now()" => return Ok(Read::Now),
        _ => {}
    }
    let mut fields = Fields::default();
    for word in text.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()) {
        fields.word(word)?;
    }
    fields.assemble()?;
    match fields.day {
        Some(_) => Ok(Read::Fields(fields)),
        None => Err(Fault::Syntax),
    }
}

impl Fields {
    fn word(&mut self, word: &str) -> Result<(), Fault> {
        let lower = word.to_ascii_lowercase();
        let first = lower.bytes().next().unwrap_or_default();
        if first.is_ascii_digit() {
            return self.digits(word, &lower);
        }
        if matches!(first, b'+' | b'-') {
            return match self.clock {
                Some(_) => self.set_zone(Zone::Offset(offset(&lower)?)),
                None => Err(Fault::Syntax),
            };
        }
        let today = Utc::now().date_naive();
        let day = match lower.as_str() {
            "epoch" => NaiveDate::from_ymd_opt(1970, 1, 1),
            "today" => Some(today),
            "tomorrow" => Some(today + TimeDelta::days(1)),
            "yesterday" => Some(today - TimeDelta::days(1)),
            _ => None,
        };
        if let Some(day) = day {
            return self.set_day(day);
        }
        match lower.as_str() {
            "allballs" => return self.set_clock(0),
            "am" | "pm" => return self.set_noon(lower == "pm"),
            "ad" | "t" | "at" | "on" => return Ok(()),
            "bc" => return Err(Fault::Range),
            _ => {}
        }
        if let Some(julian) =
            lower.strip_prefix('j').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        {
            // Julian day 2440588 is 1970-01-01.
            let day: i64 = julian.parse().map_err(|_| Fault::Syntax)?;
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default();
            let days = TimeDelta::try_days(day - 2_440_588).ok_or(Fault::Range)?;
            return self.set_day(epoch.checked_add_signed(days).ok_or(Fault::Range)?);
        }
        if let Some(month) = month_of(&lower) {
            return match self.month.replace(month) {
                None => Ok(()),
                Some(_) => Err(Fault::Syntax),
            };
        }
        let names_weekday = |day: &&str| lower.len() >= 3 && day.starts_with(lower.as_str());
        if WEEKDAYS.iter().any(names_weekday) {
            return Ok(());
        }
        self.set_zone(zone_of(word)?)
    }

    /// A word that begins with a digit: a date, a time of day, both with a `T` between them, or a number.
    fn digits(&mut self, word: &str, lower: &str) -> Result<(), Fault> {
        let bytes = lower.as_bytes();
        let between =
            |at: usize| bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if let Some(at) = lower.find('t').filter(|at| *at > 0 && between(*at)) {
            self.digits(&word[..at], &lower[..at])?;
            return self.clock_text(&word[at + 1..]);
        }
        if lower.contains(':') {
            return self.clock_text(word);
        }
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if are_digits(lower) {
            return match lower.len() {
                8 => self.set_ymd(number(&lower[..4])?, number(&lower[4..6])?, number(&lower[6..])?),
                6 if self.day.is_some() => self.clock_text(word),
                6 => {
                    self.set_ymd(full_year(number(&lower[..2])?), number(&lower[2..4])?, number(&lower[4..])?)
                }
                _ => {
                    self.numbers.push(lower.to_string());
                    Ok(())
                }
            };
        }
        let separator = ['-', '/', '.'].into_iter().find(|separator| lower.contains(*separator));
        let Some(separator) = separator else {
            // Such as `8th`, or a time with am or pm at its end.
            return Err(Fault::Syntax);
        };
        let parts: Vec<&str> = lower.split(separator).collect();
        match parts.as_slice() {
            [year, day] if year.len() >= 4 && day.len() == 3 && are_digits(year) && are_digits(day) => {
                let day = NaiveDate::from_yo_opt(number(year)? as i32, number(day)?);
                self.set_day(day.filter(|day| day.year() <= 9999).ok_or(Fault::Range)?)
            }
            [a, b, c] if [a, b, c].iter().all(|part| are_digits(part)) => match (a.len() >= 3, separator) {
                (true, _) => self.set_ymd(number(a)?, number(b)?, number(c)?),
                (false, _) => self.set_ymd(year_of(c)?, number(a)?, number(b)?),
            },
            [a, month, c] if month_of(month).is_some() && are_digits(a) && are_digits(c) => {
                let month = month_of(month).unwrap_or_default();
                match a.len() >= 3 {
                    true => self.set_ymd(number(a)?, month, number(c)?),
                    false => self.set_ymd(year_of(c)?, month, number(a)?),
                }
            }
            _ => Err(Fault::Syntax),
        }
    }

    /// `04:05`, `04:05:06.789`, `040506`, `24:00`, each with a zone or am and pm behind it.
    fn clock_text(&mut self, word: &str) -> Result<(), Fault> {
        let end = word.find(|letter: char| !letter.is_ascii_digit() && letter != ':' && letter != '.');
        let (clock, rest) = word.split_at(end.unwrap_or(word.len()));
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let parts: Vec<&str> = match whole.contains(':') {
            true => whole.split(':').collect(),
            false if whole.is_ascii() && matches!(whole.len(), 2 | 4 | 6) => {
                (0..whole.len() / 2).map(|part| &whole[2 * part..2 * part + 2]).collect()
            }
            false => return Err(Fault::Syntax),
        };
        let numbers: Vec<u32> = parts.iter().map(|part| number(part)).collect::<Result<_, _>>()?;
        let (hour, minute, second) = match numbers.as_slice() {
            [hour] => (*hour, 0, 0),
            [hour, minute] => (*hour, *minute, 0),
            [hour, minute, second] => (*hour, *minute, *second),
            _ => return Err(Fault::Syntax),
        };
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Syntax);
        }
        // The seventh digit rounds.
        let fraction: f64 = format!("0.{fraction}0").parse().map_err(|_| Fault::Syntax)?;
        let fraction = (fraction * SECOND_MICROS as f64).round_ties_even() as i64;
        let micros =
            (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * SECOND_MICROS + fraction;
        if hour > 24 || minute > 59 || second > 60 || micros > DAY_MICROS {
            return Err(Fault::Range);
        }
        self.set_clock(micros)?;
        match rest.to_ascii_lowercase().as_str() {
            "" => Ok(()),
            "am" | "pm" => self.set_noon(rest.eq_ignore_ascii_case("pm")),
            signed if signed.starts_with(['+', '-']) => self.set_zone(Zone::Offset(offset(signed)?)),
            _ => self.set_zone(zone_of(rest)?),
        }
    }

    /// Puts together what stood in words of their own: `January 8, 1999`, `8 Jan 1999`.
    fn assemble(&mut self) -> Result<(), Fault> {
        let numbers = std::mem::take(&mut self.numbers);
        match (self.month, numbers.as_slice()) {
            (None, []) => {}
            (Some(month), [a, b]) => match a.len() >= 3 {
                true => self.set_ymd(number(a)?, month, number(b)?)?,
                false => self.set_ymd(year_of(b)?, month, number(a)?)?,
            },
            _ => return Err(Fault::Syntax),
        }
        if let (Some(is_afternoon), Some(clock)) = (self.noon, self.clock) {
            let hour = clock / (3600 * SECOND_MICROS);
            if !(0..=12).contains(&hour) {
                return Err(Fault::Range);
            }
            let half = 12 * 3600 * SECOND_MICROS;
            let within = if hour == 12 { clock - half } else { clock };
            self.clock = Some(within + if is_afternoon { half } else { 0 });
        }
        Ok(())
    }

    fn set_ymd(&mut self, year: u32, month: u32, day: u32) -> Result<(), Fault> {
        let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year)).ok_or(Fault::Range)?;
        self.set_day(NaiveDate::from_ymd_opt(year, month, day).ok_or(Fault::Range)?)
    }

    fn set_day(&mut self, day: NaiveDate) -> Result<(), Fault> {
        match self.day.replace(day) {
            None if (1..=9999).contains(&day.year()) => Ok(()),
            None => Err(Fault::Range),
            Some(_) => Err(Fault::Syntax),
        }
    }

    fn set_clock(&mut self, micros: i64) -> Result<(), Fault> {
        if self.clock.replace(micros).is_none() { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn set_noon(&mut self, is_afternoon: bool) -> Result<(), Fault> {
        if self.noon.replace(is_afternoon).is_none() { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn set_zone(&mut self, zone: Zone) -> Result<(), Fault> {
        if self.zone.replace(zone).is_none() { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn micros(&self) -> Result<i64, Fault> {
        let day = self.day.ok_or(Fault::Syntax)?;
        let local = i64::from(days_of(day)) * DAY_MICROS + self.clock.unwrap_or(0);
        let offset = match &self.zone {
            None => 0,
            Some(Zone::Offset(seconds)) => *seconds,
            Some(Zone::Named(zone)) => {
                use chrono::{Offset, TimeZone};
                let naive: NaiveDateTime =
                    chrono::DateTime::from_timestamp_micros(local).ok_or(Fault::Range)?.naive_utc();
                // A time that a change of the clocks leaves out is read as before the change.
                let found = zone.offset_from_local_datetime(&naive);
                let offset = found.earliest().unwrap_or_else(|| zone.offset_from_utc_datetime(&naive));
                i64::from(offset.fix().local_minus_utc())
            }
        };
        Ok(local - offset * SECOND_MICROS)
    }
}

fn number(text: &str) -> Result<u32, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    text.parse().map_err(|_| Fault::Range)
}

/// A year, which may have two digits.
fn year_of(text: &str) -> Result<u32, Fault> {
    let year = number(text)?;
    Ok(if text.len() <= 2 { full_year(year) } else { year })
}

fn full_year(year: u32) -> u32 {
    if year < 70 { 2000 + year } else { 1900 + year }
}

fn month_of(name: &str) -> Option<u32> {
    let is_it = |month: &&str| *month == name || (name.len() == 3 && month.starts_with(name));
    let position = MONTHS.iter().position(|month| is_it(month) || (name == "sept" && *month == "september"));
    position.map(|position| position as u32 + 1)
}

/// `+01`, `-0330`, `+05:30`, `+01:00:00`.
fn offset(text: &str) -> Result<i64, Fault> {
    let (sign, digits) = text.split_at(1);
    let parts: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').collect(),
        false if digits.is_ascii() && digits.len() > 2 => {
            let middle = digits.len() - 2;
            vec![&digits[..middle], &digits[middle..]]
        }
        false => vec![digits],
    };
    let numbers: Vec<u32> = parts.iter().map(|part| number(part)).collect::<Result<_, _>>()?;
    let (hours, minutes, seconds) = match numbers.as_slice() {
        [hours] => (*hours, 0, 0),
        [hours, minutes] => (*hours, *minutes, 0),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(Fault::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Fault::Displacement);
    }
    let all = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    Ok(if sign == "-" { -all } else { all })
}

fn zone_of(word: &str) -> Result<Zone, Fault> {
    let lower = word.to_ascii_lowercase();
    if let Some((_, hours)) = ZONES.iter().find(|(name, _)| *name == lower) {
        return Ok(Zone::Offset((hours * 3600.0) as i64));
    }
    let is_name = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-+".contains(&byte));
    if !is_name || !word.contains('/') {
        return Err(Fault::Syntax);
    }
    let named = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(word));
    named.map(|zone| Zone::Named(*zone)).ok_or(Fault::Zone)
}

fn days_of(day: NaiveDate) -> i32 {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default();
    i32::try_from(day.signed_duration_since(epoch).num_days()).unwrap_or_default()
}

#[cfg(test)]
#[path = "date_text_tests.rs"]
mod tests;
