//! Where a read finds its bytes: the engine, or the engine under a transaction's pending writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::engine::Live;
use crate::error::StoreError;

/// A stored pair.
pub(crate) type Pair = (sled::IVec, sled::IVec);

/// A key with its value to be, `None` for a removal.
pub(crate) type PendingPair = (Vec<u8>, Option<Vec<u8>>);

/// Ordered pairs, or the first failure.
pub(crate) type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, StoreError>> + 'a>;

/// Something that rows can be read from.
pub(crate) trait Source {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError>;

    /// Pairs with `from ≤ key < to`, ascending or descending; no upper end when `to` is `None`.
    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_>;
}

fn bounds(from: Vec<u8>, to: Option<Vec<u8>>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))
}

impl Source for Live {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.tree.get(key).map_err(|error| self.noted(error))
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        let pairs = self.tree.range::<Vec<u8>, _>(bounds(from, to));
        let noted = |pair: Result<Pair, sled::Error>| pair.map_err(|error| self.noted(error));
        if descending { Box::new(pairs.rev().map(noted)) } else { Box::new(pairs.map(noted)) }
    }
}

/// What a reader reads from.
pub(crate) enum Origin<'a> {
    /// The store as it is; none while its engine is closed.
    Engine(Option<Arc<Live>>),
    /// The store as a transaction sees it.
    Overlay(&'a Overlay),
}

impl Source for Origin<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        match self {
            Origin::Engine(Some(live)) => Source::get(&**live, key),
            Origin::Engine(None) => Err(StoreError::Closed),
            Origin::Overlay(overlay) => overlay.get(key),
        }
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        match self {
            Origin::Engine(Some(live)) => Source::range(&**live, from, to, descending),
            Origin::Engine(None) => Box::new(std::iter::once(Err(StoreError::Closed))),
            Origin::Overlay(overlay) => overlay.range(from, to, descending),
        }
    }
}

/// Writes to be; `None` marks a removal.
pub(crate) type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Pending writes over the engine.
pub(crate) struct Overlay {
    pub live: Arc<Live>,
    pub pending: RefCell<Pending>,
}

impl Overlay {
    pub fn put(&self, key: Vec<u8>, value: Vec<u8>) {
        self.pending.borrow_mut().insert(key, Some(value));
    }

    pub fn remove(&self, key: Vec<u8>) {
        self.pending.borrow_mut().insert(key, None);
    }
}

impl Overlay {
    /// How large the pending pairs are together.
    pub fn bytes(&self) -> u64 {
        let bytes =
            |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        self.pending.borrow().iter().map(bytes).sum::<usize>() as u64
    }

    /// Whether a pending pair that stays begins with `prefix`.
    pub fn puts_any(&self, prefix: Vec<u8>) -> bool {
        let pending = self.pending.borrow();
        let mut after =
            pending.range::<Vec<u8>, _>(&prefix..).take_while(|(key, _)| key.starts_with(&prefix));
        after.any(|(_, value)| value.is_some())
    }
}

impl Source for Overlay {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        match self.pending.borrow().get(key) {
            Some(pending) => Ok(pending.as_deref().map(sled::IVec::from)),
            None => Source::get(&*self.live, key),
        }
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        // The pending part is copied: the caller may write while it reads.
        let mut pending: Vec<PendingPair> = if to.as_ref().is_some_and(|to| *to <= from) {
            Vec::new()
        } else {
            let pending = self.pending.borrow();
            pending
                .range(bounds(from.clone(), to.clone()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        if descending {
            pending.reverse();
        }
        let stored = Source::range(&*self.live, from, to, descending).peekable();
        Box::new(Merged { stored, pending: pending.into_iter().peekable(), descending })
    }
}

struct Merged<'a> {
    stored: std::iter::Peekable<Pairs<'a>>,
    pending: std::iter::Peekable<std::vec::IntoIter<PendingPair>>,
    descending: bool,
}

impl Iterator for Merged<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.stored.peek(), self.pending.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) | (Some(_), None) => return self.stored.next(),
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(Ok((stored, _))), Some((pending, _))) => {
                    let order = stored.as_ref().cmp(pending.as_slice());
                    if self.descending { order.reverse() } else { order }
                }
            };
            if order.is_lt() {
                return self.stored.next();
            }
            if order.is_eq() {
                self.stored.next();
            }
            if let Some((key, Some(value))) = self.pending.next() {
                return Some(Ok((key.into(), value.into())));
            }
        }
    }
}
