//! The order of rows that no index gives, within the time and memory of a read.

use std::cmp::Ordering;

use models::Value;

use super::reader::size;
use super::{Order, Reader};
use crate::codec::StoredRow;
use crate::error::StoreError;

/// Rows sorted between two looks at the clock.
const RUN: usize = 16;

/// Bytes held by a part of a read.
pub(crate) struct Held<'r> {
    reader: &'r Reader<'r>,
    bytes: usize,
    bytes_max: usize,
    what: &'static str,
}

impl<'r> Held<'r> {
    pub fn new(what: &'static str, reader: &'r Reader<'r>) -> Held<'r> {
        Held::up_to(reader.limits.bytes_max, what, reader)
    }

    /// With a limit of its own.
    pub fn up_to(bytes_max: usize, what: &'static str, reader: &'r Reader<'r>) -> Held<'r> {
        Held { reader, bytes: 0, bytes_max, what }
    }

    /// Holds more, up to the limit of the read.
    pub fn add(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.note(bytes)?;
        self.check()
    }

    /// Holds so much now, up to the limit of the read.
    pub fn set(&mut self, bytes: usize) -> Result<(), StoreError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.add(more),
            None => {
                self.cut_to(bytes);
                Ok(())
            }
        }
    }

    /// Holds more, to be checked later.
    fn note(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.reader.hold(bytes)
    }

    /// Holds only so much any more.
    fn cut_to(&mut self, bytes: usize) {
        self.reader.let_go(self.bytes.saturating_sub(bytes));
        self.bytes = bytes.min(self.bytes);
    }

    fn check(&self) -> Result<(), StoreError> {
        let max = self.bytes_max;
        if self.bytes <= max { Ok(()) } else { Err(StoreError::Limit { what: self.what, max: max as u64 }) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.reader.let_go(self.bytes);
    }
}

/// `a` before `b`, with NULLs where the term puts them.
pub(crate) fn order_values(a: &Value, b: &Value, order: &Order) -> Ordering {
    let nulls = if order.nulls_first { Ordering::Less } else { Ordering::Greater };
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => nulls,
        (false, true) => nulls.reverse(),
        (false, false) => {
            let ascending = a.compare(b).unwrap_or(Ordering::Equal);
            if order.descending { ascending.reverse() } else { ascending }
        }
    }
}

/// Sorts, equal ones staying in their order; unlike the library's sort it ends when the time is over.
pub(crate) fn sort<T>(
    reader: &Reader,
    rows: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>, StoreError> {
    let mut runs = Vec::with_capacity(rows.len() / RUN + 1);
    let mut rows = rows.into_iter();
    loop {
        let mut run: Vec<T> = rows.by_ref().take(RUN).collect();
        if run.is_empty() {
            break;
        }
        reader.worked(run.len() as u64)?;
        run.sort_by(&compare);
        runs.push(run);
    }
    while runs.len() > 1 {
        let mut longer = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(first) = pairs.next() {
            longer.push(match pairs.next() {
                Some(second) => merge(reader, first, second, &compare)?,
                None => first,
            });
        }
        runs = longer;
    }
    Ok(runs.pop().unwrap_or_default())
}

fn merge<T>(
    reader: &Reader,
    first: Vec<T>,
    second: Vec<T>,
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>, StoreError> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        reader.worked(1)?;
        merged.extend(if compare(b, a).is_lt() { second.next() } else { first.next() });
    }
    merged.extend(first);
    merged.extend(second);
    Ok(merged)
}

/// Keeps the first `wanted` rows of an order, as they are stored, in twice that much memory.
pub(crate) struct Sorted<'q, 'a> {
    reader: &'q Reader<'q>,
    order: &'q [Order],
    wanted: usize,
    rows: Vec<(Vec<Value>, StoredRow<'a>)>,
    held: Held<'q>,
}

impl<'q, 'a> Sorted<'q, 'a> {
    pub fn new(reader: &'q Reader<'q>, order: &'q [Order], wanted: usize) -> Sorted<'q, 'a> {
        let held = Held::new("size of the rows to sort in bytes", reader);
        Sorted { reader, order, wanted, rows: Vec::new(), held }
    }

    pub fn add(&mut self, keys: Vec<Value>, mut row: StoredRow<'a>) -> Result<(), StoreError> {
        row.forget();
        self.held.note(size(&keys) + row.bytes())?;
        self.rows.push((keys, row));
        let limits = &self.reader.limits;
        if self.rows.len() >= self.wanted.saturating_mul(2).max(1024) || self.held.bytes > limits.bytes_max {
            self.cut()?;
            self.held.check()?;
        }
        if self.rows.len() > limits.sorted_max {
            return Err(StoreError::Limit { what: "number of rows to sort", max: limits.sorted_max as u64 });
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), StoreError> {
        let order = self.order;
        self.rows = sort(self.reader, std::mem::take(&mut self.rows), |(a, _), (b, _)| {
            let orders = order.iter().zip(a.iter().zip(b)).map(|(order, (a, b))| order_values(a, b, order));
            orders.fold(Ordering::Equal, Ordering::then)
        })?;
        self.rows.truncate(self.wanted);
        self.held.cut_to(self.rows.iter().map(|(keys, row)| size(keys) + row.bytes()).sum());
        Ok(())
    }

    pub fn finish(mut self) -> Result<Vec<StoredRow<'a>>, StoreError> {
        self.cut()?;
        Ok(self.rows.into_iter().map(|(_, row)| row).collect())
    }
}
