//! What the catalogue says of chat models: of those elsewhere, and of those on this machine.

use language::{ApiKey, Endpoint, Sampling};
use models::Value;
use serde_json::Value as Json;
use store::{Store, StoreError};
use uuid::Uuid;

use super::no_engine::NoEngine;
use crate::catalog::local_provider::LOCAL;
use crate::catalog::provider_key::provider_key;
use crate::rows;
use crate::telemetry::pricing::Prices;

/// Models looked at.
const MODELS_MAX: u64 = 500;
/// What a model that does not say is taken to hold.
const CONTEXT_TOKENS: usize = 8192;

/// What a row says of how its model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Says {
    temperature: Option<f32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    top_k: Option<usize>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    /// Longest reply where the request does not say, `input_defaults.max_tokens`.
    pub max_tokens: Option<usize>,
    /// Longest reply whatever the request says, `capabilities.max_output_tokens`.
    pub output_tokens_max: Option<usize>,
    /// What it costs.
    pub prices: Prices,
}

impl Says {
    fn read(model: &Json) -> Says {
        let (defaults, capabilities) = (&model["input_defaults"], &model["capabilities"]);
        let within = |name: &str, max: f64| {
            let number = defaults[name].as_f64().filter(|number| (0.0..=max).contains(number));
            number.map(|number| number as f32)
        };
        let signed = |name: &str| {
            let number = defaults[name].as_f64().filter(|number| (-2.0..=2.0).contains(number));
            number.map(|number| number as f32)
        };
        let count = |value: &Json| value.as_u64().filter(|count| *count > 0).map(|count| count as usize);
        Says {
            temperature: within("temperature", 2.0),
            top_p: within("top_p", 1.0).filter(|share| *share > 0.0),
            min_p: within("min_p", 1.0),
            top_k: defaults["top_k"].as_u64().map(|count| count as usize),
            repetition_penalty: within("repetition_penalty", 10.0).filter(|by| *by > 0.0),
            presence_penalty: signed("presence_penalty"),
            frequency_penalty: signed("frequency_penalty"),
            max_tokens: count(&defaults["max_tokens"]),
            output_tokens_max: count(&capabilities["max_output_tokens"]),
            prices: Prices::of_json(model),
        }
    }

    /// How freely to choose, the row's words over the caller's.
    pub fn over(&self, mut sampling: Sampling) -> Sampling {
        for (to, from) in [
            (&mut sampling.temperature, self.temperature),
            (&mut sampling.top_p, self.top_p),
            (&mut sampling.min_p, self.min_p),
            (&mut sampling.repetition_penalty, self.repetition_penalty),
            (&mut sampling.presence_penalty, self.presence_penalty),
            (&mut sampling.frequency_penalty, self.frequency_penalty),
        ] {
            *to = from.unwrap_or(*to);
        }
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
        sampling
    }
}

/// A model that chats, or another one that can be asked like one.
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
    /// Of models elsewhere only active ones are here.
    pub is_active: bool,
    pub says: Says,
}

impl Candidate {
    fn read(model: &Json, provider: &Json) -> Option<Candidate> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
        let list = |value: &Json| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_string)).collect()
        };
        let is_active = |row: &Json| row["is_active"] == Json::Bool(true);
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
            is_active: is_active(model) && is_active(provider),
            says: Says::read(model),
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

    /// Whether a name means it.
    pub fn is_called(&self, name: &str) -> bool {
        self.key == name
            || self.id.to_string() == name
            || self.display_name == name
            || self.full_name() == name
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

/// The models of the catalogue, those to be tried first first.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// Active models with active providers.
    pub elsewhere: Vec<Candidate>,
    /// Chat models of this machine, inactive ones among them.
    pub here: Vec<Candidate>,
}

impl Catalogue {
    /// Reads it. Blocks.
    pub fn read(store: &Store) -> Result<Catalogue, StoreError> {
        let all = |table: &'static str| rows::all(table).limit(MODELS_MAX);
        let active = |table: &'static str| all(table).equal("is_active", Value::Bool(true));
        let mut providers = rows::select(store, &active("api_providers"))?;
        let local = rows::select(store, &all("api_providers").equal("name", Value::text(LOCAL)))?;
        providers.retain(|provider| provider["name"] != LOCAL);
        let read = |models: &[Json], providers: &[Json]| -> Vec<Candidate> {
            let provider_of =
                |model: &Json| providers.iter().find(|provider| provider["id"] == model["provider_id"]);
            models.iter().filter_map(|model| Candidate::read(model, provider_of(model)?)).collect()
        };
        let models = rows::select(store, &active("api_models").order("priority", false))?;
        let elsewhere = read(&models, &providers);
        let mut here = Vec::new();
        for provider in &local {
            let id = provider["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
            let own = all("api_models").equal("provider_id", Value::Uuid(id)).order("priority", false);
            here.extend(read(&rows::select(store, &own)?, &local));
        }
        here.retain(Candidate::chats);
        Ok(Catalogue { elsewhere, here })
    }
}
