//! From the queue to the device and from the device to the rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::Sender;
use models::{Claims, Value, schema};
use serde_json::{Map, json};
use tokio::sync::{Notify, broadcast::error::RecvError, oneshot};
use uuid::Uuid;

use super::RenderOptions;
use super::device_thread::{self, DrawError, Drawn, Work};
use super::model_choice::model_named;
use super::payload::Order;
use super::progress::Progress;
use crate::Actors;
use crate::file::{NewObject, read_object};
use crate::job_scheduler::{
    ClaimJob, ClaimedJob, CompleteJob, FailJob, FinishedAsset, IMAGE_QUEUE, LOCAL_WORKER, RecoverJobs,
    WORKSPACE_BUCKET,
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
        let claim = ClaimJob { queue: IMAGE_QUEUE.into(), worker: LOCAL_WORKER.into(), lease_s: None };
        let claimed = match actors.ask(&service, claim).await {
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
        if let Some(drawing) = draw(&actors, &options, sender, &running, &claimed).await {
            // Files and rows are written while the next picture begins.
            tokio::spawn(finish(actors.clone(), running.clone(), claimed, drawing));
        }
    }
}

/// Hands a job to the device and waits for what comes of it; `None` when it never got there.
async fn draw(
    actors: &Actors,
    options: &RenderOptions,
    device: &Sender<Work>,
    running: &Running,
    claimed: &ClaimedJob,
) -> Option<Result<Drawn, DrawError>> {
    let order = match prepare(actors, options, claimed).await {
        Ok(order) => order,
        Err(message) => {
            report_failure(actors, claimed, message, false).await;
            return None;
        }
    };
    let name = claimed.payload["model"].as_str().or(options.model.as_deref());
    let model = match model_named(&options.models_dir, name) {
        Ok(model) => model,
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
    let (reply, drawn) = oneshot::channel();
    let work = Work { job: claimed.id, order, model, cancel, reply };
    if device.try_send(work).is_err() {
        return Some(Err(DrawError::Failed("the device takes no work".into())));
    }
    Some(drawn.await.unwrap_or_else(|_| Err(DrawError::Failed("the device's thread ended".into()))))
}

async fn prepare(actors: &Actors, options: &RenderOptions, claimed: &ClaimedJob) -> Result<Order, String> {
    let payload = claimed.payload.clone();
    let seed = match payload["config"]["seed"].as_u64() {
        Some(seed) => seed,
        // The job's own id, so that another attempt draws the same picture.
        None => claimed.id.as_u64_pair().1 & 0x7fff_ffff,
    };
    let reference = stored(actors, "image", &payload["config"]["image_object"]).await?;
    let mask = stored(actors, "mask", &payload["config"]["mask_object"]).await?;
    Ok(Order { payload, reference, mask, seed, pixels_max: options.pixels_max })
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

/// Writes the files, then everything that names them in one commit.
async fn deliver(actors: &Actors, claimed: &ClaimedJob, drawn: Drawn) -> Result<(), String> {
    let store = actors.store().clone();
    let (job, user) = (claimed.id, claimed.user_id);
    let model = claimed.payload["model"].as_str().unwrap_or("starter").to_string();
    let pipeline = claimed.payload["config"]["pipeline"].clone();
    let ms = drawn.took.as_millis() as u64;
    let written = tokio::task::spawn_blocking(move || {
        let mut assets = Vec::with_capacity(drawn.pictures.len());
        for (index, picture) in drawn.pictures.iter().enumerate() {
            let base = format!("{user}/{job}/{index}");
            let mut files = Vec::new();
            for (bytes, name, mime_type) in [
                (&picture.png, format!("{base}.png"), "image/png"),
                (&picture.thumbnail, format!("{base}.thumb.webp"), "image/webp"),
            ] {
                files.push(NewObject {
                    bucket: WORKSPACE_BUCKET.into(),
                    name,
                    owner: Some(user),
                    blob: store.blobs().write(bytes).map_err(|error| error.to_string())?,
                    size: bytes.len() as u64,
                    mime_type: mime_type.into(),
                    cache_control: Some("max-age=3600".into()),
                    user_metadata: None,
                });
            }
            let spec = &drawn.spec;
            assets.push(FinishedAsset {
                index: index as i32,
                asset_type: "image",
                path: format!("{base}.png"),
                thumbnail_path: Some(format!("{base}.thumb.webp")),
                files,
                size: None,
                mime_type: "image/png".into(),
                duration_s: None,
                seed: i64::try_from(picture.seed).unwrap_or(i64::MAX),
                model_used: model.clone(),
                size_px: Some((spec.width, spec.height)),
                settings: json!({
                    "prompt": spec.prompt, "negative_prompt": spec.negative_prompt, "steps": spec.steps,
                    "guidance_scale": spec.guidance_scale, "scheduler": spec.scheduler,
                    "seed": picture.seed, "width": spec.width, "height": spec.height,
                    "pipeline": pipeline, "weights_hash": drawn.weights_hash, "generation_time_ms": ms,
                }),
            });
        }
        store::crash::point("job_blob_written");
        Ok::<_, String>(assets)
    });
    let assets = written.await.map_err(|_| "writing the pictures failed".to_string())??;
    let mut metadata = Map::new();
    metadata.insert("generation_time_ms".into(), json!(ms));
    let complete = CompleteJob { id: job, attempt: Some(claimed.attempt), assets, metadata };
    let done = actors.ask(&Claims::service(), complete).await.map_err(|error| error.to_string())?;
    store::crash::point("job_committed");
    match done {
        Some(_) => tracing::info!(%job, ms, "drew a job"),
        None => tracing::info!(%job, "its result came too late and was dropped"),
    }
    Ok(())
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
