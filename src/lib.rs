//! How it is spoken: the only crate that knows HTTP.

mod answers;
pub mod app;
mod bodies;
pub mod budgets;
pub mod caller;
pub mod config;
mod connections;
mod cors;
mod data_imports;
pub mod devices;
pub mod ended_accounts;
pub mod functions;
pub mod gotrue;
mod idle_memory;
mod imports;
pub mod keys;
mod links;
mod listen;
mod long_work;
mod machine;
mod mail;
pub mod metrics;
mod nearest;
pub mod openai;
pub mod openapi;
pub mod operate;
mod owner;
mod pace;
pub mod postgrest;
mod programs;
mod push_jobs;
mod rates;
mod reader;
pub mod realtime;
mod receive;
pub mod recent_log;
mod request_body;
mod request_line;
mod routes;
mod run_time;
pub mod scheduled_backups;
pub mod sdapi;
mod sign_up;
mod start_log;
pub mod storage;
mod store_checks;
mod studio;
mod taken;
mod tls;
pub mod token;
mod token_cache;
mod traces;
pub mod typescript;
mod unused_members;
mod webtoons;
pub mod welcome;
pub mod worker;
mod write_pace;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::catalog::seed_catalog::SeedCatalog;
use actors::character::mend_scenes::MendScenes;
use actors::conversation::chat::Chat;
use actors::job_scheduler::{RecoverJobs, run_recovery_loop};
use actors::language::{Engines, watch_workers};
use actors::render::{Render, RenderOptions};
use actors::script::mend_scripts::MendScripts;
use actors::telemetry::prune_audit::{Retention, run_prune_loop};
use actors::telemetry::reserve_spending::ReleaseSpending;
use actors::user::library_bin::{ITEMS_MAX, SweepBin};
use actors::{Actors, Mailbox};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use services::Services;
use services::files::thumbnails::Thumbnails;
use services::model_downloads::Downloads;
use store::{OpenOptions, Store};
use tokio::net::TcpListener;

use app::Shared;
use budgets::Budgets;
use config::Config;
use connections::Doors;
use gotrue::oidc::provider::Providers;
use keys::Keys;
use links::OwnLinks;
use mail::Mailer;
use metrics::Metrics;
use rates::Rates;
use scheduled_backups::Backups;
use tls::Tls;

pub use listen::parse as parse_listen;
pub use start_log::{Mistake, mistakes};

/// Opens the store of a data folder and says in the log what was unusual.
pub fn open(config: &Config) -> Result<Store, String> {
    let options = OpenOptions {
        cache_bytes: config.cache_bytes(),
        accept_data_loss: config.accept_data_loss,
        salvage: config.salvage,
        disk_reserve_bytes: config.disk_reserve_bytes,
    };
    let (store, opened) =
        Store::open(&config.data, models::schema(), &options).map_err(|error| error.to_string())?;
    for remark in &opened.remarks {
        tracing::warn!(remark, "opening the store");
    }
    Ok(store)
}

/// Memory of this machine, or of the part of it that a container lets us have, in bytes; `None` where the system does not say.
pub fn machine_memory_bytes() -> Option<u64> {
    machine::memory_bytes()
}

/// What models of this machine may take: of its own memory, and of that of the card that draws.
pub fn memory(config: &Config) -> actors::render::Memory {
    let card_bytes = devices::Devices::of(config).card_bytes();
    actors::render::Memory { machine_bytes: machine_memory_bytes(), card_bytes }
}

/// Runs `work` inside an actor system over a multi-thread runtime.
pub fn in_system<T>(work: impl Future<Output = T>) -> T {
    let system = actix::System::with_tokio_rt(|| {
        match idle_memory::returning(&mut tokio::runtime::Builder::new_multi_thread()).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("no threads to run on: {error}"),
        }
    });
    system.block_on(work)
}

/// Something that this crate does as it is polled. The compiler makes the code of an `async fn` where it is polled: given away
/// without its type, it is made here, and once, not in the program for each call.
pub type Running<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;

/// When to stop.
pub type Stop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until `stop` resolves; then lets running requests end, within reason.
pub fn serve(config: Config, stop: Stop) -> Running<Result<(), String>> {
    Box::pin(serve_until(config, stop))
}

