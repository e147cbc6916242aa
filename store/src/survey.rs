//! One look at every pair of one moment, on several threads.
//!
//! What belongs together is compared by counts and sums: the index entries that the rows ask for against those that are
//! there, the uses of blobs likewise, and the rows against what was committed. Only where these differ, or a row is
//! suspect by itself, is it worth asking which (`check.rs`).

use std::collections::{BTreeSet, HashSet};

use crossbeam::channel::{Receiver, bounded};
use models::{Row, TableInfo, schema};

use crate::digest::{Audit, Digest};
use crate::error::StoreError;
use crate::progress::{Pairs, Progress, Step};
use crate::snapshot::Snapshot;
use crate::source::Pair;
use crate::transaction::named_blobs;
use crate::{Store, codec, keys};

/// Steps of pairs that wait for a thread.
const STEPS_WAITING: usize = 8;
/// References that a thread remembers to be good.
const REMEMBERED_MAX: usize = 100_000;

/// What is asked of a row of each table: whether a column is part of a key, an index, a reference or the name of a blob.
type Asked = Vec<Vec<bool>>;
/// Entries by the position of their table and their index.
type Entries = Vec<Vec<Digest>>;

/// What was seen.
pub(crate) struct Survey {
    /// Rows and index entries.
    pub rows: u64,
    pub entries: u64,
    /// Rows that are not what was committed, in words.
    pub lost: Vec<String>,
    /// Rows that are suspect by themselves: where they lie.
    pub suspects: Vec<(usize, Vec<u8>)>,
    /// Indexes that do not fit their rows, by table and position.
    pub indexes: BTreeSet<(usize, usize)>,
    /// Whether the noted uses of blobs fit what the rows name.
    pub uses_fit: bool,
}

/// What one thread saw.
struct Part<'i> {
    audit: Audit<'i>,
    rows: u64,
    entries: u64,
    bytes: Vec<u64>,
    suspects: Vec<(usize, Vec<u8>)>,
    asked_for: Entries,
    found: Entries,
    uses_asked_for: Digest,
    uses_found: Digest,
    good: HashSet<Vec<u8>>,
    /// Columns of the row that was looked at last, of each table.
    rows_of: Vec<Row>,
    primary_key: Vec<u8>,
    /// A key in the making.
    key: Vec<u8>,
}

