//! The configuration that a command works with: flags over environment over file, and what it may not be used for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use playhouse::Mistake;
use playhouse::config::{Config, Source};
use serde_json::Value as Json;
use store::Store;
use store::backup::is_backup;

use super::arguments::{Place, ServeFlags};

/// Reads it; `flags` are those of the command.
pub(super) fn read(place: &Place, flags: &ServeFlags) -> Result<Config, String> {
    let (path, file) = configuration_file(place)?;
    let named = if place.config.is_some() { "--config " } else { "" };
    let said = |error: String| format!("{named}{}: {error}", path.display());
    // Alone first, so that a mistake in the environment is not blamed on the file.
    if file.is_some() {
        playhouse::config::read(file.clone(), std::iter::empty()).map_err(said)?;
    }
    let mut config = playhouse::config::read(file, std::env::vars_os())?;
    config.sources.note_file(&path);
    for flag in flags.given() {
        config.sources.note(&flag.trim_start_matches('-').replace('-', "_"), Source::Flag);
    }
    if place.data.is_some() {
        config.sources.note("data", Source::Flag);
    }
    config.data = place.data.clone().unwrap_or(config.data);
    config.listen = flags.listen.unwrap_or(config.listen);
    config.mailbox_capacity = flags.mailbox_capacity.unwrap_or(config.mailbox_capacity);
    if config.mailbox_capacity == 0 {
        return Err("--mailbox-capacity: 0 is less than 1".into());
    }
    if let Some(algorithm) = &flags.jwt_algorithm {
        config.jwt_algorithm = algorithm.clone();
    }
    if !matches!(config.jwt_algorithm.as_str(), "HS256" | "ES256") {
        return Err(format!("--jwt-algorithm: {} is neither HS256 nor ES256", config.jwt_algorithm));
    }
    config.accept_data_loss |= flags.accept_data_loss;
    config.salvage |= flags.salvage;
    config.models_dir = flags.models_dir.clone().unwrap_or(config.models_dir);
    if config.models_dir.as_os_str().is_empty() {
        config.models_dir = config.data.join("models");
    }
    config.image_model = flags.image_model.clone().or(config.image_model);
    config.chat_model = flags.chat_model.clone().or(config.chat_model);
    config.find_chat_model();
    config.fetch_chat_model = flags.fetch_chat_model.unwrap_or(config.fetch_chat_model);
    config.open_page = flags.open;
    Ok(config)
}

/// Where the configuration file is, and what it says if it is there.
fn configuration_file(place: &Place) -> Result<(PathBuf, Option<Json>), String> {
    let folder = place.data.clone().unwrap_or_else(|| Config::default().data);
    if folder.exists() && !folder.is_dir() {
        return Err(format!("{} is a file, not a data folder", folder.display()));
    }
    let path = place.config.clone().unwrap_or_else(|| folder.join("playhouse.json"));
    let named = if place.config.is_some() { "--config " } else { "" };
    let said = |error: String| format!("{named}{}: {error}", path.display());
    let file = match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| said(format!("not JSON: {error}")))?),
        Err(error) if place.config.is_none() && error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(said(error.to_string())),
    };
    Ok((path, file))
}

/// Refuses what a flag of this start names and is not there. What a file or the environment names is said in the log and
/// in health instead: a machine that starts by itself should serve what it can.
pub(super) fn refuse_mistakes(config: &Config) -> Result<(), String> {
    let by_flag = |mistake: &Mistake| config.sources.of(mistake.setting) == Source::Flag;
    let mistake = playhouse::mistakes(config).into_iter().find(by_flag);
    mistake.map_or(Ok(()), |mistake| Err(config.sources.blame(mistake.setting, mistake.reason)))
}

/// Refuses a folder without a store: a mistyped name must neither look like an empty store nor become one.
pub(super) fn require_store(data: &Path) -> Result<(), String> {
    match Store::exists(data) {
        true => Ok(()),
        false if is_backup(data) => Err(restore_it(data)),
        false if data.is_dir() => {
            Err(format!("{} holds no store; `playhouse serve` makes one there", data.display()))
        }
        false => Err(no_data_folder(data)),
    }
}

/// Refuses a data folder that is not there, and a models folder that is not, unless it is the one that comes into being
/// with the first model.
pub(super) fn require_models_dir(config: &Config) -> Result<(), String> {
    let folder = &config.models_dir;
    match () {
        () if *folder == config.data.join("models") && !config.data.is_dir() => {
            Err(no_data_folder(&config.data))
        }
        () if folder.exists() && !folder.is_dir() => Err(format!("{} is no folder", folder.display())),
        () if *folder != config.data.join("models") && !folder.is_dir() => {
            Err(format!("no models folder at {}", folder.display()))
        }
        () => Ok(()),
    }
}

/// Refuses a backup where a data folder is needed: a store made in it would neither be the backup's nor leave it whole.
pub(super) fn refuse_backup(folder: &Path) -> Result<(), String> {
    if is_backup(folder) && !Store::exists(folder) { Err(restore_it(folder)) } else { Ok(()) }
}

/// The mark of an import that has not come to its end.
pub(super) const IMPORT_MARK: &str = "importing.json";

/// Refuses a data folder in which an import was cut short: a server would take half of the data for all of it.
pub(super) fn refuse_unfinished_import(data: &Path) -> Result<(), String> {
    let mark = data.join(IMPORT_MARK);
    let Ok(text) = std::fs::read(&mark) else { return Ok(()) };
    let from = serde_json::from_slice::<Json>(&text).unwrap_or_default();
    Err(format!(
        "{}: an import from {} was cut short; run the same command again, or restore a backup made before it and remove {}",
        data.display(),
        from["from"].as_str().unwrap_or("PostgreSQL"),
        mark.display()
    ))
}

fn restore_it(backup: &Path) -> String {
    let backup = backup.display();
    format!(
        "{backup} is a backup, not a data folder; `playhouse restore {backup} --data NEW` makes a data folder of it"
    )
}

fn no_data_folder(data: &Path) -> String {
    format!("no data folder at {}; `playhouse serve` makes one", data.display())
}
