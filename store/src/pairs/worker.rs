//! What goes on in the background: full memory becomes a run, runs become fewer, and what is of no use goes.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::merged::{Cursor, Merged};
use super::places::{MANIFEST, Place};
use super::run::{Reading, Run, RunCursor, RunWriter};
use super::{Entry, Shared, Version, base, choice, locked, manifest};
use crate::crash;
use crate::error::StoreError;
use crate::page_files::PageFiles;

/// Parts of a run that the engine takes at once: all who read wait for that.
const PARTS_AT_ONCE: usize = 8;
/// By how much the engine's log grows for each byte of a part, about: pages are written anew.
const GROWTH: u64 = 2;
/// Entries after which a long merge looks at what else there is to do, if it wrote nothing meanwhile.
const ENTRIES_AT_ONCE: u64 = 4096;
/// How long the thread waits before it looks again.
const LOOK: Duration = Duration::from_secs(1);
/// How long runs are not merged again after an attempt that failed: it reads and writes much.
const REST_OF_MERGES: Duration = Duration::from_secs(600);
/// How long where there was no room to begin with.
const REST_WITHOUT_ROOM: Duration = Duration::from_secs(60);
/// Stands for the pairs of a version without this layer where the oldest run of a merge is noted; no run has it.
const BASE: u32 = 0;

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
            written: 0,
            rests: HashMap::new(),
            known: None,
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
pub(super) enum Outcome {
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
    /// About how many bytes were given to the engine since the last sync.
    pub written: u64,
    /// Until when merges rest that failed, by the oldest run of each.
    rests: HashMap<u32, Instant>,
    /// Why merging or removing failed last.
    known: Option<String>,
    /// Runs that are being written.
    unfinished: Vec<u32>,
    /// The base that is a run now, while it is still read.
    pub base: Option<Weak<()>>,
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
    pub fn ends(&self) -> bool {
        locked(&self.shared.signal).ends
    }

    /// Does all there is to do.
    fn turn(&mut self) -> Result<(), StoreError> {
        // A failed engine is left alone.
        self.shared.must_work()?;
        loop {
            if self.ends() || self.write_memory()? == Outcome::Ended {
                return Ok(());
            }
            self.clear_log()?;
            // First: it makes room for what is written next.
            self.attempt(Work::clear_runs)?;
            let version = self.shared.version();
            let due = choice::due(&version.runs, self.unit(), &|run| self.rests(run));
            let has_base = version.base.is_some();
            drop(version);
            if has_base && !self.rests(BASE) {
                self.attempt(|work| work.write_base().map(drop))?;
            } else if let Some(range) = due {
                self.attempt(|work| work.merge(range.clone()).map(drop))?;
            } else {
                if !has_base {
                    self.attempt(Work::clear_base)?;
                }
                let mut signal = locked(&self.shared.signal);
                signal.has_work = self.shared.version().frozen.is_some();
                if !signal.has_work {
                    return Ok(());
                }
            }
        }
    }

    /// Does what others do not depend on: new entries are written also where old runs cannot be merged. Fails only with the
    /// engine.
    fn attempt(&mut self, work: impl FnOnce(&mut Work) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let before = self.unfinished.len();
        let Err(error) = work(self) else { return Ok(()) };
        let reason = self.shared.noted(error).to_string();
        self.unfinished.drain(before..).for_each(|run| self.shared.garbage.add(run));
        self.shared.must_work()?;
        if self.known.as_ref() != Some(&reason) {
            tracing::warn!(reason, "old runs cannot be merged or removed now; it is tried again");
            self.known = Some(reason);
        }
        Ok(())
    }

    /// Whether a merge of runs rests whose oldest is this one.
    fn rests(&self, oldest: u32) -> bool {
        self.rests.get(&oldest).is_some_and(|until| Instant::now() < *until)
    }

    fn rest(&mut self, oldest: u32, time: Duration) {
        self.rests.retain(|_, until| Instant::now() < *until);
        self.rests.insert(oldest, Instant::now() + time);
    }

    /// About what a full memory takes as a run.
    fn unit(&self) -> u64 {
        self.shared.settings.memory_bytes as u64 / 2
    }

    fn must_have_room(&self, bytes: u64) -> Result<(), StoreError> {
        if (self.shared.settings.has_room)(bytes) { Ok(()) } else { Err(StoreError::DiskFull) }
    }

