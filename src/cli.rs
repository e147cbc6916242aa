//! Commands and flags.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use playhouse::config::Config;
use playhouse::keys::Keys;
use serde_json::{Value as Json, json};
use store::check::Contents;

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
    Check {
        /// Leave out reading every picture and other large value.
        #[arg(long)]
        quick: bool,
    },
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
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
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
    let answer: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
    if status.is_success() {
        return Ok(Some(answer));
    }
    let (code, message) = (answer["error_code"].as_str(), answer["msg"].as_str());
    let said = code.or(answer["code"].as_str()).zip(message.or(answer["message"].as_str()));
    Err(said.map_or(text, |(code, message)| format!("{message} ({code})")))
}

async fn create_user(
    config: Config,
    email: String,
    password: String,
    role: Option<String>,
) -> Result<(), String> {
    if let Some(role) = &role {
        // Before the account is made: it would stay behind without its role.
        let roles = models::schema().known("user_roles");
        models::convert::from_text(roles.kind(roles.at("role")), role).map_err(|error| error.to_string())?;
    }
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
    let store = existing(config)?;
    let manifest = store.backup(&target).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&manifest).map_err(|error| error.to_string())?)
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
    }
}

fn check(config: &Config, quick: bool) -> Result<(), String> {
    let report = match playhouse::in_system(ask(config, "/admin/v1/check", &json!({ "quick": quick })))? {
        Some(report) => report,
        None => {
            let store = existing(config)?;
            let report = store.check_with(Contents::of(quick)).map_err(|error| error.to_string())?;
            playhouse::operate::report_json(&report)
        }
    };
    print(&report)?;
    if report["faults"] == 0 { Ok(()) } else { Err("the store has faults".into()) }
}
