//! Between values and what clients write: JSON in, text in, JSON out.

use std::fmt::Write as _;

use crate::date_text::{self, Fault};
use crate::number_digits;
use crate::timestamp::write_timestamp;
pub use crate::timestamp::{format_date, format_timestamp};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::value::{ColumnType, Value};

/// Why a text or JSON value is not of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// SQLSTATE 22P02.
    #[error("invalid input syntax for type {kind}: \"{text}\"")]
    Syntax {
        /// PostgreSQL's name of the type.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22P02 for enumerations.
    #[error("invalid input value for enum {kind}: \"{text}\"")]
    Enum {
        /// The enumeration.
        kind: &'static str,
        /// What was given.
        text: String,
        /// What it takes.
        values: &'static [&'static str],
    },
    /// SQLSTATE 22003.
    #[error("value \"{text}\" is out of range for type {kind}")]
    Range {
        /// PostgreSQL's name of the type.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22007.
    #[error("invalid input syntax for type {kind}: \"{text}\"")]
    DateTime {
        /// PostgreSQL's name of the type.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22008.
    #[error("date/time field value out of range: \"{text}\"")]
    DateTimeRange {
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22009.
    #[error("time zone displacement out of range: \"{text}\"")]
    ZoneRange {
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22023.
    #[error("time zone in \"{text}\" not recognized")]
    UnknownZone {
        /// What was given.
        text: String,
    },
    /// SQLSTATE 22P05: text with a NUL character.
    #[error("unsupported Unicode escape sequence")]
    NulCharacter,
    /// SQLSTATE 54000: nesting beyond what we keep.
    #[error("JSON nests deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
}

impl ConvertError {
    /// What would have been taken, where that is a list.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConvertError::Enum { values, .. } => Some(format!("accepted: {}", values.join(", "))),
            _ => None,
        }
    }

    /// The five-letter SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ConvertError::Syntax { .. } | ConvertError::Enum { .. } => "22P02",
            ConvertError::Range { .. } => "22003",
            ConvertError::DateTime { .. } => "22007",
            ConvertError::DateTimeRange { .. } => "22008",
            ConvertError::ZoneRange { .. } => "22009",
            ConvertError::UnknownZone { .. } => "22023",
            ConvertError::NulCharacter => "22P05",
            ConvertError::TooDeep { .. } => "54000",
        }
    }
}

/// Deepest JSON kept in a column.
pub const JSON_DEPTH_MAX: usize = 64;

/// Longest part of a bad value that is quoted back, in characters.
const QUOTED_CHARS_MAX: usize = 200;

fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

fn syntax(kind: ColumnType, text: &str) -> ConvertError {
    ConvertError::Syntax { kind: kind.sql_name(), text: quote(text) }
}

fn no_time(fault: Fault, kind: ColumnType, text: &str) -> ConvertError {
    let text = quote(text);
    match fault {
        Fault::Syntax => ConvertError::DateTime { kind: kind.sql_name(), text },
        Fault::Range => ConvertError::DateTimeRange { text },
        Fault::Displacement => ConvertError::ZoneRange { text },
        Fault::Zone => ConvertError::UnknownZone { text },
    }
}

pub(crate) fn out_of_range(kind: ColumnType, text: &str) -> ConvertError {
    ConvertError::Range { kind: kind.sql_name(), text: quote(text) }
}

