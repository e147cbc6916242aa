//! From the queue to the device and from the device to the rows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use diffusion::DeviceChoice;
use models::{Claims, Value, schema};
use tokio::sync::{Notify, broadcast::error::RecvError, oneshot};
use uuid::Uuid;

use super::RenderOptions;
use super::deliver::deliver;
use super::device_thread::DeviceThread;
use super::model_choice::{ListedModel, model_named};
use super::payload::RenderRequest;
use super::prepare::prepare;
use super::progress::Progress;
use super::training_files::{folder_of, forget, reconcile, remove_file};
use super::training_turns::{Held, is_training};
use super::work::{BatchSlots, DrawError, Drawn, Task, Work};
use crate::Actors;
use crate::job_scheduler::jobs::is_final;
use crate::job_scheduler::{
    BatchKey, ClaimBeside, ClaimJob, ClaimedJob, FailJob, IMAGE_QUEUE, JobPayload, LOCAL_WORKER,
    TRAINING_JOB, TRAINING_QUEUE, VIDEO_QUEUE,
};
use crate::refusal::Refusal;

/// How long to wait before looking again when nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// How long a device that failed leaves the jobs to the others.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// Jobs on the device and how to stop them.
pub(super) type Cancellations = Arc<Mutex<HashMap<Uuid, Arc<AtomicBool>>>>;

/// Runs for as long as the process: each device takes jobs by itself.
pub(super) async fn run(actors: Actors, options: RenderOptions, progress: Arc<Progress>) {
    let (cancellations, wake) = (Cancellations::default(), Arc::new(Notify::new()));
    tokio::spawn(follow(actors.clone(), options.models_dir.clone(), cancellations.clone(), wake.clone()));
    reconcile_files(&actors, &options.models_dir).await;
    let mut devices = tokio::task::JoinSet::new();
    let named = std::iter::once(options.device).chain(options.more_devices.iter().copied()).collect();
    let able = able_devices(named).await;
    for (place, device) in able.iter().copied().enumerate() {
        let more_devices = able.iter().copied().filter(|other| *other != device).collect();
        let options = RenderOptions { device, more_devices, ..options.clone() };
        let device = DeviceThread::new(options.clone(), progress.clone());
        let (actors, cancellations) = (actors.clone(), cancellations.clone());
        let before = able[..place].to_vec();
        let dispatch =
            Dispatch { actors, options, cancellations, device, before, last: None, training: None };
        devices.spawn(dispatch.run(wake.clone()));
    }
    while let Some(ended) = devices.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a device takes no more jobs");
        }
    }
}

impl Dispatch {
    /// Gives one device its jobs.
    async fn run(self, wake: Arc<Notify>) {
        let mut dispatch = self;
        let mut ahead: Option<Handed> = None;
        loop {
            if dispatch.is_lost() && ahead.is_none() && dispatch.training.is_none() {
                tracing::error!(device = %dispatch.options.device, "this device takes no jobs until the next start");
                return;
            }
            let mut handed = match ahead.take() {
                Some(handed) => handed,
                None => match dispatch.claim(None).await {
                    Ok(Some(claimed)) if is_training(&claimed) => {
                        store::crash::point("training_claimed");
                        dispatch.hold(claimed).await;
                        continue;
                    }
                    Ok(Some(claimed)) => {
                        store::crash::point("job_claimed");
                        match dispatch.hand_over(claimed).await {
                            Some(handed) => handed,
                            None => continue,
                        }
                    }
                    Ok(None) if dispatch.training.is_some() => {
                        dispatch.train().await;
                        continue;
                    }
                    Ok(None) => {
                        let _ = tokio::time::timeout(IDLE, wake.notified()).await;
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "could not claim a job");
                        tokio::time::sleep(IDLE).await;
                        continue;
                    }
                },
            };
            dispatch.fill_batch(&mut handed).await;
            // The next one is made ready while the device ends this one: it need not wait for the disk then. A training takes
            // its turn before the next one.
            if handed.ending.await.is_ok() && handed.is_fresh && dispatch.training.is_none() {
                ahead = dispatch.claim_ahead().await;
            }
            let mut failed = false;
            for (claimed, drawing) in handed.drawings {
                let drawn = drawing.await;
                let drawn =
                    drawn.unwrap_or_else(|_| Err(DrawError::Failed("the device takes no work".into())));
                // A job that fails on the next one too says nothing about that device.
                let is_first = claimed.attempt <= 1;
                failed |= dispatch.has_others() && is_first && matches!(drawn, Err(DrawError::Failed(_)));
                // Files and rows are written while the next picture begins.
                tokio::spawn(finish(dispatch.actors.clone(), dispatch.cancellations.clone(), claimed, drawn));
            }
            // The next attempt is for another device, which may be well.
            if failed && !dispatch.is_lost() && ahead.is_none() {
                tokio::time::sleep(FAILED_PAUSE).await;
            }
            // A training goes on however many pictures wait.
            dispatch.train().await;
        }
    }
}

