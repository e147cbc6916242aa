//! One claimed job: fetched, drawn, uploaded, reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::job_scheduler::JobPayload;
use actors::render::{DrawError, Finished, FinishedFile, RemoteJobs, SourcePictures};
use axum::body::Bytes;
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::server::{ServerError, WorkedServer};

/// How often a job's steps are reported; a short lease wants more.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// How a job ended here.
pub(super) enum Ended {
    /// With its results, or with a fault of its own.
    Reported,
    /// By a fault of this machine or of the way to the server.
    Failed,
}

/// A way to work on one job.
pub(super) struct Claimed<'w> {
    pub server: &'w WorkedServer,
    /// True once the worker is to end.
    pub stopping: &'w mut watch::Receiver<bool>,
}

impl Claimed<'_> {
    /// Draws a job as claim-job answered it, and reports.
    pub async fn work(mut self, jobs: &mut RemoteJobs, job: &Json) -> Ended {
        let (id, attempt) = (job["job_id"].clone(), job["attempt"].clone());
        tracing::info!(job = %id, %attempt, "claimed a job");
        let outcome = self.draw(jobs, job).await;
        let (message, retryable) = match outcome {
            Ok(results) => match self.deliver(job, results).await {
                Ok(()) => {
                    tracing::info!(job = %id, "drew a job");
                    return Ended::Reported;
                }
                Err(error) => (format!("its results could not be delivered: {error}"), true),
            },
            Err(DrawError::Cancelled) if *self.stopping.borrow() => {
                ("the worker was stopped".to_string(), true)
            }
            Err(DrawError::Cancelled) => {
                tracing::info!(job = %id, "it ended while it was drawn");
                return Ended::Reported;
            }
            Err(DrawError::Refused(message) | DrawError::OutOfMemory(message)) => (message, false),
            Err(DrawError::Failed(message) | DrawError::DeviceLost(message)) => (message, true),
        };
        tracing::warn!(job = %id, message, "a job failed");
        let report = json!({
            "job_id": id, "attempt": attempt, "status": "failed", "error_message": message,
            "metadata": {"retryable": retryable},
        });
        if let Err(error) = self.server.report_surely(&report).await {
            tracing::error!(job = %id, %error, "a failure could not be reported; the job's lease will end");
        }
        if retryable { Ended::Failed } else { Ended::Reported }
    }

    async fn draw(&mut self, jobs: &mut RemoteJobs, job: &Json) -> Result<Vec<Finished>, DrawError> {
        let payload = JobPayload::read(job).map_err(DrawError::Refused)?;
        let sources = self.sources(&payload).await?;
        let mut steps = jobs.watch(payload.job_id);
        let cancel = Arc::new(AtomicBool::new(false));
        let drawing = jobs.draw(payload, sources, cancel.clone());
        tokio::pin!(drawing);
        let every = REPORT_EVERY.min(self.server.lease() / 4);
        loop {
            tokio::select! {
                outcome = &mut drawing => return outcome,
                () = tokio::time::sleep(every) => {}
                _ = self.stopping.changed() => cancel.store(true, Ordering::Relaxed),
            }
            let step = steps.borrow_and_update().clone();
            let progress =
                step.map(|step| json!({"step": step.step, "steps": step.steps, "image": step.image}));
            let report = json!({
                "job_id": job["job_id"], "attempt": job["attempt"], "status": "processing",
                "metadata": progress.map_or(json!({}), |progress| json!({"progress": progress})),
            });
            match self.server.report(&report).await {
                Ok(true) => {}
                // It was cancelled, or another worker has it.
                Ok(false) => cancel.store(true, Ordering::Relaxed),
                Err(error) => tracing::warn!(job = %job["job_id"], %error, "its steps could not be reported"),
            }
        }
    }

    /// The pictures that a job begins with.
    async fn sources(&self, payload: &JobPayload) -> Result<SourcePictures, DrawError> {
        let config = &payload.config;
        let video = config.video.clone().unwrap_or_default();
        let first = match video.first_frame {
            Some(address) => (Some(address), video.first_frame_object),
            None => (config.image.clone(), config.image_object.clone()),
        };
        let mut guides = BTreeMap::new();
        for (field, picture) in config.guides.pictures() {
            let named = (Some(picture.image.clone()), Some(picture.image_object.clone()));
            if let Some(bytes) = self.source(payload, &field, named).await? {
                guides.insert(picture.image_object.clone(), bytes);
            }
        }
        let mask = (config.mask.clone(), config.mask_object.clone());
        let last = (video.last_frame, video.last_frame_object);
        Ok(SourcePictures {
            guides,
            reference: self.source(payload, "image", first).await?,
            mask: self.source(payload, "mask", mask).await?,
            last_frame: self.source(payload, "last_frame", last).await?,
        })
    }

    /// The file at an address, which is also named `bucket/path`; one that was written anew since the job was judged by it
    /// is refused.
    async fn source(
        &self,
        payload: &JobPayload,
        field: &str,
        (address, object): (Option<String>, Option<String>),
    ) -> Result<Option<Vec<u8>>, DrawError> {
        let Some(address) = address else { return Ok(None) };
        let bytes = self.server.file(&address).await;
        // What the server refuses, such as a file that was written anew, no other attempt is given either.
        let bytes = bytes.map_err(|error| match error {
            ServerError::Refused(_) => DrawError::Refused(format!("{field}: {error}")),
            ServerError::Unavailable(_) => DrawError::Failed(format!("{field}: {error}")),
        })?;
        let hash = blake3::hash(&bytes).to_hex();
        let judged = payload.check_judged(object.as_deref().unwrap_or_default(), hash.as_str());
        judged.map_err(|reason| DrawError::Refused(format!("{field}: {reason}")))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn deliver(&self, job: &Json, results: Vec<Finished>) -> Result<(), ServerError> {
        let mut assets = Vec::with_capacity(results.len());
        for result in results {
            let Finished { file, thumbnail, kind, model, duration_s, made_with, size_px, .. } = result;
            let mut metadata: Map<String, Json> = made_with;
            metadata.insert("width".into(), json!(size_px.0));
            metadata.insert("height".into(), json!(size_px.1));
            assets.push(json!({
                "type": kind, "url": self.upload(job, file).await?,
                "thumbnail_url": self.upload(job, thumbnail).await?,
                "model": model, "duration_seconds": duration_s, "metadata": metadata,
            }));
        }
        store::crash::point("worker_uploaded");
        let report = json!({
            "job_id": job["job_id"], "attempt": job["attempt"], "status": "completed", "assets": assets,
        });
        self.server.report_surely(&report).await
    }

    /// Uploads a file to where the claim says, and answers with its path.
    async fn upload(&self, job: &Json, file: FinishedFile) -> Result<Json, ServerError> {
        let FinishedFile { name, mime_type, bytes } = file;
        let uploads = job["uploads"].as_array().map(Vec::as_slice).unwrap_or_default();
        let place = uploads.iter().find(|place| place["name"] == name.as_str());
        let (path, url) =
            place.and_then(|place| Some((&place["path"], place["url"].as_str()?))).ok_or_else(|| {
                ServerError::Refused(format!(
                    "the server has no place for {name}: is it of an earlier version?"
                ))
            })?;
        self.server.upload(url, mime_type, Bytes::from(bytes)).await?;
        Ok(path.clone())
    }
}
