//! Commands and flags.

mod output;
mod running;
mod users;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use playhouse::config::Config;
use serde_json::{Value as Json, json};
use store::check::Contents;

use output::print;
use running::keys;

/// A self-hosted studio server for AI characters: one binary, one data folder.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Clone)]
struct Common {
    /// Folder that holds everything; `data` unless said otherwise.
    #[arg(long, env = "PLAYHOUSE_DATA", global = true)]
    data: Option<PathBuf>,
    /// Address and port to listen on, such as localhost:54321; 0.0.0.0 is every address of this machine.
    #[arg(long, env = "PLAYHOUSE_LISTEN", global = true, value_parser = playhouse::parse_listen)]
    listen: Option<SocketAddr>,
    /// Configuration file, JSON; by default `playhouse.json` in the data folder.
    #[arg(long, env = "PLAYHOUSE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Decisions that may wait at one actor before clients get 429.
    #[arg(long, env = "PLAYHOUSE_MAILBOX_CAPACITY", global = true)]
    mailbox_capacity: Option<usize>,
    /// How access tokens are signed: HS256 or ES256.
    #[arg(long, env = "PLAYHOUSE_JWT_ALGORITHM", global = true)]
    jwt_algorithm: Option<String>,
    /// Open although acknowledged commits are missing.
    #[arg(long, global = true)]
    accept_data_loss: bool,
    /// Keep a copy of an engine that does not open, and open it without its snapshot.
    #[arg(long, global = true)]
    salvage: bool,
    /// Folder of model files; by default `models` in the data folder.
    #[arg(long, env = "PLAYHOUSE_MODELS_DIR", global = true)]
    models_dir: Option<PathBuf>,
    /// The chat model, a GGUF file or a Hugging Face folder, or its name in the models folder; by default one of those.
    #[arg(long, env = "PLAYHOUSE_CHAT_MODEL", global = true)]
    chat_model: Option<PathBuf>,
    /// Whether the default chat model is fetched when there is none; true unless said otherwise.
    #[arg(long, env = "PLAYHOUSE_FETCH_CHAT_MODEL", global = true)]
    fetch_chat_model: Option<bool>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    Serve,
    /// Print url, anon_key, service_role_key and jwt_secret as JSON.
    Keys,
    /// Print the declared public schema as JSON.
    Schema,
    /// Manage accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Write a backup into a new folder, also while the server runs.
    Backup {
        /// The folder to make.
        target: PathBuf,
    },
    /// Write a backup, with its keys, into a data folder that holds no store.
    Restore {
        /// The backup's folder.
        backup: PathBuf,
    },
    /// Write what can be read of a damaged data folder, which no server may use, into a new one, with a report.
    Salvage {
        /// The damaged data folder.
        from: PathBuf,
        /// The folder to make.
        to: PathBuf,
    },
    /// Look the whole store over, also while the server runs.
    Check {
        /// Leave out reading every picture and other large value.
        #[arg(long)]
        quick: bool,
    },
    /// List, verify, add and remove models.
    #[command(subcommand)]
    Models(ModelsCommand),
}

#[derive(Subcommand)]
enum ModelsCommand {
    /// List what the models folder holds, after the model in the program: picture models, LoRAs, chat models, and files
    /// that are of no use, with the reason.
    List,
    /// Hash a picture model and name the tensors that are missing, unused or of another shape.
    Verify {
        /// Its name, as `list` shows it.
        name: String,
    },
    /// Copy a model into the models folder: a diffusers folder, a .safetensors file of Stable Diffusion 1.x, 2.x or XL, a
    /// LoRA (which goes to `loras`), or a chat model (a GGUF file or a Hugging Face folder).
    Add {
        /// Where it lies.
        path: PathBuf,
    },
    /// Remove a model from the models folder.
    Remove {
        /// Its name, as `list` shows it; `loras/NAME` for the LoRA where something else has the name too.
        name: String,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// List all accounts with their roles.
    List,
    /// Create a confirmed account.
    Create {
        /// Its address.
        #[arg(long)]
        email: String,
        /// Its password.
        #[arg(long)]
        password: String,
        /// A role beside basic_user, such as admin.
        #[arg(long)]
        role: Option<String>,
    },
}

/// Runs the command line.
pub fn run() -> Result<(), String> {
    // Whatever is written is for its owner alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAYHOUSE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        // Nobody reads the log any more: that ends no work.
        .log_internal_errors(false)
        .init();
    for remark in playhouse::config::unknown_variables(
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()),
    ) {
        tracing::warn!("{remark}");
    }
    let config = configuration(&cli.common)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => playhouse::in_system(playhouse::serve(config, stop_signal())),
        Command::Keys => {
            let keys = keys(&config)?;
            let url = playhouse::public_url_of_running(&config.data).unwrap_or_else(|| config.url());
            print(&json!({
                "url": url, "anon_key": keys.anon_key(), "service_role_key": keys.service_role_key(),
                "jwt_secret": keys.jwt_secret(),
            }))
        }
        Command::Schema => print(&models::describe::public_schema()),
        Command::User(UserCommand::List) => playhouse::in_system(users::list(config)),
        Command::User(UserCommand::Create { email, password, role }) => {
            playhouse::in_system(users::create(config, email, password, role))
        }
        Command::Backup { target } => backup(&config, &target),
        Command::Restore { backup } => {
            let manifest =
                store::backup::restore(&backup, &config.data).map_err(|error| error.to_string())?;
            print(&json!({
                "restored": config.data, "pairs": manifest.pairs, "blobs": manifest.blobs, "commit": manifest.commit,
            }))
        }
        Command::Salvage { from, to } => salvage(&from, &to),
        Command::Check { quick } => check(&config, quick),
        Command::Models(command) => models(&config, command),
    }
}

