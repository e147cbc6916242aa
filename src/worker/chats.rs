//! Chats of another Playhouse: this machine's chat model behind an address, in OpenAI's dialect.
//!
//! An administrator registers the address there (`register-chat-worker`). That server looks at `/health`, sends turns while
//! that is well, and lets others stand in when it is not, so that either side may start again at any time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::language::local_device;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use language::{ChatEngine, LocalEngine};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::openai::engine_reply;

/// Largest request, in bytes.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What requests reach.
struct Chats {
    engine: LocalEngine,
    secret: String,
}

/// Loads the model and answers until `stop`.
pub(super) async fn serve(
    address: SocketAddr,
    secret: String,
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let (path, language) = (model(config)?, config.language());
    let shown = path.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        let device = local_device(language.device)?;
        LocalEngine::open(&path, &device, language.local).map_err(|error| error.to_string())
    })
    .await;
    let opened = opened.map_err(|_| format!("{shown}: loading it failed unexpectedly"))?;
    let engine = opened.map_err(|error| format!("{shown}: {error}"))?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("--chats {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!(url = format!("http://{address}"), model = engine.name(), "answering chats");
    let chats = Arc::new(Chats { engine, secret });
    let routes = Router::new()
        .route("/health", get(async || "ok"))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(chats);
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop).await;
    served.map_err(|error| format!("--chats {address}: {error}"))
}

/// Where the model lies.
fn model(config: &Config) -> Result<PathBuf, String> {
    let missing = "--chats needs a chat model: --chat-model, a GGUF file or a Hugging Face folder, or its name in the models folder";
    let named: &Path = config.chat_model.as_deref().ok_or(missing)?;
    let below = config.models_dir.join(named);
    [named.to_path_buf(), below]
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| format!("--chat-model: there is nothing at {}", named.display()))
}

async fn models(State(chats): State<Arc<Chats>>) -> axum::Json<Json> {
    axum::Json(json!({"object": "list", "data": [{"id": chats.engine.name(), "object": "model"}]}))
}

async fn complete(State(chats): State<Arc<Chats>>, headers: HeaderMap, body: Bytes) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Hashes are compared in constant time.
    if blake3::hash(given.as_bytes()) != blake3::hash(chats.secret.as_bytes()) {
        return engine_reply::unauthorized();
    }
    engine_reply::answer(&chats.engine, "server", &body).await
}
