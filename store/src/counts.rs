//! How many entries a range of an index has, as it was counted last.
//!
//! Who lists a page with `count=exact` asks for the same number with each page, and counting walks over every entry. So a
//! count is kept, and serves until a batch that changes an entry of its range begins. Changes are noted by what their
//! keys begin with: the index and its first value, such as the owner.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sled::IVec;

/// Bytes of a key that its changes are noted by: table, index, and an id.
const NOTED_BYTES: usize = 4 + 17;
/// Different beginnings share a place now and then; then a change of one forgets the counts of both.
const SLOTS: usize = 4096;
/// Counts that are kept; then it begins anew.
const KEPT_MAX: usize = 4096;
/// Fewer are counted as fast as they are looked up.
const ROWS_MIN: u64 = 16;

/// See the module.
pub(crate) struct Counts {
    slots: Vec<Slot>,
    /// By what the keys of the range begin with.
    kept: Mutex<HashMap<Box<[u8]>, Kept>>,
}

/// Batches that change keys of a place: how many have begun, and how many are done.
#[derive(Default)]
struct Slot {
    begun: AtomicU64,
    done: AtomicU64,
}

#[derive(Clone, Copy)]
struct Kept {
    /// Batches that had begun, and were done, when it was counted.
    begun: u64,
    rows: u64,
}

/// Batches are under way that change these places.
pub(crate) struct Changing<'c> {
    counts: &'c Counts,
    slots: Vec<usize>,
}

/// A range that is about to be counted, unless the number is known.
pub(crate) struct Counting<'c> {
    counts: &'c Counts,
    slot: &'c Slot,
    start: Box<[u8]>,
    begun: u64,
    /// The number of entries, if it is known.
    pub known: Option<u64>,
}

fn slot_of(key: &[u8]) -> Option<usize> {
    key.get(..NOTED_BYTES).map(|noted| crc32c::crc32c(noted) as usize % SLOTS)
}

impl Counts {
    pub fn new() -> Counts {
        Counts { slots: (0..SLOTS).map(|_| Slot::default()).collect(), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a batch is going to change these keys, until the answer is dropped.
    pub fn changing<'k>(&self, keys: impl Iterator<Item = &'k IVec>) -> Changing<'_> {
        let mut slots: Vec<usize> = keys.filter_map(|key| slot_of(key)).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            self.slots[*slot].begun.fetch_add(1, Ordering::SeqCst);
        }
        Changing { counts: self, slots }
    }

    /// A count of all keys that begin with `start`; `None` where it cannot be kept.
    pub fn of(&self, start: &[u8]) -> Option<Counting<'_>> {
        let slot = &self.slots[slot_of(start)?];
        // In this order: where both are the same, none was under way at the first look.
        let (done, begun) = (slot.done.load(Ordering::SeqCst), slot.begun.load(Ordering::SeqCst));
        if done != begun {
            return None;
        }
        let kept = self.kept().get(start).copied();
        let known = kept.filter(|kept| kept.begun == begun).map(|kept| kept.rows);
        Some(Counting { counts: self, slot, start: start.into(), begun, known })
    }

    /// Forgets all: the engine was opened again, and may have less than before.
    pub fn forget(&self) {
        self.kept().clear();
    }
}

