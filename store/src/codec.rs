//! Rows as bytes: `[schema version u16][crc32c u32][bincode]`.
//!
//! A row is a sparse list of `(column id, value)`, so adding a column touches no row. Nothing is decoded without a
//! limit: a hostile length would abort the process.

use bincode::{Decode, Encode};
use models::{Row, TableInfo, Value};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::blob::{BlobHash, BlobStore};
use crate::catalog::TableIds;
use crate::error::StoreError;

/// A row keeps less than this and spills the rest: the engine rewrites a page whole, and keeps one above 128 KiB in a
/// file of its own, which costs a sync more (`page_files.rs`).
const ROW_BYTES_MAX: usize = 48 * 1024;
/// Texts longer than this may be spilled.
const SPILL_BYTES_MIN: usize = 2 * 1024;
const DECODE_LIMIT: usize = 1 << 20;

#[derive(Encode, Decode)]
enum Stored {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Numeric([u8; 16]),
    Text(String),
    Uuid([u8; 16]),
    Timestamp(i64),
    Date(i32),
    Json(String),
    TextArray(Vec<Option<String>>),
    UuidArray(Vec<Option<[u8; 16]>>),
    /// A text or JSON kept as a blob.
    Spilled {
        is_json: bool,
        hash: [u8; 32],
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

fn to_stored(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Bool(truth) => Stored::Bool(*truth),
        Value::Int(number) => Stored::Int(*number),
        Value::Float(number) => Stored::Float(*number),
        Value::Numeric(number) => Stored::Numeric(number.serialize()),
        Value::Text(text) => Stored::Text(text.clone()),
        Value::Uuid(uuid) => Stored::Uuid(uuid.into_bytes()),
        Value::Timestamp(micros) => Stored::Timestamp(*micros),
        Value::Date(days) => Stored::Date(*days),
        Value::Json(text) => Stored::Json(text.clone()),
        Value::TextArray(elements) => Stored::TextArray(elements.clone()),
        Value::UuidArray(elements) => {
            Stored::UuidArray(elements.iter().map(|element| element.map(Uuid::into_bytes)).collect())
        }
    }
}

fn from_stored(stored: Stored, blobs: &BlobStore) -> Result<Value, StoreError> {
    Ok(match stored {
        Stored::Null => Value::Null,
        Stored::Bool(truth) => Value::Bool(truth),
        Stored::Int(number) => Value::Int(number),
        Stored::Float(number) => Value::Float(number),
        Stored::Numeric(bytes) => Value::Numeric(Decimal::deserialize(bytes)),
        Stored::Text(text) => Value::Text(text),
        Stored::Uuid(bytes) => Value::Uuid(Uuid::from_bytes(bytes)),
        Stored::Timestamp(micros) => Value::Timestamp(micros),
        Stored::Date(days) => Value::Date(days),
        Stored::Json(text) => Value::Json(text),
        Stored::TextArray(elements) => Value::TextArray(elements),
        Stored::UuidArray(elements) => {
            Value::UuidArray(elements.into_iter().map(|element| element.map(Uuid::from_bytes)).collect())
        }
        Stored::Spilled { is_json, hash } => {
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
    let mut stored: Vec<(u16, Stored)> = row
        .iter()
        .enumerate()
        .filter(|(_, value)| !value.is_null())
        .map(|(position, value)| (ids.columns[position].id, to_stored(value)))
        .collect();
    let spilled =
        spill(&mut stored, |column, text| known(column).unwrap_or_else(|| blobs.put_off(text.as_bytes())));
    let body = bincode::encode_to_vec(&stored, config())
        .map_err(|error| StoreError::Corrupt(format!("a row cannot be encoded: {error}")))?;
    if body.len() > DECODE_LIMIT / 2 {
        return Err(StoreError::Limit { what: "row size in bytes", max: (DECODE_LIMIT / 2) as u64 });
    }
    let mut bytes = Vec::with_capacity(body.len() + 6);
    bytes.extend_from_slice(&ids.version.to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(Encoded { bytes, spilled })
}

fn spill(stored: &mut [(u16, Stored)], keep: impl Fn(u16, &str) -> BlobHash) -> Vec<BlobHash> {
    let size = |value: &Stored| match value {
        Stored::Text(text) | Stored::Json(text) => text.len(),
        Stored::TextArray(elements) => elements.iter().flatten().map(String::len).sum(),
        _ => 16,
    };
    let mut total: usize = stored.iter().map(|(_, value)| size(value)).sum();
    let mut spilled = Vec::new();
    while total > ROW_BYTES_MAX {
        let largest = stored
            .iter_mut()
            .filter(|(_, value)| {
                matches!(value, Stored::Text(_) | Stored::Json(_)) && size(value) >= SPILL_BYTES_MIN
            })
            .max_by_key(|(_, value)| size(value));
        let Some((column, largest)) = largest else { break };
        let (is_json, hash) = match largest {
            Stored::Json(text) => (true, keep(*column, text)),
            Stored::Text(text) => (false, keep(*column, text)),
            _ => break,
        };
        total -= size(largest);
        *largest = Stored::Spilled { is_json, hash: hash.0 };
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
    let (version, stored) = read(bytes, table)?;
    let mut row = table.empty_row();
    for (position, column) in ids.columns.iter().enumerate() {
        // A column added after this row was written shows its constant default, as in PostgreSQL.
        if column.added_in > version
            && let Some(constant) = table.defaults[position].as_ref().and_then(|default| default.constant())
        {
            row[position] = constant.clone();
        }
    }
    for (id, value) in stored {
        if let Some(position) = ids.position(id) {
            row[position] = from_stored(value, blobs)?;
        }
    }
    Ok(row)
}

/// The blobs that a stored row was spilled to, each with the number of its column.
pub(crate) fn spilled(bytes: &[u8], table: &TableInfo) -> Result<Vec<(u16, BlobHash)>, StoreError> {
    let (_, stored) = read(bytes, table)?;
    let hash = |(column, value): &(u16, Stored)| match value {
        Stored::Spilled { hash, .. } => Some((*column, BlobHash(*hash))),
        _ => None,
    };
    Ok(stored.iter().filter_map(hash).collect())
}

fn read(bytes: &[u8], table: &TableInfo) -> Result<(u16, Vec<(u16, Stored)>), StoreError> {
    let damaged = |what: &str| StoreError::Corrupt(format!("a row of {}: {what}", table.name()));
    let (version, rest) = bytes.split_first_chunk::<2>().ok_or_else(|| damaged("too short"))?;
    let (checksum, body) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("too short"))?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
        return Err(damaged("checksum differs"));
    }
    let (stored, read): (Vec<(u16, Stored)>, usize) =
        bincode::decode_from_slice(body, config()).map_err(|error| damaged(&error.to_string()))?;
    if read != body.len() {
        return Err(damaged("bytes left over"));
    }
    Ok((u16::from_be_bytes(*version), stored))
}

/// Whether arbitrary bytes are a row; for fuzzing, must never panic.
pub fn decodes(bytes: &[u8]) -> bool {
    let table = models::schema().known("characters");
    // With a right checksum the fuzzer reaches the decoder behind it.
    let mut framed = vec![0, 1];
    framed.extend_from_slice(&crc32c::crc32c(bytes).to_be_bytes());
    framed.extend_from_slice(bytes);
    read(&framed, table).is_ok() || read(bytes, table).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            decodes(&bytes);
        }
    }

    #[test]
    fn a_hostile_length_is_refused() {
        let mut body = vec![0xfd];
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(!decodes(&body));
    }
}
