//! What is read of a chat file's line: the fields that matter. All others stay in the line's text: taken apart they
//! would take twenty times as much memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// The fields of a line that matter.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fields {
    pub name: Plain,
    pub mes: Plain,
    pub is_user: Plain,
    pub is_system: Plain,
    pub swipes: Plain,
    pub swipe_id: Plain,
    pub send_date: Option<Value>,
}

/// A value without what lies deeper in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Plain {
    /// There is none.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    /// The texts of a list; what is no text is a hole.
    List(Vec<Option<Box<str>>>),
    Object,
}

impl Plain {
    /// What to call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Plain::Absent => "nothing",
            Plain::Null => "null",
            Plain::Bool(_) => "a boolean",
            Plain::Number(_) => "a number",
            Plain::Text(_) => "a text",
            Plain::List(..) => "a list",
            Plain::Object => "an object",
        }
    }

    /// Its text; empty if it is none.
    pub fn text(&self) -> &str {
        match self {
            Plain::Text(text) => text,
            _ => "",
        }
    }

    /// The truth that it stands for; `None` where it stands for none.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Plain::Absent | Plain::Null => Some(false),
            Plain::Bool(truth) => Some(*truth),
            Plain::Number(number) => number.as_f64().map(|number| number != 0.0),
            Plain::Text(text) => match &*text.to_ascii_lowercase() {
                "true" | "1" => Some(true),
                "false" | "0" | "" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The place in a list that it stands for: a number, or a text of one.
    pub fn index(&self) -> Option<usize> {
        match self {
            Plain::Number(number) => {
                let integral = number.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
                number
                    .as_u64()
                    .or(integral.map(|number| number as u64))
                    .and_then(|id| usize::try_from(id).ok())
            }
            Plain::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub fn is_absent_or_null(&self) -> bool {
        matches!(self, Plain::Absent | Plain::Null)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Plain, D::Error> {
        reader.deserialize_any(OfPlain)
    }
}

struct OfPlain;

impl<'de> Visitor<'de> for OfPlain {
    type Value = Plain;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
        Ok(Number::from_f64(value).map_or(Plain::Null, Plain::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = list.next_element::<TextOrNot>()? {
            texts.push(element.0);
        }
        Ok(Plain::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Plain, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Plain::Object)
    }
}

/// An element of a list; what is no text is skipped.
struct TextOrNot(Option<Box<str>>);

impl<'de> Deserialize<'de> for TextOrNot {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<TextOrNot, D::Error> {
        reader.deserialize_any(OfText)
    }
}

struct OfText;

impl<'de> Visitor<'de> for OfText {
    type Value = TextOrNot;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<TextOrNot, E> {
        Ok(TextOrNot(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<TextOrNot, E> {
        Ok(TextOrNot(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<TextOrNot, E> {
        Ok(TextOrNot(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<TextOrNot, E> {
        Ok(TextOrNot(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<TextOrNot, E> {
        Ok(TextOrNot(None))
    }

    fn visit_str<E>(self, value: &str) -> Result<TextOrNot, E> {
        Ok(TextOrNot(Some(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextOrNot, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(TextOrNot(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<TextOrNot, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(TextOrNot(None))
    }
}

/// A line: an object's fields, or what it is instead.
#[derive(Debug)]
pub(crate) enum LineValue {
    Object(Box<Fields>),
    Other(&'static str),
}

impl<'de> Deserialize<'de> for LineValue {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<LineValue, D::Error> {
        reader.deserialize_any(OfLine)
    }
}

struct OfLine;

impl<'de> Visitor<'de> for OfLine {
    type Value = LineValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<LineValue, E> {
        Ok(LineValue::Other(Plain::Null.kind()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<LineValue, E> {
        Ok(LineValue::Other(Plain::Bool(value).kind()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<LineValue, E> {
        Ok(LineValue::Other(Plain::Number(value.into()).kind()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<LineValue, E> {
        Ok(LineValue::Other(Plain::Number(value.into()).kind()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<LineValue, E> {
        Ok(LineValue::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<LineValue, E> {
        Ok(LineValue::Other("a text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LineValue, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(LineValue::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<LineValue, A::Error> {
        let mut fields = Box::<Fields>::default();
        while let Some(name) = object.next_key::<String>()? {
            // Of a name that comes twice the last one counts.
            match name.as_str() {
                "name" => fields.name = object.next_value()?,
                "mes" => fields.mes = object.next_value()?,
                "is_user" => fields.is_user = object.next_value()?,
                "is_system" => fields.is_system = object.next_value()?,
                "swipes" => fields.swipes = object.next_value()?,
                "swipe_id" => fields.swipe_id = object.next_value()?,
                "send_date" => {
                    fields.send_date = match object.next_value::<Plain>()? {
                        Plain::Number(number) => Some(Value::Number(number)),
                        Plain::Text(text) => Some(Value::String(text.into())),
                        Plain::Bool(truth) => Some(Value::Bool(truth)),
                        _ => Some(Value::Null),
                    };
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(LineValue::Object(fields))
    }
}
