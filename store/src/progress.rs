//! How far work on the whole store is.

use std::fmt;
use std::time::{Duration, Instant};

/// How often it is worth a line.
const EVERY: Duration = Duration::from_secs(3);

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows and index entries are looked at.
    Look,
    /// They are copied.
    Copy,
    /// The copies are read back.
    ReadBack,
    /// The pairs of a backup are compared with its manifest.
    Verify,
    /// They are written into a new store.
    Restore,
    /// Blobs are read.
    ReadBlobs,
    /// Blobs are copied.
    CopyBlobs,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Rows and index entries, or blobs, so far.
    pub done: u64,
    /// How many there are, about.
    pub total: Option<u64>,
    /// Their bytes so far; none are counted of blobs.
    pub bytes: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, noun) = match self.step {
            Step::Look => ("looked at", "rows and index entries"),
            Step::Copy => ("copied", "rows and index entries"),
            Step::ReadBack => ("read back", "rows and index entries"),
            Step::Verify => ("verified", "rows and index entries"),
            Step::Restore => ("restored", "rows and index entries"),
            Step::ReadBlobs => ("read", "blobs"),
            Step::CopyBlobs => ("copied", "blobs"),
        };
        write!(formatter, "{verb} {} {noun}", self.done)?;
        if let Some(total) = self.total.filter(|total| *total > 0) {
            // A total that is only about right must not promise the end.
            let percent =
                (self.done.saturating_mul(100) / total).min(if self.done < total { 99 } else { 100 });
            write!(formatter, ", {percent} %")?;
        }
        if self.bytes > 0 {
            write!(formatter, ", {} MiB", self.bytes >> 20)?;
        }
        Ok(())
    }
}

/// Takes note of progress wherever there is some, and says it every few seconds.
pub fn paced(mut say: impl FnMut(&Progress)) -> impl FnMut(Progress) {
    let mut said = Instant::now();
    move |progress| {
        if said.elapsed() >= EVERY {
            said = Instant::now();
            say(&progress);
        }
    }
}

/// Counts pairs and reports them now and then.
pub(crate) struct Pairs<'r> {
    progress: Progress,
    report: &'r mut dyn FnMut(Progress),
}

/// So many pairs lie between two reports.
const PAIRS_PER_REPORT: u64 = 4096;

impl<'r> Pairs<'r> {
    /// None of them yet.
    pub fn new(step: Step, total: Option<u64>, report: &'r mut dyn FnMut(Progress)) -> Pairs<'r> {
        Pairs { progress: Progress { step, done: 0, total, bytes: 0 }, report }
    }

    /// One more.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.progress.done += 1;
        self.progress.bytes += (key.len() + value.len()) as u64;
        if self.progress.done.is_multiple_of(PAIRS_PER_REPORT) {
            (self.report)(self.progress);
        }
    }

    /// How many there were.
    pub fn done(&self) -> u64 {
        self.progress.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_in_words() {
        let mut progress = Progress { step: Step::Look, done: 30, total: Some(120), bytes: 5 << 20 };
        assert_eq!(progress.to_string(), "looked at 30 rows and index entries, 25 %, 5 MiB");
        progress.done = 119;
        assert!(progress.to_string().contains("99 %"));
        progress.done = 130;
        assert!(progress.to_string().contains("100 %"));
        let blobs = Progress { step: Step::CopyBlobs, done: 7, total: None, bytes: 0 };
        assert_eq!(blobs.to_string(), "copied 7 blobs");
    }
}