type Drawing = oneshot::Receiver<Result<Drawn, DrawError>>;

/// Work that the device has.
struct Handed {
    drawings: Vec<(ClaimedJob, Drawing)>,
    /// What others must agree in to be drawn in the same batch.
    batch: BatchKey,
    /// Hears when the device is nearly done.
    ending: oneshot::Receiver<()>,
    /// Where the device says how many slots are free, and the way to fill them.
    slots: Option<(oneshot::Receiver<usize>, Sender<Vec<Task>>)>,
    /// Whether none of the jobs failed before.
    is_fresh: bool,
}

struct Dispatch {
    actors: Actors,
    options: RenderOptions,
    cancellations: Cancellations,
    device: DeviceThread,
    /// Devices that take up trainings rather than this one, as long as their drivers work.
    before: Vec<DeviceChoice>,
    /// What the last job was like, and how many slots were free beside it.
    last: Option<(BatchKey, usize)>,
    /// The training that the device comes back to between pictures.
    training: Option<Held>,
}

impl Dispatch {
    /// Whether other devices take jobs too.
    fn has_others(&self) -> bool {
        self.options.more_devices.iter().any(|device| device.lost().is_none())
    }

    /// Whether the device's driver failed for good while others take jobs; alone the processor takes its place.
    fn is_lost(&self) -> bool {
        self.has_others() && self.options.device.lost().is_some()
    }

    /// The next job in turn, of pictures or of videos; `beside` says what it must be like.
    async fn claim(&self, beside: Option<ClaimBeside>) -> Result<Option<ClaimedJob>, Refusal> {
        let mut queues = vec![IMAGE_QUEUE.to_string()];
        if self.options.videos {
            queues.push(VIDEO_QUEUE.into());
        }
        // One training at a time, and none beside a batch of pictures.
        let trains = self.before.iter().all(|device| device.lost().is_some());
        if trains && self.training.is_none() && beside.is_none() {
            queues.push(TRAINING_QUEUE.into());
        }
        let claim =
            ClaimJob { queues, worker: LOCAL_WORKER.into(), lease_s: None, beside, except: Vec::new() };
        self.actors.ask(&Claims::service(), claim).await
    }

    /// Takes up a training.
    async fn hold(&mut self, claimed: ClaimedJob) {
        self.training = Held::of(&self.actors, &self.options, &self.cancellations, claimed).await;
    }

    /// Gives the training under way the device for a slice.
    async fn train(&mut self) {
        let Some(mut held) = self.training.take() else { return };
        let (work, end) = held.slice();
        let end = match self.device.send(work) {
            Ok(()) => end.await.unwrap_or_else(|_| Err(DrawError::Failed("the device takes no work".into()))),
            Err(error) => Err(DrawError::Failed(error)),
        };
        if held.took(&self.actors, &self.options, end).await {
            self.training = Some(held);
        } else {
            self.cancellations.lock().unwrap_or_else(PoisonError::into_inner).remove(&held.job());
        }
    }

