//! What can be asked for: use cases over the actors, whatever dialect asks. No HTTP server is known here.
//!
//! ```text
//! a dialect ─▶ a use case (Context, what is asked) ─▶ actors, models, remote servers
//!     ▲                     │
//!     └── status, words ────┴── an answer, or a ServiceError: kind, field, message, details
//! ```

pub mod ab_tests;
pub mod accounts;
pub mod age_gate;
pub mod balances;
pub mod catalogue_view;
pub mod characters;
pub mod context;
pub mod conversations;
pub mod error;
pub mod fetch_file;
pub mod files;
pub mod ids;
pub mod imports;
pub mod installed;
pub mod jobs;
pub mod media;
pub mod model_downloads;
pub mod model_sources;
pub mod model_tests;
pub mod pictures;
pub mod prompts;
pub mod recommended;
pub mod replicate;
pub mod rows;
pub mod scripts;
pub mod seed;
pub mod spending;
pub mod storyboards;
pub mod topics;
pub mod webtoon;

use std::path::PathBuf;
use std::sync::Arc;

use actors::Actors;
use actors::conversation::chat::Chat;
use actors::job_scheduler::QueueLimits;
use actors::render::Render;
use uuid::Uuid;

pub use error::{Kind, ServiceError};
use pictures::chosen_models::ChosenModels;

/// What use cases reach. Clones share it.
#[derive(Clone, Debug)]
pub struct Services {
    /// Who decides.
    pub actors: Actors,
    /// Replies that are being made.
    pub chat: Chat,
    /// Who draws; absent when jobs wait for remote workers.
    pub render: Option<Render>,
    /// Addresses of this server.
    pub links: Arc<dyn Links>,
    /// How the server was started, as far as it concerns use cases.
    pub settings: Arc<Settings>,
    /// Models that are being fetched.
    pub downloads: model_downloads::Downloads,
    /// The picture models that accounts' programs have chosen.
    pub chosen_models: ChosenModels,
}

/// Addresses of this server; the dialects make them.
pub trait Links: std::fmt::Debug + Send + Sync {
    /// What every address begins with, without a slash at its end.
    fn base(&self) -> String;

    /// An address by which everybody who has it may read a file for a while. No policy is asked: that is the caller's
    /// part.
    fn signed(&self, bucket: &str, path: &str, seconds: u64) -> Result<String, String>;

    /// The same for those who are to read these bytes and no others, by their hash in hexadecimal digits: once the file
    /// holds others the address answers 409.
    fn signed_bytes(&self, bucket: &str, path: &str, hash: &str, seconds: u64) -> Result<String, String>;

    /// An address by which everybody who has it reads a shared export, until its share is taken back.
    fn reading(&self, export: Uuid, share: Uuid) -> String;
}

/// How the server was started, as far as it concerns use cases.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether jobs cost credits.
    pub charge_credits: bool,
    /// How many jobs may wait.
    pub queue_limits: QueueLimits,
    /// Where models lie.
    pub models_dir: PathBuf,
    /// The model that draws where a job names none; the one in the program when absent.
    pub image_model: Option<String>,
    /// Whether pictures are fetched from URLs.
    pub fetch_references: bool,
    /// Whether such URLs may lead into private networks.
    pub fetch_private_addresses: bool,
    /// The address by which others reach this server, where one is set.
    pub public_url: Option<String>,
}
