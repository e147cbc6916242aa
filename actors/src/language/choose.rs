//! Which engine answers a request?

use language::{ChatEngine, LocalEngine};
use models::Value;
use serde_json::Value as Json;
use std::sync::Arc;

use super::catalogue::{Candidate, Catalogue};
use super::fallback::WithLocal;
use super::{Chosen, Engines, NoEngine, StandIn};
use crate::catalog::local_provider::LOCAL;
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

/// A model of this machine that the catalogue does not switch off.
struct Here {
    name: String,
    row: Option<Candidate>,
    /// Whether it is the one that the settings mean.
    is_first: bool,
}

impl Here {
    fn can(&self, task: &str) -> bool {
        self.row.as_ref().is_none_or(|row| row.can(task))
    }
}

/// A model that may be asked.
enum Any<'a> {
    Here(&'a Here),
    Elsewhere(&'a Candidate),
}

impl StandIn {
    fn of(other: &Candidate) -> StandIn {
        StandIn {
            full_name: other.full_name(),
            key: other.key.clone(),
            catalogued: (other.id, other.provider_id),
        }
    }
}

impl Engines {
    /// Chooses an engine, and loads the local one if it is that.
    pub async fn choose(&self, wanted: Wanted<'_>) -> Result<Chosen, NoEngine> {
        let known = self.catalogue().await?;
        let name = wanted.name.map(str::trim).filter(|name| !name.is_empty() && *name != "default");
        let Some(name) = name else { return self.default(wanted.task, &known).await };
        let here = self.here(&known);
        if name == LOCAL {
            return self.first_here(&here, false).await;
        }
        if name == "chat_worker" {
            return match self.worker().await? {
                Some(chosen) => Ok(chosen),
                None => self.instead(wanted.task, &known).await,
            };
        }
        let by_model = |model: &&Candidate| model.is_called(name);
        if let Some(model) = known.elsewhere.iter().find(by_model) {
            return self.remote(model, &known, wanted.task, false);
        }
        let plain = name.strip_prefix("local:").unwrap_or(name);
        let is_called =
            |model: &&Here| model.name == plain || model.row.as_ref().is_some_and(|row| row.is_called(name));
        if let Some(model) = here.iter().find(is_called) {
            return self.local(model, false).await;
        }
        let of_provider = || known.elsewhere.iter().filter(|model| model.provider == name);
        let default = of_provider().find(|model| model.default_for.iter().any(|it| it == wanted.task));
        let found = default.or_else(|| of_provider().find(|model| model.can(wanted.task)));
        match found.or(of_provider().next()) {
            Some(model) => self.remote(model, &known, wanted.task, false),
            None if wanted.strict || plain != name => {
                let local = here.into_iter().map(|model| model.name);
                let known = local.chain(known.elsewhere.iter().map(|model| model.key.clone())).collect();
                Err(NoEngine::Unknown { name: name.chars().take(100).collect(), known })
            }
            None => self.instead(wanted.task, &known).await,
        }
    }

    /// Chooses a model that can look at pictures; there is none on this machine.
    pub async fn choose_vision(&self, name: Option<&str>) -> Result<Chosen, NoEngine> {
        let mut catalogue = self.all().await?;
        catalogue.elsewhere.retain(|model| model.can("vision"));
        let known = &catalogue.elsewhere;
        let named = name.map(str::trim).filter(|name| !name.is_empty());
        let by_name = named
            .and_then(|name| known.iter().find(|model| model.key == name || model.id.to_string() == name));
        let default = || known.iter().find(|model| model.default_for.iter().any(|task| task == "vision"));
        let model = by_name.or_else(default).or(known.first()).ok_or(NoEngine::NoModelFor {
            task: "vision",
            advice: "add one with tasks {vision}, and an active provider with its base_url",
        })?;
        self.remote(model, &catalogue, "vision", named.is_some() && by_name.is_none())
    }

    /// Every model of the catalogue.
    async fn all(&self) -> Result<Catalogue, NoEngine> {
        let store = self.store.clone();
        let known = tokio::task::spawn_blocking(move || Catalogue::read(&store)).await;
        Ok(known.map_err(|error| NoEngine::Broken { reason: error.to_string() })??)
    }

    /// The models of the catalogue that chat.
    async fn catalogue(&self) -> Result<Catalogue, NoEngine> {
        let mut known = self.all().await?;
        known.elsewhere.retain(Candidate::chats);
        Ok(known)
    }

    /// The models of this machine that may be asked, by the priority of their rows; those that the catalogue does not list
    /// yet have the one of the settings.
    fn here(&self, known: &Catalogue) -> Vec<Here> {
        let listed = self.local_models().into_iter().enumerate();
        let mut here: Vec<Here> = listed
            .filter_map(|(place, model)| {
                let row = known.here.iter().find(|row| row.key == model.name);
                let is_on = row.is_none_or(|row| row.is_active);
                is_on.then(|| Here { name: model.name, row: row.cloned(), is_first: place == 0 })
            })
            .collect();
        here.sort_by_key(|model| self.priority_of(model));
        here
    }

    fn priority_of(&self, model: &Here) -> i64 {
        model.row.as_ref().map_or(self.local_priority, |row| i64::from(row.priority))
    }

    async fn instead(&self, task: &'static str, known: &Catalogue) -> Result<Chosen, NoEngine> {
        let mut chosen = self.default(task, known).await?;
        chosen.fell_back = true;
        Ok(chosen)
    }

    /// The catalogue's default for the task; else a model that can, by priority, the local ones among them; else any that
    /// chats.
    async fn default(&self, task: &'static str, known: &Catalogue) -> Result<Chosen, NoEngine> {
        let here = self.here(known);
        let mut all: Vec<(i64, Any<'_>)> =
            here.iter().map(|it| (self.priority_of(it), Any::Here(it))).collect();
        all.extend(known.elsewhere.iter().map(|it| (i64::from(it.priority), Any::Elsewhere(it))));
        let place = |model: &Any<'_>| {
            let (row, can, chats) = match model {
                Any::Here(model) => (model.row.as_ref(), model.can(task), true),
                Any::Elsewhere(model) => (Some(*model), model.can(task), model.modality != "prompt"),
            };
            match row.is_some_and(|row| row.default_for.iter().any(|it| it == task)) {
                true => Some(0),
                false if can => Some(1),
                false => chats.then_some(2),
            }
        };
        all.retain(|(_, model)| place(model).is_some());
        // In the order of the catalogue among equals, the local ones first.
        all.sort_by_key(|(priority, model)| (place(model), *priority));
        let (mut missing, mut local) = (None, None);
        for (_, model) in all {
            match model {
                Any::Here(model) => match self.local(model, missing.is_some()).await {
                    Ok(chosen) => return Ok(chosen),
                    Err(error) => local = local.or(Some(error)),
                },
                Any::Elsewhere(model) => match self.remote(model, known, task, missing.is_some()) {
                    Ok(chosen) => return Ok(chosen),
                    Err(error) => missing = Some(passed_over(model, error)),
                },
            }
        }
        match missing.or(local) {
            Some(error) => Err(error),
            None => self.first_here(&here, false).await,
        }
    }

    fn remote(
        &self,
        model: &Candidate,
        known: &Catalogue,
        task: &str,
        fell_back: bool,
    ) -> Result<Chosen, NoEngine> {
        let others: Vec<Candidate> =
            known.elsewhere.iter().filter(|other| other.can(task)).cloned().collect();
        let remote = self.remote.chain(model, &others)?;
        let mut stand_ins: Vec<StandIn> =
            others.iter().filter(|other| other.id != model.id).map(StandIn::of).collect();
        // Nothing local looks at pictures.
        let here = if task == "vision" { None } else { self.here(known).into_iter().next() };
        let engine: Arc<dyn ChatEngine> = match here {
            Some(first) => {
                stand_ins.extend(first.row.as_ref().map(StandIn::of));
                Arc::new(WithLocal {
                    remote,
                    local: self.local.clone(),
                    name: (!first.is_first).then_some(first.name),
                    runtime: tokio::runtime::Handle::current(),
                })
            }
            None => remote,
        };
        Ok(Chosen {
            engine,
            provider: model.provider.clone(),
            model: model.key.clone(),
            display_name: model.display_name.clone(),
            catalogued: Some((model.id, model.provider_id)),
            context_tokens: model.context_tokens,
            fell_back,
            says: model.says.clone(),
            local: None,
            others: stand_ins.into(),
        })
    }

    /// The first model of this machine, or why there is none.
    async fn first_here(&self, here: &[Here], fell_back: bool) -> Result<Chosen, NoEngine> {
        match here.first() {
            Some(model) => self.local(model, fell_back).await,
            None if !self.local_models().is_empty() => Err(NoEngine::SwitchedOff),
            // Asked for the default one, the list says why it is empty.
            None => {
                let missing = Here { name: String::new(), row: None, is_first: true };
                self.local(&missing, fell_back).await
            }
        }
    }

    async fn local(&self, model: &Here, fell_back: bool) -> Result<Chosen, NoEngine> {
        let name = (!model.is_first).then_some(model.name.as_str());
        let engine: Arc<LocalEngine> = self.local.engine(name).await?;
        let name = language::ChatEngine::name(&*engine).to_string();
        let row = model.row.as_ref();
        Ok(Chosen {
            context_tokens: row.map_or(usize::MAX, |row| row.context_tokens).min(engine.context_tokens()),
            provider: LOCAL.into(),
            display_name: row.map_or(name.clone(), |row| row.display_name.clone()),
            model: name,
            catalogued: row.map(|row| (row.id, row.provider_id)),
            fell_back,
            says: row.map(|row| row.says.clone()).unwrap_or_default(),
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
