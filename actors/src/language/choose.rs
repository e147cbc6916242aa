//! Which engine answers a request?

use language::{Endpoint, LocalEngine};
use models::Value;
use serde_json::Value as Json;
use std::sync::Arc;

use super::remote_models::{Candidate, candidates};
use super::{Chosen, Engines, NoEngine};
use crate::rows;

/// A worker's health counts for so long.
const HEALTHY_MICROS: i64 = 120_000_000;

/// What a caller wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A model's key, id or name, a provider's name, `local`, or `chat_worker`; absent, the default.
    pub name: Option<&'a str>,
    /// What it is for, as `api_models.tasks` calls it.
    pub task: &'static str,
    /// Whether an unknown name is refused; else the default answers.
    pub strict: bool,
}

impl Engines {
    /// Chooses an engine, and loads the local one if it is that.
    pub async fn choose(&self, wanted: Wanted<'_>) -> Result<Chosen, NoEngine> {
        let store = self.store.clone();
        let known = tokio::task::spawn_blocking(move || candidates(&store)).await;
        let known = known.map_err(|error| NoEngine::Broken { reason: error.to_string() })??;
        let known: Vec<Candidate> = known.into_iter().filter(Candidate::chats).collect();
        let name = wanted.name.map(str::trim).filter(|name| !name.is_empty() && *name != "default");
        let Some(name) = name else { return self.default(wanted.task, &known).await };
        if name == "local" {
            return self.local(false).await;
        }
        if name == "chat_worker" {
            return match self.worker().await? {
                Some(chosen) => Ok(chosen),
                None => self.instead(wanted.task, &known).await,
            };
        }
        let by_model = |model: &&Candidate| {
            model.key == name || model.id.to_string() == name || model.display_name == name
        };
        let found = known.iter().find(by_model).or_else(|| {
            let of_provider = || known.iter().filter(|model| model.provider == name);
            let default = of_provider().find(|model| model.default_for.iter().any(|it| it == wanted.task));
            default.or_else(|| of_provider().find(|model| model.can(wanted.task))).or(of_provider().next())
        });
        match found {
            Some(model) => self.remote(model, &known, wanted.task, false),
            None if self.is_local_name(name) => self.local(false).await,
            None if wanted.strict => Err(NoEngine::Unknown { name: name.chars().take(100).collect() }),
            None => self.instead(wanted.task, &known).await,
        }
    }

    /// Chooses a model that can look at pictures; there is none on this machine.
    pub async fn choose_vision(&self, name: Option<&str>) -> Result<Chosen, NoEngine> {
        let store = self.store.clone();
        let known = tokio::task::spawn_blocking(move || candidates(&store)).await;
        let known = known.map_err(|error| NoEngine::Broken { reason: error.to_string() })??;
        let known: Vec<Candidate> = known.into_iter().filter(|model| model.can("vision")).collect();
        let named = name.map(str::trim).filter(|name| !name.is_empty());
        let by_name = named
            .and_then(|name| known.iter().find(|model| model.key == name || model.id.to_string() == name));
        let default = || known.iter().find(|model| model.default_for.iter().any(|task| task == "vision"));
        let model = by_name.or_else(default).or(known.first()).ok_or(NoEngine::NoModelFor {
            task: "vision",
            advice: "add one with tasks {vision}, and an active provider with its base_url",
        })?;
        self.remote(model, &known, "vision", named.is_some() && by_name.is_none())
    }

    fn is_local_name(&self, name: &str) -> bool {
        match self.local.status() {
            super::LocalStatus::Loaded(loaded) => loaded == name,
            super::LocalStatus::Present(path) => language::model_name(&path) == name,
            _ => false,
        }
    }

    async fn instead(&self, task: &'static str, known: &[Candidate]) -> Result<Chosen, NoEngine> {
        let mut chosen = self.default(task, known).await?;
        chosen.fell_back = true;
        Ok(chosen)
    }

    /// The catalogue's default for the task, else the local model, else the first that can.
    async fn default(&self, task: &'static str, known: &[Candidate]) -> Result<Chosen, NoEngine> {
        let mut missing = None;
        let named = known.iter().filter(|model| model.default_for.iter().any(|it| it == task));
        for model in named {
            match self.remote(model, known, task, false) {
                Ok(chosen) => return Ok(chosen),
                Err(error) => missing = Some(error),
            }
        }
        let local = match self.local(missing.is_some()).await {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        for model in known.iter().filter(|model| model.modality != "prompt" || model.can(task)) {
            match self.remote(model, known, task, missing.is_some()) {
                Ok(chosen) => return Ok(chosen),
                Err(error) => missing = Some(error),
            }
        }
        Err(missing.unwrap_or(local))
    }

    fn remote(
        &self,
        model: &Candidate,
        known: &[Candidate],
        task: &str,
        fell_back: bool,
    ) -> Result<Chosen, NoEngine> {
        let others: Vec<Candidate> = known.iter().filter(|other| other.can(task)).cloned().collect();
        let engine = self.remote.chain(model, &others)?;
        Ok(Chosen {
            engine,
            provider: model.provider.clone(),
            model: model.key.clone(),
            display_name: model.display_name.clone(),
            catalogued: Some((model.id, model.provider_id)),
            context_tokens: model.context_tokens,
            fell_back,
            local: None,
        })
    }

    async fn local(&self, fell_back: bool) -> Result<Chosen, NoEngine> {
        let engine: Arc<LocalEngine> = self.local.engine().await?;
        let name = language::ChatEngine::name(&*engine).to_string();
        Ok(Chosen {
            context_tokens: engine.context_tokens(),
            provider: "local".into(),
            model: name.clone(),
            display_name: name,
            catalogued: None,
            fell_back,
            local: Some(engine.clone()),
            engine,
        })
    }

    /// The registered chat worker, if it was healthy of late.
    async fn worker(&self) -> Result<Option<Chosen>, NoEngine> {
        let config = self.system_config().await?;
        let Some(url) = config["chatWorkerUrl"].as_str().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let health = &config["workerHealthCache"]["chatWorker"];
        let checked =
            health["lastChecked"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let age = checked.map(|at| chrono::Utc::now().timestamp_micros() - at.timestamp_micros());
        if health["isHealthy"] != Json::Bool(true) || age.is_none_or(|age| age > HEALTHY_MICROS) {
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
            local: None,
        }))
    }

    /// `system_config.config` of row 1; an empty object without one.
    pub async fn system_config(&self) -> Result<Json, NoEngine> {
        let store = self.store.clone();
        let query = rows::all("system_config").equal("id", Value::Int(1)).limit(1);
        let found = tokio::task::spawn_blocking(move || rows::select(&store, &query)).await;
        let mut found = found.map_err(|error| NoEngine::Broken { reason: error.to_string() })??;
        Ok(found.pop().map_or_else(|| serde_json::json!({}), |mut row| row["config"].take()))
    }
}
