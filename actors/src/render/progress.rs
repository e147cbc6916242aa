//! Steps and previews on their way to watchers. Nothing is written anywhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

/// Where a drawing stands.
#[derive(Clone, Debug)]
pub struct Step {
    /// Steps done, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Which picture of the job, from 0.
    pub image: usize,
    /// A small PNG of what it is becoming.
    pub preview_png: Option<std::sync::Arc<Vec<u8>>>,
}

/// The latest step of every job that is watched.
#[derive(Debug, Default)]
pub struct Progress {
    watched: Mutex<HashMap<Uuid, watch::Sender<Option<Step>>>>,
    steps: AtomicU64,
    drawing_us: AtomicU64,
}

/// What has been drawn since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// Steps, each counted once for every picture or frame that it advances.
    pub steps: u64,
    /// Time that the device was at work on jobs.
    pub time: Duration,
}

impl Progress {
    /// Follows a job; slow watchers see only the latest step.
    pub fn watch(&self, job: Uuid) -> watch::Receiver<Option<Step>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched.entry(job).or_insert_with(|| watch::channel(None).0).subscribe()
    }

    /// What has been drawn since the start.
    pub(super) fn drawing(&self) -> Drawing {
        let time = Duration::from_micros(self.drawing_us.load(Ordering::Relaxed));
        Drawing { steps: self.steps.load(Ordering::Relaxed), time }
    }

    /// Counts a step of a picture or frame.
    pub(super) fn count_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the time of a drawing that has ended.
    pub(super) fn count_time(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.drawing_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self, job: Uuid) -> bool {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(&job).is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Tells the watchers of a job.
    pub(super) fn tell(&self, job: Uuid, step: Step) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.get(&job) {
            sender.send_replace(Some(step));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_step_is_kept_and_only_for_watchers() {
        let progress = Progress::default();
        let job = Uuid::new_v4();
        let step = |step| Step { step, steps: 9, image: 0, preview_png: None };
        progress.tell(job, step(1));
        assert!(!progress.is_watched(job));
        let watcher = progress.watch(job);
        assert!(watcher.borrow().is_none(), "steps without a watcher are gone");
        progress.tell(job, step(2));
        progress.tell(job, step(3));
        assert_eq!(watcher.borrow().as_ref().map(|step| step.step), Some(3));
        drop(watcher);
        assert!(!progress.is_watched(job));
        let _other = progress.watch(Uuid::new_v4());
        assert_eq!(progress.watched.lock().unwrap().len(), 1, "entries without a watcher go");
    }
}
