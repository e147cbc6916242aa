//! What the log says at the start: what is there, who may come in, and what in the settings cannot be meant.

use std::path::Path;

use actors::catalog::provider_key::{PREFIX, ignored_names};
use actors::language::{Engines, LocalStatus, is_chat_model, list_chat_models};
use actors::render::{list_loras, list_models};
use store::Store;

use crate::config::Config;
use crate::devices::Devices;
use crate::nearest::did_you_mean;

/// A setting that names something which is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting.
    pub setting: &'static str,
    /// What is wrong with it, and what may be meant.
    pub reason: String,
}

/// The settings that lead nowhere.
pub fn mistakes(config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut add = |setting, reason| mistakes.push(Mistake { setting, reason });
    let folder = &config.models_dir;
    // The default folder comes into being with the first model.
    if *folder != config.data.join("models") && !folder.is_dir() {
        add("models_dir", format!("{} is no folder{}", folder.display(), neighbour(folder)));
    }
    if let Some(path) = config.chat_model.as_ref().filter(|path| !path.exists()) {
        let names = list_chat_models(folder);
        let names: Vec<String> = names.iter().map(|path| language::model_name(path)).collect();
        let meant = match path.to_str().map(|name| did_you_mean(name, names.iter().map(String::as_str))) {
            Some(meant) if !meant.is_empty() => meant,
            _ => neighbour(path),
        };
        add("chat_model", format!("{} does not exist{meant}", path.display()));
    }
    if let Some(path) = config.chat_model.as_ref().filter(|path| path.exists() && !is_chat_model(path)) {
        let reason = "neither a GGUF file nor a folder with config.json and tokenizer.json";
        add("chat_model", format!("{} is {reason}", path.display()));
    }
    if let Some(name) = &config.image_model {
        let models = list_models(folder);
        if !models.iter().any(|model| model.name == *name) {
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let meant = did_you_mean(name, names.iter().copied());
            add("image_model", format!("there is no {name:?}, there is {}{meant}", names.join(", ")));
        }
    }
    mistakes
}

/// The settings that name a device which cannot be had.
pub(crate) fn device_mistakes(devices: &Devices) -> impl Iterator<Item = Mistake> {
    devices.missing().into_iter().map(|(setting, reason)| Mistake { setting, reason })
}

/// The name beside a path that does not exist which it may mean.
fn neighbour(path: &Path) -> String {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return String::new() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|known| known != name)
        .collect();
    did_you_mean(name, names.iter().map(String::as_str))
}

/// Names provider rows of earlier versions whose key is not read any more.
pub fn report_provider_keys(store: &Store) {
    match ignored_names(store) {
        Ok(named) => {
            for (provider, name) in named {
                tracing::error!(
                    provider,
                    secret_name = name,
                    "the provider has no key: only variables that begin with {PREFIX} are read; rename the variable, and \
                     set secret_name of its row in api_providers"
                );
            }
        }
        Err(error) => tracing::error!(%error, "the providers cannot be read"),
    }
}

/// Sums up what is served; `engines` are those that make words, `devices` what models run on.
pub fn report(config: &Config, engines: &Engines, devices: &Devices) {
    for mistake in mistakes(config).into_iter().chain(device_mistakes(devices)) {
        tracing::error!("{}", config.sources.blame(mistake.setting, mistake.reason));
    }
    let pictures: Vec<String> = list_models(&config.models_dir).into_iter().map(|model| model.name).collect();
    let chats: Vec<String> = engines.local_models().into_iter().map(|model| model.name).collect();
    let chats = match (chats.is_empty(), engines.local_status()) {
        (false, _) => chats.join(", "),
        (true, LocalStatus::Fetching(_)) => "the default one is being fetched".into(),
        (true, _) => "none".into(),
    };
    tracing::info!(
        folder = %config.models_dir.display(),
        pictures = pictures.join(", "),
        draws = config.image_model.as_deref().unwrap_or(actors::render::STARTER),
        device = devices.pictures(),
        chat_device = devices.chats(),
        loras = list_loras(&config.models_dir).len(),
        chats,
        "models"
    );
    tracing::info!(cache_mib = config.cache_bytes() >> 20, "memory for pages of the store");
    tracing::info!(
        url = config.url(),
        listen = %config.listen,
        data = %config.data.display(),
        sign_up = sign_up(config),
        credits = if config.charges_credits() { "charged" } else { "not charged" },
        "serving; `playhouse keys` prints what clients need"
    );
}

fn sign_up(config: &Config) -> &'static str {
    match (config.signup_enabled || config.anonymous_enabled, config.is_open_to_others()) {
        (false, _) => "off",
        (true, false) => "on, from this machine",
        (true, true) => "on, for everybody who reaches the address (signup_enabled: false ends that)",
    }
}
