//! The engines that reach chat models elsewhere.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use language::{Endpoint, LanguageError, RemoteEngine, RemoteLimits};

use super::NoEngine;
use super::catalogue::Candidate;

/// Servers tried one after the other for one reply.
const CHAIN_MAX: usize = 4;
/// Engines kept, with what they know of their servers' health.
const ENGINES_MAX: usize = 64;

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
