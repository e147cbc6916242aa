//! Opening: the manifest, its runs, and what the log has beyond them.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use super::log::Batches;
use super::manifest::Manifest;
use super::memory::Memory;
use super::places::{self, MANIFEST, OWN, OWN_END, PARTS};
use super::run::{Garbage, Run};
use super::worker::Worker;
use super::{Settings, Shared, Signal, Tree, Version};
use crate::error::StoreError;

impl Tree {
    /// Opens the pairs in the tree of an engine, or begins there. Pairs that a version without this layer left are the
    /// base. Answers also with what is unusual, in words. Nothing goes on in the background before [`Tree::begin`].
    pub fn open(
        db: &sled::Db,
        tree: &sled::Tree,
        settings: Settings,
    ) -> Result<(Tree, Vec<String>), StoreError> {
        let manifest = match tree.get(MANIFEST)? {
            Some(bytes) => Manifest::from_bytes(&bytes).map_err(|error| damaged(&error))?,
            None if is_begun(tree)? => {
                return Err(damaged(&StoreError::Corrupt("the list of runs is missing".into())));
            }
            None => begin(tree, &settings)?,
        };
        let garbage = Arc::new(Garbage::default());
        let run = |info| Run::open(tree, info, &garbage).map(Arc::new);
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
        let (memory, next_batch) = replay(tree, manifest.log_from, &mut remarks)?;
        let version = Version {
            memory,
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
            next_batch: Mutex::new(next_batch),
            next_run: AtomicU32::new(next_run),
            garbage,
            signal: Mutex::new(Signal { begins: false, ends: false, has_work: true }),
            changed: Condvar::new(),
            trouble: Mutex::default(),
            is_stuck: AtomicBool::new(false),
            unsynced: Mutex::default(),
            #[cfg(test)]
            fails_to_sync: AtomicBool::new(false),
        });
        shared.freeze(&shared.version(), next_batch - 1);
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

/// The first manifest: whatever is in the tree is the base.
fn begin(tree: &sled::Tree, settings: &Settings) -> Result<Manifest, StoreError> {
    let has_base = tree.iter().next().transpose()?.is_some();
    let manifest = Manifest { has_base, log_from: 1, runs: Vec::new() };
    let mut batch = sled::Batch::default();
    batch.insert(&MANIFEST, manifest.to_bytes());
    for (key, value) in settings.marks {
        // Of a store that is there only the first is written: that of its form.
        batch.insert(*key, *value);
        if has_base {
            break;
        }
    }
    tree.apply_batch(batch)?;
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

/// What the log has from a batch on, and the number of the batch that comes next.
fn replay(
    tree: &sled::Tree,
    log_from: u64,
    remarks: &mut Vec<String>,
) -> Result<(Arc<Memory>, u64), StoreError> {
    let memory = Memory::default();
    let (mut batches, mut next, mut missing) = (Batches::default(), log_from, 0);
    for pair in tree.range(places::piece(log_from, 0)..=places::piece(u64::MAX, u32::MAX)) {
        let (key, piece) = pair?;
        let Some((batch, number)) = places::piece_at(&key) else { continue };
        if batch >= next {
            missing += batch - next;
            next = batch + 1;
        }
        match batches.add(batch, number, piece) {
            Ok(Some(entries)) => memory.add(entries.into_iter()),
            Ok(None) => {}
            Err(_) => missing += 1,
        }
    }
    missing += batches.torn() as u64;
    if missing > 0 {
        remarks.push(format!("{missing} batches of changes are missing in the log"));
    }
    Ok((Arc::new(memory), next))
}
