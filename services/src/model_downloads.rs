//! Models that are fetched from an address into the models folder, while the server runs.
//!
//! A file arrives in a hidden folder beside the models, is looked over there, and gets its place only if it can be loaded.
//! What a fetch leaves that was cut short is removed at the next start.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::render::take_model;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use store::Store;
use uuid::Uuid;

use crate::error::{Kind, ServiceError};
use crate::files::open_address::open_address;

/// Fetches at one time.
const AT_ONCE_MAX: usize = 2;
/// Fetches that are remembered, those that ended included.
const KEPT_MAX: usize = 20;
/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 120;
/// What the names of working folders begin with.
const WORK_PREFIX: &str = ".download-";
/// Held open and locked by the process that works in a folder.
const WORK_LOCK: &str = "lock";
/// Endings of the files that models are.
const ENDINGS: [&str; 2] = ["gguf", "safetensors"];

/// How a fetch stands.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Bytes arrive.
    Fetching,
    /// All are there, and the file is looked over.
    Checking,
    /// The model has its place.
    Done(Json),
    /// It was not added; why.
    Failed(String),
    /// It was ended before that.
    Cancelled,
}

#[derive(Debug)]
struct Download {
    id: Uuid,
    url: String,
    file: String,
    state: State,
    bytes: u64,
    total: Option<u64>,
    stop: Arc<AtomicBool>,
}

impl Download {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Fetching | State::Checking)
    }

    fn json(&self) -> Json {
        let (name, added, problem) = match &self.state {
            State::Fetching => ("fetching", &Json::Null, None),
            State::Checking => ("checking", &Json::Null, None),
            State::Done(added) => ("done", added, None),
            State::Failed(reason) => ("failed", &Json::Null, Some(reason)),
            State::Cancelled => ("cancelled", &Json::Null, None),
        };
        json!({"id": self.id, "url": self.url, "file": self.file, "state": name, "bytes": self.bytes,
               "total": self.total, "added": added, "problem": problem})
    }
}

/// All fetches of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Downloads {
    models_dir: PathBuf,
    private_allowed: bool,
    all: Arc<Mutex<Vec<Download>>>,
}

impl Downloads {
    /// None yet; removes what earlier ones have left.
    pub fn new(models_dir: &Path, private_allowed: bool) -> Downloads {
        for entry in fs::read_dir(models_dir).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(WORK_PREFIX);
            let is_free =
                || File::open(entry.path().join(WORK_LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
            if is_ours
                && is_free()
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "what a fetch left cannot be removed");
            }
        }
        Downloads { models_dir: models_dir.to_path_buf(), private_allowed, all: Arc::default() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Download>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every fetch that is remembered, the newest first.
    pub fn list(&self) -> Vec<Json> {
        self.all().iter().rev().map(Download::json).collect()
    }

    /// Begins to fetch a model; its file is called as the address ends, unless a name is given.
    pub fn start(&self, store: &Store, url: &str, name: Option<&str>) -> Result<Json, ServiceError> {
        let file = match name {
            Some(name) => checked_name("file_name", name)?,
            None => checked_name("url", last_part(url))?,
        };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(ServiceError::field("url", "is no address that begins with http:// or https://"));
        }
        let download = {
            let mut all = self.all();
            if all.iter().any(|one| one.is_open() && one.file == file) {
                return Err(ServiceError::field("url", format!("{file} is being fetched already")));
            }
            if all.iter().filter(|one| one.is_open()).count() >= AT_ONCE_MAX {
                let message = format!("{AT_ONCE_MAX} models are being fetched; wait for one, or cancel it");
                return Err(ServiceError::worded(Kind::Bad, message));
            }
            while all.len() >= KEPT_MAX {
                let Some(ended) = all.iter().position(|one| !one.is_open()) else { break };
                all.remove(ended);
            }
            let (id, stop) = (Uuid::new_v4(), Arc::new(AtomicBool::new(false)));
            let (url, state) = (url.to_string(), State::Fetching);
            all.push(Download {
                id,
                url,
                file: file.clone(),
                state,
                bytes: 0,
                total: None,
                stop: stop.clone(),
            });
            let (this, store, url) = (self.clone(), store.clone(), all[all.len() - 1].url.clone());
            tokio::spawn(async move {
                let ended = match this.fetch(id, &url, &file, &store, &stop).await {
                    Ok(added) => {
                        tracing::info!(%url, %added, "a model was fetched");
                        State::Done(added)
                    }
                    Err(_) if stop.load(Ordering::Relaxed) => State::Cancelled,
                    Err(reason) => {
                        tracing::warn!(%url, reason, "a model could not be fetched");
                        State::Failed(reason)
                    }
                };
                this.change(id, |one| one.state = ended);
            });
            all[all.len() - 1].json()
        };
        Ok(download)
    }

