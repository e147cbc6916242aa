//! The command line.

mod arguments;
mod configuration;
mod demo;
mod export;
mod import;
mod log;
mod migrate;
mod output;
mod postgres;
mod pull;
mod running;
mod steps;
mod storage;
mod train_lora;
mod users;
mod verify_picture;

use std::path::Path;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use playhouse::config::Config;
use playhouse::worker::WorkerOptions;
use serde_json::{Value as Json, json};
use store::check::Contents;

use arguments::{Cli, Command, Drawn, ModelsCommand, ServeFlags, UserCommand, WorkerFlags};
use configuration::{
    refuse_backup, refuse_mistakes, refuse_unfinished_import, require_models_dir, require_store,
};
use output::{print, report_progress};
use running::keys;

/// Runs the command line.
pub fn run() -> Result<(), String> {
    // Whatever is written is for its owner alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Serve(ServeFlags::default()));
    let flags = match &command {
        Command::Serve(flags) => flags.clone().over(cli.serve),
        // The parser knows the flag of `models` by the same name before the command and after it.
        Command::Models(models) if cli.serve.given().iter().all(|flag| *flag == "--models-dir") => {
            let models_dir = models.models_dir.clone().or(cli.serve.models_dir);
            ServeFlags { models_dir, ..ServeFlags::default() }
        }
        Command::Worker(worker) if cli.serve.given().iter().all(|flag| *flag == "--models-dir") => {
            let models_dir = worker.models_dir.clone().or(cli.serve.models_dir);
            ServeFlags { models_dir, chat_model: worker.chat_model.clone(), ..ServeFlags::default() }
        }
        Command::TrainLora(training) if cli.serve.given().iter().all(|flag| *flag == "--models-dir") => {
            let models_dir = training.models_dir.clone().or(cli.serve.models_dir);
            ServeFlags { models_dir, ..ServeFlags::default() }
        }
        Command::VerifyPicture(verify) if cli.serve.given().iter().all(|flag| *flag == "--models-dir") => {
            let models_dir = verify.models_dir.clone().or(cli.serve.models_dir);
            ServeFlags { models_dir, ..ServeFlags::default() }
        }
        _ => {
            if let Some(flag) = cli.serve.given().first() {
                let message = format!("{flag} before the command is a flag of the server alone");
                Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
            }
            ServeFlags::default()
        }
    };
    match command {
        Command::Schema => return print(&models::describe::public_schema()),
        Command::Types => return output::text(&playhouse::typescript::database()),
        _ => {}
    }
    let config = configuration::read(&cli.place, &flags);
    // Where the configuration cannot be read, what else is wrong is said all the same.
    let serves = config.is_ok() && matches!(command, Command::Serve(_) | Command::Worker(_));
    let _log = log::start(config.as_ref().unwrap_or(&Config::default()), serves)?;
    let config = config?;
    match command {
        Command::Serve(_) => {
            refuse_mistakes(&config)?;
            refuse_backup(&config.data)?;
            refuse_unfinished_import(&config.data)?;
            playhouse::in_system(async {
                let served = playhouse::serve(config, Box::pin(stop_signal())).await;
                end_soon(served.is_ok());
                served
            })
        }
        Command::Keys => {
            let keys = keys(&config)?;
            let url = playhouse::public_url_of_running(&config.data).unwrap_or_else(|| config.url());
            print(&json!({
                "url": url, "anon_key": keys.anon_key(), "service_role_key": keys.service_role_key(),
                "jwt_secret": keys.jwt_secret(),
            }))
        }
        Command::Config => print(&playhouse::config::describe(&config)),
        Command::Openapi => print(&playhouse::openapi::document(&config)),
        Command::Schema | Command::Types => Ok(()),
        Command::User(UserCommand::List) => playhouse::in_system(users::list(config)),
        Command::User(UserCommand::Create { email, password, role }) => {
            playhouse::in_system(users::create(config, email, password, role))
        }
        Command::Backup { target } => backup(&config, &target),
        Command::Restore { backup } => {
            refuse_backup(&config.data)?;
            let manifest = store::backup::restore_with(&backup, &config.data, &mut report_progress())
                .map_err(|error| error.to_string())?;
            print(&json!({
                "restored": config.data, "pairs": manifest.pairs, "blobs": manifest.blobs, "commit": manifest.commit,
            }))
        }
        Command::Salvage { from, to } => salvage(&from, &to),
        Command::Check { quick } => check(&config, quick),
        Command::Compact => compact(&config),
        Command::Import(flags) if flags.from == "postgres" => import::postgres::run(&config, &flags),
        Command::Migrate(flags) => migrate::run(&config, &flags),
        Command::Import(flags) => playhouse::in_system(import::run(config, flags)),
        Command::Export(flags) => export::run(&config, &flags),
        Command::Demo(flags) => playhouse::in_system(demo::run(config, flags)),
        Command::Worker(flags) => work(&config, flags),
        Command::TrainLora(flags) => train_lora::run(&config, &flags),
        Command::VerifyPicture(flags) => verify_picture::run(&config, &flags),
        Command::Models(models) => run_models(&config, models.command),
    }
}

