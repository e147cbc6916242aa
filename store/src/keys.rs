//! Every key layout of the one tree.
//!
//! ```text
//! row          [table u16][0 u16][primary key]                 → row
//! index entry  [table u16][index u16][fields][primary key]     → length of the primary key, u16
//! blob in use  [fffe][hash 32][table u16][primary key]         → nothing
//! meta         [ffff][word]                                    → catalog, layout, commit counter
//! digest       [ffff]["rows"][table u16]                       → how many rows, and a sum of their hashes
//! ```
//!
//! One tree, so that one engine batch makes a commit atomic.

use models::schema::IndexInfo;
use models::table::IndexKind;
use models::{Row, TableInfo, Value};

use crate::blob::BlobHash;
use crate::catalog::TableIds;
use crate::{encode, words};

const BLOB_TABLE: [u8; 2] = [0xff, 0xfe];
/// Where the catalog lies.
pub(crate) const CATALOG: &[u8] = b"\xff\xffcatalog";
/// Where the number of the key layout lies.
pub(crate) const LAYOUT: &[u8] = b"\xff\xfflayout";
/// Raised when keys or rows are written differently.
pub(crate) const LAYOUT_NUMBER: u8 = 3;
/// The same keys, with rows that are read whole.
pub(crate) const LAYOUT_OF_WHOLE_ROWS: u8 = 2;
/// There once no row has the form of that layout any more.
pub(crate) const RENEWED: &[u8] = b"\xff\xffrenewed";
/// Where the number of the last commit lies.
pub(crate) const COUNTER: &[u8] = b"\xff\xffcounter";
/// There once every table has its digest.
pub(crate) const DIGESTED: &[u8] = b"\xff\xffdigested";
const DIGEST: &[u8] = b"\xff\xffrows";

/// Bytes of a primary key.
pub(crate) fn primary_key(table: &TableInfo, row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20);
    put_primary_key(table, row, &mut bytes);
    bytes
}

/// Appends the bytes of a primary key.
pub(crate) fn put_primary_key(table: &TableInfo, row: &Row, bytes: &mut Vec<u8>) {
    for column in &table.primary_key {
        encode::value(&row[*column], false, bytes);
    }
}

/// The primary key of a row that lies here.
pub(crate) fn primary_key_of_row(key: &[u8]) -> Option<&[u8]> {
    table_of_row(key).and_then(|_| key.get(4..))
}

/// Makes in `key` where the row of a table lies whose primary key is this value.
pub(crate) fn put_row_of(ids: &TableIds, value: &Value, key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(&ids.id.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
    encode::value(value, false, key);
}

/// Bytes of a primary key given by its values.
pub(crate) fn primary_key_of(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20);
    for value in values {
        encode::value(value, false, &mut bytes);
    }
    bytes
}

/// Where a row lies.
pub(crate) fn row(ids: &TableIds, primary_key: &[u8]) -> Vec<u8> {
    let mut key = prefix(ids.id, 0);
    key.extend_from_slice(primary_key);
    key
}

/// Where the digest of a table lies.
pub(crate) fn digest(table: u16) -> Vec<u8> {
    [DIGEST, &table.to_be_bytes()].concat()
}

/// The table whose digest lies here.
pub(crate) fn table_of_digest(key: &[u8]) -> Option<u16> {
    key.strip_prefix(DIGEST)?.try_into().ok().map(u16::from_be_bytes)
}

/// The table, and the index or 0, of a row or index entry that lies here.
pub(crate) fn table_and_index(key: &[u8]) -> Option<(u16, u16)> {
    let (table, rest) = key.split_first_chunk::<2>()?;
    let index = rest.first_chunk::<2>()?;
    (*table < BLOB_TABLE).then(|| (u16::from_be_bytes(*table), u16::from_be_bytes(*index)))
}

/// The table of a row that lies here.
pub(crate) fn table_of_row(key: &[u8]) -> Option<u16> {
    let (table, rest) = key.split_first_chunk::<2>()?;
    (*table < BLOB_TABLE && rest.starts_with(&[0, 0])).then(|| u16::from_be_bytes(*table))
}

