//! Rows of a table as bytes, and back: whole, or one column at a time.
//!
//! A row is sparse, so adding a column touches no row. How the bytes lie is in `row_bytes.rs`.

use std::borrow::Cow;
use std::cell::OnceCell;

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
    let Part::Spilled { is_json, hash } = part else { return from_small(part) };
    let bytes = blobs.read(&BlobHash(hash))?;
    let text =
        String::from_utf8(bytes).map_err(|_| StoreError::Corrupt("a spilled text is not UTF-8".into()))?;
    Ok(if is_json { Value::Json(text) } else { Value::Text(text) })
}

/// A value that lies in the row itself.
fn from_small(part: Part) -> Result<Value, StoreError> {
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
        Part::Spilled { .. } => return Err(StoreError::Corrupt("a value lies in a blob".into())),
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

/// Reads the columns of a row that are `wanted` into `row`, and all others as far as to see that they can be read; says
/// which blobs it was spilled to. What is in those is read only where it is wanted.
pub(crate) fn look(
    bytes: &[u8],
    table: &TableInfo,
    ids: &TableIds,
    blobs: &BlobStore,
    wanted: &[bool],
    row: &mut Row,
) -> Result<Vec<BlobHash>, StoreError> {
    let damaged = |damaged: row_bytes::Damaged| damaged.of(&table.name());
    let Some(layout) = Layout::read(bytes).map_err(damaged)? else {
        let spilled = spilled(bytes, table)?.into_iter().map(|(_, hash)| hash).collect();
        *row = decode(bytes, table, ids, blobs)?;
        return Ok(spilled);
    };
    for (position, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        let constant = default_since(table, position, ids.columns[position].added_in, layout.version);
        row[position] = constant.cloned().unwrap_or(Value::Null);
    }
    let mut spilled = Vec::new();
    for part in layout.parts(bytes) {
        let (id, part) = part.map_err(damaged)?;
        spilled.extend(part.blob());
        if let Some(position) = ids.position(id).filter(|position| wanted[*position]) {
            row[position] = from_part(part, blobs)?;
        }
    }
    Ok(spilled)
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
    row_bytes::spilled(bytes).map_err(|damaged| damaged.of(&table.name()))
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
    blobs: Option<&'s BlobStore>,
    bytes: sled::IVec,
    layout: Layout,
    large: Remembered,
}

/// Values that were read from blobs, so that the next test of the same row does not read them again.
#[derive(Default)]
struct Remembered(OnceCell<Box<(usize, Value, Remembered)>>);

impl Remembered {
    /// The value of a column, which is read where it is not known yet.
    fn value(
        &self,
        position: usize,
        read: impl FnOnce() -> Result<Value, StoreError>,
    ) -> Result<&Value, StoreError> {
        let mut place = self;
        while let Some(known) = place.0.get() {
            if known.0 == position {
                return Ok(&known.1);
            }
            place = &known.2;
        }
        let value = read()?;
        Ok(&place.0.get_or_init(|| Box::new((position, value, Remembered::default()))).1)
    }
}

/// What a text lies in that is not read where blobs are not.
const LARGE: &str = "size of a value that is read at once";

/// Whether an error says that a large value was not read.
pub(crate) fn is_large(error: &StoreError) -> bool {
    matches!(error, StoreError::Limit { what: LARGE, .. })
}

impl<'s> StoredRow<'s> {
    /// Takes the bytes of a row over once their checksum is right; no blob is read before its column is asked for.
    pub fn new(
        bytes: sled::IVec,
        table: &'s TableInfo,
        ids: &'s TableIds,
        blobs: &'s BlobStore,
    ) -> Result<StoredRow<'s>, StoreError> {
        let damaged = |damaged: row_bytes::Damaged| damaged.of(&table.name());
        let (bytes, layout) = match Layout::read(&bytes).map_err(damaged)? {
            Some(layout) => (bytes, layout),
            None => {
                let renewed = row_bytes::renewed(&bytes).map_err(damaged)?;
                let layout = Layout::read(&renewed).map_err(damaged)?;
                let layout = layout
                    .ok_or_else(|| StoreError::Corrupt(format!("a row of {} has no form", table.name())))?;
                (renewed.into(), layout)
            }
        };
        Ok(StoredRow { table, ids, blobs: Some(blobs), bytes, layout, large: Remembered::default() })
    }

    /// The same row, of which values in blobs are refused; see [`is_large`].
    #[must_use]
    pub fn without_blobs(mut self) -> StoredRow<'s> {
        self.blobs = None;
        self
    }

    /// It as it is stored.
    pub fn stored(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that it holds, but for the large values that it remembers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Tells it from the same row with other values; those in blobs count by their names.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.bytes)
    }

    /// Gives up the large values that it remembers.
    pub fn forget(&mut self) {
        self.large = Remembered::default();
    }

    /// These columns of the row, the others being NULL.
    pub fn some(&self, columns: &[usize]) -> Result<Row, StoreError> {
        let mut row = self.table.empty_row();
        for position in columns {
            row[*position] = self.value(*position)?.into_owned();
        }
        Ok(row)
    }

    fn spilled(&self, position: usize, part: Part) -> Result<&Value, StoreError> {
        self.large.value(position, || match self.blobs {
            Some(blobs) => from_part(part, blobs),
            None => Err(StoreError::Limit { what: LARGE, max: ROW_BYTES_MAX as u64 }),
        })
    }

    fn part(&self, position: usize) -> Result<Option<Part<'_>>, StoreError> {
        let part = self.layout.part(&self.bytes, self.ids.columns[position].id);
        part.map_err(|damaged| damaged.of(&self.table.name()))
    }

    fn default_of(&self, position: usize) -> Option<&Value> {
        default_since(self.table, position, self.ids.columns[position].added_in, self.layout.version)
    }

    /// All its values.
    pub fn into_row(self) -> Result<Row, StoreError> {
        if let (None, Some(blobs)) = (self.large.0.get(), self.blobs) {
            return decode(&self.bytes, self.table, self.ids, blobs);
        }
        (0..self.table.table.columns.len()).map(|position| Ok(self.value(position)?.into_owned())).collect()
    }

    /// Appends a column as JSON.
    pub fn write_json(&self, position: usize, out: &mut String) -> Result<(), StoreError> {
        match self.part(position)? {
            None => convert::write_json(self.default_of(position).unwrap_or(&Value::Null), out),
            Some(Part::Text(text)) => convert::write_json_string(text, out),
            Some(Part::Json(text)) => out.push_str(text),
            Some(Part::TextArray(elements)) => {
                convert::write_array(&elements, out, |text, out| convert::write_json_string(text, out));
            }
            Some(part @ Part::Spilled { .. }) => convert::write_json(self.spilled(position, part)?, out),
            Some(part) => convert::write_json(&from_small(part)?, out),
        }
        Ok(())
    }
}

