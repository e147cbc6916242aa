//! Chat models elsewhere, as the catalogue lists them, and the engines that reach them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use language::{ApiKey, Endpoint, LanguageError, RemoteEngine, RemoteLimits};
use models::Value;
use serde_json::Value as Json;
use store::{Store, StoreError};
use uuid::Uuid;

use super::NoEngine;
use crate::catalog::provider_key::provider_key;
use crate::rows;

/// Models looked at.
const MODELS_MAX: u64 = 500;
/// Servers tried one after the other for one reply.
const CHAIN_MAX: usize = 4;
/// Engines kept, with what they know of their servers' health.
const ENGINES_MAX: usize = 64;
/// What a model that does not say is taken to hold.
const CONTEXT_TOKENS: usize = 8192;

/// An active model with an active provider.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub id: Uuid,
    pub provider_id: Uuid,
    pub provider: String,
    pub key: String,
    pub display_name: String,
    pub base_url: String,
    pub secret_name: Option<String>,
    pub modality: String,
    pub tasks: Vec<String>,
    pub default_for: Vec<String>,
    pub context_tokens: usize,
    pub priority: i32,
}

impl Candidate {
    fn read(model: &Json, provider: &Json) -> Option<Candidate> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
        let list = |value: &Json| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_string)).collect()
        };
        let context = &model["capabilities"];
        let context = context["context_tokens"].as_u64().or(context["context_length"].as_u64());
        Some(Candidate {
            id: Uuid::parse_str(model["id"].as_str()?).ok()?,
            provider_id: Uuid::parse_str(provider["id"].as_str()?).ok()?,
            provider: text(&provider["name"]),
            key: text(&model["model_key"]),
            display_name: text(&model["display_name"]),
            base_url: text(&provider["base_url"]),
            secret_name: provider["secret_name"].as_str().filter(|name| !name.is_empty()).map(str::to_string),
            modality: text(&model["modality"]),
            tasks: list(&model["tasks"]),
            default_for: list(&model["default_for_tasks"]),
            priority: model["priority"].as_i64().and_then(|it| i32::try_from(it).ok()).unwrap_or(0),
            context_tokens: context.map_or(CONTEXT_TOKENS, |tokens| tokens.clamp(256, 1 << 22) as usize),
        })
    }

    /// Whether it makes words.
    pub fn chats(&self) -> bool {
        matches!(self.modality.as_str(), "chat" | "roleplay" | "prompt")
    }

    pub fn can(&self, task: &str) -> bool {
        self.tasks.iter().chain(&self.default_for).any(|known| known == task)
    }

    pub fn full_name(&self) -> String {
        format!("{}:{}", self.provider, self.key)
    }

    /// Where and how to reach it. Secrets are named by the catalogue and lie in the environment.
    pub fn endpoint(&self) -> Result<Endpoint, NoEngine> {
        let api_key = match &self.secret_name {
            None => None,
            Some(name) => {
                let refused = |reason| NoEngine::NoSecret { provider: self.provider.clone(), reason };
                Some(ApiKey::new(provider_key(name).map_err(refused)?))
            }
        };
        let base_url = self.base_url.trim_end_matches('/');
        let base_url = base_url.strip_suffix("/chat/completions").unwrap_or(base_url).to_string();
        Ok(Endpoint { name: self.full_name(), base_url, api_key, model: self.key.clone() })
    }
}

/// All active models with active providers, those to be tried first first.
pub(super) fn candidates(store: &Store) -> Result<Vec<Candidate>, StoreError> {
    let active =
        |table: &'static str| rows::all(table).equal("is_active", Value::Bool(true)).limit(MODELS_MAX);
    let providers = rows::select(store, &active("api_providers"))?;
    let models = rows::select(store, &active("api_models").order("priority", false))?;
    let provider_of = |model: &Json| providers.iter().find(|provider| provider["id"] == model["provider_id"]);
    Ok(models.iter().filter_map(|model| Candidate::read(model, provider_of(model)?)).collect())
}

/// Engines by what they reach, so that a server which fails is remembered from one request to the next.
pub(super) struct RemoteModels {
    engines: Mutex<HashMap<u64, Arc<RemoteEngine>>>,
    limits: RemoteLimits,
}

impl RemoteModels {
    /// No engines yet; each will have these limits.
    pub fn new(limits: RemoteLimits) -> RemoteModels {
        RemoteModels { engines: Mutex::default(), limits }
    }

    /// An engine that tries `first` and then the others.
    pub fn chain(&self, first: &Candidate, others: &[Candidate]) -> Result<Arc<RemoteEngine>, NoEngine> {
        let mut endpoints = vec![first.endpoint()?];
        for other in others.iter().filter(|other| other.id != first.id) {
            if endpoints.len() < CHAIN_MAX
                && let Ok(endpoint) = other.endpoint()
            {
                endpoints.push(endpoint);
            }
        }
        self.engine(&first.full_name(), endpoints)
    }

    /// An engine for these endpoints.
    pub fn engine(&self, name: &str, endpoints: Vec<Endpoint>) -> Result<Arc<RemoteEngine>, NoEngine> {
        let mut hasher = DefaultHasher::new();
        for endpoint in &endpoints {
            (&endpoint.name, &endpoint.base_url, &endpoint.model, endpoint.api_key.is_some())
                .hash(&mut hasher);
        }
        let key = hasher.finish();
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&key) {
            return Ok(engine.clone());
        }
        let runtime = tokio::runtime::Handle::current();
        let engine = RemoteEngine::new(name, endpoints, self.limits, runtime);
        let engine = engine.map_err(|error: LanguageError| NoEngine::Broken { reason: error.to_string() })?;
        if engines.len() >= ENGINES_MAX {
            engines.clear();
        }
        let engine = Arc::new(engine);
        engines.insert(key, engine.clone());
        Ok(engine)
    }
}
