//! How it is spoken: the only crate that knows HTTP.

pub mod app;
pub mod caller;
pub mod config;
pub mod functions;
pub mod gotrue;
pub mod keys;
pub mod operate;
pub mod postgrest;
pub mod storage;
pub mod token;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use actors::catalog::sow::Sow;
use actors::conversation::chat::Chat;
use actors::language::Engines;
use actors::{Actors, Mailbox};
use store::{OpenOptions, Store};
use tokio::net::TcpListener;

use app::Shared;
use config::Config;
use keys::Keys;

/// Opens the store of a data folder and says in the log what was unusual.
pub fn open(config: &Config) -> Result<Store, String> {
    let options = OpenOptions { cache_bytes: config.cache_bytes, accept_data_loss: config.accept_data_loss };
    let (store, opened) =
        Store::open(&config.data, models::schema(), &options).map_err(|error| error.to_string())?;
    for remark in &opened.remarks {
        tracing::warn!(remark, "opening the store");
    }
    Ok(store)
}

/// Runs `work` inside an actor system over a multi-thread runtime.
pub fn in_system<T>(work: impl Future<Output = T>) -> T {
    let system = actix::System::with_tokio_rt(|| {
        match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("no threads to run on: {error}"),
        }
    });
    system.block_on(work)
}

/// Serves until `stop` resolves; then lets running requests end.
pub async fn serve(config: Config, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let mut config = config;
    config.listen = listener.local_addr().map_err(|error| error.to_string())?;
    let store = open(&config)?;
    let keys = Keys::load_or_create(&config.data, &config)?;
    let actors = Actors::start(store, Mailbox { capacity: config.mailbox_capacity });
    let seeded = actors.ask(&models::Claims::service(), actors::file::seed_buckets::SeedBuckets).await;
    seeded.map_err(|error| format!("the buckets cannot be made: {error}"))?;
    let sown = actors.ask(&models::Claims::service(), Sow).await;
    sown.map_err(|error| format!("the catalogue cannot be sown: {error}"))?;
    let engines = Engines::start(actors.store().clone(), config.language());
    let chat = Chat::start(actors.clone(), engines).await.map_err(|error| error.to_string())?;
    let sweeps = tokio::spawn(storage::sweep_for_ever(actors.store().clone()));
    note_address(&config)?;
    tracing::info!(url = config.url(), data = %config.data.display(), "serving");
    let shared = Arc::new(Shared { actors, keys, config, chat: chat.clone() });
    let stopped = async move {
        stop.await;
        chat.close().await;
    };
    let served = axum::serve(listener, app::router(shared.clone())).with_graceful_shutdown(stopped).await;
    sweeps.abort();
    let _ = std::fs::remove_file(shared.config.data.join(ADDRESS_FILE));
    served.map_err(|error| error.to_string())
}

/// Where a running server writes its address, for the command line.
pub const ADDRESS_FILE: &str = "server.json";

fn note_address(config: &Config) -> Result<(), String> {
    let path = config.data.join(ADDRESS_FILE);
    let text = serde_json::json!({"url": format!("http://{}", config.listen), "pid": std::process::id()});
    std::fs::write(&path, text.to_string()).map_err(|error| format!("{}: {error}", path.display()))
}

/// The address of the server that runs on a data folder, if one does.
pub fn running_at(data: &Path) -> Option<String> {
    let text = std::fs::read(data.join(ADDRESS_FILE)).ok()?;
    let note: serde_json::Value = serde_json::from_slice(&text).ok()?;
    note["url"].as_str().map(str::to_string)
}
