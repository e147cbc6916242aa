//! The engines that make words: the local model, and servers elsewhere that the catalogue names.
//!
//! A local engine owns its device and a thread of its own ([`language::LocalEngine`]); a remote one owns its
//! connections. This folder decides which of them answers a request, and loads nothing before it is asked for.

mod calls;
mod catalogue;
mod chat_worker;
mod choose;
mod count_usage;
mod fallback;
mod local_models;
mod no_engine;
mod remote_models;
mod worker_kind;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diffusion::DeviceChoice;
use language::{
    ChatEngine, ChatMessage, ChatOutcome, ChatRequest, EngineLimits, EngineLoad, LanguageError, LocalEngine,
    RemoteLimits, Sampling,
};
use serde_json::Value as Json;
use store::Store;
use store::shares::{Held, Owner, Shares};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Actors;

pub use calls::{Called, Calls};
pub use catalogue::Says;
pub use chat_worker::{health_entry, watch_workers};
pub use choose::Wanted;
pub use count_usage::CallOf;
pub use local_models::{
    LocalModelEntry, LocalStatus, is_chat_model, list_chat_models, local_device, weight_bytes,
};
pub use no_engine::NoEngine;
pub use worker_kind::WorkerKind;

/// How long a prompt waits to be made ready.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for a reply that is not streamed.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(300);

/// Where the engines come from.
#[derive(Clone, Debug)]
pub struct LanguageConfig {
    /// Folder of model files.
    pub models_dir: PathBuf,
    /// The model to use, a GGUF file or a Hugging Face folder; else one of `models_dir`.
    pub chat_model: Option<PathBuf>,
    /// Whether to fetch the default model when there is none.
    pub fetch_chat_model: bool,
    /// What local models compute on.
    pub device: DeviceChoice,
    /// Memory for the weights of local models, in bytes; one is loaded whatever it takes.
    pub memory_bytes_max: u64,
    /// Where the local model stands among models elsewhere; the lowest number is asked first.
    pub priority: i64,
    /// How much the local model may take on.
    pub local: EngineLimits,
    /// How patient to be with each server elsewhere, and how much it may be asked at once.
    pub remote: RemoteLimits,
}

/// All engines of a running server. Clones share them.
#[derive(Clone)]
pub struct Engines {
    local: Arc<local_models::LocalModels>,
    local_priority: i64,
    remote: Arc<remote_models::RemoteModels>,
    worker: Arc<chat_worker::WorkerHealth>,
    actors: Actors,
    store: Store,
    /// Places for prompts and schemas that are made ready.
    preparing: Arc<Shares>,
    calls: Arc<Calls>,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engines").field("local", &self.local.status()).finish_non_exhaustive()
    }
}

/// An engine for one request.
#[derive(Clone)]
pub struct Chosen {
    /// Who will answer. Calls go through [`Engines::submit`], which counts them.
    engine: Arc<dyn ChatEngine>,
    /// `local`, `chat_worker`, or the provider's name.
    pub provider: String,
    /// The model's key.
    pub model: String,
    /// What people call the model.
    pub display_name: String,
    /// The catalogue's rows, where it lists the model: model and provider.
    pub catalogued: Option<(Uuid, Uuid)>,
    /// Tokens of prompt and reply together.
    pub context_tokens: usize,
    /// Whether another model answers than the one that was asked for.
    pub fell_back: bool,
    /// What its row says of how it is asked.
    pub says: Says,
    local: Option<Arc<LocalEngine>>,
    /// Models of the catalogue that may answer in its place.
    others: Arc<[StandIn]>,
}

/// A model of the catalogue that may answer in place of another.
struct StandIn {
    full_name: String,
    key: String,
    /// The catalogue's rows: model and provider.
    catalogued: (Uuid, Uuid),
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Chosen")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .finish()
    }
}

