//! Steps of a drawing, reported while it is made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::progress::{Progress, Step};

/// Previews are made at most this often.
const PREVIEW_EVERY: Duration = Duration::from_millis(200);
/// How long before its end the next job is made ready.
const AHEAD: Duration = Duration::from_millis(100);

/// Reports steps to clients that follow a job, with a preview now and then, and the end to the dispatcher when it is near.
pub(super) struct ProgressReporter<'a> {
    progress: &'a Progress,
    last_preview: Option<Instant>,
    ending: Option<oneshot::Sender<()>>,
    /// When the first step that was reported had been done, and which it was.
    first: Option<(Instant, usize)>,
    started: Instant,
}

impl Drop for ProgressReporter<'_> {
    fn drop(&mut self) {
        self.progress.count_time(self.started.elapsed());
    }
}

impl ProgressReporter<'_> {
    pub fn new(progress: &Progress, ending: Option<oneshot::Sender<()>>) -> ProgressReporter<'_> {
        ProgressReporter { progress, last_preview: None, ending, first: None, started: Instant::now() }
    }

    /// So much is done of a run; the end is near when the rest should take no longer than getting the next job ready.
    pub fn done(&mut self, step: usize, steps: usize) {
        let (since, first) = *self.first.get_or_insert((Instant::now(), step));
        let each = since.elapsed() / step.saturating_sub(first).max(1) as u32;
        let left = each * u32::try_from(steps.saturating_sub(step)).unwrap_or(u32::MAX).min(10_000);
        if step >= steps || (step > first && left <= AHEAD) {
            let _ = self.ending.take().map(|ending| ending.send(()));
        }
    }

    /// A picture that is ready to be shown to those who follow a job.
    pub fn show(&mut self, job: Uuid, step: Step) {
        self.progress.tell(job, step);
    }

    /// A step of each job. `preview` is asked for a job by its place among them.
    pub fn step(
        &mut self,
        jobs: impl Iterator<Item = (Uuid, Step)>,
        preview: &dyn Fn(usize) -> Option<RgbImage>,
    ) {
        let due = self.last_preview.is_none_or(|last| last.elapsed() >= PREVIEW_EVERY);
        let mut shown = false;
        for (place, (job, step)) in jobs.enumerate() {
            self.progress.count_step();
            if self.progress.is_watched(job) {
                let picture = due.then(|| preview(place)).flatten();
                let preview_png = picture.as_ref().and_then(super::picture::preview_png).map(Arc::new);
                shown |= due;
                self.progress.tell(job, Step { preview_png, ..step });
            }
        }
        if shown {
            self.last_preview = Some(Instant::now());
        }
    }
}
