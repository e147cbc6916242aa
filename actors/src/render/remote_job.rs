//! Drawing jobs of another server: what claim-job answers comes in, files go out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::device_thread::DeviceThread;
use super::finished::{Finished, finished};
use super::model_choice::model_named;
use super::options::RenderOptions;
use super::prepare::{SourcePictures, request};
use super::progress::{Progress, Step};
use super::work::{DrawError, Task, Work};
use crate::job_scheduler::JobPayload;

/// Draws one job after the other on a thread that owns the device.
pub struct RemoteJobs {
    options: RenderOptions,
    progress: Arc<Progress>,
    device: DeviceThread,
}

impl std::fmt::Debug for RemoteJobs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RemoteJobs").field("options", &self.options).finish_non_exhaustive()
    }
}

impl RemoteJobs {
    /// With this machine's models; they are read with the first job.
    pub fn new(options: RenderOptions) -> RemoteJobs {
        let progress = Arc::new(Progress::default());
        let device = DeviceThread::new(options.clone(), progress.clone());
        RemoteJobs { options, progress, device }
    }

    /// The steps of a job as they happen.
    pub fn watch(&self, job: Uuid) -> watch::Receiver<Option<Step>> {
        self.progress.watch(job)
    }

    /// Draws a job; `cancel` ends it. A model that this machine lacks is no fault of the job: another one may have it.
    pub async fn draw(
        &mut self,
        payload: JobPayload,
        sources: SourcePictures,
        cancel: Arc<AtomicBool>,
    ) -> Result<Vec<Finished>, DrawError> {
        let name = payload.model.as_deref().or(self.options.model.as_deref());
        let model = model_named(&self.options.models_dir, name).map_err(DrawError::Failed)?;
        let (job, pipeline) = (payload.job_id, json!(payload.config.pipeline));
        let request = request(&self.options, (job, payload), sources).map_err(DrawError::Refused)?;
        let (reply, drawing) = oneshot::channel();
        let work = Work {
            model,
            jobs: vec![Task { job, request, cancel, reply }],
            training: None,
            slots: None,
            ending: None,
        };
        self.device.send(work).map_err(DrawError::Failed)?;
        let gone = |_| DrawError::Failed("the device takes no work".into());
        let drawn = drawing.await.map_err(gone)??;
        let files = tokio::task::spawn_blocking(move || finished(drawn, &pipeline)).await;
        files.map_err(|_| DrawError::Failed("writing the pictures failed".into()))?.map_err(DrawError::Failed)
    }
}
