//! Numbers that the stored bytes use for tables, columns and indexes, given once and never reused.
//!
//! Declarations name things; this list, kept in the store itself, says which number each name got. So a table, a
//! column or an index is added by declaring it: the next open gives it a number and fills the index.

use std::collections::{BTreeMap, BTreeSet};

use models::{Schema, TableInfo};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The numbers of one table, by declared position.
#[derive(Debug)]
pub(crate) struct TableIds {
    pub id: u16,
    /// Grows with each added column.
    pub version: u16,
    pub columns: Vec<ColumnId>,
    pub indexes: Vec<u16>,
    positions: Vec<Option<u16>>,
    /// Positions of indexes for which there was no room: nothing is looked up in them.
    pub unfilled: BTreeSet<usize>,
}

/// The number of one column.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnId {
    pub id: u16,
    /// Rows of earlier table versions show the default.
    pub added_in: u16,
}

impl TableIds {
    /// The declared position of a column id; `None` for a column that is no longer declared.
    pub fn position(&self, id: u16) -> Option<usize> {
        self.positions.get(id as usize).copied().flatten().map(usize::from)
    }

    /// Whether an index has the entries of all rows.
    pub fn is_filled(&self, index: usize) -> bool {
        !self.unfilled.contains(&index)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Catalog {
    tables: BTreeMap<String, Entry>,
}

#[derive(Default, Serialize, Deserialize)]
struct Entry {
    id: u16,
    version: u16,
    columns: BTreeMap<String, ColumnId>,
    /// By fingerprint: an index whose definition changes is a new index.
    indexes: BTreeMap<String, u16>,
    next_index: u16,
    /// Those of them for which there was no room yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unfilled: BTreeSet<String>,
}

/// What an open has to do after numbering.
pub(crate) struct Numbered {
    pub tables: Vec<TableIds>,
    /// `(table, index position)` to fill from the rows.
    pub to_fill: Vec<(usize, usize)>,
    /// `(table id, index id)` whose entries are of no use any more.
    pub to_drop: Vec<(u16, u16)>,
    /// The catalog to write, when it changed.
    pub changed: Option<Vec<u8>>,
}

/// Numbers everything that `schema` declares.
///
/// `before` is the catalog as it is kept.
pub(crate) fn number(before: Option<&[u8]>, schema: &Schema) -> Result<Numbered, StoreError> {
    let mut catalog = before.map_or_else(|| Ok(Catalog::default()), parse)?;
    let mut numbered =
        Numbered { tables: Vec::new(), to_fill: Vec::new(), to_drop: Vec::new(), changed: None };
    for table in &schema.tables {
        number_table(table, &mut catalog, &mut numbered);
    }
    let after = to_bytes(&catalog)?;
    if before.is_none_or(|before| before != after.as_slice()) {
        numbered.changed = Some(after);
    }
    Ok(numbered)
}

fn parse(bytes: &[u8]) -> Result<Catalog, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("catalog: {error}")))
}

fn to_bytes(catalog: &Catalog) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(catalog).map_err(|error| StoreError::Corrupt(format!("catalog: {error}")))
}

/// The catalog of a store that has its rows and whose indexes are all to be filled.
pub(crate) fn without_indexes(catalog: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut catalog = parse(catalog)?;
    catalog.tables.values_mut().for_each(|entry| entry.indexes.clear());
    to_bytes(&catalog)
}

/// The catalog in which these indexes, by the name of their table and their fingerprint, are still to be filled.
pub(crate) fn with_unfilled(catalog: &[u8], unfilled: Vec<(String, String)>) -> Result<Vec<u8>, StoreError> {
    let mut catalog = parse(catalog)?;
    for (table, fingerprint) in unfilled {
        catalog.tables.entry(table).or_default().unfilled.insert(fingerprint);
    }
    to_bytes(&catalog)
}

fn number_table(table: &TableInfo, catalog: &mut Catalog, numbered: &mut Numbered) {
    let next_table = catalog.tables.values().map(|entry| entry.id).max().unwrap_or(0) + 1;
    let mut is_new = false;
    let entry = catalog.tables.entry(table.name()).or_insert_with(|| {
        is_new = true;
        Entry { id: next_table, version: 1, next_index: 1, ..Entry::default() }
    });
    if !is_new && table.table.columns.iter().any(|column| !entry.columns.contains_key(column.name)) {
        entry.version += 1;
    }
    let mut columns = Vec::new();
    for column in table.table.columns {
        let next = entry.columns.values().map(|column| column.id + 1).max().unwrap_or(0);
        let added_in = entry.version;
        columns
            .push(*entry.columns.entry(column.name.to_string()).or_insert(ColumnId { id: next, added_in }));
    }
    let mut indexes = Vec::new();
    let mut wanted = Vec::new();
    for (position, index) in table.indexes.iter().enumerate() {
        let fingerprint = index.fingerprint(table);
        let id = *entry.indexes.entry(fingerprint.clone()).or_insert_with(|| {
            numbered.to_fill.push((table.id, position));
            entry.next_index += 1;
            entry.next_index - 1
        });
        if entry.unfilled.remove(&fingerprint) {
            numbered.to_fill.push((table.id, position));
        }
        wanted.push(fingerprint);
        indexes.push(id);
    }
    entry.indexes.retain(|fingerprint, id| {
        let keep = wanted.contains(fingerprint);
        if !keep {
            numbered.to_drop.push((entry.id, *id));
        }
        keep
    });
    entry.unfilled.clear();
    let last = columns.iter().map(|column| column.id).max().unwrap_or(0);
    let mut positions = vec![None; last as usize + 1];
    for (position, column) in columns.iter().enumerate() {
        positions[column.id as usize] = Some(position as u16);
    }
    let unfilled = BTreeSet::new();
    numbered.tables.push(TableIds {
        id: entry.id,
        version: entry.version,
        columns,
        indexes,
        positions,
        unfilled,
    });
}
