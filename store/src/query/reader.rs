//! Who reads, and how much they may.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use models::Value;

use super::tree::Name;
use crate::codec::{self, Columns, StoredRow};
use crate::error::StoreError;
use crate::guard::Caller;
use crate::read::Reads;
use crate::shares::{Held, ReadShare};

/// Limits of one read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of a result, and of each embedded array.
    pub rows_max: u64,
    /// Time.
    pub duration_max: Duration,
    /// Rows kept for sorting or grouping when no index gives the order.
    pub sorted_max: usize,
    /// Size of the whole result in memory.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rows_max: 1000,
            duration_max: Duration::from_secs(30),
            sorted_max: 200_000,
            bytes_max: 64 << 20,
        }
    }
}

/// A table of results.
#[derive(Debug, Default)]
pub struct Rows {
    /// Names of the members.
    pub columns: Vec<Name>,
    /// Values; nested results are JSON.
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are without offset and limit, when that was asked for.
    pub total: Option<u64>,
}

/// Runs queries for one caller.
pub struct Reader<'r> {
    pub(crate) reads: Reads<'r>,
    pub(crate) caller: &'r Caller<'r>,
    pub(crate) limits: Limits,
    deadline: Instant,
    /// Work since the last look at the clock, of whatever part of the read.
    work: Cell<u64>,
    /// What it takes from what reads share; absent where no reader could take too much.
    share: Option<ReadShare>,
    /// Bytes that its parts hold now.
    holds: Cell<usize>,
    /// Its part of the shared memory, a little more than it holds.
    memory: RefCell<Option<Held>>,
    /// When its place among long reads is needed, and that place.
    turn_due: Instant,
    turn: RefCell<Option<Held>>,
    /// While set, values in blobs are not read: what asks for one ends.
    only_small: Cell<bool>,
}

/// A row of which each look at a large value counts as work.
pub(crate) struct Counted<'c, 'r, 's> {
    reader: &'c Reader<'r>,
    row: &'c StoredRow<'s>,
}

impl Columns for Counted<'_, '_, '_> {
    fn value(&self, position: usize) -> Result<Cow<'_, Value>, StoreError> {
        let value = self.row.value(position)?;
        self.reader.looked_at(size(std::slice::from_ref(value.as_ref())))?;
        Ok(value)
    }
}

/// Work between two looks at the clock: rows, comparisons, or blocks of a large row.
const CLOCK_EVERY: u64 = 16;
/// A read that takes longer needs one of the places for long ones.
const LONG: Duration = Duration::from_millis(50);
/// How often a read that waits looks whether its caller is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Shared memory is taken in steps of so many bytes.
const MEMORY_STEP: usize = 256 << 10;
/// Bytes of a row that count as much as another row.
const BLOCK_BYTES: usize = 4096;

