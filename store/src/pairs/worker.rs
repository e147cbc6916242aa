//! What goes on in the background: full memory becomes a run, runs become fewer, and what is of no use goes.

use std::fs::File;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::merged::{Cursor, Merged};
use super::places::{self, MANIFEST, OWN, OWN_END, PARTS, Place};
use super::run::{Run, RunCursor, RunWriter};
use super::{Entry, Shared, Version, base, locked, manifest};
use crate::crash;
use crate::error::StoreError;
use crate::page_files::PageFiles;

/// So many neighbours of one size are merged.
const NEIGHBOURS: usize = 4;
/// By how much sizes differ.
const SIZE_FACTOR: u64 = 4;
/// Parts of a run that the engine takes at once, and pairs that it gives up at once: all who read wait for that.
const PARTS_AT_ONCE: usize = 8;
const REMOVED_AT_ONCE: usize = 64;
/// Room on the disk that removing may take for a while.
const ROOM_TO_CLEAR: u64 = 2 << 20;
/// How long the thread waits before it looks again.
const LOOK: Duration = Duration::from_secs(1);
/// How long it rests after a merge that failed.
const REST_OF_MERGES: Duration = Duration::from_secs(600);
/// How long it rests between two batches of pairs of a version without this layer: that has time.
const REST: Duration = Duration::from_millis(5);

