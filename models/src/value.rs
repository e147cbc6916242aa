//! Values and their types.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use uuid::Uuid;

/// A named list of allowed words.
#[derive(Debug, PartialEq, Eq)]
pub struct EnumType {
    /// PostgreSQL type name.
    pub name: &'static str,
    /// Allowed words, in declared (comparison) order.
    pub values: &'static [&'static str],
    /// Words of other versions that are read and never stored: the rules of the table put one of `values` in their place.
    pub also_read: &'static [&'static str],
}

/// Roles inside the product, strongest first.
pub static APP_ROLE: EnumType = EnumType {
    name: "app_role",
    values: &["admin", "moderator", "premium_user", "basic_user", "guest"],
    also_read: &[],
};
/// Life of a script.
pub static SCRIPT_STATUS: EnumType = EnumType {
    name: "script_status",
    values: &["draft", "evaluated", "approved", "rejected", "active"],
    also_read: &["ready"],
};
/// Steps of a long video generation.
pub static VIDEO_GENERATION_STATUS: EnumType = EnumType {
    name: "video_generation_status",
    values: &[
        "pending",
        "generating_audio",
        "audio_completed",
        "generating_images",
        "images_completed",
        "generating_video",
        "video_completed",
        "merging_audio",
        "applying_lipsync",
        "combining",
        "completed",
        "failed",
        "retrying",
        "retrieval_failed",
    ],
    also_read: &[],
};
/// Price classes of a video generation.
pub static VIDEO_QUALITY_TIER: EnumType = EnumType {
    name: "video_quality_tier",
    values: &["free", "basic", "standard", "standard_2", "pro", "master"],
    also_read: &[],
};
/// What an audio clip is.
pub static AUDIO_TYPE: EnumType = EnumType {
    name: "audio_type",
    values: &["narrator", "character", "sound_effects", "background_music"],
    also_read: &[],
};

/// The PostgreSQL types in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// 128-bit identifier.
    Uuid,
    /// UTF-8 text without NUL.
    Text,
    /// 32-bit integer.
    Int4,
    /// 64-bit integer.
    Int8,
    /// 64-bit float.
    Float8,
    /// Decimal with up to 28 digits.
    Numeric,
    /// Truth value.
    Bool,
    /// Microseconds since 1970-01-01 UTC.
    Timestamptz,
    /// Days since 1970-01-01.
    Date,
    /// JSON.
    Jsonb,
    /// Array of text.
    TextArray,
    /// Array of identifiers.
    UuidArray,
    /// Internet address, kept as text.
    Inet,
    /// One word of a list.
    Enum(&'static EnumType),
}

impl ColumnType {
    /// The type's name in the schema document.
    pub fn schema_name(self) -> String {
        match self {
            ColumnType::Enum(kind) => format!("enum:{}", kind.name),
            ColumnType::Bool => "bool".into(),
            ColumnType::TextArray => "text[]".into(),
            ColumnType::UuidArray => "uuid[]".into(),
            other => other.wire_name().into(),
        }
    }

    /// PostgreSQL's short name (`int4`, `_text`), as realtime sends it.
    pub fn wire_name(self) -> &'static str {
        match self {
            ColumnType::Uuid => "uuid",
            ColumnType::Text => "text",
            ColumnType::Int4 => "int4",
            ColumnType::Int8 => "int8",
            ColumnType::Float8 => "float8",
            ColumnType::Numeric => "numeric",
            ColumnType::Bool => "bool",
            ColumnType::Timestamptz => "timestamptz",
            ColumnType::Date => "date",
            ColumnType::Jsonb => "jsonb",
            ColumnType::TextArray => "_text",
            ColumnType::UuidArray => "_uuid",
            ColumnType::Inet => "inet",
            ColumnType::Enum(kind) => kind.name,
        }
    }

    /// PostgreSQL's long name, as its error messages use it.
    pub fn sql_name(self) -> &'static str {
        match self {
            ColumnType::Int4 => "integer",
            ColumnType::Int8 => "bigint",
            ColumnType::Float8 => "double precision",
            ColumnType::Bool => "boolean",
            ColumnType::Timestamptz => "timestamp with time zone",
            ColumnType::Jsonb => "json",
            ColumnType::TextArray => "text[]",
            ColumnType::UuidArray => "uuid[]",
            other => other.wire_name(),
        }
    }

    /// Whether values are arrays.
    pub fn is_array(self) -> bool {
        matches!(self, ColumnType::TextArray | ColumnType::UuidArray)
    }

    /// Whether values are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, ColumnType::Int4 | ColumnType::Int8 | ColumnType::Float8 | ColumnType::Numeric)
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int4`, `int8`.
    Int(i64),
    /// `float8`.
    Float(f64),
    /// `numeric`.
    Numeric(Decimal),
    /// `text`, `inet` and enumerations.
    Text(String),
    /// `uuid`.
    Uuid(Uuid),
    /// `timestamptz`: microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `jsonb`, as compact JSON text.
    Json(String),
    /// `text[]`.
    TextArray(Vec<Option<String>>),
    /// `uuid[]`.
    UuidArray(Vec<Option<Uuid>>),
}

/// Values of all columns of a table, in declared order.
pub type Row = Vec<Value>;

impl Value {
    /// Text, from anything that is text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// Now, in microseconds.
    pub fn now() -> Value {
        Value::Timestamp(chrono::Utc::now().timestamp_micros())
    }

    /// JSON, from a document.
    pub fn json(document: &serde_json::Value) -> Value {
        Value::Json(document.to_string())
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The identifier, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Value::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Microseconds since 1970, if it is a point in time.
    pub fn as_micros(&self) -> Option<i64> {
        match self {
            Value::Timestamp(micros) => Some(*micros),
            _ => None,
        }
    }

    /// The parsed document, if it is JSON.
    pub fn as_json(&self) -> Option<serde_json::Value> {
        match self {
            Value::Json(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// Order of two values of one type; `None` when either is NULL or the types differ.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => Some(a.total_cmp(b)),
            (Value::Numeric(a), Value::Numeric(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Uuid(a), Value::Uuid(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Value::Json(a), Value::Json(b)) => crate::json::compare_text(a, b),
            (Value::TextArray(a), Value::TextArray(b)) => Some(a.cmp(b)),
            (Value::UuidArray(a), Value::UuidArray(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
