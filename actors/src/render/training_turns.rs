//! The training under way: claimed like any job, and given the device between pictures.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use models::{Claims, schema};
use serde_json::{Map, json};
use store::blob::BlobHash;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::dispatch::{Cancellations, report_failure, still_processing};
use super::lora_choice::own_lora;
use super::model_choice::{ListedModel, model_named};
use super::options::RenderOptions;
use super::train::{FinishedLora, ReadPicture, SliceEnd, TrainingOrder, TrainingSlice, write_whole};
use super::training_files::{FINISHED, folder_of, forget, goes_on, put_in_place, status};
use super::work::{DrawError, Work};
use crate::Actors;
use crate::file::{NewObject, read_object};
use crate::job_scheduler::{
    ClaimedJob, CompleteTraining, LIBRARY_BUCKET, RenewLease, TRAINING_JOB, TrainedFile, TrainingPayload,
};
use crate::refusal::Refusal;

/// How often a job's row says how far its training is.
const NOTE_EVERY: Duration = Duration::from_secs(10);

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
        let account = Some(claimed.user_id);
        let order = TrainingOrder { job: claimed.id, account, payload, pictures, folder, cancel };
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
            Ok(SliceEnd { finished: Some(finished), .. }) => {
                if let Err(error) = self.deliver(actors, options, finished).await {
                    self.failed(actors, error).await;
                }
                return false;
            }
            Ok(end) => end,
            Err(error) => {
                self.failed(actors, error).await;
                return false;
            }
        };
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.noted = Some(Instant::now());
            let progress = json!({"step": end.step, "steps": end.steps, "loss": end.loss});
            let metadata = Map::from_iter([("progress".to_string(), progress)]);
            let (id, attempt) = (self.claimed.id, Some(self.claimed.attempt));
            let note = RenewLease { id, attempt, lease_s: None, metadata };
            match actors.ask(&Claims::service(), note).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    forget(&self.order.folder);
                    return false;
                }
                Err(error) => tracing::error!(job = %id, %error, "could not note how far a training is"),
            }
        }
        true
    }

    /// Reports what ended a training, and keeps what was learned where another attempt will go on with it.
    async fn failed(&self, actors: &Actors, error: DrawError) {
        let job = self.claimed.id;
        match error {
            DrawError::Cancelled => tracing::info!(%job, "cancelled while training"),
            DrawError::Refused(message) | DrawError::OutOfMemory(message) => {
                report_failure(actors, &self.claimed, message, false).await;
            }
            DrawError::Failed(message) | DrawError::DeviceLost(message) => {
                report_failure(actors, &self.claimed, message, true).await;
            }
        }
        match status(actors.store(), job) {
            Ok(status) if goes_on(status.as_deref()) => {}
            Ok(_) => forget(&self.order.folder),
            Err(error) => tracing::error!(%job, %error, "could not look whether a training goes on"),
        }
    }

    /// Ends the training with its LoRA: the file comes to its place when the training counts.
    async fn deliver(
        &self,
        actors: &Actors,
        options: &RenderOptions,
        finished: FinishedLora,
    ) -> Result<(), DrawError> {
        let payload = self.order.payload.clone();
        let user = self.claimed.user_id;
        let (name, _) = own_lora(&options.models_dir, user, &payload.name);
        let (store, samples_in) = (actors.store().clone(), format!("{user}/loras/{}", payload.name));
        let hash = blake3::hash(&finished.file).to_hex().to_string();
        let loss_curve = finished.loss_curve;
        let path = self.order.folder.join(FINISHED);
        let written = tokio::task::spawn_blocking(move || {
            write_whole(&path, &finished.file)
                .map_err(|error| format!("the LoRA cannot be kept: {error}"))?;
            store::crash::point("training_file_written");
            let sample = |(step, png): (usize, Vec<u8>)| {
                let name = |_: &_| format!("{samples_in}/step-{step}.png");
                let object = NewObject::write(&store, LIBRARY_BUCKET, name, user, &png, "image/png");
                object.map_err(|error| error.to_string())
            };
            finished.samples.into_iter().map(sample).collect::<Result<Vec<NewObject>, String>>()
        });
        let failed = |_| Err("writing the LoRA failed".to_string());
        let samples = written.await.unwrap_or_else(failed).map_err(DrawError::Failed)?;
        let (job, attempt) = (self.claimed.id, self.claimed.attempt);
        let file = TrainedFile { name, base_model: self.model.name.clone(), hash, loss_curve };
        let own_name = payload.name.clone();
        let complete = CompleteTraining { job, attempt, payload, file, samples };
        let counted = actors.ask(&Claims::service(), complete).await.map_err(|error| match error {
            // The character is gone, or the name taken: another attempt would end the same way.
            Refusal::Store(store::StoreError::Raised { .. }) => DrawError::Refused(error.to_string()),
            error => DrawError::Failed(error.to_string()),
        })?;
        if !counted {
            tracing::info!(%job, "a training's end came too late and was dropped");
            forget(&self.order.folder);
            return Ok(());
        }
        store::crash::point("training_counted");
        let (store, models_dir, folder) =
            (actors.store().clone(), options.models_dir.clone(), self.order.folder.clone());
        let placed = tokio::task::spawn_blocking(move || {
            put_in_place(&store, &models_dir, &folder, user, &own_name)?;
            forget(&folder);
            Ok::<_, std::io::Error>(())
        });
        match placed.await {
            Ok(Ok(())) => tracing::info!(%job, "trained a LoRA"),
            // What the next start finds comes to its place then.
            Ok(Err(error)) => tracing::error!(%job, %error, "a LoRA does not come to its place"),
            Err(error) => tracing::error!(%job, %error, "a LoRA does not come to its place"),
        }
        Ok(())
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
        let source = sources.get(place).ok_or("there is no such picture")?;
        let object = source.object.as_str();
        let gone = || format!("{object} is gone");
        let (bucket, path) = object.split_once('/').ok_or_else(gone)?;
        let bytes = read_object(&store, bucket, path).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(gone)?;
        source.check_judged(&BlobHash::of(&bytes).hex())?;
        Ok::<_, String>(bytes)
    };
    Ok((model, payload, ReadPicture(Box::new(read))))
}
