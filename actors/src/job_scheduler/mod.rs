//! Jobs: durable, fair, exact. `jobs.status` is the state clients see; `queue.entries` is the scheduler's side of it.
//!
//! ```text
//! queued ──ClaimJob, RenewLease, NotePrediction──▶ processing ──CompleteJob──▶ completed
//!   ▲                                               │  │
//!   └──FailJob, RecoverJobs (attempts left), ───────┘  └──FailJob, RecoverJobs (none left)──▶ failed
//!      ReturnJobs (the attempt does not count)
//!
//! queued, processing ──CancelJob, or its owner's update──▶ cancelled
//! queued ──a report of its worker──▶ completed, failed
//! ```
//!
//! A terminal state is final for every writer (`jobs.rs`), and reaching one settles or refunds what was reserved, in
//! the same commit.

mod asset_settings;
mod claim_job;
mod complete_job;
mod export_payload;
pub(crate) mod exports;
mod fail_job;
pub(crate) mod file_references;
mod finished_asset;
mod graph;
mod graph_jobs;
mod guide_config;
mod job_payload;
mod job_rows;
pub(crate) mod jobs;
mod keep_portrait;
mod left_files;
mod paste_work;
mod performance;
mod provider_jobs;
mod queue_job;
mod recover_jobs;
mod refiner_work;
mod renew_lease;
mod scene_and_portrait;
mod tally;
mod training_job;
pub mod workspace;

pub use asset_settings::asset_settings;
pub use claim_job::{ClaimBeside, ClaimJob, ClaimedJob};
pub use complete_job::CompleteJob;
pub use export_payload::{EXPORT_JOB, EXPORT_QUEUE, EXPORTS_BUCKET, ExportPart, ExportPayload};
pub use exports::{CompleteExport, NoteExport, QueueExport};
pub use fail_job::FailJob;
pub use finished_asset::FinishedAsset;
pub(crate) use graph::apply_write;
pub use graph::{
    EndGraph, NODES, NodeWrite, NoteProgress, QueueGraph, RecordNode, nodes_of, queued_progress,
};
pub use graph_jobs::GRAPH_TYPES;
pub use guide_config::{ControlConfig, GuideConfig, GuidePicture, IpAdapterConfig, LikenessConfig};
pub use job_payload::{
    BatchKey, HiresPass, JobConfig, JobPayload, Pipeline, ProviderPayload, Quality, StoredPayload,
    UpscaleWork, VideoConfig,
};
pub use jobs::is_final;
pub use keep_portrait::{KeepPortrait, KeptPortrait, KeptPortraits};
pub use paste_work::{Outpaint, OutpaintFill, PasteWork};
pub use provider_jobs::{CancelJob, NotePrediction, STOPPED_BEFORE_ASKED, STOPPED_WHILE_DRAWN};
pub use queue_job::{QueueJob, QueueLimits, QueuedJob};
pub use recover_jobs::{RecoverJobs, ReturnJobs, run_recovery_loop};
pub use refiner_work::RefinerWork;
pub use renew_lease::RenewLease;
pub use tally::{JobTally, StateAndKind};
pub use training_job::{
    CompleteTraining, TRAINING_JOB, TRAINING_QUEUE, TrainedFile, TrainingPayload, TrainingSource,
    with_trigger,
};

/// The queue of pictures.
pub const IMAGE_QUEUE: &str = "sdxl_queue";
/// The queue of videos.
pub const VIDEO_QUEUE: &str = "wan_queue";
/// The queue of jobs that a remote provider works on; no worker takes from it.
pub const PROVIDER_QUEUE: &str = "replicate";
/// The queue of graphs: stories that are built, scenes that are planned and drawn.
pub const GRAPH_QUEUE: &str = "webtoon_queue";
/// The name under which this process itself runs jobs.
pub const LOCAL_WORKER: &str = "local";
/// Where results lie until they are kept or expire.
pub const WORKSPACE_BUCKET: &str = "workspace-temp";
/// Where kept results lie.
pub const LIBRARY_BUCKET: &str = "user-library";