/// Draws for another server.
fn work(config: &Config, flags: WorkerFlags) -> Result<(), String> {
    let secret = flags.token.or_else(|| config.callback_secret.clone()).filter(|secret| !secret.is_empty());
    let secret = secret.ok_or(
        "--token is missing: the server's callback_secret, here, in PLAYHOUSE_CALLBACK_SECRET or in the configuration file",
    )?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let machine = machine.map_or_else(|_| "worker".into(), |name| name.trim().to_string());
    let options = WorkerOptions {
        server: flags.server,
        secret,
        name: flags.name.unwrap_or_else(|| format!("{machine}:{}", std::process::id())),
        images: flags.draws.contains(&Drawn::Images),
        videos: flags.draws.contains(&Drawn::Videos),
        chats: flags.chats,
        lease_s: flags.lease_seconds,
    };
    playhouse::in_system(async {
        let worked = playhouse::worker::run(options, config.clone(), Box::pin(stop_signal())).await;
        end_soon(worked.is_ok());
        worked
    })
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

/// How long work that is not looked for any more may keep the process.
const END_MAX: Duration = Duration::from_secs(20);

/// Ends the process although something still works, such as a backup or a picture being made smaller: what was
/// acknowledged is on disk, and what was not is cut as by a crash.
fn end_soon(is_well: bool) {
    std::thread::spawn(move || {
        std::thread::sleep(END_MAX);
        tracing::warn!("ending although something is still being worked on; what was acknowledged is kept");
        std::process::exit(i32::from(!is_well));
    });
}

fn backup(config: &Config, target: &Path) -> Result<(), String> {
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    let asked = json!({"target": target});
    if let Some(manifest) = playhouse::in_system(running::ask(config, "/admin/v1/backup", &asked))? {
        return print(&manifest);
    }
    let store = existing(config)?;
    let manifest = store.backup_with(&target, &mut report_progress()).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&manifest).map_err(|error| error.to_string())?)
}

/// Writes the store anew, so that its files take no more than they must.
fn compact(config: &Config) -> Result<(), String> {
    let store = existing(config)?;
    let done = store.compact(&mut report_progress()).map_err(|error| error.to_string())?;
    print(&json!({
        "pairs": done.pairs, "before_bytes": done.before_bytes, "after_bytes": done.after_bytes,
    }))
}

fn salvage(from: &Path, to: &Path) -> Result<(), String> {
    if !from.is_dir() {
        return Err(format!("no data folder at {}", from.display()));
    }
    refuse_backup(from)?;
    if !store::Store::exists(from) {
        return Err(format!("{} holds no store, so there is nothing to salvage", from.display()));
    }
    let report = store::salvage::salvage(from, to, models::schema()).map_err(|error| error.to_string())?;
    print(&serde_json::to_value(&report).map_err(|error| error.to_string())?)
}

/// The store of a data folder, where there is one.
fn existing(config: &Config) -> Result<store::Store, String> {
    require_store(&config.data)?;
    playhouse::open(config)
}

fn run_models(config: &Config, command: ModelsCommand) -> Result<(), String> {
    require_models_dir(config)?;
    let folder = &config.models_dir;
    match command {
        ModelsCommand::List => {
            let mut models = actors::render::describe_models(folder);
            let memory = playhouse::memory(config);
            models.iter_mut().for_each(|model| actors::render::note_fit(model, memory));
            print(&Json::Array(models))
        }
        ModelsCommand::Verify { name } => {
            let found = actors::render::verify_model(folder, &name)?;
            print(&found)?;
            if found["sound"] == true { Ok(()) } else { Err(format!("{name} cannot be loaded as it is")) }
        }
        ModelsCommand::Add { path, kind } => print(&actors::render::add_model(folder, &path, kind)?),
        ModelsCommand::Pull { source, sha256, file_name, kind } => {
            playhouse::in_system(pull::run(config.clone(), source, sha256, file_name, kind))
        }
        ModelsCommand::Recommended => pull::recommended(),
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
                playhouse::operate::look_over(&store, Contents::of(quick), &mut report_progress())
                    .map_err(|error| error.to_string())?
            }
        };
    print(&report)?;
    if report["faults"] == 0 { Ok(()) } else { Err("the store has faults".into()) }
}
