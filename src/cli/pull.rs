//! `playhouse models pull`: a model from a hub or an address, without a server.

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use actors::render::PartKind;
use playhouse::config::Config;
use serde_json::{Value as Json, json};
use services::fetch_file::Fetching;
use services::model_downloads::pull;
use services::model_sources::{Found, Hubs, Source};

use super::output::print;

/// How often it is said how far a fetch is.
const SAID_EVERY: Duration = Duration::from_secs(2);

/// Fetches a model and says what it is.
pub(super) async fn run(
    config: Config,
    source: String,
    sha256: Option<String>,
    file_name: Option<String>,
    kind: Option<PartKind>,
) -> Result<(), String> {
    let asked = Source::read(&source)?;
    std::fs::create_dir_all(&config.models_dir)
        .map_err(|error| format!("{}: {error}", config.models_dir.display()))?;
    // The person at this machine may ask whatever it reaches.
    let mut found = asked.find(&Hubs::from_environment(), true, file_name.as_deref()).await?;
    found.require_sha256(sha256.map(|sha256| sha256.to_ascii_lowercase()).as_deref())?;
    say_terms(&found);
    if found.files.iter().any(|file| file.sha256.is_none() && !file.path.ends_with(".json")) {
        say("its source says no sha256, so it is only looked over, not compared; --sha256 names one");
    }
    let models_dir = config.models_dir.clone();
    let has_room = |bytes: u64| room(&models_dir).is_none_or(|room| room > bytes);
    let mut last: Option<(Instant, u64)> = None;
    let mut progress = |bytes: u64, total: Option<u64>| {
        let is_end = total == Some(bytes);
        let (at, before) = *last.get_or_insert((Instant::now(), bytes));
        if at.elapsed() >= SAID_EVERY || is_end {
            let per_s = bytes.saturating_sub(before) as f64 / at.elapsed().as_secs_f64().max(0.001);
            say(&worded(bytes, total, per_s));
            last = Some((Instant::now(), bytes));
        }
    };
    let stop = AtomicBool::new(false);
    let mut how =
        Fetching { private_allowed: true, stop: &stop, has_room: &has_room, progress: &mut progress };
    let added = pull(&found, &config.models_dir, kind, &mut how).await;
    let added = added
        .map_err(|reason| format!("{source}: {reason} (the same command goes on where it was cut short)"))?;
    let mut answer = added;
    answer["licence"] = found.licence.json();
    print(&answer)
}

/// The licence of a model, before it is fetched.
fn say_terms(found: &Found) {
    let licence = &found.licence;
    if let Some(text) = &licence.text {
        say(text.trim_end());
    }
    let named = licence.name.as_deref().unwrap_or("not said by its source");
    say(&format!(
        "licence: {named}{}",
        licence.link.as_deref().map_or_else(String::new, |link| format!(", {link}"))
    ));
    for file in &found.files {
        let size = file.bytes.or(file.about_bytes).map_or_else(|| "size not known".into(), megabytes);
        say(&format!("{}: {size}", file.path));
    }
}

fn worded(bytes: u64, total: Option<u64>, per_s: f64) -> String {
    let speed = if per_s > 0.0 { format!(", {} a second", megabytes(per_s as u64)) } else { String::new() };
    match total {
        Some(total) if total > 0 => {
            format!("{} of {} ({} %){speed}", megabytes(bytes), megabytes(total), bytes * 100 / total)
        }
        _ => format!("{}{speed}", megabytes(bytes)),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Bytes that the disk of a folder still takes.
fn room(folder: &std::path::Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

/// Says something, without what would steer a terminal: terms and names are the words of strangers.
fn say(text: &str) {
    let plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text: String = text.chars().filter(plain).collect();
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The models that are recommended, with whether this machine has the memory.
pub(super) fn recommended() -> Result<(), String> {
    let machine = playhouse::machine_memory_bytes();
    let all: Vec<Json> = services::recommended::ALL
        .iter()
        .map(|model| {
            let mut about = model.json();
            about["fits"] = json!(machine.map(|machine| machine >= model.memory_bytes));
            about
        })
        .collect();
    print(&Json::Array(all))
}
