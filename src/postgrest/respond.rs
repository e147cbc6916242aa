//! Rows to status, headers and body.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use models::{Value, convert};
use store::query::{Name, Rows};
use syntax::Format;

use super::error::PostgrestError;

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
    let field = |value: &str| {
        if value.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.into()
        }
    };
    text.push_str(&rows.columns.iter().map(|column| field(column)).collect::<Vec<String>>().join(","));
    for row in &rows.rows {
        text.push('\n');
        let fields =
            row.iter().map(|value| convert::to_text(value).map_or(String::new(), |text| field(&text)));
        text.push_str(&fields.collect::<Vec<String>>().join(","));
    }
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
    pub fn with(status: StatusCode, format: &Format, body: String) -> Answer {
        let mut response = Response::new(Body::from(body));
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