async fn serve_until(config: Config, stop: Stop) -> Result<(), String> {
    let listener = TcpListener::bind(config.listen).await;
    let listener =
        listener.map_err(|error| config.sources.blame("listen", listen::refused(config.listen, &error)))?;
    let mut config = config;
    config.listen = listener.local_addr().map_err(|error| error.to_string())?;
    long_work::start_computing_threads(config.image_niceness);
    let tls = tls(&config)?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.map_err(|error| format!("metrics_listen: cannot listen on {address}: {error}"))?)
        }
        None => None,
    };
    let metrics = Arc::<Metrics>::default();
    let outbox = config.data.clone();
    let keep = Box::new(move |line: &serde_json::Value| gotrue::outbox::append(&outbox, line));
    let mailer = Mailer::of(&config, metrics.clone(), keep)?;
    let store = open(&config)?;
    let of = store.clone();
    let migrated = tokio::task::spawn_blocking(move || migrate(&of)).await;
    migrated.unwrap_or_else(|_| Err("migrating the data folder failed unexpectedly".into()))?;
    let keys = Keys::load_or_create(&config.data, &config)?;
    store.check_in_background();
    store.renew_rows_in_background();
    store.compact_in_background();
    let actors = Actors::start(store, Mailbox { capacity: config.mailbox_capacity });
    let seeded = actors.ask(&models::Claims::service(), actors::file::seed_buckets::SeedBuckets).await;
    unless_full(seeded, "the buckets cannot be made")?;
    let sown = actors.ask(&models::Claims::service(), SeedCatalog).await;
    unless_full(sown, "the catalogue cannot be sown")?;
    mend_scenes(&actors).await?;
    // Calls that an earlier process made are not under way any more.
    let released = actors.ask(&models::Claims::service(), ReleaseSpending { id: None }).await;
    unless_full(released, "what was reserved for calls cannot be given back")?;
    mend_scripts(&actors).await?;
    let engines = Engines::start(actors.clone(), config.language());
    let installed = config.installed();
    let listed = installed.sync(&actors, &engines).await;
    unless_full(listed, "the catalogue cannot list the models that are installed")?;
    let chat = Chat::start(actors.clone(), engines.clone()).await.map_err(|error| error.to_string())?;
    // Before anybody draws: what an earlier process was drawing waits again.
    let recovered = actors.ask(&models::Claims::service(), RecoverJobs { local: true }).await;
    match unless_full(recovered, "unfinished jobs cannot be taken back")? {
        None | Some(0) => {}
        Some(count) => tracing::warn!(count, "took back jobs that an earlier process was drawing"),
    }
    let recovery = tokio::spawn(run_recovery_loop(actors.clone()));
    let deletions = tokio::spawn(finish_deletions(actors.clone()));
    let render = start_render(&actors, &config)?;
    let thumbnails = Arc::new(Thumbnails::open(&config.data, config.thumbnail_bytes));
    let sweeps = tokio::spawn(storage::run_sweep_loop(actors.store().clone(), thumbnails.clone()));
    let expiry = tokio::spawn(run_expiry_loop(actors.clone()));
    let emptying = tokio::spawn(run_bin_loop(actors.clone()));
    let limit = |number: u64| (number > 0).then_some(number);
    let retention = Retention { days: limit(config.audit_days), bytes: limit(config.audit_bytes) };
    let pruning = tokio::spawn(run_prune_loop(actors.clone(), retention));
    let mut tasks = vec![
        sweeps,
        expiry,
        emptying,
        pruning,
        recovery,
        deletions,
        tokio::spawn(idle_memory::return_for_ever()),
    ];
    tasks.push(tokio::spawn(installed.watch(actors.clone(), engines.clone())));
    tasks.push(tokio::spawn(ended_accounts::stop_replies(actors.clone(), chat.clone())));
    if config.worker_probe_s > 0 {
        let every = std::time::Duration::from_secs(config.worker_probe_s);
        tasks.push(tokio::spawn(watch_workers(actors.clone(), engines.clone(), every)));
    }
    if let Some(push) = push_jobs::Push::of(&config) {
        tasks.push(tokio::spawn(push.run(actors.clone(), engines.clone())));
    }
    if let Err(error) = note_address(&config) {
        // The command line then works on the folder at rest only, which is no reason to serve nothing.
        tracing::warn!(error, "the command line will not find this server");
    }
    let devices = devices::Devices::of(&config);
    start_log::report(&config, &engines, &devices);
    start_log::report_provider_keys(actors.store());
    if let Some(opened) = config.open_to_others() {
        tracing::warn!("{opened}");
    }
    let welcome = welcome::Welcome::of(actors.store()).map_err(|error| error.to_string())?;
    welcome.announce(&config);
    let (budgets, pace) = (Budgets::new(&config), pace::Pace::default());
    let keys = Arc::new(keys);
    let services = Services {
        actors,
        chat: chat.clone(),
        render,
        links: Arc::new(OwnLinks { keys: keys.clone(), config: config.clone() }),
        settings: Arc::new(config.settings()),
        downloads: Downloads::new(&config.models_dir, config.fetch_private_addresses),
        chosen_models: Default::default(),
    };
    tasks.push(tokio::spawn(services::storyboards::film::resume(services.clone())));
    tasks.push(tokio::spawn(services::webtoon::graph::runner::run_graphs(services.clone())));
    tasks.push(tokio::spawn(services::webtoon::exports::worker::run(services.clone())));
    tasks.push(tokio::spawn(services::media::worker::run(services.clone())));
    let (sockets, rates) = (realtime::Sockets::default(), Rates::new(&config));
    let backups = Backups::of(&config).map(Arc::new);
    if let Some(backups) = &backups {
        tasks.push(tokio::spawn(backups.clone().run(services.actors.store().clone(), metrics.clone())));
    }
    let shared = Arc::new(Shared {
        services,
        keys,
        config,
        devices,
        budgets,
        pace,
        mailer,
        providers: Providers::default(),
        rates,
        backups,
        thumbnails,
        metrics,
        sockets,
        data_imports: data_imports::DataImports::default(),
        store_checks: store_checks::StoreChecks::default(),
        welcome,
        stopped: AtomicBool::new(false),
    });
    if let Some(listener) = metrics_listener {
        tasks.push(tokio::spawn(metrics::serve::apart(shared.clone(), listener, std::future::pending())));
    }
    if let Some(tls) = &tls {
        tasks.push(tokio::spawn(tls.clone().follow()));
    }
    let stopping = shared.clone();
    let stopped = async move {
        stop.await;
        stopping.sockets.stop();
        chat.close().await;
    };
    let doors = Doors {
        listener,
        connections_max: shared.config.connections_max,
        pause_max: std::time::Duration::from_secs(shared.config.answer_pause_s_max),
        tls,
        counted: Some(shared.metrics.clone()),
    };
    connections::serve(doors, routes::service(shared.clone()), stopped).await;
    shared.stopped.store(true, Ordering::Relaxed);
    realtime::Sockets::gone(&shared.budgets.sockets, SOCKETS_PATIENCE).await;
    for task in tasks {
        task.abort();
    }
    if let Some(render) = &shared.services.render {
        render.stop(&shared.services.actors).await;
    }
    if let Some(mailer) = &shared.mailer {
        mailer.stop();
    }
    let _ = std::fs::remove_file(shared.config.data.join(ADDRESS_FILE));
    Ok(())
}

