//! Who reads, and how much they may.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use models::Value;

use super::tree::Name;
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
    /// What it takes from what reads share; absent where nobody could take too much.
    share: Option<ReadShare>,
    /// Bytes that its parts hold now.
    holds: Cell<usize>,
    /// Its part of the shared memory, a little more than it holds.
    memory: RefCell<Option<Held>>,
    /// When its place among long reads is needed, and that place.
    turn_due: Instant,
    turn: RefCell<Option<Held>>,
    /// Blocks of the row that is looked at.
    blocks: Cell<u64>,
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
            blocks: Cell::new(0),
        }
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

    /// Notes that a condition is about to be tested on the row that was found last.
    pub(crate) fn tests(&self) -> Result<(), StoreError> {
        match self.blocks.get() {
            0 => Ok(()),
            blocks => self.worked(blocks),
        }
    }

    /// Notes that a row of so many bytes was found.
    pub(crate) fn found(&self, bytes: usize) -> Result<(), StoreError> {
        let blocks = (bytes / BLOCK_BYTES) as u64;
        self.blocks.set(blocks);
        self.worked(1 + blocks)
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
