//! From the queue to the device and from the device to the rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use models::{Claims, Value, schema};
use tokio::sync::{Notify, broadcast::error::RecvError, oneshot};
use uuid::Uuid;

use super::RenderOptions;
use super::deliver::deliver;
use super::device_thread::{self, DrawError, Drawn, Task, Work};
use super::lora_choice::read_loras;
use super::model_choice::{ListedModel, model_named};
use super::payload::{Order, shared_fields};
use super::progress::Progress;
use crate::Actors;
use crate::file::read_object;
use crate::job_scheduler::{
    ClaimJob, ClaimedJob, FailJob, IMAGE_QUEUE, LOCAL_WORKER, RecoverJobs, VIDEO_QUEUE,
};

/// How long to wait before looking again when nothing happens.
const IDLE: Duration = Duration::from_secs(1);
/// How often silent remote workers are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(10);

/// Jobs on the device and how to stop them.
type Running = Arc<Mutex<HashMap<Uuid, Arc<AtomicBool>>>>;

/// Runs for as long as the process.
pub(super) async fn run(actors: Actors, options: RenderOptions, progress: Arc<Progress>) {
    let service = Claims::service();
    let running = Running::default();
    let wake = Arc::new(Notify::new());
    tokio::spawn(follow(actors.clone(), running.clone(), wake.clone()));
    match actors.ask(&service, RecoverJobs { local: true }).await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "took back jobs that an earlier process was drawing"),
        Err(error) => tracing::error!(%error, "could not take back jobs"),
    }
    let mut device = None;
    let mut recovered = std::time::Instant::now();
    loop {
        if recovered.elapsed() > RECOVER_EVERY {
            recovered = std::time::Instant::now();
            if let Err(error) = actors.ask(&service, RecoverJobs { local: false }).await {
                tracing::error!(%error, "could not look for silent workers");
            }
        }
        let claimed = match claim(&actors, &options, None).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => {
                let _ = tokio::time::timeout(IDLE, wake.notified()).await;
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "could not claim a job");
                tokio::time::sleep(IDLE).await;
                continue;
            }
        };
        store::crash::point("job_claimed");
        // The thread, and with it the memory of models, comes with the first job.
        let sender = match &device {
            Some(sender) => sender,
            None => match device_thread::start(options.clone(), progress.clone()) {
                Ok(sender) => device.insert(sender),
                Err(error) => {
                    report_failure(&actors, &claimed, error, true).await;
                    continue;
                }
            },
        };
        for (claimed, drawing) in hand_over(&actors, &options, sender, &running, claimed).await {
            let drawn = drawing.await;
            let drawn = drawn.unwrap_or_else(|_| Err(DrawError::Failed("the device takes no work".into())));
            // Files and rows are written while the next picture begins.
            tokio::spawn(finish(actors.clone(), running.clone(), claimed, drawn));
        }
    }
}

/// The next job in turn, of pictures or of videos; with a first one, only if it can be drawn beside it.
async fn claim(
    actors: &Actors,
    options: &RenderOptions,
    first: Option<&ClaimedJob>,
) -> Result<Option<ClaimedJob>, crate::Refusal> {
    let mut queues = vec![IMAGE_QUEUE.to_string()];
    if options.videos {
        queues.push(VIDEO_QUEUE.into());
    }
    let beside = first.map(|first| shared_fields(&first.payload));
    let claim = ClaimJob { queues, worker: LOCAL_WORKER.into(), lease_s: None, beside };
    actors.ask(&Claims::service(), claim).await
}

type Drawing = oneshot::Receiver<Result<Drawn, DrawError>>;

/// Hands a job to the device, and beside it those next in turn that it has room for. Turns are kept: the first that
/// cannot be drawn beside it ends that. Jobs that never get there are reported at once.
async fn hand_over(
    actors: &Actors,
    options: &RenderOptions,
    device: &Sender<Work>,
    running: &Running,
    claimed: ClaimedJob,
) -> Vec<(ClaimedJob, Drawing)> {
    let Some((model, first, drawing)) = task(actors, options, running, &claimed).await else {
        return Vec::new();
    };
    let (room, free) = oneshot::channel();
    let (bring, company) = bounded(1);
    // If the thread is gone the reply goes with the work, and whoever waits for it hears of it.
    let sent = device.try_send(Work { model, first, room, company }).is_ok();
    let mut drawings = vec![(claimed, drawing)];
    // What failed before is drawn alone, for it may be what made the attempt fail.
    let free = if sent { free.await.unwrap_or(0) } else { 0 };
    let free = if drawings[0].0.attempt > 1 { 0 } else { free };
    let mut others = Vec::new();
    while others.len() < free {
        match claim(actors, options, Some(&drawings[0].0)).await {
            Ok(Some(claimed)) => {
                if let Some((_, other, drawing)) = task(actors, options, running, &claimed).await {
                    others.push(other);
                    drawings.push((claimed, drawing));
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "could not claim a job");
                break;
            }
        }
    }
    let _ = bring.send(others);
    drawings
}