/// What connections are encrypted with, where that is configured.
fn tls(config: &Config) -> Result<Option<Arc<Tls>>, String> {
    match (&config.tls_cert, &config.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::load(certificate, key)?))),
        (Some(_), None) => Err("tls_cert is set, and tls_key is not".into()),
        (None, Some(_)) => Err("tls_key is set, and tls_cert is not".into()),
    }
}

/// How long sockets may take to hear that the server stops.
const SOCKETS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// What a start writes, where the disk has room for it: without, what is there is served all the same.
fn unless_full<T>(written: Result<T, actors::Refusal>, what: &str) -> Result<Option<T>, String> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error @ actors::Refusal::Store(store::StoreError::DiskFull)) => {
            tracing::error!(%error, "{what}; what is there is served");
            Ok(None)
        }
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// Once per data folder: scenes from before a scene was its player's.
async fn mend_scenes(actors: &Actors) -> Result<(), String> {
    let mut rows = 0;
    loop {
        let mended = actors.ask(&models::Claims::service(), MendScenes).await;
        let Some(mended) = unless_full(mended, "older scenes cannot be mended")? else { break };
        rows += mended.rows;
        if !mended.more {
            break;
        }
    }
    if rows > 0 {
        tracing::warn!(rows, "gave scenes of earlier versions back to the conversations they belong to");
    }
    Ok(())
}

/// Takes an older data folder to the newest migration, before triggers and writers are there. Blocks.
fn migrate(store: &Store) -> Result<(), String> {
    match actors::migrations::migrate(store, actors::migrations::MIGRATIONS.len()) {
        Ok(done) => {
            for it in done.iter().filter(|it| it.rows > 0) {
                tracing::warn!(
                    number = it.number,
                    name = it.name,
                    rows = it.rows,
                    "migrated the data folder"
                );
            }
            Ok(())
        }
        // It serves what there is, and the next start with room goes on.
        Err(store::StoreError::DiskFull) => Ok(()),
        Err(error) => Err(format!("the data folder cannot be migrated: {error}")),
    }
}

