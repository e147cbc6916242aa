//! The registered chat worker: whether it is well, asked at intervals, so that it drops out and comes back by itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use language::{Endpoint, Probe};
use models::Claims;
use serde_json::{Map, Value as Json, json};

use super::{Chosen, Engines, NoEngine};
use crate::Actors;
use crate::catalog::merge_config::MergeConfig;

/// A worker's health counts for so long.
const HEALTHY_MAX: Duration = Duration::from_secs(120);
/// A worker that does not answer by then is not well.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses remembered; there is one worker, and those that were tried before it.
const KNOWN_MAX: usize = 16;

/// What the last probe of each address found.
#[derive(Debug, Default)]
pub(super) struct WorkerHealth(Mutex<HashMap<String, (bool, Instant)>>);

impl WorkerHealth {
    fn note(&self, url: &str, is_healthy: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(url.into(), (is_healthy, Instant::now()));
    }

    /// Whether the worker at an address was well of late; `None` when it was not asked.
    fn of_late(&self, url: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(url).filter(|(_, at)| at.elapsed() <= HEALTHY_MAX).map(|(is_healthy, _)| *is_healthy)
    }
}

/// What `system_config` keeps of a probe.
pub fn health_entry(url: &str, probe: &Probe) -> Json {
    json!({
        "isHealthy": probe.is_healthy(), "lastChecked": chrono::Utc::now().to_rfc3339(),
        "responseTimeMs": probe.ms, "healthError": probe.error, "workerUrl": url,
    })
}

impl Engines {
    /// The registered chat worker, if it was healthy of late.
    pub(super) async fn worker(&self) -> Result<Option<Chosen>, NoEngine> {
        let config = self.system_config().await?;
        let Some(url) = worker_url(&config) else { return Ok(None) };
        let is_healthy = self.worker.of_late(url).unwrap_or_else(|| was_healthy(&config, url));
        if !is_healthy {
            return Ok(None);
        }
        let base_url = format!("{}/v1", url.trim_end_matches('/').trim_end_matches("/v1"));
        let model = config["chatWorkerModel"].as_str().unwrap_or("default").to_string();
        let api_key = std::env::var("PLAYHOUSE_CHAT_WORKER_KEY").ok().map(language::ApiKey::new);
        let endpoint = Endpoint { name: "chat_worker".into(), base_url, api_key, model: model.clone() };
        let engine = self.remote.engine("chat_worker", vec![endpoint])?;
        Ok(Some(Chosen {
            engine,
            provider: "chat_worker".into(),
            display_name: model.clone(),
            model,
            catalogued: None,
            context_tokens: 8192,
            fell_back: false,
            says: super::Says::default(),
            local: None,
            others: std::sync::Arc::default(),
        }))
    }

    /// Asks a worker how it fares, and remembers it for a while.
    pub async fn probe(&self, url: &str) -> Probe {
        let probe = language::probe(url, PROBE_TIMEOUT).await;
        self.worker.note(url, probe.is_healthy());
        probe
    }

    /// Asks the registered chat worker how it fares: its address, what it said, and what is kept of the probe before.
    async fn probe_worker(&self) -> Result<Option<(String, Probe, Json)>, NoEngine> {
        let mut config = self.system_config().await?;
        let Some(url) = worker_url(&config).map(str::to_string) else { return Ok(None) };
        let probe = self.probe(&url).await;
        Ok(Some((url, probe, config["workerHealthCache"]["chatWorker"].take())))
    }
}

fn worker_url(config: &Json) -> Option<&str> {
    config["chatWorkerUrl"].as_str().filter(|url| !url.is_empty())
}

/// What `system_config` says, as long as it is recent and of this worker.
fn was_healthy(config: &Json, url: &str) -> bool {
    let health = &config["workerHealthCache"]["chatWorker"];
    let of_it = health["workerUrl"].as_str().is_none_or(|of| of == url);
    let checked = health["lastChecked"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
    let age = checked.map(|at| chrono::Utc::now().timestamp_micros() - at.timestamp_micros());
    // A time ahead of the clock, which was set back then, is as good as none.
    let is_recent = age.is_some_and(|age| u128::from(age.unsigned_abs()) <= HEALTHY_MAX.as_micros());
    of_it && is_recent && health["isHealthy"] == Json::Bool(true)
}

/// Asks the registered chat worker at intervals, for ever; `system_config` changes when the answer does.
pub async fn watch_chat_worker(actors: Actors, engines: Engines, every: Duration) {
    loop {
        match engines.probe_worker().await {
            Ok(None) => {}
            Ok(Some((url, probe, before))) => {
                let changed =
                    before["isHealthy"] != json!(probe.is_healthy()) || before["workerUrl"] != json!(url);
                if changed {
                    note_change(&actors, &url, &probe).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the chat worker could not be looked at"),
        }
        tokio::time::sleep(every).await;
    }
}

async fn note_change(actors: &Actors, url: &str, probe: &Probe) {
    match &probe.error {
        None => tracing::info!(url, "the chat worker is well"),
        Some(error) => tracing::warn!(url, error, "the chat worker does not answer; others stand in"),
    }
    let mut members = Map::new();
    members.insert("workerHealthCache".into(), json!({"chatWorker": health_entry(url, probe)}));
    let merge = MergeConfig { members, action: "check_worker" };
    if let Err(error) = actors.ask(&Claims::service(), merge).await {
        tracing::warn!(%error, "the chat worker's health could not be kept");
    }
}
