//! Which engine answers a request?

use language::{ChatEngine, LocalEngine};
use models::Value;
use serde_json::Value as Json;
use std::sync::Arc;

use super::fallback::WithLocal;
use super::remote_models::{Candidate, candidates};
use super::{Chosen, Engines, NoEngine, StandIn};
use crate::rows;

/// What a caller wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A model's key, id, name or `provider:key`, a provider's name, the name of a local model (also as `local:NAME`),
    /// `local` for the default one, or `chat_worker`; absent, the default.
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
            return self.local(None, false).await;
        }
        if let Some(name) = name.strip_prefix("local:") {
            return self.local(Some(name), false).await;
        }
        if name == "chat_worker" {
            return match self.worker().await? {
                Some(chosen) => Ok(chosen),
                None => self.instead(wanted.task, &known).await,
            };
        }
        let by_model = |model: &&Candidate| {
            model.key == name
                || model.id.to_string() == name
                || model.display_name == name
                || model.full_name() == name
        };
        let found = known.iter().find(by_model).or_else(|| {
            let of_provider = || known.iter().filter(|model| model.provider == name);
            let default = of_provider().find(|model| model.default_for.iter().any(|it| it == wanted.task));
            default.or_else(|| of_provider().find(|model| model.can(wanted.task))).or(of_provider().next())
        });
        match found {
            Some(model) => self.remote(model, &known, wanted.task, false),
            None if self.local_models().iter().any(|model| model.name == name) => {
                self.local(Some(name), false).await
            }
            None if wanted.strict => {
                let local = self.local_models().into_iter().map(|model| model.name);
                let known = local.chain(known.iter().map(|model| model.key.clone())).collect();
                Err(NoEngine::Unknown { name: name.chars().take(100).collect(), known })
            }
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

    async fn instead(&self, task: &'static str, known: &[Candidate]) -> Result<Chosen, NoEngine> {
        let mut chosen = self.default(task, known).await?;
        chosen.fell_back = true;
        Ok(chosen)
    }

    /// The catalogue's default for the task; else a model that can, by priority, the local model among them; else any that
    /// chats.
    async fn default(&self, task: &'static str, known: &[Candidate]) -> Result<Chosen, NoEngine> {
        let is_default = |model: &&Candidate| model.default_for.iter().any(|it| it == task);
        let before = |model: &&Candidate| model.can(task) && i64::from(model.priority) < self.local_priority;
        let first: Vec<&Candidate> = known.iter().filter(is_default).collect();
        let first = first.into_iter().chain(known.iter().filter(|model| !is_default(model)).filter(before));
        let mut missing = None;
        for model in first {
            match self.remote(model, known, task, missing.is_some()) {
                Ok(chosen) => return Ok(chosen),
                Err(error) => missing = Some(passed_over(model, error)),
            }
        }
        let local = match self.local(None, missing.is_some()).await {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        for model in known.iter().filter(|model| model.modality != "prompt" || model.can(task)) {
            match self.remote(model, known, task, missing.is_some()) {
                Ok(chosen) => return Ok(chosen),
                Err(error) => missing = Some(passed_over(model, error)),
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
        let remote = self.remote.chain(model, &others)?;
        let stand_in = |other: &Candidate| StandIn {
            full_name: other.full_name(),
            key: other.key.clone(),
            catalogued: (other.id, other.provider_id),
        };
        let others = others.iter().filter(|other| other.id != model.id).map(stand_in).collect();
        // Nothing local looks at pictures.
        let has_local = task != "vision" && !self.local_models().is_empty();
        let engine: Arc<dyn ChatEngine> = match has_local {
            true => Arc::new(WithLocal {
                remote,
                local: self.local.clone(),
                runtime: tokio::runtime::Handle::current(),
            }),
            false => remote,
        };
        Ok(Chosen {
            engine,
            provider: model.provider.clone(),
            model: model.key.clone(),
            display_name: model.display_name.clone(),
            catalogued: Some((model.id, model.provider_id)),
            context_tokens: model.context_tokens,
            fell_back,
            local: None,
            others,
        })
    }

    async fn local(&self, name: Option<&str>, fell_back: bool) -> Result<Chosen, NoEngine> {
        let engine: Arc<LocalEngine> = self.local.engine(name).await?;
        let name = language::ChatEngine::name(&*engine).to_string();
        Ok(Chosen {
            context_tokens: engine.context_tokens(),
            provider: "local".into(),
            model: name.clone(),
            display_name: name,
            catalogued: None,
            fell_back,
            local: Some(engine.clone()),
            others: Arc::default(),
            engine,
        })
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

/// Says in the log why a model of the catalogue was not asked.
fn passed_over(model: &Candidate, error: NoEngine) -> NoEngine {
    tracing::warn!(model = model.full_name(), %error, "a model of the catalogue cannot be asked; the next one is");
    error
}
