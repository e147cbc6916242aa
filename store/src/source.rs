//! Where a read finds its bytes: the tree, or the tree under a transaction's pending writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

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

impl Source for sled::Tree {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        Ok(sled::Tree::get(self, key)?)
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        let pairs = sled::Tree::range::<Vec<u8>, _>(self, bounds(from, to));
        if descending {
            Box::new(pairs.rev().map(|pair| Ok(pair?)))
        } else {
            Box::new(pairs.map(|pair| Ok(pair?)))
        }
    }
}

/// Pending writes over the tree.
pub(crate) struct Overlay {
    pub tree: sled::Tree,
    /// `None` marks a removal.
    pub pending: RefCell<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
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
            None => Source::get(&self.tree, key),
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
        let stored = Source::range(&self.tree, from, to, descending).peekable();
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
