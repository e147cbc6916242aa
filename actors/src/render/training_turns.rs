//! The training under way: claimed like any job, and given the device between pictures.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use models::{Claims, Row, schema};
use serde_json::{Map, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::dispatch::{Cancellations, report_failure, still_processing};
use super::lora_choice::own_lora;
use super::model_choice::{ListedModel, model_named};
use super::options::RenderOptions;
use super::train::{FinishedLora, ReadPicture, SliceEnd, TrainingOrder, TrainingSlice, write_whole};
use super::work::{DrawError, Work};
use crate::Actors;
use crate::file::{NewObject, read_object};
use crate::job_scheduler::{
    ClaimedJob, CompleteTraining, LIBRARY_BUCKET, RenewLease, TRAINING_JOB, TrainedFile, TrainingPayload,
};

/// How often a job's row says how far its training is.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// Where half-done trainings lie within the models folder.
const FOLDER: &str = ".training";

/// A training that the device comes back to.
pub(super) struct Held {
    claimed: ClaimedJob,
    model: ListedModel,
    order: Arc<TrainingOrder>,
    noted: Option<Instant>,
}

/// Whether a job is a training.
pub(super) fn is_training(claimed: &ClaimedJob) -> bool {
    let jobs = schema().known("jobs");
    claimed.job[jobs.at("job_type")].as_str() == Some(TRAINING_JOB)
}

fn folder_of(models_dir: &Path, job: Uuid) -> PathBuf {
    models_dir.join(FOLDER).join(job.to_string())
}

impl Held {
    /// A claimed training with its pictures; `None` when it cannot be followed, which is reported.
    pub async fn of(
        actors: &Actors,
        options: &RenderOptions,
        cancellations: &Cancellations,
        claimed: ClaimedJob,
    ) -> Option<Held> {
        let (model, payload, pictures) = match ready(actors, options, &claimed) {
            Ok(ready) => ready,
            Err(message) => {
                report_failure(actors, &claimed, message, false).await;
                return None;
            }
        };
        let cancel = Arc::new(AtomicBool::new(false));
        cancellations.lock().unwrap_or_else(PoisonError::into_inner).insert(claimed.id, cancel.clone());
        if !still_processing(actors, claimed.id) {
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let folder = folder_of(&options.models_dir, claimed.id);
        let order = TrainingOrder { job: claimed.id, payload, pictures, folder, cancel };
        Some(Held { claimed, model, order: Arc::new(order), noted: None })
    }

    /// The work of a slice, and what comes of it.
    pub fn slice(&self) -> (Work, oneshot::Receiver<Result<SliceEnd, DrawError>>) {
        let (reply, end) = oneshot::channel();
        let slice = TrainingSlice { order: self.order.clone(), reply };
        let work = Work {
            model: self.model.clone(),
            jobs: Vec::new(),
            training: Some(slice),
            slots: None,
            ending: None,
        };
        (work, end)
    }

    /// Takes what came of a slice; whether the training goes on.
    pub async fn took(
        &mut self,
        actors: &Actors,
        options: &RenderOptions,
        end: Result<SliceEnd, DrawError>,
    ) -> bool {
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                match error {
                    DrawError::Cancelled => {
                        tracing::info!(job = %self.claimed.id, "cancelled while training");
                        self.forget();
                    }
                    DrawError::Refused(message) => {
                        self.forget();
                        report_failure(actors, &self.claimed, message, false).await;
                    }
                    // What was learned stays for the next attempt.
                    DrawError::Failed(message) => {
                        report_failure(actors, &self.claimed, message, true).await;
                    }
                }
                return false;
            }
        };
        if let Some(finished) = end.finished {
            if let Err(message) = self.deliver(actors, options, finished).await {
                report_failure(actors, &self.claimed, message, true).await;
                return false;
            }
            self.forget();
            return false;
        }
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.noted = Some(Instant::now());
            let progress = json!({"step": end.step, "steps": end.steps, "loss": end.loss});
            let metadata = Map::from_iter([("progress".to_string(), progress)]);
            let (id, attempt) = (self.claimed.id, Some(self.claimed.attempt));
            let note = RenewLease { id, attempt, lease_s: None, metadata };
            match actors.ask(&Claims::service(), note).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.forget();
                    return false;
                }
                Err(error) => tracing::error!(job = %id, %error, "could not note how far a training is"),
            }
        }
        true
    }

    async fn deliver(
        &self,
        actors: &Actors,
        options: &RenderOptions,
        finished: FinishedLora,
    ) -> Result<(), String> {
        let payload = self.order.payload.clone();
        let user = self.claimed.user_id;
        let (name, path) = own_lora(&options.models_dir, user, &payload.name);
        let (store, folder) = (actors.store().clone(), format!("{user}/loras/{}", payload.name));
        let hash = blake3::hash(&finished.file).to_hex().to_string();
        let loss_curve = finished.loss_curve;
        let written = tokio::task::spawn_blocking(move || {
            write_whole(&path, &finished.file)
                .map_err(|error| format!("the LoRA cannot be kept: {error}"))?;
            store::crash::point("training_file_written");
            let sample = |(step, png): (usize, Vec<u8>)| {
                let name = |_: &_| format!("{folder}/step-{step}.png");
                let object = NewObject::write(&store, LIBRARY_BUCKET, name, user, &png, "image/png");
                object.map_err(|error| error.to_string())
            };
            finished.samples.into_iter().map(sample).collect::<Result<Vec<NewObject>, String>>()
        });
        let samples = written.await.map_err(|_| "writing the LoRA failed".to_string())??;
        let (job, attempt) = (self.claimed.id, self.claimed.attempt);
        let file = TrainedFile { name, base_model: self.model.name.clone(), hash, loss_curve };
        let complete = CompleteTraining { job, attempt, payload, file, samples };
        let counted = actors.ask(&Claims::service(), complete).await.map_err(|error| error.to_string())?;
        match counted {
            true => tracing::info!(%job, "trained a LoRA"),
            false => tracing::info!(%job, "a training's end came too late and was dropped"),
        }
        Ok(())
    }

    /// Removes what was kept of a training that goes on no more.
    fn forget(&self) {
        let folder = &self.order.folder;
        if let Err(error) = std::fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.display(), %error, "a training's folder stays");
        }
    }

    /// The job.
    pub fn job(&self) -> Uuid {
        self.claimed.id
    }
}

