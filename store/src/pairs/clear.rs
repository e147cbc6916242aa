//! Removing what is of no use: batches that are in runs, runs that were merged, and pairs of a version without this layer
//! that are a run. What is removed may be much, and new entries wait meanwhile: they come between.

use std::time::Duration;

use super::places::{self, OWN, OWN_END, PARTS};
use super::worker::{Outcome, Work};
use crate::crash;
use crate::error::StoreError;

/// Pairs that the engine gives up at once: all who read wait for that.
const REMOVED_AT_ONCE: usize = 64;
/// Room on the disk that removing may take for a while.
pub(super) const ROOM_TO_CLEAR: u64 = 2 << 20;
/// What removing a pair adds to the engine's log, about: pages are written anew.
const BYTES_PER_REMOVAL: u64 = 6 << 10;
/// How long the thread rests between two steps of removing pairs of a version without this layer: that has time.
const REST: Duration = Duration::from_millis(5);

/// What came of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is nothing left.
    Through,
    /// There may be more.
    GoesOn,
    /// It cannot go on now: the store is being closed, or the disk has no room.
    Stops,
}

impl Work {
    /// Removes a few pairs of the engine in a range. Those in `kept` stay.
    fn clear_some(&mut self, (from, to): (&[u8], &[u8]), kept: &[&[u8]]) -> Result<Step, StoreError> {
        let range = self.shared.tree.range(from..to).keys();
        let wanted = |key: &Result<sled::IVec, sled::Error>| {
            key.as_ref().map_or(true, |key| !kept.contains(&key.as_ref()))
        };
        let keys: Vec<sled::IVec> = range.filter(wanted).take(REMOVED_AT_ONCE).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Ok(Step::Through);
        }
        // Removing writes too; what is of no use can stay.
        if self.ends() || !(self.shared.settings.has_room)(ROOM_TO_CLEAR) {
            return Ok(Step::Stops);
        }
        self.must_be_durable()?;
        self.shared.must_work()?;
        let mut batch = sled::Batch::default();
        keys.iter().for_each(|key| batch.remove(key));
        self.shared.tree.apply_batch(batch)?;
        // Twice: a page that is merged away is first marked, and then taken out.
        self.shared.visit_neighbours(&keys)?;
        self.shared.visit_neighbours(&keys)?;
        crash::point("after_removal");
        self.wrote(BYTES_PER_REMOVAL * keys.len() as u64)?;
        Ok(Step::GoesOn)
    }

    /// Removes all pairs in a range, and writes full memory between; false where it cannot go on now.
    fn clear(&mut self, range: (&[u8], &[u8])) -> Result<bool, StoreError> {
        loop {
            match self.clear_some(range, &[])? {
                Step::Through => return Ok(true),
                Step::GoesOn if self.write_memory()? == Outcome::Done => {}
                Step::GoesOn | Step::Stops => return Ok(false),
            }
        }
    }

    /// Removes batches that are in runs.
    pub fn clear_log(&mut self) -> Result<(), StoreError> {
        let (from, to) = (places::piece(0, 0), places::piece(self.shared.version().log_from, 0));
        self.clear((&from, &to)).map(drop)
    }

    /// Removes parts of runs that are read no more. What cannot be removed stays noted.
    pub fn clear_runs(&mut self) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for run in self.shared.garbage.all() {
            match self.clear_run(run) {
                Ok(true) => self.shared.garbage.remove(run),
                Ok(false) => break,
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    fn clear_run(&mut self, run: u32) -> Result<bool, StoreError> {
        for part in PARTS {
            let (from, to) = (places::part(part, run, 0), places::part(part, run, u32::MAX));
            if !self.clear((&from, &to))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the pairs of a version without this layer, once they are a run and are read no more. Meanwhile new runs are
    /// written and merged.
    pub fn clear_base(&mut self) -> Result<(), StoreError> {
        if self.base.as_ref().is_some_and(|base| base.strong_count() > 0) {
            return Ok(());
        }
        let shared = self.shared.clone();
        let marks: Vec<&[u8]> = shared.settings.marks.iter().map(|(key, _)| *key).collect();
        for range in [(&[][..], &OWN[..]), (&OWN_END, &[0xff; 64])] {
            loop {
                match self.clear_some(range, &marks)? {
                    Step::Through => break,
                    Step::GoesOn => {}
                    Step::Stops => return Ok(()),
                }
                std::thread::sleep(REST);
                self.look_after(None)?;
            }
        }
        Ok(())
    }
}
