//! Where a read finds its bytes: the engine, or the engine under a transaction's pending writes.

use std::cell::RefCell;
use std::ops::Bound;
use std::sync::Arc;

use sled::IVec;

use crate::ahead::{Layer, Pending};
use crate::engine::Live;
use crate::error::StoreError;

/// A stored pair.
pub(crate) type Pair = (IVec, IVec);

/// Ordered pairs, or the first failure.
pub(crate) type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, StoreError>> + 'a>;

/// Something that rows can be read from.
pub(crate) trait Source {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError>;

    /// Pairs with `from ≤ key < to`, ascending or descending; no upper end when `to` is `None`.
    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_>;
}

fn bounds(from: Vec<u8>, to: Option<Vec<u8>>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))
}

impl Source for Live {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
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
    /// The store as a transaction found it.
    Base(&'a Base),
    /// The store as a transaction sees it.
    Overlay(&'a Overlay),
}

impl Source for Origin<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self {
            Origin::Engine(Some(live)) => Source::get(&**live, key),
            Origin::Engine(None) => Err(StoreError::Closed),
            Origin::Base(base) => base.get(key),
            Origin::Overlay(overlay) => overlay.get(key),
        }
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        match self {
            Origin::Engine(Some(live)) => Source::range(&**live, from, to, descending),
            Origin::Engine(None) => Box::new(std::iter::once(Err(StoreError::Closed))),
            Origin::Base(base) => base.range(from, to, descending),
            Origin::Overlay(overlay) => overlay.range(from, to, descending),
        }
    }
}

/// What the last commit left: the engine, and over it what is not applied yet.
pub(crate) struct Base {
    pub live: Arc<Live>,
    /// Newest first.
    pub layers: Vec<Arc<Layer>>,
}

/// Pending writes over what the last commit left.
pub(crate) struct Overlay {
    pub base: Base,
    pub pending: RefCell<Pending>,
}

impl Base {
    /// Pairs of the engine under `pending` and the layers.
    fn range_under(
        &self,
        pending: Option<&Pending>,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
        descending: bool,
    ) -> Pairs<'_> {
        // The pending part is copied: the caller may write while it reads.
        let mut changed = Pending::new();
        if to.as_ref().is_none_or(|to| *to > from) {
            let bounds =
                (Bound::Included(&from[..]), to.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
            for layer in self.layers.iter().rev() {
                layer.collect(bounds, &mut changed);
            }
            let pending = pending.into_iter().flat_map(|pending| pending.range::<[u8], _>(bounds));
            changed.extend(pending.map(|(key, value)| (key.clone(), value.clone())));
        }
        let stored = Source::range(&*self.live, from, to, descending);
        if changed.is_empty() {
            return stored;
        }
        let changed: Box<dyn Iterator<Item = (IVec, Option<IVec>)>> =
            if descending { Box::new(changed.into_iter().rev()) } else { Box::new(changed.into_iter()) };
        Box::new(Merged { stored: stored.peekable(), pending: changed.peekable(), descending })
    }
}

impl Source for Base {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.layers.iter().find_map(|layer| layer.get(key)) {
            Some(ahead) => Ok(ahead),
            None => Source::get(&*self.live, key),
        }
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        self.range_under(None, from, to, descending)
    }
}

impl Overlay {
    pub fn put(&self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.pending.borrow_mut().insert(key.into(), Some(value.into()));
    }

    pub fn remove(&self, key: impl Into<IVec>) {
        self.pending.borrow_mut().insert(key.into(), None);
    }
}

impl Overlay {
    /// How large the pending pairs are together.
    pub fn bytes(&self) -> u64 {
        let bytes =
            |(key, value): (&IVec, &Option<IVec>)| key.len() + value.as_ref().map_or(0, |value| value.len());
        self.pending.borrow().iter().map(bytes).sum::<usize>() as u64
    }

    /// Whether a pending pair that stays begins with `prefix`.
    pub fn puts_any(&self, prefix: &[u8]) -> bool {
        let pending = self.pending.borrow();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let mut after = pending.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(prefix));
        after.any(|(_, value)| value.is_some())
    }
}

impl Source for Overlay {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.pending.borrow().get(key) {
            Some(pending) => Ok(pending.clone()),
            None => self.base.get(key),
        }
    }

    fn range(&self, from: Vec<u8>, to: Option<Vec<u8>>, descending: bool) -> Pairs<'_> {
        self.base.range_under(Some(&*self.pending.borrow()), from, to, descending)
    }
}

struct Merged<'a> {
    stored: std::iter::Peekable<Pairs<'a>>,
    pending: std::iter::Peekable<Box<dyn Iterator<Item = (IVec, Option<IVec>)> + 'a>>,
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
                    let order = stored.cmp(pending);
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
                return Some(Ok((key, value)));
            }
        }
    }
}
