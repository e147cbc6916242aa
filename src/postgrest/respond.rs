//! Rows to status, headers and body.

use std::time::Duration;
use std::vec;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use models::{Value, convert};
use store::query::{self, JsonRows, Name, Rows};
use store::shares::Held;
use syntax::Format;

use super::error::PostgrestError;
use crate::answers::{self, PIECE_BYTES, Source};

/// The body of `rows` in a format, made as the client takes it where that is worth it.
pub fn outgoing(
    rows: Rows,
    format: &Format,
    held: Option<Held>,
    pause: Duration,
) -> Result<Body, PostgrestError> {
    let is_singular = matches!(format, Format::Object { .. });
    match held.filter(|held| held.amount() > PIECE_BYTES && !is_singular) {
        Some(held) => Ok(answers::body(Lines::new(rows, format), held, None, pause)),
        None => body(&rows, format).map(Body::from),
    }
}

/// The body of rows that are text already.
pub fn outgoing_json(
    rows: JsonRows,
    format: &Format,
    held: Option<Held>,
    pause: Duration,
) -> Result<Body, PostgrestError> {
    if matches!(format, Format::Object { .. }) {
        if rows.rows != 1 {
            return Err(PostgrestError::not_singular(rows.rows));
        }
        // The one object in the array.
        let text = Bytes::from(rows.pieces.concat());
        return Ok(Body::from(text.slice(1..text.len() - 1)));
    }
    let bytes = rows.bytes();
    match held.filter(|_| bytes > PIECE_BYTES) {
        Some(held) => {
            // Without a length: bodies that have one are put on an account where they leave.
            Ok(answers::body(Pieces(rows.pieces.into_iter()), held, None, pause))
        }
        None => Ok(Body::from(match <[String; 1]>::try_from(rows.pieces) {
            Ok([text]) => text,
            Err(pieces) => pieces.concat(),
        })),
    }
}

/// Text that is given up piece by piece.
struct Pieces(vec::IntoIter<String>);

impl Source for Pieces {
    fn next(&mut self) -> Option<(Bytes, usize)> {
        let text = Bytes::from(self.0.next()?);
        let freed = text.len();
        Some((text, freed))
    }
}

/// Rows whose text is not made yet.
struct Lines {
    /// The names of the members; its rows are in `rest`.
    head: Rows,
    rest: vec::IntoIter<Vec<Value>>,
    is_csv: bool,
    nulls_stripped: bool,
    begun: bool,
    ended: bool,
}

impl Lines {
    fn new(mut rows: Rows, format: &Format) -> Lines {
        let rest = std::mem::take(&mut rows.rows).into_iter();
        let (is_csv, nulls_stripped) =
            (matches!(format, Format::Csv), matches!(format, Format::JsonNullsStripped));
        Lines { head: rows, rest, is_csv, nulls_stripped, begun: false, ended: false }
    }

    fn write(&self, row: &[Value], text: &mut String) {
        match (self.is_csv, self.nulls_stripped) {
            (true, _) => write_csv_row(row, text),
            (_, true) => write_stripped(&self.head, row, text),
            _ => self.head.write_row(row, text),
        }
    }
}

impl Source for Lines {
    fn next(&mut self) -> Option<(Bytes, usize)> {
        if self.ended {
            return None;
        }
        let (mut text, mut freed) = (String::with_capacity(PIECE_BYTES + PIECE_BYTES / 4), 0);
        if !self.begun && self.is_csv {
            write_csv_names(&self.head, &mut text);
        }
        while text.len() < PIECE_BYTES {
            let Some(row) = self.rest.next() else {
                self.ended = true;
                break;
            };
            if !self.is_csv {
                text.push(if self.begun { ',' } else { '[' });
            }
            self.begun = true;
            self.write(&row, &mut text);
            freed += query::size(&row);
        }
        if self.ended && !self.is_csv {
            text.push_str(if self.begun { "]" } else { "[]" });
        }
        Some((text.into(), freed))
    }
}

/// The body of `rows` in a format.
pub fn body(rows: &Rows, format: &Format) -> Result<String, PostgrestError> {
    let mut text = String::with_capacity(256 * rows.rows.len().max(1));
    match format {
        Format::Object { nulls_stripped } => match rows.rows.as_slice() {
            [only] if *nulls_stripped => write_stripped(rows, only, &mut text),
            [only] => rows.write_row(only, &mut text),
            others => return Err(PostgrestError::not_singular(others.len() as u64)),
        },
        Format::JsonNullsStripped => {
            text.push('[');
            for (position, row) in rows.rows.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_stripped(rows, row, &mut text);
            }
            text.push(']');
        }
        Format::Csv => write_csv(rows, &mut text),
        _ => rows.write_json(&mut text),
    }
    Ok(text)
}

fn write_stripped(rows: &Rows, row: &[Value], text: &mut String) {
    let kept: (Vec<Name>, Vec<Value>) = rows
        .columns
        .iter()
        .zip(row)
        .filter(|(_, value)| !value.is_null())
        .map(|(column, value)| (column.clone(), value.clone()))
        .unzip();
    let one = Rows { columns: kept.0, rows: Vec::new(), total: None };
    one.write_row(&kept.1, text);
}

fn write_csv(rows: &Rows, text: &mut String) {
    write_csv_names(rows, text);
    for row in &rows.rows {
        write_csv_row(row, text);
    }
}

fn csv_field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.into()
    }
}

fn write_csv_names(rows: &Rows, text: &mut String) {
    text.push_str(&rows.columns.iter().map(|column| csv_field(column)).collect::<Vec<String>>().join(","));
}

fn write_csv_row(row: &[Value], text: &mut String) {
    text.push('\n');
    let fields =
        row.iter().map(|value| convert::to_text(value).map_or(String::new(), |text| csv_field(&text)));
    text.push_str(&fields.collect::<Vec<String>>().join(","));
}

/// An answer under construction.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Answer {
        let mut response = Response::default();
        *response.status_mut() = status;
        Answer(response)
    }

    /// An answer with a body.
    pub fn with(status: StatusCode, format: &Format, body: impl Into<Body>) -> Answer {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let kind = HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Answer(response)
    }

    /// Adds a header; one that cannot be sent is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Answer {
        if let Ok(value) = value.try_into() {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// The response.
    pub fn finish(self) -> Response {
        self.0
    }
}