/// Reads a value of `kind` from text, as PostgreSQL reads a literal.
pub fn from_text(kind: ColumnType, text: &str) -> Result<Value, ConvertError> {
    match kind {
        ColumnType::Uuid => parse_uuid(text).map(Value::Uuid).ok_or_else(|| syntax(kind, text)),
        ColumnType::Text => plain_text(text),
        ColumnType::Inet => parse_inet(text).ok_or_else(|| syntax(kind, text)),
        ColumnType::Enum(allowed) => {
            if allowed.values.contains(&text) || allowed.also_read.contains(&text) {
                Ok(Value::text(text))
            } else {
                Err(ConvertError::Enum { kind: allowed.name, text: quote(text), values: allowed.values })
            }
        }
        ColumnType::Int4 | ColumnType::Int8 => parse_integer(kind, text.trim()),
        ColumnType::Float8 => match text.trim().parse::<f64>() {
            Ok(number) if number.is_infinite() && is_number(text.trim()) => Err(out_of_range(kind, text)),
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => Err(syntax(kind, text)),
        },
        ColumnType::Numeric => match parse_decimal(text.trim()) {
            Some(number) => Ok(Value::Numeric(number)),
            None if is_number(text.trim()) => Err(out_of_range(kind, text)),
            None => Err(syntax(kind, text)),
        },
        ColumnType::Bool => parse_bool(text).map(Value::Bool).ok_or_else(|| syntax(kind, text)),
        ColumnType::Timestamptz => {
            date_text::timestamp(text).map(Value::Timestamp).map_err(|fault| no_time(fault, kind, text))
        }
        ColumnType::Date => {
            date_text::date(text).map(Value::Date).map_err(|fault| no_time(fault, kind, text))
        }
        ColumnType::Jsonb => {
            let text = number_digits::keep(text.as_bytes());
            let said = || syntax(kind, &String::from_utf8_lossy(&text));
            let document: Json = serde_json::from_slice(&text).map_err(|_| said())?;
            json_document(&document)
        }
        ColumnType::TextArray => {
            let elements = array_elements(text).ok_or_else(|| syntax(kind, text))?;
            Ok(Value::TextArray(elements))
        }
        ColumnType::UuidArray => {
            let elements = array_elements(text).ok_or_else(|| syntax(kind, text))?;
            let parse = |element: Option<String>| match element {
                None => Ok(None),
                Some(text) => parse_uuid(&text).map(Some).ok_or_else(|| syntax(ColumnType::Uuid, &text)),
            };
            elements.into_iter().map(parse).collect::<Result<_, _>>().map(Value::UuidArray)
        }
    }
}

/// Reads a value of `kind` from a JSON body, as PostgREST's `json_populate_record` does.
pub fn from_json(kind: ColumnType, json: &Json) -> Result<Value, ConvertError> {
    match (kind, json) {
        // A JSON null is SQL NULL for every type, jsonb included.
        (_, Json::Null) => Ok(Value::Null),
        (ColumnType::Jsonb, document) => json_document(document),
        (ColumnType::Bool, Json::Bool(truth)) => Ok(Value::Bool(*truth)),
        (ColumnType::TextArray, Json::Array(elements)) => {
            let element = |element: &Json| match element {
                Json::Null => Ok(None),
                Json::String(text) => match number_digits::kept(text) {
                    Some(number) => Ok(Some(number.to_string())),
                    None => plain_text(text).map(|_| Some(text.clone())),
                },
                other => Ok(Some(number_digits::write(&other.to_string()).into_owned())),
            };
            elements.iter().map(element).collect::<Result<_, _>>().map(Value::TextArray)
        }
        (ColumnType::UuidArray, Json::Array(elements)) => {
            let element = |element: &Json| match element {
                Json::Null => Ok(None),
                Json::String(text) => {
                    parse_uuid(text).map(Some).ok_or_else(|| syntax(ColumnType::Uuid, text))
                }
                other => Err(syntax(ColumnType::Uuid, &other.to_string())),
            };
            elements.iter().map(element).collect::<Result<_, _>>().map(Value::UuidArray)
        }
        (kind, Json::String(text)) => from_text(kind, number_digits::kept(text).unwrap_or(text)),
        (kind, Json::Array(_)) if kind.is_array() => Err(syntax(kind, &json.to_string())),
        (kind, other) => from_text(kind, &number_digits::write(&other.to_string())),
    }
}

fn plain_text(text: &str) -> Result<Value, ConvertError> {
    if text.contains('\0') { Err(ConvertError::NulCharacter) } else { Ok(Value::text(text)) }
}

fn json_document(document: &Json) -> Result<Value, ConvertError> {
    if crate::json::depth(document) > JSON_DEPTH_MAX {
        return Err(ConvertError::TooDeep { max: JSON_DEPTH_MAX });
    }
    let text = number_digits::write(&document.to_string()).into_owned();
    if text.contains("\\u0000") { Err(ConvertError::NulCharacter) } else { Ok(Value::Json(text)) }
}

fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.trim()).ok()
}

fn parse_inet(text: &str) -> Option<Value> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: std::net::IpAddr = address.trim().parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    match bits {
        Some(bits) if bits > width => None,
        Some(bits) if bits < width => Some(Value::Text(format!("{address}/{bits}"))),
        _ => Some(Value::Text(address.to_string())),
    }
}

fn parse_integer(kind: ColumnType, text: &str) -> Result<Value, ConvertError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax(kind, text));
    }
    let range = || out_of_range(kind, text);
    let number: i64 = text.parse().map_err(|_| range())?;
    if kind == ColumnType::Int4 && i32::try_from(number).is_err() {
        return Err(range());
    }
    Ok(Value::Int(number))
}

fn parse_decimal(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) { Decimal::from_scientific(text).ok() } else { text.parse().ok() }
}

