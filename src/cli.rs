//! Commands and flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use playhouse::config::Config;
use playhouse::keys::Keys;
use serde_json::{Value as Json, json};

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
    /// Folder that holds everything.
    #[arg(long, env = "PLAYHOUSE_DATA", default_value = "data", global = true)]
    data: PathBuf,
    /// Address to listen on.
    #[arg(long, env = "PLAYHOUSE_LISTEN", global = true)]
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
    /// Folder of model files; by default `models` in the data folder.
    #[arg(long, env = "PLAYHOUSE_MODELS_DIR", global = true)]
    models_dir: Option<PathBuf>,
    /// The chat model, a GGUF file or a Hugging Face folder; by default one of the models folder.
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
    /// Look the whole store over, also while the server runs.
    Check,
    /// List, verify and add models that draw.
    #[command(subcommand)]
    Models(ModelsCommand),
}

#[derive(Subcommand)]
enum ModelsCommand {
    /// List the models of the models folder, after the one in the program.
    List,
    /// Hash a model and name the tensors that are missing, unused or of another shape.
    Verify {
        /// Its name, as `list` shows it.
        name: String,
    },
    /// Copy a diffusers folder or a .safetensors file with its configuration into the models folder.
    Add {
        /// Where it lies.
        path: PathBuf,
    },
}

#[derive(Subcommand)]
enum UserCommand {
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
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAYHOUSE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let config = configuration(&cli.common)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => playhouse::in_system(playhouse::serve(config, stop_signal())),
        Command::Keys => {
            let keys = keys(&config)?;
            let url = playhouse::running_at(&config.data).unwrap_or_else(|| config.url());
            print(&json!({
                "url": url, "anon_key": keys.anon_key(), "service_role_key": keys.service_role_key(),
                "jwt_secret": keys.jwt_secret(),
            }))
        }
        Command::Schema => print(&models::describe::public_schema()),
        Command::User(UserCommand::Create { email, password, role }) => {
            playhouse::in_system(create_user(config, email, password, role))
        }
        Command::Backup { target } => backup(&config, &target),
        Command::Restore { backup } => {
            let manifest =
                store::backup::restore(&backup, &config.data).map_err(|error| error.to_string())?;
            eprintln!(
                "restored {} pairs and {} blobs, up to commit {}",
                manifest.pairs, manifest.blobs, manifest.commit
            );
            Ok(())
        }
        Command::Check => check(&config),
        Command::Models(command) => models(&config, command),
    }
}

fn configuration(common: &Common) -> Result<Config, String> {
    let path = common.config.clone().unwrap_or_else(|| common.data.join("playhouse.json"));
    let said = |error: String| format!("{}: {error}", path.display());
    let file = match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| said(error.to_string()))?),
        Err(error) if common.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(said(error.to_string())),
    };
    let mut config = playhouse::config::read(file, std::env::vars()).map_err(said)?;
    config.data = common.data.clone();
    config.listen = common.listen.unwrap_or(config.listen);
    config.mailbox_capacity = common.mailbox_capacity.unwrap_or(config.mailbox_capacity);
    if let Some(algorithm) = &common.jwt_algorithm {
        config.jwt_algorithm = algorithm.clone();
    }
    if !matches!(config.jwt_algorithm.as_str(), "HS256" | "ES256") {
        return Err(format!("jwt_algorithm: {} is neither HS256 nor ES256", config.jwt_algorithm));
    }
    config.accept_data_loss |= common.accept_data_loss;
    config.models_dir = common.models_dir.clone().unwrap_or(config.models_dir);
    if config.models_dir.as_os_str().is_empty() {
        config.models_dir = config.data.join("models");
    }
    config.chat_model = common.chat_model.clone().or(config.chat_model);
    config.fetch_chat_model = common.fetch_chat_model.unwrap_or(config.fetch_chat_model);
    Ok(config)
}

fn keys(config: &Config) -> Result<Keys, String> {
    store::folder::create_private(&config.data).map_err(|error| error.to_string())?;
    Keys::load_or_create(&config.data, config)
}

fn print(document: &Json) -> Result<(), String> {
    println!("{}", serde_json::to_string_pretty(document).map_err(|error| error.to_string())?);
    Ok(())
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

/// The answer of a running server; `None` when none runs.
async fn ask(config: &Config, path: &str, body: &Json) -> Result<Option<Json>, String> {
    let Some(url) = playhouse::running_at(&config.data) else { return Ok(None) };
    let key = keys(config)?;
    let request = reqwest::Client::new().post(format!("{url}{path}")).bearer_auth(key.service_role_key());
    let response = match request.header("apikey", key.service_role_key()).json(body).send().await {
        Ok(response) => response,
        // What a killed server left behind.
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(Some(serde_json::from_str(&text).unwrap_or(Json::Null))) } else { Err(text) }
}

async fn create_user(
    config: Config,
    email: String,
    password: String,
    role: Option<String>,
) -> Result<(), String> {
    let account = json!({"email": email, "password": password, "email_confirm": true});
    let (done, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut server = None;
    let user = match ask(&config, "/auth/v1/admin/users", &account).await? {
        Some(user) => user,
        None => {
            // No server runs: run one for a moment, so that an account is made in only one way.
            let mut own = config.clone();
            own.listen = SocketAddr::from(([127, 0, 0, 1], 0));
            own.fetch_chat_model = false;
            let _ = std::fs::remove_file(config.data.join(playhouse::ADDRESS_FILE));
            let wait = async {
                let _ = stopped.await;
            };
            server = Some(actix::spawn(playhouse::serve(own, wait)));
            let mut user = None;
            for _ in 0..200 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                if server.as_ref().is_some_and(|server| server.is_finished()) {
                    break;
                }
                user = ask(&config, "/auth/v1/admin/users", &account).await?;
                if user.is_some() {
                    break;
                }
            }
            user.ok_or("the server did not start")?
        }
    };
    if let Some(role) = role {
        ask(&config, "/rest/v1/user_roles", &json!({"user_id": user["id"], "role": role})).await?;
    }
    drop(done);
    if let Some(server) = server {
        let _ = server.await;
    }
    print(&json!({"id": user["id"], "email": user["email"]}))
}

fn backup(config: &Config, target: &Path) -> Result<(), String> {
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    let asked = json!({"target": target});
    if let Some(manifest) = playhouse::in_system(ask(config, "/admin/v1/backup", &asked))? {
        return print(&manifest);
    }
    let store = playhouse::open(config)?;
    let manifest = store.backup(&target).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&manifest).map_err(|error| error.to_string())?)
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
    }
}

fn check(config: &Config) -> Result<(), String> {
    let report = match playhouse::in_system(ask(config, "/admin/v1/check", &json!({})))? {
        Some(report) => report,
        None => {
            let store = playhouse::open(config)?;
            playhouse::operate::report_json(&store.check().map_err(|error| error.to_string())?)
        }
    };
    print(&report)?;
    if report["faults"] == 0 { Ok(()) } else { Err("the store has faults".into()) }
}
