//! Reading settings from a file and from the environment; each mistake is named with where it stands.

use std::ffi::OsString;

use actors::catalog::provider_key::is_allowed;
use actors::render::{DeviceChoice, weight_type};
use serde_json::{Map, Value as Json};

use super::sources::PREFIX;
use super::{Config, Source, Sources, bytes};
use crate::nearest::{did_you_mean, distance, nearest};

/// What the environment says over what a file says: `PLAYHOUSE_ROWS_MAX=50` sets `rows_max`. Values are JSON, or else
/// text; sizes may have a unit (`512MiB`). The message names the setting that cannot be read.
pub fn read(
    file: Option<Json>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, String> {
    let defaults = defaults();
    let Json::Object(mut settings) = file.unwrap_or_else(|| Json::Object(Map::new())) else {
        return Err("the configuration is not a JSON object".into());
    };
    let mut sources = Sources::default();
    for (name, value) in &mut settings {
        *value = sized(name, std::mem::take(value));
        check(name, value)?;
        sources.note(name, Source::File);
    }
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let Some(key) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        let Some(default) = defaults.get(&key) else { continue };
        let Some(text) = value.to_str().map(str::to_string) else {
            return Err(format!("{name} in the environment: {key}: not UTF-8"));
        };
        // Text stays text even if it looks like a number.
        let parsed = serde_json::from_str(&text).ok().filter(|_| !default.is_string());
        let parsed = parsed.map(|read| sized(&key, read));
        let parsed = parsed.filter(|read| !default.is_null() || check(&key, read).is_ok());
        let read = parsed.unwrap_or_else(|| sized(&key, Json::String(text)));
        check(&key, &read).map_err(|error| format!("{name} in the environment: {error}"))?;
        sources.note(&key, Source::Environment);
        settings.insert(key, read);
    }
    let config: Config = serde_json::from_value(Json::Object(settings)).map_err(|error| error.to_string())?;
    Ok(Config { sources, ..config })
}

fn defaults() -> Map<String, Json> {
    match serde_json::to_value(Config::default()) {
        Ok(Json::Object(defaults)) => defaults,
        _ => Map::new(),
    }
}

/// Variables that are no settings of [`Config`]: where the configuration lies, the log, a worker's key, that of a storage
/// which files go to or come from, and where tests end the process or let a thread fail.
const OTHER_VARIABLES: [&str; 6] =
    ["CONFIG", "LOG", "CHAT_WORKER_KEY", "STORAGE_KEY", "CRASH_AT", "PANIC_AT"];

/// Names each variable that sets nothing but looks like `PLAYHOUSE_*`, and what it may mean.
pub fn unknown_variables(environment: impl Iterator<Item = String>) -> Vec<String> {
    let defaults = defaults();
    let known: Vec<String> = defaults
        .keys()
        .map(|key| key.to_ascii_uppercase())
        .chain(OTHER_VARIABLES.map(str::to_string))
        .collect();
    let mut unknown = Vec::new();
    for name in environment {
        // Those are named by rows of the catalogue.
        if is_allowed(&name) {
            continue;
        }
        let Some(key) = key_of(&name) else { continue };
        if name.strip_prefix(PREFIX).is_some_and(|key| known.iter().any(|known| known == key)) {
            continue;
        }
        let meant = nearest(&key, known.iter().map(String::as_str));
        if meant.is_none() && !name.contains(['_', '-', '.']) {
            continue;
        }
        let meant = meant.map_or_else(String::new, |known| format!("; did you mean {PREFIX}{known}?"));
        unknown.push(format!("{name} in the environment sets nothing{meant}"));
    }
    unknown
}

/// What stands after the prefix in the name of a variable that was meant for this program: `ROWS_MAX` of
/// `PLAYHOUSE_ROWS_MAX`, of `PLAYHOUSE-ROWS-MAX` and of `PLAYHOUS_ROWS_MAX`.
fn key_of(name: &str) -> Option<String> {
    /// So many mistypings of the prefix still leave it recognisable; with more it would be another program's.
    const MISTYPED_MAX: usize = 2;
    let name: String = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let word = PREFIX.trim_end_matches('_');
    let rest = match name.strip_prefix(word).or(name.strip_prefix("PLAY_HOUSE")) {
        Some(rest) => rest,
        None => {
            let (prefix, rest) = name.split_once('_')?;
            (distance(prefix, word) <= MISTYPED_MAX).then_some(rest)?
        }
    };
    let key = rest.trim_start_matches('_');
    (!key.is_empty()).then(|| key.to_string())
}

/// Smallest values that make sense.
const MINIMA: [(&str, u64); 14] = [
    ("access_token_s", 1),
    ("answer_pause_s_max", 1),
    ("backup_every_h", 1),
    ("backups_kept", 1),
    ("body_bytes_max", 1),
    ("bodies_bytes_max", 1),
    ("cache_bytes", 1 << 20),
    ("chat_replies_max", 1),
    ("connections_max", 1),
    ("insert_rows_max", 1),
    ("mailbox_capacity", 1),
    ("memory_bytes_max", 1 << 20),
    ("query_s_max", 1),
    ("rows_max", 1),
];

/// Whether a setting is a size in bytes.
fn is_size(name: &str) -> bool {
    name.ends_with("_bytes") || name.ends_with("_bytes_max")
}

