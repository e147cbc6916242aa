//! Reading rows, from the store as it is or inside a transaction.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use models::schema::IndexInfo;
use models::table::IndexKind;
use models::{Command, Row, TableId, TableInfo, Value};

use crate::blob::BlobStore;
use crate::catalog::TableIds;
use crate::codec::{Columns, StoredRow};
use crate::commit::Commit;
use crate::counts::Counts;
use crate::error::StoreError;
use crate::row_texts::RowTexts;
use crate::source::{Origin, Source};
use crate::{codec, encode, keys};

/// A view to read from.
pub struct Reads<'a> {
    pub(crate) ids: &'a [TableIds],
    pub(crate) blobs: &'a BlobStore,
    /// The JSON of rows that are asked for often.
    pub(crate) texts: &'a RowTexts,
    /// How many entries ranges have; absent in a transaction, which sees more than the engine has.
    pub(crate) counts: Option<&'a Counts>,
    pub(crate) source: Origin<'a>,
    /// Rows that count as if they were still there.
    pub(crate) removed: Option<&'a Removed>,
}

/// The rows that a commit removed, by their keys: the policy of a row that went along with its parent asks for that
/// parent.
#[derive(Debug)]
pub struct Removed {
    commit: Arc<Commit>,
    /// Where each stands among the changes of the commit.
    positions: HashMap<(TableId, Vec<u8>), usize>,
}

impl Removed {
    /// Those of a commit.
    pub fn by(commit: &Arc<Commit>) -> Removed {
        let tables = &models::schema().tables;
        let changes = commit.changes.iter().enumerate();
        let removed = changes.filter(|(_, change)| change.command == Command::Delete);
        let positions = removed.filter_map(|(position, change)| {
            let row = change.old.as_ref()?;
            Some(((change.table, keys::primary_key(&tables[change.table], row)), position))
        });
        Removed { positions: positions.collect(), commit: commit.clone() }
    }

    fn get(&self, table: TableId, primary_key: &[u8]) -> Option<&Row> {
        let position = self.positions.get(&(table, primary_key.to_vec()))?;
        self.commit.changes.get(*position)?.old.as_deref()
    }
}

/// A row that a policy asks for.
pub(crate) enum Asked<'a> {
    /// It is there.
    Stored(StoredRow<'a>),
    /// It was there.
    Removed(&'a Row),
}

impl Columns for Asked<'_> {
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError> {
        match self {
            Asked::Stored(row) => row.value(position),
            Asked::Removed(row) => row.value(position),
        }
    }
}

impl<'a> Reads<'a> {
    /// The same, with what a commit removed.
    #[must_use]
    pub fn with(mut self, removed: &'a Removed) -> Reads<'a> {
        self.removed = Some(removed);
        self
    }

    /// The row with a primary key.
    pub fn get(&self, table: &TableInfo, primary_key: &[Value]) -> Result<Option<Row>, StoreError> {
        self.get_encoded(table, &keys::primary_key_of(primary_key))
    }

    /// Whether there is a row with a primary key.
    pub fn has(&self, table: &TableInfo, primary_key: &[Value]) -> Result<bool, StoreError> {
        let key = keys::row(&self.ids[table.id], &keys::primary_key_of(primary_key));
        Ok(self.source.get(&key)?.is_some())
    }

    /// Some columns of the row with a primary key, the others being NULL.
    pub fn get_columns(
        &self,
        table: &'a TableInfo,
        primary_key: &[Value],
        columns: &[usize],
    ) -> Result<Option<Row>, StoreError> {
        let row = self.stored(table, &keys::primary_key_of(primary_key))?;
        row.map(|row| row.some(columns)).transpose()
    }

    /// The row with a primary key, to be read column by column.
    pub(crate) fn stored(
        &self,
        table: &'a TableInfo,
        primary_key: &[u8],
    ) -> Result<Option<StoredRow<'a>>, StoreError> {
        let ids: &'a TableIds = &self.ids[table.id];
        let bytes = self.source.get(&keys::row(ids, primary_key))?;
        bytes.map(|bytes| StoredRow::new(bytes, table, ids, self.blobs)).transpose()
    }

