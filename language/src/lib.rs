//! How words are made: local chat models and remote OpenAI-compatible ones.

pub mod causal_lm;
pub mod cpu;
mod drafts;
pub mod engine;
mod engine_limits;
mod engine_thread;
pub mod error;
mod fair_queue;
pub mod fetch;
mod generation;
pub mod grammar;
mod http_client;
pub mod local;
pub mod model_files;
pub mod models;
mod prefix_cache;
mod priority;
pub mod remote;
pub mod sampling;
pub mod text_stream;
pub mod tokenizer;
pub mod weights;

pub use engine::{
    Beginning, ChatEngine, ChatEvent, ChatMessage, ChatOutcome, ChatRequest, ChatStream, FinishReason,
    QueuePlace, Role, Tools, Usage,
};
pub use engine_limits::EngineLimits;
pub use engine_thread::EngineLoad;
pub use error::LanguageError;
pub use fetch::{FetchProgress, fetch_default_chat_model};
pub use formats::chat_template;
pub use http_client::{http_client, json_answer};
pub use local::{LocalDevice, LocalEngine};
pub use model_files::{ModelDescription, ModelFiles, describe_model, model_name};
pub use priority::{give_way, give_way_by};
pub use remote::probe::{Probe, WorkerAbout, describe_worker, probe};
pub use remote::{ApiKey, Endpoint, RemoteEngine, RemoteLimits};
pub use sampling::Sampling;