/// A claimed job as the device takes it; `None` when it cannot be drawn, which is reported.
async fn task(
    actors: &Actors,
    options: &RenderOptions,
    running: &Running,
    claimed: &ClaimedJob,
) -> Option<(ListedModel, Task, Drawing)> {
    let name = claimed.payload["model"].as_str().or(options.model.as_deref());
    let ready = match model_named(&options.models_dir, name) {
        Ok(model) => prepare(actors, options, claimed).await.map(|order| (model, order)),
        Err(message) => Err(message),
    };
    let (model, order) = match ready {
        Ok(ready) => ready,
        Err(message) => {
            report_failure(actors, claimed, message, false).await;
            return None;
        }
    };
    let cancel = Arc::new(AtomicBool::new(false));
    running.lock().unwrap_or_else(PoisonError::into_inner).insert(claimed.id, cancel.clone());
    // Cancelled between the claim and this line: the event is gone, the row is not.
    if !still_processing(actors, claimed.id) {
        cancel.store(true, Ordering::Relaxed);
    }
    let (reply, drawing) = oneshot::channel();
    Some((model, Task { job: claimed.id, order, cancel, reply }, drawing))
}

async fn prepare(actors: &Actors, options: &RenderOptions, claimed: &ClaimedJob) -> Result<Order, String> {
    let payload = claimed.payload.clone();
    let seed = match payload["config"]["seed"].as_u64() {
        Some(seed) => seed,
        // The job's own id, so that another attempt draws the same picture.
        None => claimed.id.as_u64_pair().1 & 0x7fff_ffff,
    };
    let config = &payload["config"];
    let first = match &config["first_frame_object"] {
        serde_json::Value::Null => &config["image_object"],
        first => first,
    };
    let reference = stored(actors, "image", first).await?;
    let last_frame = stored(actors, "end_reference_url", &config["last_frame_object"]).await?;
    let mask = stored(actors, "mask", &config["mask_object"]).await?;
    let loras = read_loras(&config["loras"])?;
    let (pixels_max, models_dir) = (options.pixels_max, options.models_dir.clone());
    Ok(Order { payload, reference, mask, last_frame, loras, seed, pixels_max, models_dir })
}

/// The bytes of a stored file that a payload names as `bucket/path`.
async fn stored(actors: &Actors, field: &str, path: &serde_json::Value) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path.as_str() else { return Ok(None) };
    let (bucket, name) = path.split_once('/').ok_or_else(|| format!("{field}: not a stored file"))?;
    let (store, bucket, name) = (actors.store().clone(), bucket.to_string(), name.to_string());
    let read = tokio::task::spawn_blocking(move || read_object(&store, &bucket, &name));
    let bytes = read.await.map_err(|_| format!("{field}: reading it failed"))?;
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    bytes.map(Some).ok_or_else(|| format!("{field}: {path} is gone"))
}

fn still_processing(actors: &Actors, id: Uuid) -> bool {
    let jobs = schema().known("jobs");
    let job = actors.store().reads().get(jobs, &[Value::Uuid(id)]);
    job.ok().flatten().is_some_and(|job| job[jobs.at("status")].as_str() == Some("processing"))
}

async fn finish(actors: Actors, running: Running, claimed: ClaimedJob, drawn: Result<Drawn, DrawError>) {
    match drawn {
        Ok(drawn) => {
            if let Err(error) = deliver(&actors, &claimed, drawn).await {
                report_failure(&actors, &claimed, error, true).await;
            }
        }
        Err(DrawError::Cancelled) => tracing::info!(job = %claimed.id, "cancelled while drawing"),
        Err(DrawError::Refused(message)) => report_failure(&actors, &claimed, message, false).await,
        Err(DrawError::Failed(message)) => report_failure(&actors, &claimed, message, true).await,
    }
    running.lock().unwrap_or_else(PoisonError::into_inner).remove(&claimed.id);
}

async fn report_failure(actors: &Actors, claimed: &ClaimedJob, message: String, retry: bool) {
    tracing::warn!(job = %claimed.id, attempt = claimed.attempt, message, "a job failed");
    let report = FailJob { id: claimed.id, attempt: claimed.attempt, message, retry };
    if let Err(error) = actors.ask(&Claims::service(), report).await {
        tracing::error!(job = %claimed.id, %error, "could not record a failure");
    }
}

/// Wakes the loop for new jobs and stops drawings whose job was cancelled or deleted.
async fn follow(actors: Actors, running: Running, wake: Arc<Notify>) {
    let jobs = schema().known("jobs");
    let mut commits = actors.events().subscribe();
    loop {
        match commits.recv().await {
            Ok(commit) => {
                for change in commit.changes.iter().filter(|change| change.table == jobs.id) {
                    let row = change.new.as_ref().or(change.old.as_ref());
                    let id = row.and_then(|row| row[jobs.at("id")].as_uuid());
                    let status = change.new.as_ref().and_then(|row| row[jobs.at("status")].as_str());
                    match (status, id) {
                        (Some("queued"), _) => wake.notify_one(),
                        (Some("cancelled") | None, Some(id)) => {
                            let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                            if let Some(cancel) = running.get(&id) {
                                cancel.store(true, Ordering::Relaxed);
                            }
                        }
                        _ => {}
                    }
                }
            }
            Err(RecvError::Lagged(_)) => {
                wake.notify_one();
                let all: Vec<_> = {
                    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                    running.iter().map(|(id, cancel)| (*id, cancel.clone())).collect()
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