    /// The same, or the one that was removed.
    pub(crate) fn asked(
        &self,
        table: &'a TableInfo,
        primary_key: &[u8],
    ) -> Result<Option<Asked<'a>>, StoreError> {
        if let Some(row) = self.stored(table, primary_key)? {
            return Ok(Some(Asked::Stored(row)));
        }
        let Some(removed) = self.removed else { return Ok(None) };
        Ok(removed.get(table.id, primary_key).map(Asked::Removed))
    }

    pub(crate) fn get_encoded(
        &self,
        table: &TableInfo,
        primary_key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        let ids = &self.ids[table.id];
        match self.source.get(&keys::row(ids, primary_key))? {
            None => Ok(None),
            Some(bytes) => codec::decode(&bytes, table, ids, self.blobs).map(Some),
        }
    }

    /// Primary keys of the entries of an index whose fields are exactly `fields`.
    pub(crate) fn entries(
        &self,
        table: &TableInfo,
        index: usize,
        fields: &[u8],
    ) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> + use<'_, 'a> {
        let ids = &self.ids[table.id];
        let mut from = keys::prefix(ids.id, ids.indexes[index]);
        from.extend_from_slice(fields);
        let to = encode::after_prefix(&from);
        self.source.range(from, to, false).map(|pair| {
            let (key, value) = pair?;
            let primary_key = keys::primary_key_in(&key, &value);
            primary_key
                .map(<[u8]>::to_vec)
                .ok_or_else(|| StoreError::Corrupt("an index entry has no key".into()))
        })
    }

    /// The row that already holds a unique key, if any; `None` too when the key does not bind this row.
    pub(crate) fn holder(
        &self,
        table: &TableInfo,
        position: usize,
        row: &Row,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let index = &table.indexes[position];
        if !binds(index, row) {
            return Ok(None);
        }
        let Some(fields) = keys::index_fields(table, index, row).pop() else { return Ok(None) };
        self.entries(table, position, &fields).next().transpose()
    }

    /// Rows of `table` whose `column` is `value`, through an index that begins with it.
    pub fn referring(&self, table: &TableInfo, column: usize, value: &Value) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        self.each_referring(table, column, value, &mut |row| {
            rows.push(row);
            true
        })?;
        Ok(rows)
    }

    /// Calls `visit` for such rows until it says false.
    pub(crate) fn each_referring(
        &self,
        table: &TableInfo,
        column: usize,
        value: &Value,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<(), StoreError> {
        let ids = &self.ids[table.id];
        let mut fields = Vec::new();
        if table.primary_key.first() == Some(&column) {
            encode::value(value, false, &mut fields);
            let from = keys::row(ids, &fields);
            let to = encode::after_prefix(&from);
            for pair in self.source.range(from, to, false) {
                let (_, bytes) = pair?;
                if !visit(codec::decode(&bytes, table, ids, self.blobs)?) {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let leading = |index: &IndexInfo| {
            index.kind == IndexKind::Btree
                && (index.filter.is_none() || (index.has_all_values() && !value.is_null()))
                && index.parts[0].column == column
        };
        let mut indexes = table.indexes.iter().enumerate();
        let Some((position, _)) =
            indexes.find(|(position, index)| ids.is_filled(*position) && leading(index))
        else {
            // There was no room for the index, or it leaves out what is NULL.
            let rows = keys::prefix(ids.id, 0);
            for pair in self.source.range(rows.clone(), encode::after_prefix(&rows), false) {
                let row = StoredRow::new(pair?.1, table, ids, self.blobs)?;
                if row.value(column)?.as_ref() == value && !visit(row.into_row()?) {
                    return Ok(());
                }
            }
            return Ok(());
        };
        encode::value(value, table.indexes[position].parts[0].descending, &mut fields);
        for primary_key in self.entries(table, position, &fields) {
            if let Some(row) = self.get_encoded(table, &primary_key?)?
                && !visit(row)
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a unique index constrains this row: it is indexed, and no NULL exempts it.
pub(crate) fn binds(index: &IndexInfo, row: &Row) -> bool {
    index.unique
        && index.filter.as_ref().is_none_or(|filter| filter.truth(row) == Some(true))
        && (index.nulls_equal
            || index.parts.iter().all(|part| part.null_as_empty || !row[part.column].is_null()))
}
