//! Rows of a table as bytes, and back: whole, or one column at a time.
//!
//! A row is sparse, so adding a column touches no row. How the bytes lie is in `row_bytes.rs`.

use std::borrow::Cow;

use models::{Row, TableInfo, Value, convert};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::blob::{BlobHash, BlobStore};
use crate::catalog::TableIds;
use crate::error::StoreError;
use crate::row_bytes::{self, DECODE_LIMIT, Layout, Part};

/// A row keeps less than this and spills the rest: the engine rewrites a page whole, and keeps one above 128 KiB in a
/// file of its own, which costs a sync more (`page_files.rs`).
const ROW_BYTES_MAX: usize = 48 * 1024;
/// Texts longer than this may be spilled.
const SPILL_BYTES_MIN: usize = 2 * 1024;

fn to_part(value: &Value) -> Part<'_> {
    match value {
        Value::Null => Part::Null,
        Value::Bool(truth) => Part::Bool(*truth),
        Value::Int(number) => Part::Int(*number),
        Value::Float(number) => Part::Float(*number),
        Value::Numeric(number) => Part::Numeric(number.serialize()),
        Value::Text(text) => Part::Text(text),
        Value::Uuid(uuid) => Part::Uuid(uuid.into_bytes()),
        Value::Timestamp(micros) => Part::Timestamp(*micros),
        Value::Date(days) => Part::Date(*days),
        Value::Json(text) => Part::Json(text),
        Value::TextArray(elements) => Part::TextArray(elements.iter().map(Option::as_deref).collect()),
        Value::UuidArray(elements) => {
            Part::UuidArray(elements.iter().map(|element| element.map(Uuid::into_bytes)).collect())
        }
    }
}

fn from_part(part: Part, blobs: &BlobStore) -> Result<Value, StoreError> {
    Ok(match part {
        Part::Null => Value::Null,
        Part::Bool(truth) => Value::Bool(truth),
        Part::Int(number) => Value::Int(number),
        Part::Float(number) => Value::Float(number),
        Part::Numeric(bytes) => Value::Numeric(Decimal::deserialize(bytes)),
        Part::Text(text) => Value::text(text),
        Part::Uuid(bytes) => Value::Uuid(Uuid::from_bytes(bytes)),
        Part::Timestamp(micros) => Value::Timestamp(micros),
        Part::Date(days) => Value::Date(days),
        Part::Json(text) => Value::Json(text.into()),
        Part::TextArray(elements) => {
            Value::TextArray(elements.into_iter().map(|element| element.map(str::to_string)).collect())
        }
        Part::UuidArray(elements) => {
            Value::UuidArray(elements.into_iter().map(|element| element.map(Uuid::from_bytes)).collect())
        }
        Part::Spilled { is_json, hash } => {
            let bytes = blobs.read(&BlobHash(hash))?;
            let text = String::from_utf8(bytes)
                .map_err(|_| StoreError::Corrupt("a spilled text is not UTF-8".into()))?;
            if is_json { Value::Json(text) } else { Value::Text(text) }
        }
    })
}

/// An encoded row and the blobs that its large values were spilled to.
pub(crate) struct Encoded {
    pub bytes: Vec<u8>,
    pub spilled: Vec<BlobHash>,
}

/// Encodes a row; large texts become blobs when the transaction commits. `known` says in which blob the value of a
/// column already lies.
pub(crate) fn encode(
    row: &Row,
    ids: &TableIds,
    blobs: &BlobStore,
    known: impl Fn(u16) -> Option<BlobHash>,
) -> Result<Encoded, StoreError> {
    let values = row.iter().enumerate().filter(|(_, value)| !value.is_null());
    let mut parts: Vec<(u16, Part)> =
        values.map(|(position, value)| (ids.columns[position].id, to_part(value))).collect();
    parts.sort_unstable_by_key(|(id, _)| *id);
    let spilled =
        spill(&mut parts, |column, text| known(column).unwrap_or_else(|| blobs.put_off(text.as_bytes())));
    let bytes = row_bytes::write(ids.version, &parts)
        .map_err(|error| StoreError::Corrupt(format!("a row cannot be encoded: {}", error.0)))?;
    if bytes.len() > DECODE_LIMIT / 2 {
        return Err(StoreError::Limit { what: "row size in bytes", max: (DECODE_LIMIT / 2) as u64 });
    }
    Ok(Encoded { bytes, spilled })
}

fn spill(parts: &mut [(u16, Part)], keep: impl Fn(u16, &str) -> BlobHash) -> Vec<BlobHash> {
    let size = |part: &Part| match part {
        Part::Text(text) | Part::Json(text) => text.len(),
        Part::TextArray(elements) => elements.iter().flatten().map(|text| text.len()).sum(),
        _ => 16,
    };
    let mut total: usize = parts.iter().map(|(_, part)| size(part)).sum();
    let mut spilled = Vec::new();
    while total > ROW_BYTES_MAX {
        let largest = parts
            .iter_mut()
            .filter(|(_, part)| {
                matches!(part, Part::Text(_) | Part::Json(_)) && size(part) >= SPILL_BYTES_MIN
            })
            .max_by_key(|(_, part)| size(part));
        let Some((column, largest)) = largest else { break };
        let (is_json, hash) = match largest {
            Part::Json(text) => (true, keep(*column, text)),
            Part::Text(text) => (false, keep(*column, text)),
            _ => break,
        };
        total -= size(largest);
        *largest = Part::Spilled { is_json, hash: hash.0 };
        spilled.push(hash);
    }
    spilled
}