impl Store {
    /// Looks at everything, on so many threads beside this one.
    pub(crate) fn survey(
        &self,
        threads: usize,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Survey, StoreError> {
        let snapshot = Snapshot::begin(&self.inner.core)?;
        let asked: Asked = schema().tables.iter().map(asked).collect();
        let mut pairs = Pairs::new(Step::Look, self.inner.core.pairs_expected()?, report);
        let (sender, receiver) = bounded::<Vec<Pair>>(STEPS_WAITING);
        let parts = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1))
                .map(|_| {
                    let (receiver, asked) = (receiver.clone(), &asked);
                    scope.spawn(move || self.look_at(&receiver, asked))
                })
                .collect();
            drop(receiver);
            // A thread that gave up hears no more; its error comes with its end.
            let read = snapshot.each_step(&mut |step| {
                step.iter().for_each(|(key, value)| pairs.add(key, value));
                let _ = sender.send(step);
                Ok(())
            });
            drop(sender);
            let ended = workers.into_iter().map(|worker| {
                let stopped = || StoreError::Corrupt("looking the store over was broken off".into());
                worker.join().map_err(|_| stopped())?
            });
            let parts = ended.collect::<Result<Vec<Part>, StoreError>>();
            read.and(parts)
        })?;
        let mut parts = parts.into_iter();
        let mut whole = parts.next().unwrap_or_else(|| self.nothing_seen());
        parts.for_each(|part| whole.add(part));
        self.inner.core.tally.learn(&whole.bytes, &snapshot.mark);
        Ok(whole.judge())
    }

    fn nothing_seen(&self) -> Part<'_> {
        let none =
            || schema().tables.iter().map(|table| vec![Digest::default(); table.indexes.len()]).collect();
        Part {
            audit: Audit::new(&self.inner.ids),
            rows: 0,
            entries: 0,
            bytes: vec![0; schema().tables.len()],
            suspects: Vec::new(),
            asked_for: none(),
            found: none(),
            uses_asked_for: Digest::default(),
            uses_found: Digest::default(),
            good: HashSet::new(),
            rows_of: schema().tables.iter().map(TableInfo::empty_row).collect(),
            primary_key: Vec::new(),
            key: Vec::new(),
        }
    }

    fn look_at(&self, steps: &Receiver<Vec<Pair>>, asked: &Asked) -> Result<Part<'_>, StoreError> {
        let mut part = self.nothing_seen();
        for step in steps {
            for (key, value) in step {
                self.look_at_pair(&mut part, asked, &key, &value)?;
            }
        }
        Ok(part)
    }

    fn look_at_pair(
        &self,
        part: &mut Part,
        asked: &Asked,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        if key.starts_with(&keys::all_blob_uses()) {
            part.uses_found.add(key, &[]);
            return Ok(());
        }
        let Some((number, index)) = keys::table_and_index(key) else { return part.audit.see(key, value) };
        let Some(table) = part.audit.table_of(number) else { return Ok(()) };
        part.bytes[table] += (key.len() + value.len()) as u64;
        if index != 0 {
            let ids = &self.inner.ids[table];
            let position = ids.indexes.iter().position(|id| *id == index);
            if let Some(position) = position.filter(|position| ids.is_filled(*position)) {
                part.entries += 1;
                part.found[table][position].add(key, value);
            }
            return Ok(());
        }
        part.audit.see(key, value)?;
        part.rows += 1;
        if !self.is_sound(part, &schema().tables[table], &asked[table], (key, value))? {
            part.suspects.push((table, key.to_vec()));
        }
        Ok(())
    }

    /// Whether a row reads and refers to what is there; takes note of what it asks for.
    fn is_sound(
        &self,
        part: &mut Part,
        table: &TableInfo,
        asked: &[bool],
        (key, bytes): (&[u8], &[u8]),
    ) -> Result<bool, StoreError> {
        let ids = &self.inner.ids[table.id];
        let Part { rows_of, asked_for, uses_asked_for, good, primary_key, key: buffer, .. } = part;
        let row = &mut rows_of[table.id];
        let Ok(spilled) = codec::look(bytes, table, ids, &self.inner.blobs, asked, row) else {
            return Ok(false);
        };
        primary_key.clear();
        keys::put_primary_key(table, row, primary_key);
        // The rest of the key says that it is a row of this table.
        let mut is_sound = keys::primary_key_of_row(key) == Some(primary_key.as_slice());
        let value = keys::index_value(primary_key);
        let indexes = table.indexes.iter().enumerate();
        for (position, index) in indexes.filter(|(position, _)| ids.is_filled(*position)) {
            let asked_for = &mut asked_for[table.id][position];
            keys::each_entry((ids, position), index, row, primary_key, buffer, &mut |entry| {
                asked_for.add(entry, &value);
            });
        }
        for relation in table.relations.iter().filter(|relation| relation.enforced) {
            let referred = &row[relation.column];
            if referred.is_null() {
                continue;
            }
            keys::put_row_of(&self.inner.ids[relation.target], referred, buffer);
            if good.contains(buffer.as_slice()) {
                continue;
            }
            if self.get(buffer)?.is_none() {
                is_sound = false;
            } else if good.len() < REMEMBERED_MAX {
                good.insert(buffer.clone());
            }
        }
        let mut blobs: BTreeSet<_> = named_blobs(table, row).into_iter().collect();
        blobs.extend(spilled);
        for hash in blobs {
            is_sound &= self.inner.blobs.exists(&hash);
            uses_asked_for.add(&keys::blob_use(&hash, ids, primary_key), &[]);
        }
        Ok(is_sound)
    }
}

/// Which columns a look at a row reads.
fn asked(table: &TableInfo) -> Vec<bool> {
    let mut asked = vec![false; table.table.columns.len()];
    let mut ask = |column: usize| asked[column] = true;
    table.primary_key.iter().chain(&table.blob_columns).for_each(|column| ask(*column));
    table.relations.iter().for_each(|relation| ask(relation.column));
    for index in &table.indexes {
        index.parts.iter().for_each(|part| ask(part.column));
        if let Some(filter) = &index.filter {
            filter.each_column(&mut ask);
        }
    }
    asked
}

impl Part<'_> {
    fn add(&mut self, other: Part) {
        self.audit.add(&other.audit);
        self.rows += other.rows;
        self.entries += other.entries;
        self.bytes.iter_mut().zip(other.bytes).for_each(|(bytes, more)| *bytes += more);
        self.suspects.extend(other.suspects);
        let add = |into: &mut Entries, from: Entries| {
            let pairs = into.iter_mut().flatten().zip(from.into_iter().flatten());
            pairs.for_each(|(digest, more)| *digest = digest.plus(more));
        };
        add(&mut self.asked_for, other.asked_for);
        add(&mut self.found, other.found);
        self.uses_asked_for = self.uses_asked_for.plus(other.uses_asked_for);
        self.uses_found = self.uses_found.plus(other.uses_found);
    }

    fn judge(self) -> Survey {
        let differ = |(table, (asked_for, found)): (usize, (&Vec<Digest>, &Vec<Digest>))| {
            let positions = asked_for.iter().zip(found).enumerate();
            let differ = positions.filter(|(_, (asked_for, found))| asked_for != found);
            differ.map(|(position, _)| (table, position)).collect::<Vec<_>>()
        };
        let tables = self.asked_for.iter().zip(&self.found).enumerate();
        Survey {
            rows: self.rows,
            entries: self.entries,
            lost: self.audit.differences(schema()),
            indexes: tables.flat_map(differ).collect(),
            uses_fit: self.uses_asked_for == self.uses_found,
            suspects: self.suspects,
        }
    }
}