impl<'r> Reader<'r> {
    /// A reader; its time starts now.
    pub fn new(reads: Reads<'r>, caller: &'r Caller<'r>, limits: Limits) -> Reader<'r> {
        let now = Instant::now();
        Reader {
            reads,
            caller,
            limits,
            deadline: now + limits.duration_max,
            work: Cell::new(0),
            share: None,
            holds: Cell::new(0),
            memory: RefCell::new(None),
            turn_due: now + LONG,
            turn: RefCell::new(None),
            only_small: Cell::new(false),
        }
    }

    /// Runs a part of a read that must not read blobs; `None` where one is asked for.
    pub(crate) fn without_blobs<T>(
        &self,
        read: impl FnOnce() -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.only_small.set(true);
        let result = read();
        self.only_small.set(false);
        match result {
            Err(error) if codec::is_large(&error) => Ok(None),
            result => result,
        }
    }

    /// A row of which each look at a large value counts.
    pub(crate) fn counted<'c, 's>(&'c self, row: &'c StoredRow<'s>) -> Counted<'c, 'r, 's> {
        Counted { reader: self, row }
    }

    /// Takes memory and time from what reads share, and from its owner's part of it.
    #[must_use]
    pub fn sharing(mut self, share: ReadShare) -> Reader<'r> {
        self.memory = RefCell::new(Some(share.memory.open(share.owner)));
        self.share = Some(share);
        self
    }

    /// The memory of the rows that were read, to be kept for as long as they are; `None` without a share.
    pub fn keep(self, rows: &Rows) -> Option<Held> {
        self.keep_bytes(rows.rows.iter().map(|row| size(row)).sum())
    }

    /// The same for a result of so many bytes.
    pub fn keep_bytes(self, bytes: usize) -> Option<Held> {
        let mut held = self.memory.into_inner()?;
        held.set_anyway(bytes);
        Some(held)
    }

    /// Notes that a part of the read holds more bytes.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), StoreError> {
        let holds = self.holds.get().saturating_add(bytes);
        self.holds.set(holds);
        match self.memory.borrow_mut().as_mut() {
            Some(held) if holds > held.amount() => {
                let more = holds - held.amount();
                // The step makes it cheap, and is left out where there is no more room for it.
                if held.grow(more.next_multiple_of(MEMORY_STEP)) || held.grow(more) {
                    return Ok(());
                }
                Err(StoreError::Shared { what: "memory for reads" })
            }
            _ => Ok(()),
        }
    }

    /// Notes that a part of the read holds less.
    pub(crate) fn let_go(&self, bytes: usize) {
        let holds = self.holds.get().saturating_sub(bytes);
        self.holds.set(holds);
        if let Some(held) = self.memory.borrow_mut().as_mut() {
            let surplus = held.amount().saturating_sub(holds);
            if surplus > 4 * MEMORY_STEP {
                held.shrink(surplus - MEMORY_STEP);
            }
        }
    }

    /// A read that goes on for long waits for its place among such reads, so that one owner's leave cores to others.
    fn take_turn(&self, now: Instant) -> Result<(), StoreError> {
        let Some(share) = &self.share else { return Ok(()) };
        let mut turn = self.turn.borrow_mut();
        if now < self.turn_due || turn.is_some() {
            return Ok(());
        }
        while turn.is_none() {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(StoreError::Timeout);
            }
            self.look_whether_left()?;
            *turn = share.turns.hold_blocking(share.owner, 1, self.deadline.min(now + LOOK_EVERY));
        }
        Ok(())
    }

    /// Fails once the caller has gone.
    fn look_whether_left(&self) -> Result<(), StoreError> {
        let left = self.share.as_ref().is_some_and(|share| share.left.load(Ordering::Relaxed));
        if left { Err(StoreError::Timeout) } else { Ok(()) }
    }

    /// Notes that a row was found.
    pub(crate) fn found<'s>(&self, row: StoredRow<'s>) -> Result<StoredRow<'s>, StoreError> {
        self.worked(1 + (row.bytes() / BLOCK_BYTES) as u64)?;
        Ok(if self.only_small.get() { row.without_blobs() } else { row })
    }

    /// Notes that a value of so many bytes was looked at, or written.
    pub(crate) fn looked_at(&self, bytes: usize) -> Result<(), StoreError> {
        match bytes / BLOCK_BYTES {
            0 => Ok(()),
            blocks => self.worked(blocks as u64),
        }
    }

    /// Notes work; fails once the time is over.
    pub(crate) fn worked(&self, amount: u64) -> Result<(), StoreError> {
        let work = self.work.get().saturating_add(amount);
        if work < CLOCK_EVERY {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        let now = Instant::now();
        if now >= self.deadline {
            return Err(StoreError::Timeout);
        }
        self.look_whether_left()?;
        self.take_turn(now)
    }
}

/// Bytes that values hold in memory, about.
pub fn size(values: &[Value]) -> usize {
    let of = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::TextArray(elements) => {
            elements.iter().map(|element| 24 + element.as_ref().map_or(0, String::len)).sum()
        }
        Value::UuidArray(elements) => elements.len() * 16,
        _ => 0,
    };
    size_of_val(values) + values.iter().map(of).sum::<usize>()
}