/// Decodes a row written by any earlier version of its table.
pub(crate) fn decode(
    bytes: &[u8],
    table: &TableInfo,
    ids: &TableIds,
    blobs: &BlobStore,
) -> Result<Row, StoreError> {
    let (version, parts) = row_bytes::read(bytes).map_err(|damaged| damaged.of(&table.name()))?;
    let mut row = table.empty_row();
    for (position, column) in ids.columns.iter().enumerate() {
        if let Some(constant) = default_since(table, position, column.added_in, version) {
            row[position] = constant.clone();
        }
    }
    for (id, part) in parts {
        if let Some(position) = ids.position(id) {
            row[position] = from_part(part, blobs)?;
        }
    }
    Ok(row)
}

/// A column added after a row was written shows its constant default, as in PostgreSQL.
fn default_since(table: &TableInfo, position: usize, added_in: u16, version: u16) -> Option<&Value> {
    if added_in <= version {
        return None;
    }
    table.defaults[position].as_ref().and_then(|default| default.constant())
}

/// The blobs that a stored row was spilled to, each with the number of its column.
pub(crate) fn spilled(bytes: &[u8], table: &TableInfo) -> Result<Vec<(u16, BlobHash)>, StoreError> {
    let (_, parts) = row_bytes::read(bytes).map_err(|damaged| damaged.of(&table.name()))?;
    Ok(parts.iter().filter_map(|(column, part)| Some((*column, part.blob()?))).collect())
}

/// Values by the position of their column.
pub(crate) trait Columns {
    /// The value of a column.
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError>;
}

impl Columns for Row {
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError> {
        Ok(Cow::Borrowed(&self[position]))
    }
}

/// A stored row of which columns are read as they are asked for.
pub(crate) struct StoredRow<'s> {
    table: &'s TableInfo,
    ids: &'s TableIds,
    blobs: &'s BlobStore,
    form: Form,
}

enum Form {
    Bytes(sled::IVec, Layout),
    /// A row of the older form, which is read whole.
    Whole(Row, usize),
}

impl<'s> StoredRow<'s> {
    /// Takes the bytes of a row over once their checksum is right.
    pub fn new(
        bytes: sled::IVec,
        table: &'s TableInfo,
        ids: &'s TableIds,
        blobs: &'s BlobStore,
    ) -> Result<StoredRow<'s>, StoreError> {
        let form = match Layout::read(&bytes).map_err(|damaged| damaged.of(&table.name()))? {
            Some(layout) => Form::Bytes(bytes, layout),
            None => Form::Whole(decode(&bytes, table, ids, blobs)?, bytes.len()),
        };
        Ok(StoredRow { table, ids, blobs, form })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::Bytes(bytes, _) => bytes.len(),
            Form::Whole(_, bytes) => *bytes,
        }
    }

    fn part<'b>(
        &self,
        bytes: &'b [u8],
        layout: &Layout,
        position: usize,
    ) -> Result<Option<Part<'b>>, StoreError> {
        layout.part(bytes, self.ids.columns[position].id).map_err(|damaged| damaged.of(&self.table.name()))
    }

    fn default_of(&self, layout: &Layout, position: usize) -> Option<&Value> {
        default_since(self.table, position, self.ids.columns[position].added_in, layout.version)
    }

    /// All its values.
    pub fn into_row(self) -> Result<Row, StoreError> {
        match self.form {
            Form::Bytes(bytes, _) => decode(&bytes, self.table, self.ids, self.blobs),
            Form::Whole(row, _) => Ok(row),
        }
    }

    /// Appends a column as JSON.
    pub fn write_json(&self, position: usize, out: &mut String) -> Result<(), StoreError> {
        let (bytes, layout) = match &self.form {
            Form::Bytes(bytes, layout) => (bytes, layout),
            Form::Whole(row, _) => {
                convert::write_json(&row[position], out);
                return Ok(());
            }
        };
        match self.part(bytes, layout, position)? {
            None => convert::write_json(self.default_of(layout, position).unwrap_or(&Value::Null), out),
            Some(Part::Text(text)) => convert::write_json_string(text, out),
            Some(Part::Json(text)) => out.push_str(text),
            Some(Part::TextArray(elements)) => {
                convert::write_array(&elements, out, |text, out| convert::write_json_string(text, out));
            }
            Some(part) => convert::write_json(&from_part(part, self.blobs)?, out),
        }
        Ok(())
    }
}

impl Columns for StoredRow<'_> {
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError> {
        let (bytes, layout) = match &self.form {
            Form::Bytes(bytes, layout) => (bytes, layout),
            Form::Whole(row, _) => return Ok(Cow::Borrowed(&row[position])),
        };
        Ok(match self.part(bytes, layout, position)? {
            Some(part) => Cow::Owned(from_part(part, self.blobs)?),
            None => match self.default_of(layout, position) {
                Some(constant) => Cow::Borrowed(constant),
                None => Cow::Owned(Value::Null),
            },
        })
    }
}
