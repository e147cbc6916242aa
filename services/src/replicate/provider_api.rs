//! How a provider of pictures is spoken to, by its rows in the catalogue.

use actors::catalog::local_provider::LOCAL;
use actors::catalog::provider_key::provider_key;
use serde_json::Value as Json;

use crate::error::ServiceError;

/// The functions by which pictures are asked of providers; each has a provider of its own, and takes others by the id of
/// their model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// replicate-image.
    Replicate,
    /// fal-image.
    Fal,
}

impl Door {
    /// The provider that is asked where no model is named.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Door::Replicate => "replicate",
            Door::Fal => "fal",
        }
    }
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Replicate's predictions.
    Replicate,
    /// fal's queue.
    Fal,
    /// OpenAI's pictures: the answer is the picture.
    OpenAi,
    /// This server.
    Local,
}

/// How an endpoint of a row ends that speaks OpenAI's dialect.
const OPENAI_PATH: &str = "images/generations";

impl Api {
    /// What a model's provider speaks: OpenAI's dialect where `endpoint_path` of the model says `/images/generations`,
    /// else what goes by the provider's name.
    pub(crate) fn of(model: &Json, provider: &Json) -> Option<Api> {
        if model["endpoint_path"]
            .as_str()
            .is_some_and(|path| path.trim_end_matches('/').ends_with(OPENAI_PATH))
        {
            return Some(Api::OpenAi);
        }
        match provider["name"].as_str()? {
            LOCAL => Some(Api::Local),
            "replicate" => Some(Api::Replicate),
            "fal" => Some(Api::Fal),
            _ => None,
        }
    }

    /// Whether a door takes a model of it.
    pub(crate) fn is_behind(self, door: Door) -> bool {
        match self {
            Api::Local | Api::OpenAi => true,
            Api::Replicate => door == Door::Replicate,
            Api::Fal => door == Door::Fal,
        }
    }

    fn base(self) -> &'static str {
        match self {
            Api::Replicate => "https://api.replicate.com/v1",
            Api::Fal => "https://queue.fal.run",
            Api::OpenAi | Api::Local => "https://api.openai.com/v1",
        }
    }
}

/// The provider's address, and its key where it has one. Secrets are named in the table and read from the environment.
pub(crate) fn connection(api: Api, provider: &Json) -> Result<(String, Option<String>), String> {
    let name = provider["secret_name"].as_str().filter(|name| !name.is_empty());
    let secret = match name {
        Some(name) => {
            Some(provider_key(name).map_err(|reason| format!("the provider has no key: {reason}"))?)
        }
        // Servers of one's own need none.
        None if api == Api::OpenAi => None,
        None => return Err("the provider has no secret_name".into()),
    };
    let base = provider["base_url"].as_str().filter(|url| !url.is_empty()).unwrap_or(api.base());
    Ok((base.trim_end_matches('/').to_string(), secret))
}

/// A refusal of a model that a door does not take.
pub(crate) fn not_behind(door: Door, provider: &Json) -> ServiceError {
    let name = provider["name"].as_str().unwrap_or("unknown");
    let message = format!(
        "the model is another provider's: {name} is neither {} nor a server of OpenAI's dialect (endpoint_path \
         /images/generations)",
        door.provider()
    );
    ServiceError::field("apiModelId", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_say_what_a_provider_speaks() {
        let api = |path: &str, name: &str| Api::of(&json!({"endpoint_path": path}), &json!({"name": name}));
        assert_eq!(api("", "replicate"), Some(Api::Replicate));
        assert_eq!(api("", "fal"), Some(Api::Fal));
        assert_eq!(api("/v1/images/generations/", "mine"), Some(Api::OpenAi));
        assert_eq!(api("", "mine"), None);
        assert!(Api::OpenAi.is_behind(Door::Fal) && !Api::Fal.is_behind(Door::Replicate));
        let none = json!({"name": "mine", "base_url": "http://a/v1/"});
        assert_eq!(connection(Api::OpenAi, &none), Ok(("http://a/v1".into(), None)));
        assert!(connection(Api::Fal, &none).is_err());
    }
}