/// The thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn start(shared: Arc<Shared>) -> Result<Worker, StoreError> {
        let log = shared.settings.folder.join("db");
        let log = File::open(&log).map_err(StoreError::io(&log))?;
        let mut work = Work {
            shared: shared.clone(),
            log,
            pages: None,
            is_durable: false,
            rests_until: None,
            unfinished: Vec::new(),
            base: None,
        };
        let thread = std::thread::Builder::new().name("runs".into()).spawn(move || work.go_on());
        let thread = thread.map_err(StoreError::io(&shared.settings.folder))?;
        Ok(Worker { shared, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        locked(&self.shared.signal).ends = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What became of something that takes long.
#[derive(PartialEq, Eq)]
enum Outcome {
    Done,
    /// The store is being closed.
    Ended,
}

pub(super) struct Work {
    pub shared: Arc<Shared>,
    pub log: File,
    pub pages: Option<PageFiles>,
    /// Whether the manifest that was written last is durable.
    pub is_durable: bool,
    /// Until when no runs are merged, and no base is written, after an attempt that failed: each reads and writes much.
    rests_until: Option<Instant>,
    /// Runs that are being written.
    unfinished: Vec<u32>,
    /// The base that is a run now, while it is still read.
    base: Option<Weak<()>>,
}

impl Work {
    fn go_on(&mut self) {
        loop {
            {
                let mut signal = locked(&self.shared.signal);
                let is_idle = !signal.has_work || locked(&self.shared.trouble).is_some();
                if !signal.ends && (!signal.begins || is_idle) {
                    let waited = self.shared.changed.wait_timeout(signal, LOOK);
                    signal = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                if signal.ends {
                    return;
                }
                if !signal.begins {
                    continue;
                }
            }
            // The engine panics over damaged pages; that must not end the thread silently.
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
            let result = result.unwrap_or_else(|_| Err(StoreError::Corrupt("the engine panicked".into())));
            // What an attempt left that did not come to its end.
            self.unfinished.drain(..).for_each(|run| self.shared.garbage.add(run));
            let trouble =
                result.map_err(|error| self.shared.noted(error)).err().map(|error| error.to_string());
            let mut known = locked(&self.shared.trouble);
            if let Some(reason) = trouble.as_ref().filter(|reason| known.as_ref() != Some(reason)) {
                tracing::warn!(
                    reason,
                    "what is new cannot be written in the order of keys now; it is tried again"
                );
            }
            *known = trouble;
        }
    }

    /// Whether the store is being closed.
    fn ends(&self) -> bool {
        locked(&self.shared.signal).ends
    }

    /// Does all there is to do.
    fn turn(&mut self) -> Result<(), StoreError> {
        // A failed engine is left alone.
        self.shared.db.context.global_error()?;
        self.shared.must_be_synced()?;
        if self.shared.is_stuck.load(Ordering::Acquire) {
            return Err(StoreError::ReadOnly("the engine could not write a page".into()));
        }
        loop {
            if self.ends() || self.write_memory()? == Outcome::Ended {
                return Ok(());
            }
            self.clear_log()?;
            let version = self.shared.version();
            let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
            let due = if rests { None } else { due(&version.runs, self.unit()) };
            let has_base = version.base.is_some();
            drop(version);
            if has_base && !rests {
                self.write_base()?;
            } else if let Some(range) = due {
                self.merge(range)?;
            } else {
                self.clear_runs()?;
                if !has_base {
                    self.clear_base()?;
                }
                let mut signal = locked(&self.shared.signal);
                signal.has_work = self.shared.version().frozen.is_some();
                if !signal.has_work {
                    return Ok(());
                }
            }
        }
    }

    /// About what a full memory takes as a run.
    fn unit(&self) -> u64 {
        self.shared.settings.memory_bytes as u64 / 2
    }

    fn must_have_room(&self, bytes: u64) -> Result<(), StoreError> {
        if (self.shared.settings.has_room)(bytes) { Ok(()) } else { Err(StoreError::DiskFull) }
    }

    /// Writes the full memory, if there is one, as a run.
    fn write_memory(&mut self) -> Result<Outcome, StoreError> {
        let version = self.shared.version();
        let Some((memory, through)) = version.frozen.clone() else { return Ok(Outcome::Done) };
        let is_lowest = version.runs.is_empty() && version.base.is_none();
        let entries = memory.read();
        self.must_have_room(2 * entries.bytes as u64)?;
        crash::point("before_run");
        let all = entries.map.iter().map(|(key, value)| Ok((key.clone(), value.clone())));
        let Some(run) = self.write_run(&mut all.into_iter(), through, is_lowest, None)? else {
            return Ok(Outcome::Ended);
        };
        drop(entries);
        crash::point("after_run");
        self.install(&|version: &mut Version| {
            version.frozen = None;
            version.log_from = through + 1;
            if let Some(run) = &run {
                version.runs.insert(0, run.clone());
            }
        })?;
        self.make_durable()?;
        Ok(Outcome::Done)
    }

    /// Writes entries as a run, that is none without entries. Answers with `None` if the store is being closed.
    ///
    /// `above` is the run whose newer neighbours may be merged meanwhile, where this takes long.
    fn write_run(
        &mut self,
        entries: &mut dyn Iterator<Item = Result<Entry, StoreError>>,
        through: u64,
        is_lowest: bool,
        above: Option<u32>,
    ) -> Result<Option<Option<Arc<Run>>>, StoreError> {
        let number = self.shared.next_run.fetch_add(1, Ordering::Relaxed);
        self.unfinished.push(number);
        let written = self.write_parts(number, entries, through, is_lowest, above)?;
        if written.is_some() {
            self.unfinished.retain(|other| *other != number);
        }
        Ok(written)
    }

    fn write_parts(
        &mut self,
        number: u32,
        entries: &mut dyn Iterator<Item = Result<Entry, StoreError>>,
        through: u64,
        is_lowest: bool,
        above: Option<u32>,
    ) -> Result<Option<Option<Arc<Run>>>, StoreError> {
        let mut writer = RunWriter::new(number, through, self.shared.settings.key_kind);
        let mut parts: Vec<(Place, Vec<u8>)> = Vec::new();
        for entry in entries {
            let (key, value) = entry?;
            if is_lowest && value.is_none() {
                continue;
            }
            writer.add(&key, value.as_deref(), &mut |place, bytes| {
                parts.push((place, bytes));
                Ok(())
            })?;
            if parts.len() >= PARTS_AT_ONCE {
                self.put(&mut parts)?;
                if self.ends() {
                    return Ok(None);
                }
                if let Some(above) = above {
                    self.look_after(above)?;
                }
            }
        }
        let info = writer.finish(&mut |place, bytes| {
            parts.push((place, bytes));
            Ok(())
        })?;
        while !parts.is_empty() {
            let mut rest = parts.split_off(parts.len().min(PARTS_AT_ONCE));
            self.put(&mut parts)?;
            parts.append(&mut rest);
        }
        let run = info.map(|info| Run::open(&self.shared.tree, info, &self.shared.garbage)).transpose()?;
        Ok(Some(run.map(Arc::new)))
    }

    /// Does what cannot wait for the end of a long merge: new entries, and runs newer than `above`.
    fn look_after(&mut self, above: u32) -> Result<(), StoreError> {
        if self.shared.version().frozen.is_none() {
            return Ok(());
        }
        if self.write_memory()? == Outcome::Ended {
            return Ok(());
        }
        self.clear_log()?;
        loop {
            let version = self.shared.version();
            let newer = version.runs.iter().position(|run| run.info.number == above);
            let newer = newer.unwrap_or(version.runs.len());
            let Some(range) = neighbours(&version.runs[..newer], self.unit()) else { return Ok(()) };
            drop(version);
            self.merge(range)?;
            if self.ends() {
                return Ok(());
            }
        }
    }

    fn put(&self, parts: &mut Vec<(Place, Vec<u8>)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let places: Vec<Place> = parts.iter().map(|(place, _)| *place).collect();
        for (place, bytes) in parts.drain(..) {
            batch.insert(&place, bytes);
        }
        self.shared.tree.apply_batch(batch)?;
        self.shared.visit(places.iter())
    }

    /// Merges neighbours into one run.
    fn merge(&mut self, range: Range<usize>) -> Result<Outcome, StoreError> {
        let version = self.shared.version();
        let inputs: Vec<Arc<Run>> = version.runs[range.clone()].to_vec();
        let is_lowest = range.end == version.runs.len() && version.base.is_none();
        drop(version);
        let (Some(newest), Some(bytes)) =
            (inputs.first(), inputs.iter().map(|run| run.info.bytes).reduce(|sum, bytes| sum + bytes))
        else {
            return Ok(Outcome::Done);
        };
        self.must_have_room(bytes + bytes / 4)?;
        // Taken back at its end, so that a panic counts too.
        self.rests_until = Some(Instant::now() + REST_OF_MERGES);
        crash::point("before_merge");
        let cursor =
            |run: &Arc<Run>| Cursor::Run(Box::new(RunCursor::new(run.clone(), &[], None, false, true)));
        let mut merged = Merged::new(inputs.iter().map(cursor).collect(), false);
        let (through, above) = (newest.info.through, newest.info.number);
        let Some(run) = self.write_run(&mut merged, through, is_lowest, Some(above))? else {
            return Ok(Outcome::Ended);
        };
        drop(merged);
        crash::point("after_merge");
        let count = inputs.len();
        self.install(&|version: &mut Version| {
            let at = version.runs.iter().position(|run| run.info.number == above);
            let at = at.unwrap_or(version.runs.len());
            let end = (at + count).min(version.runs.len());
            version.runs.splice(at..end, run.clone());
        })?;
        self.make_durable()?;
        self.rests_until = None;
        inputs.iter().for_each(|run| run.replaced());
        drop(inputs);
        self.clear_runs()?;
        Ok(Outcome::Done)
    }

    /// Writes the pairs of a version without this layer as the oldest run.
    fn write_base(&mut self) -> Result<Outcome, StoreError> {
        let bytes = self.shared.db.size_on_disk()?;
        self.must_have_room(bytes)?;
        self.rests_until = Some(Instant::now() + REST_OF_MERGES);
        tracing::info!(bytes, "the store is written in a new form, beside everything else");
        crash::point("before_base");
        let tree = self.shared.tree.clone();
        let mut pairs = base(&tree, &[], None, false).map(|pair| {
            let (key, value) = pair?;
            Ok((key, Some(value)))
        });
        let oldest = u32::MAX;
        let Some(run) = self.write_run(&mut pairs, 0, true, Some(oldest))? else {
            return Ok(Outcome::Ended);
        };
        crash::point("after_base");
        self.base = self.shared.version().base.as_ref().map(Arc::downgrade);
        self.install(&|version: &mut Version| {
            version.base = None;
            version.runs.extend(run.clone());
        })?;
        self.make_durable()?;
        self.rests_until = None;
        let pairs = run.map_or(0, |run| run.info.entries);
        tracing::info!(pairs, "the store is written in its new form");
        Ok(Outcome::Done)
    }

    /// Writes a manifest for a changed version, and has it read from then on.
    fn install(&mut self, change: &dyn Fn(&mut Version)) -> Result<(), StoreError> {
        let mut new = Version::clone(&self.shared.version());
        change(&mut new);
        let manifest = manifest::Manifest {
            has_base: new.base.is_some(),
            log_from: new.log_from,
            runs: new.runs.iter().map(|run| run.info).collect(),
        };
        self.shared.must_be_synced()?;
        self.is_durable = false;
        self.shared.tree.insert(MANIFEST, manifest.to_bytes())?;
        self.shared.visit([MANIFEST].iter())?;
        crash::point("after_manifest");
        self.shared.change(change);
        Ok(())
    }

    /// Removes pairs of the engine, a few at a time, until there are none in this range. The pairs in `kept` stay.
    fn clear(
        &mut self,
        (from, to): (&[u8], &[u8]),
        kept: &[&[u8]],
        rest: Duration,
    ) -> Result<(), StoreError> {
        loop {
            let range = self.shared.tree.range(from..to).keys();
            let wanted = |key: &Result<sled::IVec, sled::Error>| {
                key.as_ref().map_or(true, |key| !kept.contains(&key.as_ref()))
            };
            let keys: Vec<sled::IVec> =
                range.filter(wanted).take(REMOVED_AT_ONCE).collect::<Result<_, _>>()?;
            // Removing writes too; what is of no use can stay.
            if keys.is_empty() || self.ends() || !(self.shared.settings.has_room)(ROOM_TO_CLEAR) {
                return Ok(());
            }
            self.must_be_durable()?;
            let mut batch = sled::Batch::default();
            keys.iter().for_each(|key| batch.remove(key));
            self.shared.tree.apply_batch(batch)?;
            // Twice: a page that is merged away is first marked, and then taken out.
            self.shared.visit(keys.iter().chain(&keys))?;
            std::thread::sleep(rest);
        }
    }

    /// Removes batches that are in runs.
    fn clear_log(&mut self) -> Result<(), StoreError> {
        let (from, to) = (places::piece(0, 0), places::piece(self.shared.version().log_from, 0));
        self.clear((&from, &to), &[], Duration::ZERO)
    }

    /// Removes parts of runs that are read no more.
    fn clear_runs(&mut self) -> Result<(), StoreError> {
        for run in self.shared.garbage.take() {
            for part in PARTS {
                let (from, to) = (places::part(part, run, 0), places::part(part, run, u32::MAX));
                if let Err(error) = self.clear((&from, &to), &[], Duration::ZERO) {
                    self.shared.garbage.add(run);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Removes the pairs of a version without this layer, once they are a run and are read no more.
    fn clear_base(&mut self) -> Result<(), StoreError> {
        if self.base.as_ref().is_some_and(|base| base.strong_count() > 0) {
            return Ok(());
        }
        let marks: Vec<&[u8]> = self.shared.settings.marks.iter().map(|(key, _)| *key).collect();
        self.clear((&[], &OWN), &marks, REST)?;
        self.clear((&OWN_END, &[0xff; 64]), &marks, REST)
    }
}

/// The newest neighbours of one size, if they are many. A run counts as large as any newer one.
fn neighbours(runs: &[Arc<Run>], unit: u64) -> Option<Range<usize>> {
    let mut from = 0;
    let mut size = 0;
    for (at, run) in runs.iter().enumerate() {
        let own = size_of(run.info.bytes, unit);
        if own > size {
            if at - from >= NEIGHBOURS {
                return Some(from..at);
            }
            (from, size) = (at, own);
        }
    }
    (runs.len() - from >= NEIGHBOURS).then_some(from..runs.len())
}

/// The size of a run: 0 for those of up to two units, and one more for each further factor.
fn size_of(bytes: u64, unit: u64) -> u32 {
    let (mut size, mut limit) = (0, 2 * unit.max(1));
    while bytes >= limit {
        size += 1;
        limit = limit.saturating_mul(SIZE_FACTOR);
    }
    size
}

/// Runs to merge: neighbours of one size, or all once the newer ones have more than the oldest, or remove half as much: that
/// may be most of what those replace.
fn due(runs: &[Arc<Run>], unit: u64) -> Option<Range<usize>> {
    let (oldest, newer) = runs.split_last()?;
    let bytes: u64 = newer.iter().map(|run| run.info.bytes).sum();
    let removed: u64 = newer.iter().map(|run| run.info.removed).sum();
    let is_much = bytes > oldest.info.bytes || removed > oldest.info.entries / 2;
    if is_much { Some(0..runs.len()) } else { neighbours(runs, unit) }
}
