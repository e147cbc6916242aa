//! Bodies of writes: JSON objects to typed rows.

use std::borrow::Cow;

use axum::http::{StatusCode, header};
use models::{Row, TableInfo, Value, convert, number_digits};
use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use syntax::RequestQuery;
use syntax::prefer::Missing;

use super::error::PostgrestError;
use super::request::Request;

/// Rows to insert, and which columns the client gave.
#[derive(Debug)]
pub struct NewRows {
    /// Whole rows.
    pub rows: Vec<Row>,
    /// Columns named by the body or by `columns`.
    pub supplied: Vec<usize>,
}

/// A body as JSON, whether it came as that, as `text/csv` or as a form. The last two know only text, which becomes
/// what each column is.
pub fn json(request: &Request) -> Result<Json, PostgrestError> {
    read(request, Cow::Borrowed(&request.body))
}

/// The same for rows: numbers have the digits that were written, which [`number_digits`] keeps for the columns.
pub fn written(request: &Request) -> Result<Json, PostgrestError> {
    read(request, number_digits::keep(&request.body))
}

fn read(request: &Request, json: Cow<'_, [u8]>) -> Result<Json, PostgrestError> {
    let rows_max = request.app.config.insert_rows_max;
    let kind = request.header(header::CONTENT_TYPE).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" => csv(&request.body, rows_max),
        "application/x-www-form-urlencoded" => {
            let pairs = form_urlencoded::parse(&request.body);
            Ok(Json::Object(pairs.map(|(name, value)| (name.into_owned(), value.into())).collect()))
        }
        _ => document(&json, rows_max).map_err(|error| {
            PostgrestError::bad("PGRST102", "Empty or invalid json").details(error.to_string())
        }),
    }
}

/// A JSON document; of an array no more elements than [`rows`] needs to see that they are too many.
fn document(body: &[u8], rows_max: usize) -> serde_json::Result<Json> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return serde_json::from_slice(body);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let elements = reader.deserialize_seq(Elements(rows_max))?;
    reader.end()?;
    Ok(Json::Array(elements))
}

/// Reads so many elements and one more.
struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Json>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<Json>, A::Error> {
        let mut elements = Vec::new();
        while elements.len() <= self.0 {
            let Some(element) = array.next_element()? else { return Ok(elements) };
            elements.push(element);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}

/// Lines below a line of column names; an unquoted or quoted `NULL` is null, as PostgREST reads it.
fn csv(body: &[u8], rows_max: usize) -> Result<Json, PostgrestError> {
    let refused =
        |error: csv::Error| PostgrestError::bad("PGRST102", "Invalid CSV").details(error.to_string());
    let mut reader = csv::Reader::from_reader(body);
    let names = reader.headers().map_err(refused)?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(refused)?;
        if rows.len() >= rows_max {
            return Err(too_many(rows_max));
        }
        let value = |text: &str| if text == "NULL" { Json::Null } else { text.into() };
        rows.push(names.iter().zip(&record).map(|(name, text)| (name.to_string(), value(text))).collect());
    }
    Ok(Json::Array(rows))
}

fn too_many(rows_max: usize) -> PostgrestError {
    let message = format!("one request may add {rows_max} rows, and this one has more");
    PostgrestError::new(StatusCode::PAYLOAD_TOO_LARGE, "54000", message).hint("Send them in several requests")
}

/// Rows of an insert.
pub fn rows(
    table: &TableInfo,
    body: Json,
    request: &RequestQuery,
    missing: Option<Missing>,
    rows_max: usize,
) -> Result<NewRows, PostgrestError> {
    let objects = match body {
        Json::Object(object) => vec![object],
        Json::Array(elements) if elements.len() > rows_max => return Err(too_many(rows_max)),
        Json::Array(elements) => {
            let object = |element: Json| match element {
                Json::Object(object) => Ok(object),
                _ => Err(PostgrestError::bad("PGRST102", "All array elements must be objects")),
            };
            elements.into_iter().map(object).collect::<Result<Vec<_>, _>>()?
        }
        _ => {
            return Err(PostgrestError::bad("PGRST102", "The body must be an object or an array of objects"));
        }
    };
    let supplied = match &request.columns {
        Some(names) => names.iter().map(|name| column(table, name)).collect::<Result<Vec<_>, _>>()?,
        None => {
            let Some(first) = objects.first() else {
                return Ok(NewRows { rows: Vec::new(), supplied: Vec::new() });
            };
            let same = |object: &Map<String, Json>| {
                object.len() == first.len() && object.keys().all(|key| first.contains_key(key))
            };
            if !objects.iter().all(same) {
                return Err(PostgrestError::bad("PGRST102", "All object keys must match"));
            }
            first.keys().map(|name| column(table, name)).collect::<Result<Vec<_>, _>>()?
        }
    };
    let default_missing = missing == Some(Missing::Default);
    let mut rows = Vec::with_capacity(objects.len());
    for object in &objects {
        let mut row = table.default_row();
        for position in &supplied {
            match object.get(table.table.columns[*position].name) {
                Some(json) => row[*position] = value(table, *position, json)?,
                None if default_missing => {}
                None => row[*position] = Value::Null,
            }
        }
        rows.push(row);
    }
    Ok(NewRows { rows, supplied })
}

/// Values of an update.
pub fn changes(
    table: &TableInfo,
    body: Json,
    request: &RequestQuery,
) -> Result<Vec<(usize, Value)>, PostgrestError> {
    let object = match body {
        Json::Object(object) => object,
        Json::Array(mut elements) if elements.len() == 1 && elements[0].is_object() => {
            match elements.remove(0) {
                Json::Object(object) => object,
                _ => Map::new(),
            }
        }
        _ => return Err(PostgrestError::bad("PGRST102", "The body must be an object")),
    };
    let mut set = Vec::new();
    for (name, json) in &object {
        if request.columns.as_ref().is_some_and(|columns| !columns.contains(name)) {
            continue;
        }
        let position = column(table, name)?;
        set.push((position, value(table, position, json)?));
    }
    Ok(set)
}

fn column(table: &TableInfo, name: &str) -> Result<usize, PostgrestError> {
    table.column(name).ok_or_else(|| {
        let message =
            format!("Could not find the '{name}' column of '{}' in the schema cache", table.table.name);
        PostgrestError::bad("PGRST204", message)
    })
}

fn value(table: &TableInfo, position: usize, json: &Json) -> Result<Value, PostgrestError> {
    convert::from_json(table.kind(position), json).map_err(|error| {
        let column = table.table.columns[position].name;
        PostgrestError::bad(error.sqlstate(), error.to_string())
            .hint(error.hint())
            .details(format!("column \"{column}\""))
    })
}