fn ready(
    actors: &Actors,
    options: &RenderOptions,
    claimed: &ClaimedJob,
) -> Result<(ListedModel, TrainingPayload, ReadPicture), String> {
    let payload = TrainingPayload::read(&claimed.payload)?;
    let name = payload.model.as_deref().or(options.model.as_deref());
    let model = model_named(&options.models_dir, name)?;
    let (store, sources) = (actors.store().clone(), payload.pictures.clone());
    let read = move |place: usize| {
        let object = sources.get(place).map(|source| source.object.as_str()).unwrap_or_default();
        let gone = || format!("{object} is gone");
        let (bucket, path) = object.split_once('/').ok_or_else(gone)?;
        let bytes = read_object(&store, bucket, path).map_err(|error| error.to_string())?;
        bytes.ok_or_else(gone)
    };
    Ok((model, payload, ReadPicture(Box::new(read))))
}

/// Removes the file of a LoRA whose row is gone.
pub(super) fn remove_file(models_dir: &Path, row: &Row) {
    let loras = schema().known("character_loras");
    let (name, user) = (row[loras.at("name")].as_str(), row[loras.at("user_id")].as_uuid());
    let Some((name, user)) = name.zip(user) else { return };
    let own = name.rsplit('/').next().unwrap_or_default();
    let (known, path) = own_lora(models_dir, user, own);
    if known != name {
        return;
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the file of a LoRA stays");
        }
        _ => {
            // A folder goes with the last file in it, and is left where there are others.
            let _ = path.ancestors().skip(1).take(2).all(|folder| std::fs::remove_dir(folder).is_ok());
        }
    }
}