/// Whether a text is written as a number, however large.
fn is_number(text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = |text| str::strip_prefix(text, ['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = unsigned(mantissa).split_once('.').unwrap_or((unsigned(mantissa), ""));
    let exponent = unsigned(exponent);
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits && !exponent.is_empty() && [whole, fraction, exponent].into_iter().all(are_digits)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Elements of an array literal such as `{a,"b c",NULL}`.
fn array_elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut characters = inner.chars().peekable();
    loop {
        while characters.next_if(|next| next.is_whitespace()).is_some() {}
        let mut element = String::new();
        match characters.peek() {
            None if elements.is_empty() => return Some(elements),
            Some('"') => {
                characters.next();
                loop {
                    match characters.next()? {
                        '\\' => element.push(characters.next()?),
                        '"' => break,
                        other => element.push(other),
                    }
                }
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                elements.push(Some(element));
            }
            _ => {
                while let Some(next) = characters.next_if(|next| *next != ',') {
                    match next {
                        '\\' => element.push(characters.next()?),
                        '"' | '{' | '}' => return None,
                        other => element.push(other),
                    }
                }
                let trimmed = element.trim_end();
                if trimmed.is_empty() {
                    return None;
                }
                elements.push((!trimmed.eq_ignore_ascii_case("null")).then(|| trimmed.to_string()));
            }
        }
        match characters.next() {
            None => return Some(elements),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// Appends the JSON form of `value`.
pub fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) if number.is_finite() => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => write_json_string(&number.to_string(), out),
        Value::Numeric(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Text(text) => write_json_string(text, out),
        Value::Uuid(uuid) => {
            let mut buffer = Uuid::encode_buffer();
            out.push('"');
            out.push_str(uuid.hyphenated().encode_lower(&mut buffer));
            out.push('"');
        }
        Value::Timestamp(micros) => {
            out.push('"');
            write_timestamp(*micros, out);
            out.push('"');
        }
        Value::Date(days) => {
            let _ = write!(out, "\"{}\"", format_date(*days));
        }
        Value::Json(text) => out.push_str(text),
        Value::TextArray(elements) => write_array(elements, out, |text, out| write_json_string(text, out)),
        Value::UuidArray(elements) => write_array(elements, out, |uuid, out| {
            let _ = write!(out, "\"{uuid}\"");
        }),
    }
}

/// Appends an array as JSON.
pub fn write_array<T>(elements: &[Option<T>], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push('[');
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        match element {
            None => out.push_str("null"),
            Some(element) => write(element, out),
        }
    }
    out.push(']');
}

/// Appends `text` as a JSON string.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let (bytes, mut plain_from, mut position) = (text.as_bytes(), 0, 0);
    while position < bytes.len() {
        // Most texts have little to escape: eight bytes at a time.
        if let Some(word) = bytes[position..].first_chunk::<8>()
            && is_plain(u64::from_le_bytes(*word))
        {
            position += 8;
            continue;
        }
        let byte = bytes[position];
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..=0x1f => "",
            _ => {
                position += 1;
                continue;
            }
        };
        out.push_str(&text[plain_from..position]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        position += 1;
        plain_from = position;
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// Whether none of eight bytes is a control character, a quotation mark or a backslash.
fn is_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte below `limit` borrows into its high bit, unless that was set before.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGH == 0
}

/// The value as a JSON document.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Json(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        Value::Text(text) => Json::String(text.clone()),
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Null => Json::Null,
        other => {
            let mut text = String::new();
            write_json(other, &mut text);
            serde_json::from_str(&text).unwrap_or(Json::Null)
        }
    }
}

/// The value as PostgreSQL prints it (CSV, casts to text); `None` for NULL.
pub fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) | Value::Json(text) => Some(text.clone()),
        Value::Timestamp(micros) => {
            Some(format_timestamp(*micros).replacen('T', " ", 1).replace("+00:00", "+00"))
        }
        Value::Date(days) => Some(format_date(*days)),
        Value::Uuid(uuid) => Some(uuid.to_string()),
        Value::TextArray(elements) => Some(array_text(elements)),
        Value::UuidArray(elements) => Some(array_text(elements)),
        other => {
            let mut text = String::new();
            write_json(other, &mut text);
            Some(text)
        }
    }
}

fn array_text<T: ToString>(elements: &[Option<T>]) -> String {
    let element = |element: &Option<T>| match element.as_ref().map(ToString::to_string) {
        None => "NULL".to_string(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\\', '{', '}', ' ']) || text == "NULL" => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(text) => text,
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
}