    /// Ends a fetch; what has arrived goes.
    pub fn cancel(&self, id: Uuid) -> Result<(), ServiceError> {
        let all = self.all();
        let open = all.iter().find(|one| one.id == id && one.is_open());
        let one = open.ok_or_else(|| ServiceError::field("id", "names no fetch that is under way"))?;
        one.stop.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn change(&self, id: Uuid, change: impl FnOnce(&mut Download)) {
        if let Some(one) = self.all().iter_mut().find(|one| one.id == id) {
            change(one);
        }
    }

    async fn fetch(
        &self,
        id: Uuid,
        url: &str,
        file: &str,
        store: &Store,
        stop: &AtomicBool,
    ) -> Result<Json, String> {
        let full = || "the disk has no room for it".to_string();
        let response = open_address(url, self.private_allowed).await?;
        let total = response.content_length();
        self.change(id, |one| one.total = total);
        if !store.has_room_for(total.unwrap_or(0)) {
            return Err(full());
        }
        let work = Work::create(&self.models_dir, id)?;
        let path = work.folder.join(file);
        let said = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut out = File::create(&path).map_err(said)?;
        let mut stream = response.bytes_stream();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            if stop.load(Ordering::Relaxed) {
                return Err("cancelled".into());
            }
            let piece = piece.map_err(|_| "the connection broke off".to_string())?;
            if !store.has_room_for(piece.len() as u64) {
                return Err(full());
            }
            out = tokio::task::spawn_blocking(move || {
                out.write_all(&piece).map(|()| (out, piece.len() as u64))
            })
            .await
            .map_err(|_| "writing failed unexpectedly".to_string())?
            .map(|(out, written)| {
                bytes += written;
                out
            })
            .map_err(said)?;
            self.change(id, |one| one.bytes = bytes);
        }
        if total.is_some_and(|total| total != bytes) {
            return Err("the connection broke off".into());
        }
        drop(out);
        self.change(id, |one| one.state = State::Checking);
        let models_dir = self.models_dir.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let taken = take_model(&models_dir, &path).map_err(|reason| {
                // Where it lies for a moment says nothing to anybody.
                reason.replace(&format!("{}/", work.folder.display()), "")
            });
            drop(work);
            taken
        });
        taken.await.map_err(|_| "looking it over failed unexpectedly".to_string())?
    }
}

/// A hidden folder beside the models, which goes with all that is in it.
struct Work {
    folder: PathBuf,
    _lock: File,
}

impl Work {
    fn create(models_dir: &Path, id: Uuid) -> Result<Work, String> {
        let folder = models_dir.join(format!("{WORK_PREFIX}{}", id.simple()));
        let made = fs::create_dir_all(&folder).and_then(|()| {
            let lock = File::create(folder.join(WORK_LOCK))?;
            lock.lock()?;
            // What `add` says of paths is of those without links.
            Ok(Work { folder: fs::canonicalize(&folder)?, _lock: lock })
        });
        made.map_err(|error| format!("{}: {error}", folder.display()))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "a working folder cannot be removed");
        }
    }
}

/// What an address ends with, without its query.
fn last_part(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// A name that a model's file may have.
fn checked_name(field: &str, name: &str) -> Result<String, ServiceError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+ ()".contains(letter);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_good = name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.chars().all(plain)
        && ENDINGS.contains(&ending);
    match is_good {
        true => Ok(name.to_string()),
        false => Err(ServiceError::field(
            field,
            format!(
                "names no file of a model: letters, digits and signs of ._-+ (), at most {NAME_BYTES_MAX}, with \
                 the ending .{}",
                ENDINGS.join(" or .")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_file_has_a_plain_name() {
        for (url, name) in [
            ("https://h/a/b/dream-v1.5.safetensors?download=true", Some("dream-v1.5.safetensors")),
            ("https://h/chat.Q4_K_M.gguf#x", Some("chat.Q4_K_M.gguf")),
            ("https://h/", None),
            ("https://h/model.ckpt", None),
            ("https://h/..%2f..%2fx.gguf", None),
            ("https://h/.gguf", None),
        ] {
            assert_eq!(checked_name("url", last_part(url)).ok().as_deref(), name, "{url}");
        }
        assert!(checked_name("file_name", "../x.gguf").is_err());
    }
}