/// A size with a unit as a number; anything else as it is.
fn sized(name: &str, value: Json) -> Json {
    match value.as_str().filter(|_| is_size(name)).and_then(bytes::parse) {
        Some(bytes) => bytes.into(),
        None => value,
    }
}

/// What a setting takes, in words.
fn expected(name: &str) -> String {
    match (name, defaults().get(name)) {
        _ if is_size(name) => "a number of bytes, such as 536870912 or \"512MiB\"".into(),
        ("redirect_urls", _) => "a list, such as [\"https://studio.example.com\"]".into(),
        ("cors_origins", _) => "a list of origins, such as [\"https://studio.example.com\"]".into(),
        ("otlp_headers", _) => "an object of texts".into(),
        ("traces_share", _) => "a number from 0 to 1".into(),
        ("oauth_providers", _) => {
            "an object of providers, such as {\"google\": {\"client_id\": \"…\", \"client_secret\": \"…\"}}"
                .into()
        }
        ("trusted_proxies", _) => "a list of addresses, such as [\"127.0.0.1\"]".into(),
        ("charge_credits", _) | (_, Some(Json::Bool(_))) => "true or false".into(),
        ("chat_kv_cache", _) => "f16 or f32".into(),
        ("image_batch_max", _) => "a whole number, such as 4".into(),
        (_, Some(Json::Number(default))) => format!("a whole number, such as {default}"),
        _ => "text".into(),
    }
}

/// Settings that hold a secret, or may.
const SECRETS: [&str; 6] = [
    "callback_secret",
    "replicate_webhook_secret",
    "smtp_url",
    "smtp_password",
    "oauth_providers",
    "otlp_headers",
];

/// Whether the value of a setting is not for every eye.
pub fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

fn is_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// Whether a text is `*` or what a browser calls an origin: scheme and host, perhaps a port, no path.
fn is_origin(text: &str) -> bool {
    text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', ' ', ',', '*'])
        })
}

/// Whether a setting can be read at all, for a message that names it.
fn check(name: &str, value: &Json) -> Result<(), String> {
    let alone = Json::Object([(name.to_string(), value.clone())].into_iter().collect());
    let config: Config = serde_json::from_value(alone).map_err(|error| match error.to_string() {
        text if text.starts_with("unknown field") => {
            let known = defaults();
            format!("unknown setting `{name}`{}", did_you_mean(name, known.keys().map(String::as_str)))
        }
        text if matches!(name, "listen" | "metrics_listen") && value.is_string() => format!("{name}: {text}"),
        // A secret is not shown.
        _ if is_secret(name) => format!("{name}: not {}", expected(name)),
        _ => {
            let shown: String = value.to_string().chars().take(100).collect();
            format!("{name}: {shown} is not {}", expected(name))
        }
    })?;
    if let Some((_, minimum)) = MINIMA.iter().find(|(of, _)| *of == name)
        && value.as_u64().is_some_and(|value| value < *minimum)
    {
        return Err(format!("{name}: {value} is less than {minimum}"));
    }
    if !(0.0..=1.0).contains(&config.traces_share) {
        return Err(format!("{name}: {} is not from 0 to 1", config.traces_share));
    }
    if let Some(url) = config.otlp_url.as_deref().filter(|url| !is_url(url)) {
        return Err(format!("{name}: {url:?} does not begin with http:// or https://"));
    }
    if !matches!(config.log_format.as_str(), "text" | "json") {
        return Err(format!("{name}: {:?} is neither text nor json", config.log_format));
    }
    if let Some(origin) = config.cors_origins.iter().find(|origin| !is_origin(origin)) {
        return Err(format!(
            "{name}: {origin:?} is no origin, which is like https://studio.example.com, or * for all"
        ));
    }
    for (provider, settings) in &config.oauth_providers {
        let is_name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
        if provider.is_empty()
            || matches!(provider.as_str(), "email" | "phone")
            || !provider.chars().all(is_name)
        {
            return Err(format!("{name}: {provider:?} cannot be the name of a provider"));
        }
        match settings.issuer_of(provider) {
            Some(issuer) if is_url(issuer) => {}
            Some(_) => {
                return Err(format!("{name}: issuer of {provider} does not begin with http:// or https://"));
            }
            None => return Err(format!("{name}: {provider} needs an issuer")),
        }
    }
    if config.worker_probe_s > 100 {
        return Err(format!("{name}: {} is more than 100", config.worker_probe_s));
    }
    if let Some(url) = config.public_url.iter().chain(&config.redirect_urls).find(|url| !is_url(url)) {
        return Err(format!("{name}: {url:?} does not begin with http:// or https://"));
    }
    if !matches!(config.jwt_algorithm.as_str(), "HS256" | "ES256") {
        return Err(format!("{name}: {} is neither HS256 nor ES256", config.jwt_algorithm));
    }
    DeviceChoice::list(&config.image_device).map_err(|error| format!("{name}: {error}"))?;
    let chats = config.chat_device.parse::<DeviceChoice>().and_then(DeviceChoice::check_build);
    chats.map_err(|error| format!("{name}: {error}"))?;
    weight_type(&config.image_weights).map_err(|error| format!("{name}: {error}"))?;
    Ok(())
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
