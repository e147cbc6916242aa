//! Models that are fetched from a hub or an address into the models folder, while the server runs or by the command line.
//!
//! Files arrive in a hidden folder beside the models, are looked over there, and get their place only if they can be loaded.
//! What a fetch of the server leaves that was cut short is removed at its next start; what one of the command line leaves,
//! the next one of the same source goes on from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::render::{PartKind, take_model};
use serde_json::{Value as Json, json};
use store::Store;
use uuid::Uuid;

use crate::error::{Kind, ServiceError};
use crate::fetch_file::{Fetching, fetch_file};
use crate::model_sources::{Found, Hubs, Licence, Source, last_part, taken_name};

/// Fetches at one time.
const AT_ONCE_MAX: usize = 2;
/// Fetches that are remembered, those that ended included.
const KEPT_MAX: usize = 20;
/// What the names of working folders begin with.
const WORK_PREFIX: &str = ".download-";
/// Held open and locked by the process that works in a folder.
const WORK_LOCK: &str = "lock";
/// What the names of folders begin with in which the command line fetches.
const PULL_PREFIX: &str = ".pull-";
/// How long what a fetch of the command line left waits for the next one.
const PULL_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

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
    licence: Licence,
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
               "total": self.total, "licence": self.licence.json(), "added": added, "problem": problem})
    }
}

/// An address without what may open it: the account before the host, and the query.
fn without_secrets(address: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(address) else { return address.to_string() };
    if url.cannot_be_a_base() {
        return address.to_string();
    }
    let has_query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    // Only addresses without a host refuse these.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if has_query { format!("{url}?…") } else { url.to_string() }
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
            if is_ours
                && is_free(&entry.path())
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

    /// Begins to fetch a model from an address or a hub ([`Source::read`]). It is called as the address ends or as the hub
    /// calls it, unless a name is given; `sha256` is what it must have.
    pub fn start(
        &self,
        store: &Store,
        url: &str,
        name: Option<&str>,
        sha256: Option<&str>,
    ) -> Result<Json, ServiceError> {
        let source = Source::read(url).map_err(|reason| ServiceError::field("url", reason))?;
        let file = match (&source, name) {
            (Source::Url(_), Some(name)) => {
                taken_name(name).map_err(|reason| ServiceError::field("file_name", reason))?
            }
            (Source::Url(url), None) => {
                taken_name(last_part(url)).map_err(|reason| ServiceError::field("url", reason))?
            }
            (_, name) => name.unwrap_or(url).to_string(),
        };
        let name = name.map(str::to_string);
        let sha256 = sha256.map(checked_sha256).transpose()?;
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
            // It is listed and logged; what opens the file is not to be read there.
            let (url, state) = (without_secrets(url), State::Fetching);
            all.push(Download {
                id,
                url,
                file: file.clone(),
                state,
                bytes: 0,
                total: None,
                licence: Licence::default(),
                stop: stop.clone(),
            });
            let (this, store, url) = (self.clone(), store.clone(), all[all.len() - 1].url.clone());
            tokio::spawn(async move {
                let wanted = Wanted { source, name, sha256 };
                let fetching = {
                    let (this, stop) = (this.clone(), stop.clone());
                    tokio::spawn(async move { this.fetch(id, wanted, &store, &stop).await })
                };
                let fetched = fetching.await.unwrap_or_else(|error| {
                    tracing::error!(%url, %error, "the fetch of a model panicked");
                    Err("the fetch ended unexpectedly".into())
                });
                let ended = match fetched {
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
        wanted: Wanted,
        store: &Store,
        stop: &AtomicBool,
    ) -> Result<Json, String> {
        let Wanted { source, name, sha256 } = wanted;
        let mut found = source.find(&Hubs::from_environment(), self.private_allowed, name.as_deref()).await?;
        found.require_sha256(sha256.as_deref())?;
        self.change(id, |one| {
            (one.total, one.licence) = (found.bytes(), found.licence.clone());
        });
        let work = Work::create(&self.models_dir, id)?;
        let mut progress = |bytes: u64, total: Option<u64>| {
            self.change(id, |one| (one.bytes, one.total) = (bytes, total));
        };
        let mut how = Fetching {
            private_allowed: self.private_allowed,
            stop,
            has_room: &|bytes| store.has_room_for(bytes),
            progress: &mut progress,
        };
        fetch_all(&found, &work.folder, &mut how).await?;
        self.change(id, |one| one.state = State::Checking);
        let models_dir = self.models_dir.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let taken = take(&found, &work.folder, &models_dir, None);
            drop(work);
            taken
        });
        taken.await.map_err(|_| "looking it over failed unexpectedly".to_string())?
    }
}

/// What a fetch is to bring.
struct Wanted {
    source: Source,
    name: Option<String>,
    sha256: Option<String>,
}

/// Fetches the files of a model into a folder. Progress is that of all of them.
async fn fetch_all(found: &Found, folder: &Path, how: &mut Fetching<'_>) -> Result<(), String> {
    let all = found.bytes();
    if !(how.has_room)(all.unwrap_or(0)) {
        return Err("the disk has no room for it".into());
    }
    let mut before = 0;
    for file in &found.files {
        let path = folder.join(found.folder.as_deref().unwrap_or("")).join(&file.path);
        let mut last = 0;
        let mut progress = |bytes: u64, total: Option<u64>| {
            last = bytes;
            let total = if found.files.len() == 1 { total.or(all) } else { all };
            (how.progress)(before + bytes, total);
        };
        let mut one = Fetching {
            private_allowed: how.private_allowed,
            stop: how.stop,
            has_room: how.has_room,
            progress: &mut progress,
        };
        fetch_file(file, &path, &mut one).await?;
        before += file.bytes.unwrap_or(last);
    }
    Ok(())
}

/// Gives a model that was fetched its place, by the kind that its tensors tell unless it is given. Blocks.
fn take(found: &Found, folder: &Path, models_dir: &Path, kind: Option<PartKind>) -> Result<Json, String> {
    let name = found.folder.as_deref().or_else(|| found.files.first().map(|file| file.path.as_str()));
    let path = folder.join(name.ok_or("it has no files")?);
    take_model(models_dir, &path, kind).map_err(|reason| {
        // Where it lies for a moment says nothing to anybody.
        reason.replace(&format!("{}/", folder.display()), "")
    })
}

/// Fetches a model for the command line; what it leaves when it is cut short serves the next call for the same files.
pub async fn pull(
    found: &Found,
    models_dir: &Path,
    kind: Option<PartKind>,
    how: &mut Fetching<'_>,
) -> Result<Json, String> {
    remove_old_pulls(models_dir);
    // The addresses of a hub name the commit: files of different ones never come together.
    let mut named = blake3::Hasher::new();
    for file in &found.files {
        named.update(file.address.url.as_bytes()).update(b"\n").update(file.path.as_bytes()).update(b"\n");
    }
    let work = Work::begin(models_dir, &format!("{PULL_PREFIX}{}", &named.finalize().to_hex()[..16]))?;
    let work = work.ok_or("another process is fetching it")?;
    if let Err(reason) = fetch_all(found, &work.folder, how).await {
        work.keep();
        return Err(reason);
    }
    let (found, models_dir) = (found.clone(), models_dir.to_path_buf());
    let taken = tokio::task::spawn_blocking(move || take(&found, &work.folder, &models_dir, kind));
    taken.await.map_err(|_| "looking it over failed unexpectedly".to_string())?
}

/// Removes what fetches of the command line have left that no further one came for.
fn remove_old_pulls(models_dir: &Path) {
    for entry in fs::read_dir(models_dir).into_iter().flatten().flatten() {
        let is_pull = entry.file_name().to_string_lossy().starts_with(PULL_PREFIX);
        let age = entry.metadata().and_then(|about| about.modified()).map(|time| time.elapsed());
        if is_pull
            && matches!(age, Ok(Ok(age)) if age > PULL_KEPT)
            && is_free(&entry.path())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "what a fetch left cannot be removed");
        }
    }
}