/// What all rows (`index` 0) or all entries of an index begin with.
pub(crate) fn prefix(table: u16, index: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&table.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// Whether two versions of a row surely have the same fields in an index.
pub(crate) fn same_fields(index: &IndexInfo, old: &Row, new: &Row) -> bool {
    index.has_all_values() && index.parts.iter().all(|part| old[part.column] == new[part.column])
}

/// The fields of a row in an index, without the primary key: one per entry, in their order; none when the row is not
/// indexed.
pub(crate) fn index_fields(table: &TableInfo, index: &IndexInfo, row: &Row) -> Vec<Vec<u8>> {
    debug_assert!(!table.primary_key.is_empty());
    if !is_indexed(index, row) {
        return Vec::new();
    }
    match index.kind {
        IndexKind::Gin => return distinct_elements(index, row),
        IndexKind::Words => return words::fields(index, row),
        IndexKind::Btree => {}
    }
    let mut bytes = Vec::with_capacity(40);
    put_fields(index, row, &mut bytes);
    vec![bytes]
}

fn is_indexed(index: &IndexInfo, row: &Row) -> bool {
    index.filter.as_ref().is_none_or(|filter| filter.truth(row) == Some(true))
}

fn distinct_elements(index: &IndexInfo, row: &Row) -> Vec<Vec<u8>> {
    let mut fields = elements(&row[index.parts[0].column]);
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn put_fields(index: &IndexInfo, row: &Row, bytes: &mut Vec<u8>) {
    for part in &index.parts {
        let value = &row[part.column];
        if value.is_null() && part.null_as_empty {
            encode::value(&Value::text(""), part.descending, bytes);
        } else {
            encode::value(value, part.descending, bytes);
        }
    }
}

/// Calls `visit` with every whole entry of a row in an index, which is made in `buffer`.
pub(crate) fn each_entry(
    (ids, position): (&TableIds, usize),
    index: &IndexInfo,
    row: &Row,
    primary_key: &[u8],
    buffer: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8]),
) {
    if !is_indexed(index, row) {
        return;
    }
    let mut put = |fields: &dyn Fn(&mut Vec<u8>)| {
        buffer.clear();
        buffer.extend_from_slice(&ids.id.to_be_bytes());
        buffer.extend_from_slice(&ids.indexes[position].to_be_bytes());
        fields(buffer);
        buffer.extend_from_slice(primary_key);
        visit(buffer);
    };
    let several = match index.kind {
        IndexKind::Btree => return put(&|bytes| put_fields(index, row, bytes)),
        IndexKind::Gin => distinct_elements(index, row),
        IndexKind::Words => words::fields(index, row),
    };
    for fields in several {
        put(&|bytes| bytes.extend_from_slice(&fields));
    }
}

/// One field per array element, or per top-level member of a JSON object that is not itself nested.
pub(crate) fn elements(value: &Value) -> Vec<Vec<u8>> {
    let field = |value: &Value| {
        let mut bytes = Vec::new();
        encode::value(value, false, &mut bytes);
        bytes
    };
    match value {
        Value::TextArray(elements) => {
            elements.iter().flatten().map(|text| field(&Value::text(text))).collect()
        }
        Value::UuidArray(elements) => {
            elements.iter().flatten().map(|uuid| field(&Value::Uuid(*uuid))).collect()
        }
        Value::Json(_) => match value.as_json() {
            Some(serde_json::Value::Object(members)) => members
                .iter()
                .filter(|(_, member)| !member.is_object() && !member.is_array())
                .map(|(key, member)| field(&Value::Text(format!("{key}\u{0}{}", canonical(member)))))
                .collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The same text for all JSON values that are equal; a number's is read off its nearest float, which neighbours share.
fn canonical(member: &serde_json::Value) -> String {
    match member {
        serde_json::Value::Number(number) => format!("{:e}", models::json::nearest_float(number)),
        other => other.to_string(),
    }
}

/// A whole index entry.
pub(crate) fn index_entry(ids: &TableIds, index: usize, fields: &[u8], primary_key: &[u8]) -> Vec<u8> {
    let mut key = prefix(ids.id, ids.indexes[index]);
    key.extend_from_slice(fields);
    key.extend_from_slice(primary_key);
    key
}

/// Bytes of the value of an index entry.
pub(crate) const INDEX_VALUE_BYTES: usize = 2;

/// The value of an index entry: where its primary key begins, counted from the end.
pub(crate) fn index_value(primary_key: &[u8]) -> Vec<u8> {
    (primary_key.len() as u16).to_be_bytes().to_vec()
}

/// The primary key at the end of an index entry.
pub(crate) fn primary_key_in<'a>(entry: &'a [u8], value: &[u8]) -> Option<&'a [u8]> {
    let len = u16::from_be_bytes(value.try_into().ok()?) as usize;
    entry.get(entry.len().checked_sub(len)?..)
}

/// Notes that a row names a blob.
pub(crate) fn blob_use(hash: &BlobHash, ids: &TableIds, primary_key: &[u8]) -> Vec<u8> {
    let mut key = blob_uses(hash);
    key.extend_from_slice(&ids.id.to_be_bytes());
    key.extend_from_slice(primary_key);
    key
}

/// What all uses of a blob begin with.
pub(crate) fn blob_uses(hash: &BlobHash) -> Vec<u8> {
    let mut key = BLOB_TABLE.to_vec();
    key.extend_from_slice(&hash.0);
    key
}

/// What all uses of all blobs begin with.
pub(crate) fn all_blob_uses() -> Vec<u8> {
    BLOB_TABLE.to_vec()
}

/// The blob of a use.
pub(crate) fn blob_of_use(key: &[u8]) -> Option<BlobHash> {
    key.get(2..34).and_then(|bytes| bytes.try_into().ok()).map(BlobHash)
}

/// The blob, the table and the primary key of a use.
pub(crate) fn parts_of_use(key: &[u8]) -> Option<(BlobHash, u16, &[u8])> {
    let (table, primary_key) = key.get(34..)?.split_first_chunk()?;
    Some((blob_of_use(key)?, u16::from_be_bytes(*table), primary_key))
}