    /// Writes the full memory, if there is one, as a run.
    pub fn write_memory(&mut self) -> Result<Outcome, StoreError> {
        let version = self.shared.version();
        let Some((memory, through)) = version.frozen.clone() else { return Ok(Outcome::Done) };
        let is_lowest = version.runs.is_empty() && version.base.is_none();
        let entries = memory.read();
        self.must_have_room(2 * memory.bytes() as u64)?;
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
    /// `above` is the run whose newer neighbours may be merged meanwhile, where this takes long; none in it stands for all.
    fn write_run(
        &mut self,
        entries: &mut dyn Iterator<Item = Result<Entry, StoreError>>,
        through: u64,
        is_lowest: bool,
        above: Option<Option<u32>>,
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
        above: Option<Option<u32>>,
    ) -> Result<Option<Option<Arc<Run>>>, StoreError> {
        let mut writer = RunWriter::new(number, through, self.shared.settings.key_kind);
        let mut parts: Vec<(Place, Vec<u8>)> = Vec::new();
        let mut count = 0u64;
        for entry in entries {
            let (key, value) = entry?;
            count += 1;
            if count.is_multiple_of(ENTRIES_AT_ONCE) {
                if self.ends() {
                    return Ok(None);
                }
                if let Some(above) = above {
                    self.look_after(above)?;
                }
            }
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
            if let Some(above) = above {
                self.look_after(above)?;
            }
        }
        let shared = &self.shared;
        let open = |info| {
            Run::open(&shared.tree, &shared.cache, info, &shared.garbage, shared.settings.key_kind.version)
        };
        Ok(Some(info.map(open).transpose()?.map(Arc::new)))
    }

    /// Does what cannot wait for the end of something long: new entries, and runs newer than `above`, if there is one.
    pub fn look_after(&mut self, above: Option<u32>) -> Result<(), StoreError> {
        if self.shared.version().frozen.is_none() {
            return Ok(());
        }
        if self.write_memory()? == Outcome::Ended {
            return Ok(());
        }
        self.clear_log()?;
        loop {
            let version = self.shared.version();
            let newer = above.and_then(|above| version.runs.iter().position(|run| run.info.number == above));
            let newer = &version.runs[..newer.unwrap_or(version.runs.len())];
            let range = choice::neighbours(newer, self.unit(), &|run| self.rests(run));
            drop(version);
            let Some(range) = range else { return Ok(()) };
            self.attempt(|work| work.merge(range).map(drop))?;
            if self.ends() {
                return Ok(());
            }
        }
    }

    fn put(&mut self, parts: &mut Vec<(Place, Vec<u8>)>) -> Result<(), StoreError> {
        let bytes: u64 = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        // Asked anew each time: others write while a merge goes on for minutes.
        self.must_have_room(GROWTH * bytes)?;
        self.shared.must_work()?;
        let mut batch = sled::Batch::default();
        let places: Vec<Place> = parts.iter().map(|(place, _)| *place).collect();
        for (place, bytes) in parts.drain(..) {
            batch.insert(&place, bytes);
        }
        self.shared.tree.apply_batch(batch)?;
        self.shared.visit(places.iter())?;
        self.wrote(GROWTH * bytes)
    }

    /// Merges neighbours into one run.
    fn merge(&mut self, range: Range<usize>) -> Result<Outcome, StoreError> {
        let version = self.shared.version();
        let inputs: Vec<Arc<Run>> = version.runs[range.clone()].to_vec();
        let is_lowest = range.end == version.runs.len() && version.base.is_none();
        drop(version);
        let (Some(newest), Some(oldest)) = (inputs.first(), inputs.last()) else { return Ok(Outcome::Done) };
        let bytes: u64 = inputs.iter().map(|run| run.info.bytes).sum();
        let oldest = oldest.info.number;
        self.rest(oldest, REST_WITHOUT_ROOM);
        self.must_have_room(bytes + bytes / 4)?;
        // Taken back at its end, so that a panic counts too.
        self.rest(oldest, REST_OF_MERGES);
        crash::point("before_merge");
        let cursor = |run: &Arc<Run>| {
            Cursor::Run(Box::new(RunCursor::new(run.clone(), &[], None, false, Reading::Verified)))
        };
        let mut merged = Merged::new(inputs.iter().map(cursor).collect(), false);
        let (through, above) = (newest.info.through, newest.info.number);
        let Some(run) = self.write_run(&mut merged, through, is_lowest, Some(Some(above)))? else {
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
        // What they have is removed only once the manifest without them is durable.
        inputs.iter().for_each(|run| run.replaced());
        drop(inputs);
        self.make_durable()?;
        self.rests.remove(&oldest);
        self.clear_runs()?;
        Ok(Outcome::Done)
    }

    /// Writes the pairs of a version without this layer as the oldest run.
    fn write_base(&mut self) -> Result<Outcome, StoreError> {
        self.rest(BASE, REST_OF_MERGES);
        let mut bytes = self.shared.db.size_on_disk()?;
        if !(self.shared.settings.has_room)(bytes) {
            // The engine's files may be much larger than what they keep.
            let Some(kept) = self.bytes_of_base()? else { return Ok(Outcome::Ended) };
            bytes = kept + kept / 4;
            self.must_have_room(bytes)?;
        }
        tracing::info!(bytes, "the store is written in a new form, beside everything else");
        crash::point("before_base");
        let tree = self.shared.tree.clone();
        let mut pairs = base(&tree, &[], None, false).map(|pair| {
            let (key, value) = pair?;
            Ok((key, Some(value)))
        });
        let Some(run) = self.write_run(&mut pairs, 0, true, Some(None))? else {
            return Ok(Outcome::Ended);
        };
        crash::point("after_base");
        self.base = self.shared.version().base.as_ref().map(Arc::downgrade);
        self.install(&|version: &mut Version| {
            version.base = None;
            version.runs.extend(run.clone());
        })?;
        self.make_durable()?;
        self.rests.remove(&BASE);
        let pairs = run.map_or(0, |run| run.info.entries);
        tracing::info!(pairs, "the store is written in its new form");
        Ok(Outcome::Done)
    }

    /// Bytes of the pairs of a version without this layer; `None` if the store is being closed.
    fn bytes_of_base(&mut self) -> Result<Option<u64>, StoreError> {
        let tree = self.shared.tree.clone();
        let mut bytes = 0;
        for (pair, count) in base(&tree, &[], None, false).zip(1u64..) {
            let (key, value) = pair?;
            bytes += (key.len() + value.len()) as u64;
            if count.is_multiple_of(ENTRIES_AT_ONCE) {
                self.look_after(None)?;
                if self.ends() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(bytes))
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
        self.shared.must_work()?;
        self.is_durable = false;
        self.shared.tree.insert(MANIFEST, manifest.to_bytes())?;
        self.shared.visit([MANIFEST].iter())?;
        crash::point("after_manifest");
        self.shared.change(change);
        Ok(())
    }
}
