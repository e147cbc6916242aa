//! Reading the whole store as it was at one moment, while writes go on.
//!
//! The tree is read in key order. A commit that changes a pair which was not read yet first puts the old value into the
//! [`Tap`]; so the pairs show the store exactly as it was when the reading began, and a writer never waits for more than
//! its own few pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::Ordering;

use crate::core::Core;
use crate::error::StoreError;
use crate::source::Pair;

const PAIRS_PER_STEP: usize = 512;

/// Old values of pairs that a reading has not come to yet.
struct Tap {
    /// Everything up to here is read.
    read_to: Vec<u8>,
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// The taps of all readings that are under way. Its lock is held while a commit is applied, and no longer: a
/// reader does not wait for a decision.
#[derive(Default)]
pub(crate) struct Taps {
    next: u64,
    taps: BTreeMap<u64, Tap>,
    /// Those of them whose blobs must stay.
    keeping_blobs: Vec<u64>,
    /// What commits changed since a compaction began.
    noted: Option<BTreeSet<Vec<u8>>>,
}

impl Taps {
    /// Puts aside what a commit is about to change.
    pub fn keep_old<'k>(
        &mut self,
        tree: &sled::Tree,
        keys: impl Iterator<Item = &'k sled::IVec> + Clone,
    ) -> Result<(), StoreError> {
        if let Some(noted) = &mut self.noted {
            noted.extend(keys.clone().map(|key| key.to_vec()));
        }
        for tap in self.taps.values_mut() {
            for key in keys.clone().filter(|key| key[..] > tap.read_to[..]) {
                if !tap.old.contains_key(&key[..]) {
                    tap.old.insert(key.to_vec(), tree.get(key)?.map(|value| value.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// Takes note of what is changed from now on.
    pub fn note_changes(&mut self) {
        self.noted = Some(BTreeSet::new());
    }

    /// What was changed since this was asked last.
    pub fn take_noted(&mut self) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        self.noted.as_mut().map(std::mem::take).ok_or_else(opened_again)
    }

    /// Takes note of changes no more.
    pub fn stop_noting(&mut self) {
        self.noted = None;
    }

    /// Ends every reading: the next step of each is an error.
    pub fn forget_all(&mut self) {
        self.taps.clear();
        self.keeping_blobs.clear();
        self.noted = None;
    }

    /// Whether no blob may be removed.
    pub fn keep_blobs(&self) -> bool {
        !self.keeping_blobs.is_empty()
    }
}

/// A reading of one moment.
pub(crate) struct Snapshot<'c> {
    core: &'c Core,
    tap: u64,
    /// The last commit before it.
    pub commit: u64,
    /// What the commits up to it had added to each table since the start.
    pub mark: Vec<i64>,
}

impl<'c> Snapshot<'c> {
    /// The store as it is now.
    pub fn begin(core: &'c Core) -> Result<Snapshot<'c>, StoreError> {
        let mut taps = core.taps();
        let tap = taps.next;
        taps.next += 1;
        taps.taps.insert(tap, Tap { read_to: Vec::new(), old: BTreeMap::new() });
        let commit = core.commits.load(Ordering::Relaxed);
        Ok(Snapshot { core, tap, commit, mark: core.tally.mark() })
    }

    /// The same, and no blob is removed until it ends; one at a time.
    pub fn begin_with_blobs(core: &'c Core) -> Result<Snapshot<'c>, StoreError> {
        let snapshot = Snapshot::begin(core)?;
        let mut taps = core.taps();
        if taps.keep_blobs() {
            drop(taps);
            return Err(StoreError::Open("another backup is running".into()));
        }
        taps.keeping_blobs.push(snapshot.tap);
        drop(taps);
        Ok(snapshot)
    }

    /// Calls `visit` with every pair in key order.
    pub fn each(&self, visit: &mut dyn FnMut(Pair) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.each_step(&mut |step| step.into_iter().try_for_each(&mut *visit))
    }

    /// The same, several pairs at a time.
    pub fn each_step(
        &self,
        visit: &mut dyn FnMut(Vec<Pair>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        while let Some(step) = self.next_step()? {
            visit(step)?;
        }
        Ok(())
    }

    /// The next pairs as they were when the reading began.
    fn next_step(&self) -> Result<Option<Vec<Pair>>, StoreError> {
        let live = self.core.engine.get()?;
        // The lock keeps commits from being applied while these few pairs are read and marked as read.
        let mut taps = self.core.taps();
        let Some(tap) = taps.taps.get_mut(&self.tap) else {
            return Err(opened_again());
        };
        let after = (Bound::Excluded(&tap.read_to[..]), Bound::Unbounded);
        let pairs = live.tree.range::<&[u8], _>(after).take(PAIRS_PER_STEP);
        let step: Vec<Pair> = pairs.collect::<Result<_, _>>().map_err(|error| live.noted(error))?;
        let later = match step.last() {
            Some((end, _)) if step.len() == PAIRS_PER_STEP => tap.old.split_off(&[end, &[0][..]].concat()),
            _ => BTreeMap::new(),
        };
        let old = std::mem::replace(&mut tap.old, later);
        let ends = step.last().map(|(key, _)| key.as_ref()).into_iter();
        let Some(end) = ends.chain(old.keys().next_back().map(Vec::as_slice)).max().map(<[u8]>::to_vec)
        else {
            return Ok(None);
        };
        tap.read_to = end;
        drop(taps);
        Ok(Some(if old.is_empty() { step } else { as_before(step, old) }))
    }
}

/// Pairs as they were before `old` was replaced.
fn as_before(step: Vec<Pair>, old: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Vec<Pair> {
    let mut pairs: BTreeMap<sled::IVec, sled::IVec> = step.into_iter().collect();
    for (key, value) in old {
        match value {
            Some(value) => pairs.insert(key.into(), value.into()),
            None => pairs.remove(&key[..]),
        };
    }
    pairs.into_iter().collect()
}

fn opened_again() -> StoreError {
    StoreError::Open("the engine was opened again meanwhile; begin anew".into())
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let mut taps = self.core.taps();
        taps.taps.remove(&self.tap);
        taps.keeping_blobs.retain(|tap| *tap != self.tap);
    }
}
