//! A decision in progress: reads see its own writes, and all of them land together or not at all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use models::{Claims, Command, Row, TableId, TableInfo, Value};

use crate::blob::BlobHash;
use crate::commit::Change;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::guard::{self, Caller};
use crate::read::Reads;
use crate::source::{Origin, Overlay, Source};
use crate::{Inner, codec, constraint, keys, row_bytes};

/// Rows one transaction may change, cascades included.
const CHANGES_MAX: usize = 200_000;

/// What is about to happen to a row, or just happened.
pub struct Event<'e> {
    /// The table.
    pub table: &'e TableInfo,
    /// Insert, update or delete.
    pub command: Command,
    /// The row before.
    pub old: Option<&'e Row>,
    /// Who does it; cascades and triggers act as the service.
    pub claims: &'e Claims,
}

/// Behaviour that belongs to rows rather than to messages; `actors` provides it.
pub trait Triggers: Send + Sync {
    /// May change the new row or refuse. `new` is absent for a delete.
    fn before(
        &self,
        transaction: &Transaction,
        event: &Event,
        new: Option<&mut Row>,
    ) -> Result<(), StoreError>;

    /// May refuse a row that the policies and checks admit, before unique keys tell what else there is.
    fn admitted(&self, transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError>;

    /// May write more rows.
    fn after(&self, transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError>;
}

/// A decision in progress. Writes are serialised: what it reads stays true until it commits.
pub struct Transaction<'s> {
    pub(crate) inner: &'s Inner,
    pub(crate) overlay: Overlay,
    pub(crate) changes: RefCell<Vec<Change>>,
    pub(crate) constraints: RefCell<constraint::Deferred>,
    /// What it changes about the rows of each table.
    pub(crate) digests: RefCell<BTreeMap<TableId, Digest>>,
    /// By how many bytes it makes the rows and index entries of each table more.
    pub(crate) grown: RefCell<BTreeMap<TableId, i64>>,
    /// While set, references that would forbid a deletion are given up instead.
    pub(crate) purging: Cell<bool>,
    /// Set when the decision is only tried.
    pub(crate) undone: Cell<bool>,
    /// On whose behalf; checks take the claims given to each write.
    pub claims: &'s Claims,
}

impl<'s> Transaction<'s> {
    /// Reads that see this transaction's writes.
    pub fn reads(&self) -> Reads<'_> {
        Reads {
            ids: &self.inner.ids,
            blobs: &self.inner.blobs,
            texts: &self.inner.texts,
            counts: None,
            source: Origin::Overlay(&self.overlay),
            removed: None,
        }
    }

