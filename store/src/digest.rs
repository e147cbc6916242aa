//! How many rows a table has, and which: kept with each commit, so that rows which damage took away are missed.
//!
//! A row's own checksum says that it is as it was written, but not that it is there: a damaged place in the engine's log
//! takes all later changes of that segment with it, silently. So each commit writes, for the tables that it changed, the
//! number of their rows and the sum of a hash of each. A look at all rows of one moment (`snapshot.rs`) must find the same.

use models::{Schema, TableInfo};

use crate::catalog::TableIds;
use crate::error::StoreError;
use crate::keys;

/// The rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub rows: u64,
    /// Of their hashes, wrapping: it does not depend on an order, and a row is added or taken away in one step.
    pub sum: u64,
}

impl Digest {
    /// With one more row.
    pub fn add(&mut self, key: &[u8], bytes: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(key, bytes));
    }

    /// With one row less.
    pub fn remove(&mut self, key: &[u8], bytes: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(key, bytes));
    }

    /// With the changes of a transaction, which begins with no rows.
    pub fn plus(self, change: Digest) -> Digest {
        Digest { rows: self.rows.wrapping_add(change.rows), sum: self.sum.wrapping_add(change.sum) }
    }

    pub fn to_bytes(self) -> Vec<u8> {
        [self.rows.to_be_bytes(), self.sum.to_be_bytes()].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Digest, StoreError> {
        let number =
            |at: usize| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        match (number(0), number(8)) {
            (Some(rows), Some(sum)) if bytes.len() == 16 => Ok(Digest { rows, sum }),
            _ => Err(StoreError::Corrupt("the digest of a table".into())),
        }
    }
}

/// Two checksums, mixed (SplitMix64) so that sums of them tell sets of rows apart.
fn hash(key: &[u8], bytes: &[u8]) -> u64 {
    let mixed = u64::from(crc32c::crc32c(key)) << 32 | u64::from(crc32c::crc32c(bytes));
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The digests as they are noted, by position in the schema; `None` for a store of a version that noted none.
pub(crate) fn read(tree: &sled::Tree, tables: &[TableIds]) -> Result<Option<Vec<Digest>>, StoreError> {
    if tree.get(keys::DIGESTED)?.is_none() {
        return Ok(None);
    }
    let digest = |ids: &TableIds| match tree.get(keys::digest(ids.id))? {
        None => Ok(Digest::default()),
        Some(bytes) => Digest::from_bytes(&bytes),
    };
    tables.iter().map(digest).collect::<Result<_, StoreError>>().map(Some)
}

/// Notes the rows that are there as all that there are.
pub(crate) fn write(tree: &sled::Tree, tables: &[TableIds]) -> Result<Vec<Digest>, StoreError> {
    let mut digests = Vec::new();
    let mut batch = sled::Batch::default();
    for ids in tables {
        let mut digest = Digest::default();
        for pair in tree.scan_prefix(keys::prefix(ids.id, 0)) {
            let (key, bytes) = pair?;
            digest.add(&key, &bytes);
        }
        batch.insert(keys::digest(ids.id), digest.to_bytes());
        digests.push(digest);
    }
    batch.insert(keys::DIGESTED, &[1]);
    tree.apply_batch(batch)?;
    Ok(digests)
}

/// Counts the pairs of one moment and compares.
pub(crate) struct Audit<'i> {
    ids: &'i [TableIds],
    /// Positions of the tables by their numbers.
    positions: Vec<Option<usize>>,
    found: Vec<Digest>,
    noted: Vec<Digest>,
    is_noted: bool,
}

impl<'i> Audit<'i> {
    pub fn new(ids: &'i [TableIds]) -> Audit<'i> {
        let none = vec![Digest::default(); ids.len()];
        let mut positions = Vec::new();
        for (position, ids) in ids.iter().enumerate() {
            let number = usize::from(ids.id);
            if positions.len() <= number {
                positions.resize(number + 1, None);
            }
            positions[number] = Some(position);
        }
        Audit { ids, positions, found: none.clone(), noted: none, is_noted: false }
    }

    /// The position of the table with a number.
    pub fn table_of(&self, number: u16) -> Option<usize> {
        *self.positions.get(usize::from(number))?
    }

    /// Takes in what another one saw of the same moment.
    pub fn add(&mut self, other: &Audit) {
        for table in 0..self.ids.len() {
            self.found[table] = self.found[table].plus(other.found[table]);
            // One of the two saw what is noted.
            self.noted[table] = self.noted[table].plus(other.noted[table]);
        }
        self.is_noted |= other.is_noted;
    }

    /// Takes a pair in.
    pub fn see(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if let Some(table) = keys::table_of_row(key).and_then(|number| self.table_of(number)) {
            self.found[table].add(key, value);
        } else if let Some(table) = keys::table_of_digest(key).and_then(|number| self.table_of(number)) {
            self.noted[table] = Digest::from_bytes(value)?;
        } else {
            self.is_noted |= key == keys::DIGESTED;
        }
        Ok(())
    }

    /// Tables whose rows are not those that were committed, in words.
    pub fn differences(&self, schema: &Schema) -> Vec<String> {
        if !self.is_noted {
            return vec!["how many rows there were is not noted any more".into()];
        }
        let difference = |table: &TableInfo| difference(table, self.found[table.id], self.noted[table.id]);
        schema.tables.iter().filter_map(difference).collect()
    }
}

fn difference(table: &TableInfo, found: Digest, noted: Digest) -> Option<String> {
    let (found_rows, noted_rows) = (found.rows, noted.rows);
    if found == noted {
        None
    } else if found_rows < noted_rows {
        let missing = noted_rows - found_rows;
        Some(format!("{missing} of {noted_rows} rows of {} are missing", table.name()))
    } else if found_rows > noted_rows {
        let more = found_rows - noted_rows;
        Some(format!("{} has {more} rows more than the {noted_rows} that were committed", table.name()))
    } else {
        Some(format!("some of the {noted_rows} rows of {} are not as they were committed", table.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_sets_and_not_orders() {
        let mut one = Digest::default();
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        let mut other = Digest::default();
        other.add(b"b", b"2");
        other.add(b"c", b"3");
        other.add(b"a", b"1");
        assert_ne!(one, other);
        other.remove(b"c", b"3");
        assert_eq!(one, other);
        assert_eq!(Digest::from_bytes(&one.to_bytes()).expect("a digest"), one);
        let mut swapped = Digest::default();
        swapped.add(b"a", b"2");
        swapped.add(b"b", b"1");
        assert_ne!(one, swapped);
        let mut change = Digest::default();
        change.remove(b"a", b"1");
        change.add(b"a", b"3");
        let mut expected = Digest::default();
        expected.add(b"b", b"2");
        expected.add(b"a", b"3");
        assert_eq!(one.plus(change), expected);
    }
}
