//! The one place where this dialect meets the engines that make words.

use actors::language::{CallOf, Chosen, NoEngine, Wanted};
use language::{ChatRequest, ChatStream, LanguageError};
use models::Value;
use uuid::Uuid;

use super::error::OpenAiError;
use crate::app::App;

/// What a chat is for, as the catalogue calls it.
const TASK: &str = "roleplay";

/// The engine that a name means; the default without one.
pub(super) async fn choose(app: &App, name: Option<&str>) -> Result<Chosen, OpenAiError> {
    let engines = app.services.chat.engines();
    match engines.choose(Wanted { name, task: TASK, strict: true }).await {
        Err(NoEngine::Unknown { name, .. }) => {
            let app = app.clone();
            let known = tokio::task::spawn_blocking(move || names(&app)).await;
            let known = known
                .map_err(|_| OpenAiError::new(500, "server_error", "the models could not be read"))??;
            Err(OpenAiError::no_model(&name, &known))
        }
        chosen => Ok(chosen?),
    }
}

/// Hands a request of an account to an engine.
pub(super) async fn submit(
    app: &App,
    chosen: &Chosen,
    request: ChatRequest,
    user: Uuid,
) -> Result<ChatStream, OpenAiError> {
    let call = CallOf::new(Some(user), "chat/completions");
    Ok(app.services.chat.engines().submit(chosen, request, call).await?)
}

/// The names of models that chat: the local ones, and those that the catalogue lists. Blocks.
pub(super) fn names(app: &App) -> Result<Vec<String>, store::StoreError> {
    let store = app.services.actors.store();
    let off = services::installed::switched_off(store, &["chat"])?;
    let mut names: Vec<String> =
        app.services.chat.engines().local_models().into_iter().map(|model| model.name).collect();
    names.retain(|name| !off.contains(name));
    let query = actors::rows::all("api_models").equal("is_active", Value::Bool(true)).limit(500);
    for model in actors::rows::select(store, &query)? {
        let chats = matches!(model["modality"].as_str(), Some("chat" | "roleplay" | "prompt"));
        let key = model["model_key"].as_str().filter(|_| chats);
        if let Some(key) = key
            && !names.iter().any(|known| known == key)
        {
            names.push(key.to_string());
        }
    }
    Ok(names)
}

impl From<NoEngine> for OpenAiError {
    fn from(error: NoEngine) -> OpenAiError {
        let message = error.to_string();
        match error {
            NoEngine::Store(error) => error.into(),
            NoEngine::Unknown { name, known } => OpenAiError::no_model(&name, &known),
            NoEngine::Fetching { .. } => OpenAiError::new(503, "model_loading", message).retry_after(10),
            other => OpenAiError::new(503, &other.code().to_ascii_lowercase(), message),
        }
    }
}

impl From<LanguageError> for OpenAiError {
    fn from(error: LanguageError) -> OpenAiError {
        let message = error.to_string();
        match error {
            LanguageError::QueueFull { .. } => {
                OpenAiError::new(429, "rate_limit_exceeded", message).retry_after(5)
            }
            LanguageError::ContextFull { .. } => OpenAiError::new(400, "context_length_exceeded", message),
            // Pictures stand in the messages here.
            LanguageError::InvalidRequest { field: "images", reason } => {
                OpenAiError::param("messages", reason)
            }
            LanguageError::InvalidRequest { field, reason } => OpenAiError::param(field, reason),
            LanguageError::Template(_) => OpenAiError::param("messages", message),
            LanguageError::Schema(_) => OpenAiError::param("response_format", message),
            LanguageError::NotPaid(_) => OpenAiError::new(402, "insufficient_quota", message),
            LanguageError::CircuitOpen { .. } => {
                OpenAiError::new(503, "provider_resting", message).retry_after(30)
            }
            LanguageError::Remote { .. } | LanguageError::RemoteStatus { .. } => {
                OpenAiError::new(502, "provider_failed", message)
            }
            _ => {
                tracing::error!(error = message, "a model failed");
                OpenAiError::new(500, "model_failed", message)
            }
        }
    }
}
