//! Opening: the manifest, its runs, and what the log has beyond them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use sled::IVec;

use super::cache::BlockCache;
use super::log::Batches;
use super::manifest::Manifest;
use super::memory::Memory;
use super::places::{self, MANIFEST, OWN, OWN_END, PARTS};
use super::run::{Garbage, Run};
use super::worker::Worker;
use super::{Entry, KeyKind, LogEnd, Settings, Shared, Signal, Tree, Version, log};
use crate::error::StoreError;

impl Tree {
    /// Opens the pairs in the tree of an engine, or begins there. Pairs that a version without this layer left are the
    /// base. Answers also with what is unusual, in words. Nothing goes on in the background before [`Tree::begin`].
    pub fn open(
        db: &sled::Db,
        tree: &sled::Tree,
        settings: Settings,
    ) -> Result<(Tree, Vec<String>), StoreError> {
        let mut first = Vec::new();
        let manifest = match tree.get(MANIFEST)? {
            Some(bytes) => Manifest::from_bytes(&bytes).map_err(|error| damaged(&error))?,
            None if is_begun(tree)? => {
                return Err(damaged(&StoreError::Corrupt("the list of runs is missing".into())));
            }
            None => begin(tree, &settings, &mut first)?,
        };
        let cache = Arc::new(BlockCache::new(settings.cache_bytes));
        let garbage = Arc::new(Garbage::default());
        let run = |info| Run::open(tree, &cache, info, &garbage, settings.key_kind.version).map(Arc::new);
        let runs: Vec<Arc<Run>> = manifest
            .runs
            .iter()
            .map(|info| run(*info))
            .collect::<Result<_, _>>()
            .map_err(|error| damaged(&error))?;
        let present = runs_in(tree)?;
        present
            .iter()
            .filter(|number| runs.iter().all(|run| run.info.number != **number))
            .for_each(|number| garbage.add(*number));
        let named = manifest.runs.iter().map(|run| run.number);
        let next_run = present.iter().copied().chain(named).max().map_or(1, |number| number + 1);
        let mut remarks = Vec::new();
        let replayed = replay(tree, manifest.log_from, settings.key_kind)?;
        let (torn, next) = (replayed.torn(), replayed.next);
        let mut lost = None;
        if !replayed.is_whole() {
            // What is lost of the log makes way for batches without entries, so that a loss is found only once.
            if let Some(torn) = torn {
                first.extend(without(tree, torn)?);
                remarks.push(format!("the last batch of changes, {torn}, is torn; it was not acknowledged"));
            } else {
                let mut changes = Vec::new();
                for batch in replayed.missing.iter().take(MISSING_MAX) {
                    changes.extend(without(tree, *batch)?);
                }
                let reason = replayed.reason();
                if replayed.missing.len() > MISSING_MAX {
                    return Err(damaged(&StoreError::Corrupt(reason)));
                }
                remarks.push(reason.clone());
                lost = Some((
                    format!(
                        "{reason}. Restore a backup (`playhouse restore`), write what can be read into a new folder \
                         (`playhouse salvage`), or start with --accept-data-loss to go on without them"
                    ),
                    changes,
                ));
            }
        }
        let version = Version {
            memory: Arc::new(replayed.memory),
            frozen: None,
            runs,
            base: manifest.has_base.then(Arc::default),
            log_from: manifest.log_from,
        };
        let shared = Arc::new(Shared {
            db: db.clone(),
            tree: tree.clone(),
            settings,
            version: RwLock::new(Arc::new(version)),
            log_end: Mutex::new(LogEnd { next, first, lost, is_open: false }),
            next_run: AtomicU32::new(next_run),
            cache,
            garbage,
            signal: Mutex::new(Signal { begins: false, ends: false, has_work: true }),
            changed: Condvar::new(),
            trouble: Mutex::default(),
            is_stuck: AtomicBool::new(false),
            unsynced: Mutex::default(),
            #[cfg(test)]
            fails_to_sync: AtomicBool::new(false),
        });
        shared.freeze(&shared.version(), next - 1);
        let worker = Worker::start(shared.clone())?;
        Ok((Tree { shared, _worker: Arc::new(worker) }, remarks))
    }
}

/// Whether the tree of an engine has pairs of this layer.
pub fn is_begun(tree: &sled::Tree) -> Result<bool, StoreError> {
    Ok(tree.range(OWN..OWN_END).next().transpose()?.is_some())
}