    /// Reads what was there before this transaction.
    pub fn reads_before(&self) -> Reads<'_> {
        Reads {
            ids: &self.inner.ids,
            blobs: &self.inner.blobs,
            texts: &self.inner.texts,
            counts: None,
            source: Origin::Base(&self.overlay.base),
            removed: None,
        }
    }

    /// What it has changed so far, in the order in which it happened.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.borrow().clone()
    }

    /// Adds a row and returns it as stored.
    pub fn insert(&self, caller: &Caller, table: &TableInfo, mut row: Row) -> Result<Row, StoreError> {
        self.limit()?;
        self.guard_columns(caller, table, None, &mut row)?;
        let event = Event { table, command: Command::Insert, old: None, claims: caller.claims };
        self.before(&event, Some(&mut row))?;
        if !guard::allows(&self.reads(), caller, table, Command::Insert, &row)? {
            return Err(StoreError::Policy { table: table.table.name.into(), command: Command::Insert });
        }
        constraint::check_row(table, &row)?;
        self.admitted(&event, &row)?;
        let primary_key = keys::primary_key(table, &row);
        constraint::check_unique(&self.reads(), table, &row, None)?;
        self.write_row(table, None, &row, &primary_key)?;
        self.constraints.borrow_mut().refers(table, None, &row);
        self.record(table, Command::Insert, None, Some(&row));
        self.after(&event, Some(&row))?;
        Ok(row)
    }

    /// Replaces a row and returns it as stored.
    pub fn update(
        &self,
        caller: &Caller,
        table: &TableInfo,
        old: &Row,
        mut row: Row,
    ) -> Result<Row, StoreError> {
        self.limit()?;
        self.guard_columns(caller, table, Some(old), &mut row)?;
        let event = Event { table, command: Command::Update, old: Some(old), claims: caller.claims };
        self.before(&event, Some(&mut row))?;
        for version in [old, &row] {
            if !guard::allows(&self.reads(), caller, table, Command::Update, version)? {
                return Err(StoreError::Policy { table: table.table.name.into(), command: Command::Update });
            }
        }
        constraint::check_row(table, &row)?;
        self.admitted(&event, &row)?;
        let (old_key, new_key) = (keys::primary_key(table, old), keys::primary_key(table, &row));
        constraint::check_unique(&self.reads(), table, &row, Some((old, &old_key)))?;
        if old_key == new_key {
            self.write_row(table, Some(old), &row, &new_key)?;
        } else {
            self.remove_row(table, old, &old_key)?;
            self.write_row(table, None, &row, &new_key)?;
        }
        self.constraints.borrow_mut().refers(table, Some(old), &row);
        self.constraints.borrow_mut().key_changed(table, old, &row);
        self.record(table, Command::Update, Some(old), Some(&row));
        self.after(&event, Some(&row))?;
        Ok(row)
    }

    /// Removes a row, and what cascades from it.
    pub fn delete(&self, caller: &Caller, table: &TableInfo, row: &Row) -> Result<(), StoreError> {
        self.limit()?;
        let event = Event { table, command: Command::Delete, old: Some(row), claims: caller.claims };
        self.before(&event, None)?;
        if !guard::allows(&self.reads(), caller, table, Command::Delete, row)? {
            return Err(StoreError::Policy { table: table.table.name.into(), command: Command::Delete });
        }
        self.remove_row(table, row, &keys::primary_key(table, row))?;
        self.record(table, Command::Delete, Some(row), None);
        constraint::cascade(self, table, row)?;
        self.after(&event, None)
    }

    /// Removes a row although others refer to it without a rule for that: their reference becomes NULL, or they go
    /// too where it cannot be NULL.
    pub fn purge(&self, caller: &Caller, table: &TableInfo, row: &Row) -> Result<(), StoreError> {
        let before = self.purging.replace(true);
        let result = self.delete(caller, table, row);
        self.purging.set(before);
        result
    }

    /// The row that conflicts with `row` on exactly these columns, for an upsert; an error when no unique key has
    /// them.
    pub fn conflicting(
        &self,
        table: &TableInfo,
        columns: &[usize],
        row: &Row,
    ) -> Result<Option<Row>, StoreError> {
        let same =
            |key: &[usize]| key.len() == columns.len() && key.iter().all(|column| columns.contains(column));
        if same(&table.primary_key) {
            return self.reads().get_encoded(table, &keys::primary_key(table, row));
        }
        for (position, index) in table.indexes.iter().enumerate() {
            let key: Vec<usize> = index.parts.iter().map(|part| part.column).collect();
            if index.unique && index.filter.is_none() && same(&key) {
                return match self.reads().holder(table, position, row)? {
                    None => Ok(None),
                    Some(primary_key) => self.reads().get_encoded(table, &primary_key),
                };
            }
        }
        Err(StoreError::raised(
            "42P10",
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        ))
    }

    /// Lets every check run and the decision answer, and then writes nothing.
    pub fn roll_back(&self) {
        self.undone.set(true);
    }

    /// Whether a blob is there. It stays while the transaction lasts, and from then on if the transaction names it.
    pub fn has_blob(&self, hash: &BlobHash) -> bool {
        self.inner.blobs.exists(hash)
    }

    /// Has a reference of a row judged as if the row it names did not exist, at the end and like a missing one.
    pub fn hide_reference(&self, table: &TableInfo, column: usize, value: &Value) {
        self.constraints.borrow_mut().hidden(table, column, value.clone());
    }

    /// Whether anything was written.
    pub fn is_empty(&self) -> bool {
        self.overlay.pending.borrow().is_empty()
    }

    /// A callers' own value of a guarded column is ignored on insert and refused on update.
    fn guard_columns(
        &self,
        caller: &Caller,
        table: &TableInfo,
        old: Option<&Row>,
        row: &mut Row,
    ) -> Result<(), StoreError> {
        for (columns, rule) in &table.guarded {
            let changed = |column: &&usize| old.is_none_or(|old| old[**column] != row[**column]);
            let Some(first) = columns.iter().find(changed) else { continue };
            if guard::admits(&self.reads(), caller, table, rule)? {
                continue;
            }
            if old.is_some() {
                let column = table.table.columns[*first].name.to_string();
                return Err(StoreError::GuardedColumn { table: table.table.name.into(), column });
            }
            let defaults = table.default_row();
            for column in columns {
                row[*column] = defaults[*column].clone();
            }
        }
        Ok(())
    }

    fn limit(&self) -> Result<(), StoreError> {
        if self.changes.borrow().len() < CHANGES_MAX {
            return Ok(());
        }
        Err(StoreError::Limit { what: "number of rows changed in one transaction", max: CHANGES_MAX as u64 })
    }

    fn before(&self, event: &Event, new: Option<&mut Row>) -> Result<(), StoreError> {
        match self.inner.triggers.get() {
            Some(triggers) => triggers.before(self, event, new),
            None => Ok(()),
        }
    }

    fn admitted(&self, event: &Event, new: &Row) -> Result<(), StoreError> {
        match self.inner.triggers.get() {
            Some(triggers) => triggers.admitted(self, event, new),
            None => Ok(()),
        }
    }

    fn after(&self, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
        match self.inner.triggers.get() {
            Some(triggers) => triggers.after(self, event, new),
            None => Ok(()),
        }
    }

    fn record(&self, table: &TableInfo, command: Command, old: Option<&Row>, new: Option<&Row>) {
        let share = |row: Option<&Row>| row.cloned().map(Arc::new);
        self.changes.borrow_mut().push(Change { table: table.id, command, old: share(old), new: share(new) });
    }

    /// Writes a row and the difference of its index entries.
    fn write_row(
        &self,
        table: &TableInfo,
        old: Option<&Row>,
        row: &Row,
        key: &[u8],
    ) -> Result<(), StoreError> {
        let ids = &self.inner.ids[table.id];
        let stored_key = keys::row(ids, key);
        let stored = match old {
            Some(_) => self.overlay.get(&stored_key)?,
            None => None,
        };
        let spilled = stored.as_deref().map_or(Ok(Vec::new()), |bytes| codec::spilled(bytes, table))?;
        let known = |column: u16| {
            let position = ids.position(column)?;
            let is_same = old.is_some_and(|old| old[position] == row[position]);
            spilled.iter().find(|(other, _)| is_same && *other == column).map(|(_, hash)| *hash)
        };
        let encoded = codec::encode(row, ids, &self.inner.blobs, known)?;
        let mut uses = named_blobs(table, row);
        uses.extend(&encoded.spilled);
        if let Some(old) = old {
            let mut before = named_blobs(table, old);
            before.extend(spilled.iter().map(|(_, hash)| *hash));
            for hash in before.into_iter().filter(|hash| !uses.contains(hash)) {
                self.overlay.remove(keys::blob_use(&hash, ids, key));
            }
        }
        for hash in uses {
            self.overlay.put(keys::blob_use(&hash, ids, key), Vec::new());
        }
        self.count(table, &stored_key, stored.as_deref(), Some(&encoded.bytes));
        self.overlay.put(stored_key, encoded.bytes);
        for (position, index) in table.indexes.iter().enumerate() {
            if old.is_some_and(|old| keys::same_fields(index, old, row)) {
                continue;
            }
            let new_fields = keys::index_fields(table, index, row);
            let old_fields = old.map_or_else(Vec::new, |old| keys::index_fields(table, index, old));
            // A row may have very many words; all lists are in their order.
            let has = |list: &[Vec<u8>], fields: &Vec<u8>| list.binary_search(fields).is_ok();
            for fields in old_fields.iter().filter(|fields| !has(&new_fields, fields)) {
                self.remove_entry(table, keys::index_entry(ids, position, fields, key));
            }
            for fields in new_fields.iter().filter(|fields| !has(&old_fields, fields)) {
                let (entry, value) = (keys::index_entry(ids, position, fields, key), keys::index_value(key));
                self.grow(table, (entry.len() + value.len()) as i64);
                self.overlay.put(entry, value);
            }
        }
        Ok(())
    }

    /// Writes a row of the older form as rows are written now; false where it is not of that form. Its values, its index
    /// entries and what its columns say of blobs stay as they are.
    pub(crate) fn renew_row(&self, table: &TableInfo, key: &[u8]) -> Result<bool, StoreError> {
        let Some(bytes) = self.overlay.get(key)?.filter(|bytes| !row_bytes::is_current(bytes)) else {
            return Ok(false);
        };
        let renewed = row_bytes::renewed(&bytes).map_err(|damaged| damaged.of(&table.name()))?;
        self.count(table, key, Some(&bytes), Some(&renewed));
        self.overlay.put(key, renewed);
        Ok(true)
    }

    /// Takes note of a row as it is stored and as it is going to be.
    fn count(&self, table: &TableInfo, key: &[u8], before: Option<&[u8]>, after: Option<&[u8]>) {
        let mut digests = self.digests.borrow_mut();
        let digest = digests.entry(table.id).or_default();
        before.into_iter().for_each(|bytes| digest.remove(key, bytes));
        after.into_iter().for_each(|bytes| digest.add(key, bytes));
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| (key.len() + bytes.len()) as i64);
        self.grow(table, len(after) - len(before));
    }

    fn grow(&self, table: &TableInfo, bytes: i64) {
        *self.grown.borrow_mut().entry(table.id).or_default() += bytes;
    }

    fn remove_entry(&self, table: &TableInfo, entry: Vec<u8>) {
        self.grow(table, -((entry.len() + keys::INDEX_VALUE_BYTES) as i64));
        self.overlay.remove(entry);
    }

    fn remove_row(&self, table: &TableInfo, row: &Row, key: &[u8]) -> Result<(), StoreError> {
        let ids = &self.inner.ids[table.id];
        let stored_key = keys::row(ids, key);
        let stored = self.overlay.get(&stored_key)?;
        let mut uses = named_blobs(table, row);
        if let Some(bytes) = &stored {
            uses.extend(codec::spilled(bytes, table)?.into_iter().map(|(_, hash)| hash));
        }
        for hash in uses {
            self.overlay.remove(keys::blob_use(&hash, ids, key));
        }
        for (position, index) in table.indexes.iter().enumerate() {
            for fields in keys::index_fields(table, index, row) {
                self.remove_entry(table, keys::index_entry(ids, position, &fields, key));
            }
        }
        self.count(table, &stored_key, stored.as_deref(), None);
        self.overlay.remove(stored_key);
        Ok(())
    }
}

pub(crate) fn named_blobs(table: &TableInfo, row: &Row) -> Vec<BlobHash> {
    let hash = |column: &usize| match &row[*column] {
        Value::Text(text) => BlobHash::parse(text),
        _ => None,
    };
    table.blob_columns.iter().filter_map(hash).collect()
}
