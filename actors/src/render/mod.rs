//! Who draws: takes jobs of pictures and videos in turn, on a thread that owns the device.
//!
//! ```text
//! events ─▶ dispatch ──ClaimJob──▶ job_scheduler
//!              │  bounded channel
//!              ▼
//!           device thread (models in memory) ──steps──▶ Progress ──▶ clients
//!              │
//!              ▼
//!           deliver: picture or video ─▶ blob ─▶ CompleteJob
//! ```

mod check_request;
mod deliver;
mod device_thread;
mod dispatch;
mod draw_pictures;
mod draw_video;
mod embedding_choice;
mod finished;
mod free_memory;
mod guide_choice;
mod hires;
mod lora_choice;
mod lora_hash;
mod mistaken_file;
mod model_advice;
mod model_cache;
mod model_change;
mod model_choice;
mod model_folder;
mod model_needs;
mod motion_choice;
mod options;
mod part_kind;
mod paste;
mod payload;
mod picture;
mod picture_comparison;
mod picture_record;
mod png_texts;
mod prepare;
mod progress;
mod progress_reporter;
mod prompt_weights;
mod recorded_guides;
mod redraw;
mod remote_job;
mod samplers;
mod train;
mod train_here;
mod training_files;
mod training_settings;
mod training_turns;
mod upscale;
mod upscaler_choice;
mod vae_choice;
mod video;
mod work;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use uuid::Uuid;

pub use check_request::{RequestedDrawing, SIDE_STEP_PX, SIDES_PX, UnfitDrawing, check_side};
pub use diffusion::DiffusionError as DeviceError;
pub use diffusion::prompt::PromptSyntax;
pub use diffusion::training::LoraTraining;
pub use diffusion::{DeviceChoice, DeviceFacts};
pub use embedding_choice::{EMBEDDINGS_FOLDER, list_embeddings};
pub use finished::{Finished, FinishedFile};
pub use guide_choice::{
    CANNY, CONTROLNET_FOLDER, IP_ADAPTER_FOLDER, guide_file, list_controlnets, list_image_encoders,
    list_ip_adapters,
};
pub use lora_choice::{
    LORAS_FOLDER, WantedLora, account_lora, list_loras, lora_files, lora_tags, loras_of, read_loras,
};
pub use model_advice::model_warnings;
pub use model_change::{add_model, parts_of, remove_model, take_model};
pub use model_choice::{FileState, ListedModel, NAMED_MAX, STARTER, list_models, model_named};
pub use model_folder::{describe_models, verify_model};
pub use model_needs::{Memory, note_fit};
pub use motion_choice::{
    MOTION_FOLDER, NO_MOTION, check_motion_context, list_motion_modules, motion_module_named,
};
pub use options::{RenderOptions, weight_type};
pub use part_kind::PartKind;
pub use payload::{PROMPT_SYNTAXES, prompt_syntax};
pub use picture_comparison::{CLOSE_DB, Comparison, Difference, Distance, Verdict, check_size, compare};
pub use picture_record::{PictureRecord, RecordedSpec};
pub use png_texts::png_texts;
pub use prepare::SourcePictures;
pub use progress::{Drawing, Progress, Step};
pub use redraw::{RedrawSources, redraw};
pub use remote_job::RemoteJobs;
pub use samplers::{Sampler, samplers};
pub use train_here::{FolderTraining, TrainingStand, train_here};
pub use training_settings::{TRAINING_PICTURES, check_training_picture, training_settings};
pub use upscaler_choice::{
    HiresUpscaler, LANCZOS, LATENT, UPSCALERS_FOLDER, hires_upscaler_named, list_upscalers, upscaler_named,
    upscaler_names,
};
pub use vae_choice::{OWN_VAE, VAES_FOLDER, list_vaes, vae_named};
pub use video::{
    ClipFacts, Film, FilmForm, Movement, Still, Transition, clip_facts, frame_at, suitable_form,
};
pub use video::{
    FPS as VIDEO_FPS, FRAMES as VIDEO_FRAMES, VideoEncoder, check_video, frames_per_second, with_sound,
};
pub use work::DrawError;

use crate::Actors;
use crate::job_scheduler::ReturnJobs;
use check_request::Abilities;

/// The render actor's address.
#[derive(Clone, Debug)]
pub struct Render {
    abilities: Arc<Abilities>,
    progress: Arc<Progress>,
    dispatch: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Render {
    /// Draws what is queued, until it is stopped or the runtime ends. What an earlier process was drawing must be
    /// back in the queue. Call inside a tokio runtime.
    pub fn start(actors: Actors, options: RenderOptions) -> Render {
        let abilities = Arc::new(Abilities::of(&options));
        let progress = Arc::new(Progress::default());
        let dispatch = tokio::spawn(dispatch::run(actors, options, progress.clone()));
        Render { abilities, progress, dispatch: Arc::new(Mutex::new(Some(dispatch))) }
    }

    /// Takes no more jobs, and puts back those that are under way as if they had never been claimed. What the device
    /// still draws of them comes to nothing.
    pub async fn stop(&self, actors: &Actors) {
        let dispatch = self.dispatch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(dispatch) = dispatch {
            dispatch.abort();
            let _ = dispatch.await;
        }
        match actors.ask(&models::Claims::service(), ReturnJobs).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "put jobs back that were being drawn"),
            Err(error) => tracing::error!(%error, "could not put back what was being drawn"),
        }
    }

    /// Whether this process draws pictures, or videos.
    pub fn draws(&self, videos: bool) -> bool {
        self.abilities.draws(videos)
    }

    /// Refuses what cannot be drawn, before it is queued. Reads the folder of models.
    pub fn check(&self, asked: &RequestedDrawing) -> Result<(), UnfitDrawing> {
        self.abilities.check(asked)
    }

    /// What has been drawn since the start.
    pub fn drawing(&self) -> Drawing {
        self.progress.drawing()
    }

    /// The steps of a job as they happen; they cost nothing without a watcher.
    pub fn watch(&self, job: Uuid) -> tokio::sync::watch::Receiver<Option<Step>> {
        self.progress.watch(job)
    }
}