/// Once per data folder: of several active scripts of one chapter, account and style the newest stays.
async fn mend_scripts(actors: &Actors) -> Result<(), String> {
    let mended = actors.ask(&models::Claims::service(), MendScripts).await;
    match unless_full(mended, "older scripts cannot be mended")? {
        Some(scripts) if scripts > 0 => {
            tracing::warn!(scripts, "made active scripts approved beside newer ones of the same style")
        }
        _ => {}
    }
    Ok(())
}

/// Goes on with what a stop or crash cut short of the deletions of accounts.
async fn finish_deletions(actors: Actors) {
    match actors::user::delete_account::finish_deletions(&actors).await {
        Ok(0) => {}
        Ok(accounts) => {
            tracing::warn!(accounts, "finished deletions of accounts that an earlier process began")
        }
        Err(error) => {
            tracing::error!(%error, "deletions of accounts that began earlier could not be finished")
        }
    }
}

/// How often expired results are looked for.
const EXPIRE_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Removes workspace assets whose time is over, with their files.
async fn run_expiry_loop(actors: Actors) {
    let Some(function) = actors::rpc::find("cleanup_expired_workspace_assets") else { return };
    loop {
        let call = actors::rpc::Call { function, arguments: Vec::new() };
        match actors.ask(&models::Claims::service(), call).await {
            Ok(removed) if removed != 0 => tracing::info!(%removed, "removed expired workspace assets"),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "expired workspace assets could not be removed"),
        }
        tokio::time::sleep(EXPIRE_EVERY).await;
    }
}

/// Takes out of the bins of all libraries what has been there for its time.
async fn run_bin_loop(actors: Actors) {
    loop {
        match actors.ask(&models::Claims::service(), SweepBin).await {
            // There may be more.
            Ok(ITEMS_MAX) => continue,
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "emptied what had been in the bin for its time"),
            Err(error) => tracing::error!(%error, "the bin could not be emptied"),
        }
        tokio::time::sleep(EXPIRE_EVERY).await;
    }
}

/// The render actor, unless drawing is left to remote workers.
fn start_render(actors: &Actors, config: &Config) -> Result<Option<Render>, String> {
    if !config.local_worker {
        return Ok(None);
    }
    Ok(Some(Render::start(actors.clone(), render_options(config)?)))
}

/// How to draw by a configuration; the message names the setting that is wrong.
pub fn render_options(config: &Config) -> Result<RenderOptions, String> {
    let devices = actors::render::DeviceChoice::list(&config.image_device);
    let mut devices = devices.map_err(|error| config.sources.blame("image_device", error))?.into_iter();
    Ok(RenderOptions {
        models_dir: config.models_dir.clone(),
        model: config.image_model.clone(),
        device: devices.next().unwrap_or_default(),
        more_devices: devices.collect(),
        weight_type: actors::render::weight_type(&config.image_weights)
            .map_err(|error| config.sources.blame("image_weights", error))?,
        memory_bytes_max: config.image_memory_bytes,
        drawing_bytes_max: config.image_drawing_bytes,
        vae_tile_px: config.image_vae_tile_px,
        pixels_max: config.image_pixels_max,
        batch_max: config.image_batch_max,
        niceness: config.image_niceness,
        videos: config.local_videos,
    })
}

/// Where a running server writes its address, for the command line.
pub const ADDRESS_FILE: &str = "server.json";

fn note_address(config: &Config) -> Result<(), String> {
    let path = config.data.join(ADDRESS_FILE);
    let here = config.here();
    let text = serde_json::json!({"url": here, "public_url": config.url(), "pid": std::process::id()});
    std::fs::write(&path, text.to_string()).map_err(|error| format!("{}: {error}", path.display()))
}

/// The address, on this machine, of the server that runs on a data folder, if one does.
pub fn running_at(data: &Path) -> Option<String> {
    running(data)?["url"].as_str().map(str::to_string)
}

/// The address by which clients reach the server that runs on a data folder, if one does.
pub fn public_url_of_running(data: &Path) -> Option<String> {
    running(data)?["public_url"].as_str().map(str::to_string)
}

fn running(data: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read(data.join(ADDRESS_FILE)).ok()?;
    let note: serde_json::Value = serde_json::from_slice(&text).ok()?;
    // A killed server leaves its note behind, and the program that has its port now must not be given our keys.
    let process = note["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))?;
    if test_kill_process(process) == Err(Errno::SRCH) {
        return None;
    }
    Some(note)
}