    /// The next job, claimed before the one under way has ended. Only jobs that never failed are: if the one under way
    /// ends the process, the others lose an attempt with it, but never a second.
    async fn claim_ahead(&mut self) -> Option<Handed> {
        match self.claim(Some(ClaimBeside::Fresh)).await {
            Ok(Some(claimed)) => self.hand_over(claimed).await,
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "could not claim a job");
                None
            }
        }
    }

    /// Hands a job to the device; `None` when it never got there, which is reported.
    async fn hand_over(&mut self, claimed: ClaimedJob) -> Option<Handed> {
        let (model, first, drawing) = self.task(&claimed).await?;
        let batch = first.request.payload.batch_key();
        let is_fresh = claimed.attempt == 1;
        let mut drawings = vec![(claimed, drawing)];
        let mut jobs = vec![first];
        let (mut to_fill, mut slots) = (None, None);
        match &self.last {
            // What failed before is drawn alone, for it may be what made the attempt fail.
            _ if !is_fresh => {}
            Some((last, free)) if *last == batch => {
                self.claim_for_batch(&batch, *free, &mut jobs, &mut drawings).await;
            }
            _ => {
                let (free, answer) = oneshot::channel();
                let (fill, tasks) = bounded(1);
                to_fill = Some((answer, fill));
                slots = Some(BatchSlots { free, tasks });
            }
        }
        let (tell_ending, ending) = oneshot::channel();
        if let Err(error) =
            self.device.send(Work { model, jobs, training: None, slots, ending: Some(tell_ending) })
        {
            for (claimed, _) in drawings {
                report_failure(&self.actors, &claimed, error.clone(), true).await;
            }
            return None;
        }
        Some(Handed { drawings, batch, ending, slots: to_fill, is_fresh })
    }

    /// Fills the free slots of the batch that the device is about to draw.
    async fn fill_batch(&mut self, handed: &mut Handed) {
        let Some((free, fill)) = handed.slots.take() else { return };
        let Ok(free) = free.await else { return };
        let mut others = Vec::new();
        self.claim_for_batch(&handed.batch, free, &mut others, &mut handed.drawings).await;
        self.last = Some((handed.batch.clone(), free));
        let _ = fill.send(others);
    }

    /// Claims up to `free` jobs of the same batch. Turns are kept: the first that does not agree ends it.
    async fn claim_for_batch(
        &self,
        batch: &BatchKey,
        free: usize,
        tasks: &mut Vec<Task>,
        drawings: &mut Vec<(ClaimedJob, Drawing)>,
    ) {
        // All at once, so that they wait for the disk together; the scheduler takes them in order.
        let same = || Some(ClaimBeside::SameBatch(Box::new(batch.clone())));
        let claims = futures_util::future::join_all((0..free).map(|_| self.claim(same()))).await;
        for claimed in claims {
            match claimed {
                Ok(Some(claimed)) => {
                    if let Some((_, task, drawing)) = self.task(&claimed).await {
                        tasks.push(task);
                        drawings.push((claimed, drawing));
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "could not claim a job"),
            }
        }
    }

    /// A claimed job as the device takes it; `None` when it cannot be drawn, which is reported.
    async fn task(&self, claimed: &ClaimedJob) -> Option<(ListedModel, Task, Drawing)> {
        let ready = match claimed.read() {
            Ok(payload) => self.ready(claimed.id, payload).await,
            Err(message) => Err(message),
        };
        let (model, request) = match ready {
            Ok(ready) => ready,
            Err(message) => {
                report_failure(&self.actors, claimed, message, false).await;
                return None;
            }
        };
        let cancel = Arc::new(AtomicBool::new(false));
        self.cancellations.lock().unwrap_or_else(PoisonError::into_inner).insert(claimed.id, cancel.clone());
        // Cancelled between the claim and this line: the event is gone, the row is not.
        if !still_processing(&self.actors, claimed.id) {
            cancel.store(true, Ordering::Relaxed);
        }
        let (reply, drawing) = oneshot::channel();
        Some((model, Task { job: claimed.id, request, cancel, reply }, drawing))
    }

    /// The model that draws a job, and everything else that drawing it needs.
    async fn ready(&self, job: Uuid, payload: JobPayload) -> Result<(ListedModel, RenderRequest), String> {
        let name = payload.model.as_deref().or(self.options.model.as_deref());
        let model = model_named(&self.options.models_dir, name)?;
        let request = prepare(&self.actors, &self.options, (job, payload)).await?;
        Ok((model, request))
    }
}

pub(super) fn still_processing(actors: &Actors, id: Uuid) -> bool {
    let jobs = schema().known("jobs");
    let job = actors.store().reads().get(jobs, &[Value::Uuid(id)]);
    job.ok().flatten().is_some_and(|job| job[jobs.at("status")].as_str() == Some("processing"))
}

async fn finish(
    actors: Actors,
    cancellations: Cancellations,
    claimed: ClaimedJob,
    drawn: Result<Drawn, DrawError>,
) {
    match drawn {
        Ok(drawn) => {
            if let Err(error) = deliver(&actors, &claimed, drawn).await {
                report_failure(&actors, &claimed, error, true).await;
            }
        }
        Err(DrawError::Cancelled) => tracing::info!(job = %claimed.id, "cancelled while drawing"),
        Err(DrawError::Refused(message) | DrawError::OutOfMemory(message)) => {
            report_failure(&actors, &claimed, message, false).await;
        }
        Err(DrawError::Failed(message) | DrawError::DeviceLost(message)) => {
            report_failure(&actors, &claimed, message, true).await;
        }
    }
    cancellations.lock().unwrap_or_else(PoisonError::into_inner).remove(&claimed.id);
}

