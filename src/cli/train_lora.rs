//! `playhouse train-lora`: a LoRA of a folder of pictures, without a server.

use std::path::{Path, PathBuf};

use actors::render::{FolderTraining, train_here};
use playhouse::config::Config;
use serde_json::{Map, Value as Json, json};

use super::arguments::TrainLoraFlags;
use super::output::print;

/// Endings of the pictures that are read.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Runs it.
pub(super) fn run(config: &Config, flags: &TrainLoraFlags) -> Result<(), String> {
    let name = match &flags.name {
        Some(name) => name.clone(),
        None => flags.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(format!("--name: {name:?} is not the name of a file"));
    }
    let trigger_word = flags.trigger_word.clone().unwrap_or_else(|| name.clone());
    let pictures = pictures(&flags.folder, &trigger_word)?;
    let training = FolderTraining {
        name,
        trigger_word,
        model: flags.model.clone(),
        pictures,
        settings: settings(&flags.set)?,
    };
    let (file, settings) = train_here(playhouse::render_options(config)?, training, &mut |stand| {
        let (step, steps) = stand.step;
        eprintln!("step {step} of {steps}, loss {:.4}", stand.loss);
    })?;
    print(&json!({"file": file, "settings": settings}))
}

/// The pictures of a folder by name, with what `NAME.txt` says beside each.
fn pictures(folder: &Path, trigger_word: &str) -> Result<Vec<(Vec<u8>, String)>, String> {
    let unread = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|error| unread(folder, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        ending.is_some_and(|ending| PICTURES.contains(&ending.as_str()))
    });
    paths.sort();
    let read = |path: PathBuf| {
        let words = path.with_extension("txt");
        let caption = match words.is_file() {
            true => {
                std::fs::read_to_string(&words).map_err(|error| unread(&words, error))?.trim().to_string()
            }
            false => trigger_word.to_string(),
        };
        Ok((std::fs::read(&path).map_err(|error| unread(&path, error))?, caption))
    };
    paths.into_iter().map(read).collect()
}

/// `NAME=VALUE`, each value as JSON.
fn settings(given: &[String]) -> Result<Map<String, Json>, String> {
    let read = |given: &String| {
        let (name, value) =
            given.split_once('=').ok_or_else(|| format!("--set {given}: is not NAME=VALUE"))?;
        let value = serde_json::from_str(value).map_err(|error| format!("--set {given}: {error}"))?;
        Ok((name.to_string(), value))
    };
    given.iter().map(read).collect()
}
