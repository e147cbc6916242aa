//! From JSON to a typed request. Members of objects are taken in either spelling and those that a type does not have are
//! noted, at every depth; null counts as absent; what cannot be read is refused in words, with the place of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use models::value_words::{is_none_of, is_not, of_type, shown, shown_text};
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value as Json};

use super::fields::{self, Known, Notes};
use super::place::Place;

/// Why a value cannot be read, and where it stands.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Its place, as the client spelled it; empty for the whole body.
    pub field: Option<String>,
    /// A member of the object at this place that is at fault as a whole: it is missing, or there twice.
    member: Option<&'static str>,
    /// What is wrong with it.
    pub reason: String,
}

impl ReadError {
    fn because(reason: String) -> ReadError {
        ReadError { field: None, member: None, reason }
    }

    /// Says where it happened, unless something further inside has said so.
    fn at(mut self, place: &Place<'_>) -> ReadError {
        if self.field.is_none() {
            self.field = Some(match self.member {
                Some(member) => Place::Member(place, member).worded(),
                None => place.worded(),
            });
        }
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for ReadError {}

impl Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> ReadError {
        ReadError::because(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> ReadError {
        let found = match found {
            Unexpected::Str(text) => shown_text(text),
            Unexpected::Bool(truth) => truth.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Unit | Unexpected::Option => "null".into(),
            Unexpected::Seq => "a list".into(),
            Unexpected::Map => "an object".into(),
            other => other.to_string(),
        };
        ReadError::because(is_not(&found, &of_type(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> ReadError {
        ReadError::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> ReadError {
        ReadError::because(is_none_of(variant, expected))
    }

    fn duplicate_field(field: &'static str) -> ReadError {
        ReadError { field: None, member: Some(field), reason: "given twice, by two names".into() }
    }

    fn missing_field(field: &'static str) -> ReadError {
        ReadError { field: None, member: Some(field), reason: "missing".into() }
    }
}

/// Reads an object of JSON as a type, and notes what it was not asked for.
pub(super) fn read<T: DeserializeOwned>(body: Map<String, Json>, notes: &mut Notes) -> Result<T, ReadError> {
    let noted = RefCell::new(std::mem::take(notes));
    let reader = Reader { value: Json::Object(body), place: &Place::Whole, notes: &noted };
    let read = T::deserialize(reader).map_err(|error| error.at(&Place::Whole));
    *notes = noted.into_inner();
    read
}

/// One value, and where it stands.
struct Reader<'n> {
    value: Json,
    place: &'n Place<'n>,
    notes: &'n RefCell<Notes>,
}

impl Reader<'_> {
    /// A number without a fraction as the integer that it is, which some clients write as `512.0`.
    fn whole(mut self) -> Self {
        const EXACT_MAX: f64 = (1u64 << 53) as f64;
        let number = self.value.as_f64().filter(|_| !self.value.is_u64() && !self.value.is_i64());
        if let Some(number) = number.filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX) {
            self.value = Json::from(number as i64);
        }
        self
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Json::Null => visitor.visit_unit(),
            Json::Bool(truth) => visitor.visit_bool(truth),
            Json::String(text) => {
                let start: String = text.chars().take(100).collect();
                visitor.visit_string(text).map_err(|error: ReadError| {
                    let is_uuid = error.reason.starts_with("UUID parsing failed");
                    if is_uuid { ReadError::because(is_not(&shown_text(&start), "a UUID")) } else { error }
                })
            }
            Json::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., Some(number)) => visitor.visit_f64(number),
                _ => Err(ReadError::because(format!("{number} is beyond all numbers"))),
            },
            Json::Array(items) => {
                let items = items.into_iter().enumerate();
                visitor.visit_seq(Items { items, place: self.place, notes: self.notes })
            }
            Json::Object(members) => visitor.visit_map(Members {
                members: members.into_iter(),
                respelled: HashMap::new(),
                next: None,
                place: self.place,
                notes: self.notes,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Json::Object(given) = self.value else {
            return Err(ReadError::because(is_not(&shown(&self.value), "an object")));
        };
        let Known { mut members, respelled } =
            fields::in_known_spelling(given, known, self.place, &mut self.notes.borrow_mut());
        members.retain(|_, value| !value.is_null());
        let members = members.into_iter();
        visitor.visit_map(Members { members, respelled, next: None, place: self.place, notes: self.notes })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Json::String(text) = self.value else {
            return Err(ReadError::because(format!(
                "{} is not one of {}",
                shown(&self.value),
                variants.join(", ")
            )));
        };
        let text: StringDeserializer<ReadError> = text.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.whole().deserialize_any(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.whole().deserialize_any(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.whole().deserialize_any(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.whole().deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'n> {
    items: std::iter::Enumerate<std::vec::IntoIter<Json>>,
    place: &'n Place<'n>,
    notes: &'n RefCell<Notes>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some((number, value)) = self.items.next() else { return Ok(None) };
        let place = Place::Item(self.place, number);
        let reader = Reader { value, place: &place, notes: self.notes };
        seed.deserialize(reader).map(Some).map_err(|error| error.at(&place))
    }
}

struct Members<'n> {
    members: serde_json::map::IntoIter,
    respelled: HashMap<String, String>,
    next: Option<(String, Json)>,
    place: &'n Place<'n>,
    notes: &'n RefCell<Notes>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        self.next = self.members.next();
        let Some((name, _)) = &self.next else { return Ok(None) };
        let name: StringDeserializer<ReadError> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Some((name, value)) = self.next.take() else {
            return Err(ReadError::because("a value without a name".into()));
        };
        let place = Place::Member(self.place, fields::as_given(&self.respelled, &name));
        let reader = Reader { value, place: &place, notes: self.notes };
        seed.deserialize(reader).map_err(|error| error.at(&place))
    }
}