pub(super) async fn report_failure(actors: &Actors, claimed: &ClaimedJob, message: String, retry: bool) {
    tracing::warn!(job = %claimed.id, attempt = claimed.attempt, message, "a job failed");
    let attempt = Some(claimed.attempt);
    let report = FailJob { id: claimed.id, attempt, message, retry, metadata: serde_json::Map::new() };
    if let Err(error) = actors.ask(&Claims::service(), report).await {
        tracing::error!(job = %claimed.id, %error, "could not record a failure");
    }
}

/// The devices that take jobs: those that open, since one that does not would only fail what another can draw. If none
/// opens the first takes them, so that jobs say what is the matter.
async fn able_devices(named: Vec<DeviceChoice>) -> Vec<DeviceChoice> {
    if named.len() < 2 {
        return named;
    }
    let first = named.first().copied();
    let opened = tokio::task::spawn_blocking(move || {
        let opens = |device: &DeviceChoice| match device.open() {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%error, "this device takes no jobs until the next start");
                false
            }
        };
        named.into_iter().filter(opens).collect::<Vec<DeviceChoice>>()
    });
    let able = opened.await.unwrap_or_default();
    if able.is_empty() { first.into_iter().collect() } else { able }
}

/// Wakes every device that waits, and the next one to wait.
fn wake_all(wake: &Notify) {
    wake.notify_waiters();
    wake.notify_one();
}

/// Compares files of trainings and LoRAs with their rows.
async fn reconcile_files(actors: &Actors, models_dir: &Path) {
    let (store, models_dir) = (actors.store().clone(), models_dir.to_path_buf());
    if tokio::task::spawn_blocking(move || reconcile(&store, &models_dir)).await.is_err() {
        tracing::error!("comparing the files of LoRAs with their rows failed");
    }
}

/// Wakes the loop for new jobs and stops drawings whose job has ended meanwhile, however that came, or was deleted.
async fn follow(actors: Actors, models_dir: PathBuf, cancellations: Cancellations, wake: Arc<Notify>) {
    let (jobs, loras) = (schema().known("jobs"), schema().known("character_loras"));
    let mut commits = actors.events().subscribe();
    loop {
        match commits.recv().await {
            Ok(commit) => {
                for change in commit.changes.iter().filter(|change| change.table == loras.id) {
                    if let (Some(old), None) = (&change.old, &change.new) {
                        remove_file(&models_dir, old);
                    }
                }
                for change in commit.changes.iter().filter(|change| change.table == jobs.id) {
                    let row = change.new.as_ref().or(change.old.as_ref());
                    let id = row.and_then(|row| row[jobs.at("id")].as_uuid());
                    let status = change.new.as_ref().and_then(|row| row[jobs.at("status")].as_str());
                    match (status, id) {
                        (Some("queued"), _) => wake_all(&wake),
                        (status, Some(id)) if status.is_none() || is_final(status) => {
                            let cancellations = cancellations.lock().unwrap_or_else(PoisonError::into_inner);
                            let job_type = row.and_then(|row| row[jobs.at("job_type")].as_str());
                            match cancellations.get(&id) {
                                Some(cancel) => cancel.store(true, Ordering::Relaxed),
                                // One that was put back: nothing else holds what was kept of it.
                                None if job_type == Some(TRAINING_JOB) && status != Some("completed") => {
                                    let folder = folder_of(&models_dir, id);
                                    tokio::task::spawn_blocking(move || forget(&folder));
                                }
                                None => {}
                            }
                        }
                        _ => {}
                    }
                }
            }
            Err(RecvError::Lagged(_)) => {
                wake_all(&wake);
                reconcile_files(&actors, &models_dir).await;
                let all: Vec<_> = {
                    let cancellations = cancellations.lock().unwrap_or_else(PoisonError::into_inner);
                    cancellations.iter().map(|(id, cancel)| (*id, cancel.clone())).collect()
                };
                for (id, cancel) in all {
                    if !still_processing(&actors, id) {
                        cancel.store(true, Ordering::Relaxed);
                    }
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_that_does_not_open_takes_no_jobs_from_one_that_does() {
        let (missing, other) = (DeviceChoice::Vulkan(7777), DeviceChoice::Cuda(7777));
        assert_eq!(able_devices(vec![missing, DeviceChoice::Cpu]).await, [DeviceChoice::Cpu]);
        // Jobs of the only one say what is the matter.
        assert_eq!(able_devices(vec![missing]).await, [missing]);
        assert_eq!(able_devices(vec![missing, other]).await, [missing]);
    }
}