fn configuration(common: &Common) -> Result<Config, String> {
    let folder = common.data.clone().unwrap_or_else(|| Config::default().data);
    let path = common.config.clone().unwrap_or_else(|| folder.join("playhouse.json"));
    let said = |error: String| format!("{}: {error}", path.display());
    let file = match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| said(error.to_string()))?),
        Err(error) if common.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(said(error.to_string())),
    };
    // Alone first, so that a mistake in the environment is not blamed on the file.
    if file.is_some() {
        playhouse::config::read(file.clone(), std::iter::empty()).map_err(said)?;
    }
    let mut config = playhouse::config::read(file, std::env::vars())?;
    config.data = common.data.clone().unwrap_or(config.data);
    config.listen = common.listen.unwrap_or(config.listen);
    config.mailbox_capacity = common.mailbox_capacity.unwrap_or(config.mailbox_capacity);
    if let Some(algorithm) = &common.jwt_algorithm {
        config.jwt_algorithm = algorithm.clone();
    }
    if !matches!(config.jwt_algorithm.as_str(), "HS256" | "ES256") {
        return Err(format!("jwt_algorithm: {} is neither HS256 nor ES256", config.jwt_algorithm));
    }
    config.accept_data_loss |= common.accept_data_loss;
    config.salvage |= common.salvage;
    config.models_dir = common.models_dir.clone().unwrap_or(config.models_dir);
    if config.models_dir.as_os_str().is_empty() {
        config.models_dir = config.data.join("models");
    }
    config.chat_model = common.chat_model.clone().or(config.chat_model);
    config.find_chat_model();
    config.fetch_chat_model = common.fetch_chat_model.unwrap_or(config.fetch_chat_model);
    Ok(config)
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
    tracing::info!("stopping: requests that run may end");
}

fn backup(config: &Config, target: &Path) -> Result<(), String> {
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    let asked = json!({"target": target});
    if let Some(manifest) = playhouse::in_system(running::ask(config, "/admin/v1/backup", &asked))? {
        return print(&manifest);
    }
    let store = existing(config)?;
    let manifest = store.backup(&target).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&manifest).map_err(|error| error.to_string())?)
}

fn salvage(from: &Path, to: &Path) -> Result<(), String> {
    let report = store::salvage::salvage(from, to, models::schema()).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&report).map_err(|error| error.to_string())?)
}

/// The store of a data folder, where there is one: a mistyped name must not look like a healthy, empty store.
fn existing(config: &Config) -> Result<store::Store, String> {
    if store::Store::exists(&config.data) {
        return playhouse::open(config);
    }
    Err(format!("{} holds no store", config.data.display()))
}

fn models(config: &Config, command: ModelsCommand) -> Result<(), String> {
    let folder = &config.models_dir;
    match command {
        ModelsCommand::List => print(&Json::Array(actors::render::describe_models(folder))),
        ModelsCommand::Verify { name } => {
            let found = actors::render::verify_model(folder, &name)?;
            print(&found)?;
            if found["sound"] == true { Ok(()) } else { Err(format!("{name} cannot be loaded as it is")) }
        }
        ModelsCommand::Add { path } => print(&actors::render::add_model(folder, &path)?),
        ModelsCommand::Remove { name } => {
            let removed = actors::render::remove_model(folder, &name)?;
            if config.image_model.as_ref() == Some(&name) {
                tracing::warn!("image_model still names {name}");
            }
            print(&removed)
        }
    }
}

fn check(config: &Config, quick: bool) -> Result<(), String> {
    let report =
        match playhouse::in_system(running::ask(config, "/admin/v1/check", &json!({ "quick": quick })))? {
            Some(report) => report,
            None => {
                let store = existing(config)?;
                playhouse::operate::look_over(&store, Contents::of(quick))
                    .map_err(|error| error.to_string())?
            }
        };
    print(&report)?;
    if report["faults"] == 0 { Ok(()) } else { Err("the store has faults".into()) }
}