impl Columns for StoredRow<'_> {
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError> {
        Ok(match self.part(position)? {
            Some(part @ Part::Spilled { .. }) => Cow::Borrowed(self.spilled(position, part)?),
            Some(part) => Cow::Owned(from_small(part)?),
            None => match self.default_of(position) {
                Some(constant) => Cow::Borrowed(constant),
                None => Cow::Owned(Value::Null),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use models::{Claims, schema};

    use super::*;
    use crate::{Caller, OpenOptions, Store};

    #[test]
    fn a_large_value_is_read_once_for_a_row_and_only_where_it_may_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
        let (users, claims) = (schema().known("auth.users"), Claims::service());
        let (email, id) = (users.at("email"), Value::Uuid(Uuid::from_u128(1)));
        let text = Value::Text("fog".repeat(30_000));
        let (_, durable) = store
            .transact(&claims, |transaction| {
                let mut row = users.default_row();
                (row[users.at("id")], row[email]) = (id.clone(), text.clone());
                transaction.insert(&Caller::new(&claims), users, row)
            })
            .map_err(|error: StoreError| error.to_string())
            .expect("the row fits");
        durable.wait_blocking().expect("durable");
        let (reads, key) = (store.reads(), crate::keys::primary_key_of(std::slice::from_ref(&id)));
        let stored = || reads.stored(users, &key).expect("a read").expect("the row");
        let small = stored().without_blobs();
        assert!(is_large(&small.value(email).expect_err("a large value")));
        assert_eq!(*small.value(users.at("id")).expect("a small value"), id);
        let mut row = stored();
        assert_eq!(*row.value(email).expect("the value"), text);
        let [(hash, ..)] = store.blobs().list().expect("blobs")[..] else { panic!("one large value") };
        std::fs::remove_file(store.blobs().path(&hash)).expect("a removal");
        assert_eq!(*row.value(email).expect("it is remembered"), text);
        row.forget();
        assert!(row.value(email).is_err());
    }
}