/// Whether no process works in a folder.
fn is_free(folder: &Path) -> bool {
    File::open(folder.join(WORK_LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// A hidden folder beside the models, which goes with all that is in it unless it is kept.
struct Work {
    folder: PathBuf,
    _lock: File,
    is_kept: bool,
}

impl Work {
    fn create(models_dir: &Path, id: Uuid) -> Result<Work, String> {
        let work = Work::begin(models_dir, &format!("{WORK_PREFIX}{}", id.simple()))?;
        work.ok_or_else(|| "its working folder is taken".into())
    }

    /// A folder of this name, with what may be in it already; `None` while another process works there.
    fn begin(models_dir: &Path, name: &str) -> Result<Option<Work>, String> {
        let folder = models_dir.join(name);
        let made = fs::create_dir_all(&folder).and_then(|()| {
            let lock = File::create(folder.join(WORK_LOCK))?;
            if lock.try_lock().is_err() {
                return Ok(None);
            }
            // What `add` says of paths is of those without links.
            Ok(Some(Work { folder: fs::canonicalize(&folder)?, _lock: lock, is_kept: false }))
        });
        made.map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// What has arrived in it stays, if anything has.
    fn keep(mut self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        self.is_kept = entries.into_iter().any(|entry| entry.file_name() != WORK_LOCK);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "a working folder cannot be removed");
        }
    }
}

/// A SHA-256 as it is written.
fn checked_sha256(text: &str) -> Result<String, ServiceError> {
    let is_good = text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    let reason = "is no SHA-256: 64 hexadecimal digits";
    is_good.then(|| text.to_ascii_lowercase()).ok_or_else(|| ServiceError::field("sha256", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_opens_it() {
        for (given, shown) in [
            ("https://me:secret@models.example/a.gguf?token=abc#x", "https://models.example/a.gguf?…"),
            ("https://models.example/a.gguf", "https://models.example/a.gguf"),
            ("hf:someone/model@main", "hf:someone/model@main"),
            ("civitai:123", "civitai:123"),
        ] {
            assert_eq!(without_secrets(given), shown);
        }
    }
}