fn damaged(error: &StoreError) -> StoreError {
    StoreError::Open(format!(
        "{error}. Restore a backup (`playhouse restore`), or write what can be read into a new folder (`playhouse \
         salvage`)"
    ))
}

/// The first manifest: whatever is in the tree is the base. It is written later, with the marks.
fn begin(tree: &sled::Tree, settings: &Settings, first: &mut Vec<Entry>) -> Result<Manifest, StoreError> {
    let mut has_base = false;
    for pair in tree {
        let (key, value) = pair?;
        // Marks alone are what is left of a beginning that failed.
        if !settings.marks.contains(&(&key, &value)) {
            has_base = true;
            break;
        }
    }
    let manifest = Manifest { has_base, log_from: 1, runs: Vec::new() };
    first.push((MANIFEST.as_slice().into(), Some(manifest.to_bytes().into())));
    // Of a store that is there only the first is written: that of its form.
    let marks = settings.marks.iter().take(if has_base { 1 } else { usize::MAX });
    first.extend(marks.map(|(key, value)| (IVec::from(*key), Some(IVec::from(*value)))));
    Ok(manifest)
}

/// The numbers of all runs that have parts in the tree.
fn runs_in(tree: &sled::Tree) -> Result<Vec<u32>, StoreError> {
    let mut numbers = Vec::new();
    for part in PARTS {
        let end = places::part(part, u32::MAX, u32::MAX);
        let mut from = places::part(part, 0, 0);
        while let Some((key, _)) = tree.range(from..=end).next().transpose()? {
            let Some(number) = places::run_of(&key) else { break };
            numbers.push(number);
            let Some(next) = number.checked_add(1) else { break };
            from = places::part(part, next, 0);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Batches that may be missing in a log that is opened at all.
const MISSING_MAX: usize = 1000;

/// What the log has.
struct Replayed {
    memory: Memory,
    /// The number of the batch that comes next.
    next: u64,
    /// Batches that are not there, or only in part.
    missing: BTreeSet<u64>,
    /// Those of them of which something reads differently than it was written.
    damaged: BTreeSet<u64>,
}

impl Replayed {
    fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// The last batch, if that alone is not whole: a crash may tear it.
    fn torn(&self) -> Option<u64> {
        let last = self.next - 1;
        (self.missing.iter().eq([&last]) && self.damaged.is_empty()).then_some(last)
    }

    fn reason(&self) -> String {
        let first = self.missing.first().copied().unwrap_or_default();
        let count = match self.missing.len() {
            count if count > MISSING_MAX => format!("more than {MISSING_MAX}"),
            count => count.to_string(),
        };
        format!("batches of changes are missing in the log: {count}, the first of them {first}")
    }
}

/// What the log has from a batch on.
fn replay(tree: &sled::Tree, log_from: u64, key_kind: KeyKind) -> Result<Replayed, StoreError> {
    let (memory, mut batches, mut next) = (Memory::default(), Batches::default(), log_from);
    let (mut missing, mut damaged) = (BTreeSet::new(), BTreeSet::new());
    for pair in tree.range(places::piece(log_from, 0)..=places::piece(u64::MAX, u32::MAX)) {
        let (key, piece) = pair?;
        let Some((batch, number)) = places::piece_at(&key) else { continue };
        if batch >= next {
            missing.extend((next..batch).take(MISSING_MAX + 1));
            next = batch + 1;
        }
        match batches.add(batch, number, piece) {
            Ok(Some(entries)) => memory.add(entries.into_iter(), key_kind),
            Ok(None) => {}
            Err(_) => drop(damaged.insert(batch)),
        }
    }
    missing.extend(batches.unfinished().chain(damaged.iter().copied()));
    Ok(Replayed { memory, next, missing, damaged })
}

/// What takes a batch out of the log.
fn without(tree: &sled::Tree, batch: u64) -> Result<Vec<Entry>, StoreError> {
    let pieces = tree.range(places::piece(batch, 0)..=places::piece(batch, u32::MAX)).keys();
    let mut changes = pieces.map(|key| Ok((key?, None))).collect::<Result<Vec<Entry>, sled::Error>>()?;
    let (place, piece) = log::nothing(batch);
    changes.push((place.as_slice().into(), Some(piece.into())));
    Ok(changes)
}
