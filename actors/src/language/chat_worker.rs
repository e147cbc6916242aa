//! Registered workers: whether they are well, asked at intervals, so that one drops out and comes back by itself; and the
//! chat worker as an engine.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use language::{Endpoint, Probe, WorkerAbout};
use models::Claims;
use serde_json::{Map, Value as Json, json};

use super::worker_kind::WorkerKind;
use super::{Chosen, Engines, NoEngine};
use crate::Actors;
use crate::catalog::merge_config::MergeConfig;

/// A worker's health counts for so long.
const HEALTHY_MAX: Duration = Duration::from_secs(120);
/// What a worker says of itself is waited for so long.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// A worker that does not answer by then is not well.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses remembered; there are three workers, and those that were tried before them.
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
pub fn health_entry(url: &str, probe: &Probe, about: Option<&WorkerAbout>) -> Json {
    json!({
        "isHealthy": probe.is_healthy(), "lastChecked": chrono::Utc::now().to_rfc3339(),
        "responseTimeMs": probe.ms, "healthError": probe.error, "workerUrl": url,
        "supportedEndpoints": about.map(|about| &about.endpoints), "capabilities": about.map(|about| &about.info),
    })
}

impl Engines {
    /// The registered chat worker, if it was healthy of late.
    pub(super) async fn worker(&self) -> Result<Option<Chosen>, NoEngine> {
        let config = self.system_config().await?;
        let Some(url) = WorkerKind::Chat.url(&config) else { return Ok(None) };
        if !self.is_well(WorkerKind::Chat, &config, url) {
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

    fn is_well(&self, kind: WorkerKind, config: &Json, url: &str) -> bool {
        self.worker.of_late(url).unwrap_or_else(|| was_healthy(kind, config, url))
    }

    /// The address of a worker of a kind that was healthy of late.
    pub async fn healthy_worker(&self, kind: WorkerKind) -> Result<Option<String>, NoEngine> {
        let config = self.system_config().await?;
        let url = kind.url(&config).filter(|url| self.is_well(kind, &config, url));
        Ok(url.map(str::to_string))
    }

    /// What a worker that is well offers.
    pub async fn describe(&self, url: &str, probe: &Probe) -> Option<WorkerAbout> {
        match probe.is_healthy() {
            true => Some(language::describe_worker(url, DESCRIBE_TIMEOUT).await),
            false => None,
        }
    }

    /// Asks the workers that are registered how they fare; answers with what is new.
    async fn probe_workers(&self) -> Result<Map<String, Json>, NoEngine> {
        let config = self.system_config().await?;
        let mut changed = Map::new();
        for kind in WorkerKind::ALL {
            let Some(url) = kind.url(&config) else { continue };
            let probe = self.probe(url).await;
            let before = &config["workerHealthCache"][kind.entry()];
            if before["isHealthy"] == json!(probe.is_healthy()) && before["workerUrl"] == json!(url) {
                continue;
            }
            let about = self.describe(url, &probe).await;
            match &probe.error {
                None => tracing::info!(url, kind = kind.name(), "a worker is well"),
                Some(error) => {
                    tracing::warn!(
                        url,
                        kind = kind.name(),
                        error,
                        "a worker does not answer; others stand in"
                    );
                }
            }
            changed.insert(kind.entry().into(), health_entry(url, &probe, about.as_ref()));
        }
        Ok(changed)
    }
}

/// What `system_config` says, as long as it is recent and of this worker.
fn was_healthy(kind: WorkerKind, config: &Json, url: &str) -> bool {
    let health = &config["workerHealthCache"][kind.entry()];
    let of_it = health["workerUrl"].as_str().is_none_or(|of| of == url);
    let checked = health["lastChecked"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
    let age = checked.map(|at| chrono::Utc::now().timestamp_micros() - at.timestamp_micros());
    // A time ahead of the clock, which was set back then, is as good as none.
    let is_recent = age.is_some_and(|age| u128::from(age.unsigned_abs()) <= HEALTHY_MAX.as_micros());
    of_it && is_recent && health["isHealthy"] == Json::Bool(true)
}

/// Asks registered workers at intervals, for ever; `system_config` changes when an answer does.
pub async fn watch_workers(actors: Actors, engines: Engines, every: Duration) {
    loop {
        match engines.probe_workers().await {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => {
                let mut members = Map::new();
                members.insert("workerHealthCache".into(), Json::Object(changed));
                let merge = MergeConfig { members, action: "check_worker" };
                if let Err(error) = actors.ask(&Claims::service(), merge).await {
                    tracing::warn!(%error, "the health of workers could not be kept");
                }
            }
            Err(error) => tracing::warn!(%error, "the workers could not be looked at"),
        }
        tokio::time::sleep(every).await;
    }
}