impl Chosen {
    /// How many tokens a text is; an estimate for models elsewhere.
    pub fn count_tokens(&self, text: &str) -> usize {
        let tokenizer = self.local.as_ref().map(|local| local.tokenizer());
        let at_least = tokenizer.map_or(0, |tokenizer| tokenizer.at_least(text));
        if at_least > self.context_tokens {
            // Too long in any case; taking it apart would only cost time.
            return at_least;
        }
        let counted = tokenizer.and_then(|tokenizer| tokenizer.encode(text).ok());
        // English has about four characters per token; other scripts have fewer, so bytes are counted.
        counted.map_or(text.len().div_ceil(4), |tokens| tokens.len())
    }

    /// `provider:key`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.provider, self.model)
    }

    /// What the engine calls itself, which is also what a reply names as its engine where no other one stood in.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }

    /// `provider:key` of the model that answered: another one may have stood in.
    pub fn answered(&self, outcome: &ChatOutcome) -> String {
        match outcome.engine == self.engine_name() {
            true => self.full_name(),
            false => outcome.engine.clone(),
        }
    }

    /// What a local engine is busy with.
    pub fn load(&self) -> Option<EngineLoad> {
        self.local.as_ref().map(|local| local.load())
    }
}

/// A reply that is wanted whole.
#[derive(Debug)]
pub struct Completion {
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// How freely to choose.
    pub sampling: Sampling,
    /// Longest reply.
    pub max_tokens: usize,
    /// A JSON schema that the reply must follow.
    pub json_schema: Option<Json>,
    /// Who asks, for fairness.
    pub user: String,
    /// Who asks, and what for, for the count of calls.
    pub call: CallOf,
}

impl Engines {
    /// Looks for a local model, and fetches one in the background if asked to. Loads nothing.
    pub fn start(actors: Actors, config: LanguageConfig) -> Engines {
        let remote = Arc::new(remote_models::RemoteModels::new(config.remote));
        let local_priority = config.priority;
        let local = local_models::LocalModels::start(config);
        let store = actors.store().clone();
        // As many as there are cores, so that one account's leave others half of them.
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let (worker, preparing, calls) = (Arc::default(), Shares::new(cores), Arc::default());
        Engines { local, local_priority, remote, worker, actors, store, preparing, calls }
    }

    /// All models of this machine that can be named, the default first.
    pub fn local_models(&self) -> Vec<LocalModelEntry> {
        self.local.list()
    }

    /// How the default local model fares.
    pub fn local_status(&self) -> LocalStatus {
        self.local.status()
    }

    /// Calls of models since the start.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// A place for making a prompt ready, which takes a core for a while; of one account some wait for others.
    pub async fn prepare(&self, user: Option<Uuid>) -> Result<Held, LanguageError> {
        let owner = user.map_or(Owner::Service, Owner::Account);
        let held = self.preparing.hold(owner, 1, PREPARE_PATIENCE).await;
        held.ok_or(LanguageError::QueueFull { limit: self.preparing.total() })
    }

    /// Answers with a whole reply. Giving up waiting ends the reply.
    pub async fn complete(
        &self,
        chosen: &Chosen,
        wanted: Completion,
    ) -> Result<(String, ChatOutcome), LanguageError> {
        let mut request = ChatRequest::new(wanted.messages);
        request.sampling = wanted.sampling;
        request.max_tokens = wanted.max_tokens.clamp(1, (chosen.context_tokens / 2).max(1));
        request.json_schema = wanted.json_schema;
        request.user = wanted.user;
        request.cancel = CancellationToken::new();
        let _ends_it = request.cancel.clone().drop_guard();
        let stream = self.submit(chosen, request, wanted.call).await?;
        match tokio::time::timeout(COMPLETE_TIMEOUT, stream.collect()).await {
            Ok(reply) => reply,
            Err(_) => Err(LanguageError::Remote {
                endpoint: chosen.full_name(),
                detail: format!("no complete reply within {} s", COMPLETE_TIMEOUT.as_secs()),
            }),
        }
    }
}