impl Counting<'_> {
    /// Keeps what was counted, unless a change has begun meanwhile.
    pub fn keep(self, rows: u64) {
        if rows < ROWS_MIN || self.slot.begun.load(Ordering::SeqCst) != self.begun {
            return;
        }
        let mut kept = self.counts.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(self.start, Kept { begun: self.begun, rows });
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        for slot in &self.slots {
            self.counts.slots[*slot].done.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use models::{Claims, Value, schema};
    use uuid::Uuid;

    use super::*;
    use crate::query::{Limits, Query, Reader};
    use crate::{Caller, OpenOptions, Store, StoreError, Transaction};

    fn key(owner: u8, rest: u8) -> IVec {
        let mut key = vec![0, 1, 0, 2, 1];
        key.extend([owner; 16]);
        key.push(rest);
        key.into()
    }

    #[test]
    fn a_count_serves_until_a_change_of_its_range_begins() {
        let counts = Counts::new();
        let (start, other) = (key(1, 0)[..NOTED_BYTES].to_vec(), key(2, 0)[..NOTED_BYTES].to_vec());
        assert!(counts.of(&start[..8]).is_none(), "too short to tell changes apart");
        counts.of(&start).expect("nothing is under way").keep(40);
        counts.of(&other).expect("nothing is under way").keep(50);
        let known = |start: &[u8]| counts.of(start).and_then(|counting| counting.known);
        assert_eq!((known(&start), known(&other)), (Some(40), Some(50)));
        let before = counts.of(&start).expect("nothing is under way");
        let changing = counts.changing([key(1, 7), key(1, 8)].iter());
        assert!(counts.of(&start).is_none(), "a change is under way");
        before.keep(40);
        drop(changing);
        assert_eq!((known(&start), known(&other)), (None, Some(50)));
        counts.of(&start).expect("nothing is under way").keep(42);
        assert_eq!(known(&start), Some(42));
        counts.forget();
        assert_eq!((known(&start), known(&other)), (None, None));
    }

    fn write(store: &Store, decide: impl FnOnce(&Transaction, &Caller) -> Result<(), StoreError>) {
        let claims = Claims::service();
        let decided = store.transact(&claims, |transaction| decide(transaction, &Caller::new(&claims)));
        decided.expect("the rows fit").1.wait_blocking().expect("durable");
    }

    fn id(number: u128) -> Value {
        Value::Uuid(Uuid::from_u128(number))
    }

    fn insert(
        transaction: &Transaction,
        caller: &Caller,
        number: u128,
        owner: u128,
    ) -> Result<(), StoreError> {
        let projects = schema().known("projects");
        let mut row = projects.default_row();
        (row[projects.at("id")], row[projects.at("user_id")]) = (id(number), id(owner));
        row[projects.at("media_type")] = Value::text("image");
        row[projects.at("original_prompt")] = Value::text("fog");
        transaction.insert(caller, projects, row).map(|_| ())
    }

    /// A store in which the first of two accounts has so many projects.
    fn filled(folder: &std::path::Path, projects: u128) -> Store {
        let store = Store::open(folder, schema(), &OpenOptions::default()).expect("a store").0;
        write(&store, |transaction, caller| {
            for number in [1, 2] {
                for name in ["auth.users", "profiles"] {
                    let table = schema().known(name);
                    let mut row = table.default_row();
                    row[table.at("id")] = id(number);
                    transaction.insert(caller, table, row)?;
                }
            }
            (100..100 + projects).try_for_each(|number| insert(transaction, caller, number, 1))
        });
        store
    }

    /// The newest of an owner, read as that owner.
    fn newest<T>(store: &Store, owner: u128, read: impl FnOnce(&Reader, &Query) -> T) -> T {
        let claims = Claims::user(Uuid::from_u128(owner));
        let caller = Caller::new(&claims);
        let query = Query::all(schema().known("projects").id).equal("user_id", id(owner));
        let reader = Reader::new(store.reads(), &caller, Limits::default());
        read(&reader, &query.order("created_at", true).limit(5))
    }

    fn total(store: &Store, owner: u128) -> (usize, Option<u64>) {
        let page = newest(store, owner, |reader, query| reader.select(query, true)).expect("rows");
        (page.rows.len(), page.total)
    }

    #[test]
    fn a_total_follows_rows_that_come_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = filled(folder.path(), 40);
        assert_eq!(total(&store, 1), (5, Some(40)));
        assert_eq!(store.inner.core.counts.kept().len(), 1);
        assert_eq!(total(&store, 1), (5, Some(40)));
        write(&store, |transaction, caller| insert(transaction, caller, 200, 1));
        assert_eq!(total(&store, 1), (5, Some(41)));
        let projects = schema().known("projects");
        write(&store, |transaction, caller| {
            for number in [100, 200] {
                let row = transaction.reads().get(projects, &[id(number)])?.expect("the row");
                transaction.delete(caller, projects, &row)?;
            }
            insert(transaction, caller, 300, 2)
        });
        assert_eq!((total(&store, 1), total(&store, 2)), ((5, Some(39)), (1, Some(1))));
    }

    #[test]
    fn a_short_page_is_read_at_once_where_its_total_is_known_or_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = filled(folder.path(), 600);
        let short = |owner| {
            let page = newest(&store, owner, |reader, query| reader.select_short_json(query, true));
            page.expect("no error").map(|page| (page.rows, page.total))
        };
        assert_eq!(short(1), None, "too many to be counted in between");
        assert_eq!(short(2), Some((0, Some(0))));
        assert_eq!(total(&store, 1), (5, Some(600)));
        assert_eq!(short(1), Some((5, Some(600))));
        write(&store, |transaction, caller| {
            (1000..1020).try_for_each(|number| insert(transaction, caller, number, 2))?;
            insert(transaction, caller, 2000, 1)
        });
        assert_eq!(short(1), None, "the number that was kept is of before");
        assert_eq!(short(2), Some((5, Some(20))));
        assert_eq!(store.inner.core.counts.kept().len(), 2, "what was counted at once is kept too");
        assert_eq!(total(&store, 1), (5, Some(601)));
        assert_eq!(short(1), Some((5, Some(601))));
    }
}
