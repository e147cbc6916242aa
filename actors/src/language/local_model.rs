//! The model on this machine: where it lies, how far its fetching is, and the engine once somebody asked for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use language::fetch::DEFAULT_CHAT_MODEL;
use language::{FetchProgress, LocalDevice, LocalEngine, fetch_default_chat_model};

use super::{LanguageConfig, NoEngine};

/// A fetch says in the log how far it is whenever so much more has arrived.
const LOG_EVERY_BYTES: u64 = 16 << 20;
/// An engine that nobody has asked for so long gives its memory back.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
const IDLE_CHECK: Duration = Duration::from_secs(30);

/// How the local model fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalStatus {
    /// There is none.
    Absent,
    /// It is on its way; so many bytes have arrived.
    Fetching(u64),
    /// It could not be fetched or found.
    Failed(String),
    /// It lies there, not loaded.
    Present(PathBuf),
    /// It is in memory.
    Loaded(String),
}

enum State {
    Absent,
    Fetching(u64),
    Failed(String),
    Present(PathBuf),
    Loaded { path: PathBuf, engine: Arc<LocalEngine>, used: Instant },
}

/// The local model.
pub(super) struct LocalModel {
    config: LanguageConfig,
    state: Mutex<State>,
    /// Held while a model is loaded, so that two requests do not load two.
    loading: tokio::sync::Mutex<()>,
}

impl LocalModel {
    pub fn start(config: LanguageConfig) -> Arc<LocalModel> {
        language::fetch::remove_interrupted_fetches(&config.models_dir);
        let state = match &config.chat_model {
            Some(path) if path.exists() => State::Present(path.clone()),
            Some(path) => State::Failed(format!("chat_model {} does not exist", path.display())),
            None => find(&config.models_dir).map_or(State::Absent, State::Present),
        };
        let fetches = matches!(state, State::Absent) && config.fetch_chat_model;
        let state = if fetches { State::Fetching(0) } else { state };
        let local =
            Arc::new(LocalModel { config, state: Mutex::new(state), loading: tokio::sync::Mutex::new(()) });
        if fetches {
            let model = local.clone();
            let thread =
                std::thread::Builder::new().name("fetch chat model".into()).spawn(move || model.fetch());
            if let Err(error) = thread {
                local.set(State::Failed(error.to_string()));
            }
        }
        local
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn fetch(&self) {
        tracing::info!(folder = %self.config.models_dir.display(), "fetching the default chat model");
        let mut said = 0;
        let result = fetch_default_chat_model(&self.config.models_dir, &mut |progress| {
            let bytes = match progress {
                FetchProgress::Downloading { bytes } | FetchProgress::Unpacking { bytes, .. } => bytes,
                FetchProgress::Done { .. } => return,
            };
            if bytes >= said + LOG_EVERY_BYTES {
                said = bytes;
                tracing::info!(megabytes = bytes >> 20, "fetching the default chat model");
            }
            self.set(State::Fetching(bytes));
        });
        match result {
            Ok(path) => {
                tracing::info!(path = %path.display(), "the default chat model is there");
                self.set(State::Present(path));
            }
            Err(error) => {
                tracing::error!(%error, "the default chat model could not be fetched");
                self.set(State::Failed(error.to_string()));
            }
        }
    }

    pub fn status(&self) -> LocalStatus {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Absent => LocalStatus::Absent,
            State::Fetching(bytes) => LocalStatus::Fetching(*bytes),
            State::Failed(reason) => LocalStatus::Failed(reason.clone()),
            State::Present(path) => LocalStatus::Present(path.clone()),
            State::Loaded { engine, .. } => {
                LocalStatus::Loaded(language::ChatEngine::name(&**engine).to_string())
            }
        }
    }

    /// The engine, if it is loaded.
    fn loaded(&self) -> Option<Arc<LocalEngine>> {
        match &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Loaded { engine, used, .. } => {
                *used = Instant::now();
                Some(engine.clone())
            }
            _ => None,
        }
    }

    /// Where the model lies, or why there is none.
    fn place(&self) -> Result<PathBuf, NoEngine> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Absent | State::Failed(_)) && self.config.chat_model.is_none() {
            // Somebody may have put one there meanwhile.
            if let Some(path) = find(&self.config.models_dir) {
                *state = State::Present(path);
            }
        }
        match &*state {
            State::Absent => {
                Err(NoEngine::Absent { models_dir: self.config.models_dir.display().to_string() })
            }
            State::Fetching(bytes) => Err(NoEngine::Fetching { megabytes: bytes >> 20 }),
            State::Failed(reason) => Err(NoEngine::Broken { reason: reason.clone() }),
            State::Present(path) | State::Loaded { path, .. } => Ok(path.clone()),
        }
    }

    /// The engine; loads it if nobody has yet.
    pub async fn engine(self: &Arc<Self>) -> Result<Arc<LocalEngine>, NoEngine> {
        if let Some(engine) = self.loaded() {
            return Ok(engine);
        }
        let path = self.place()?;
        let _one_at_a_time = self.loading.lock().await;
        if let Some(engine) = self.loaded() {
            return Ok(engine);
        }
        let started = Instant::now();
        let opened = tokio::task::spawn_blocking({
            let (path, limits) = (path.clone(), self.config.local);
            move || LocalEngine::open(&path, &LocalDevice::Cpu, limits)
        })
        .await;
        let broken = |reason: String| NoEngine::Broken { reason: format!("{}: {reason}", path.display()) };
        let engine = opened.map_err(|error| broken(error.to_string()))?;
        let engine = Arc::new(engine.map_err(|error| broken(error.to_string()))?);
        let ms = started.elapsed().as_millis() as u64;
        tracing::info!(path = %path.display(), ms, "loaded the chat model");
        self.set(State::Loaded { path, engine: engine.clone(), used: Instant::now() });
        tokio::spawn(self.clone().unload_when_idle());
        Ok(engine)
    }

    async fn unload_when_idle(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            let idle = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match &*state {
                    State::Loaded { path, engine, used }
                        if used.elapsed() > IDLE_MAX && Arc::strong_count(engine) == 1 =>
                    {
                        let present = State::Present(path.clone());
                        std::mem::replace(&mut *state, present)
                    }
                    State::Loaded { .. } => continue,
                    _ => return,
                }
            };
            tracing::info!("the chat model was idle and gives its memory back");
            // Its thread is waited for.
            let _ = tokio::task::spawn_blocking(move || drop(idle)).await;
            return;
        }
    }
}

/// The default model of a folder, else the first GGUF file or model folder by name.
fn find(models_dir: &Path) -> Option<PathBuf> {
    let default = models_dir.join(DEFAULT_CHAT_MODEL);
    if default.is_file() {
        return Some(default);
    }
    let entries = std::fs::read_dir(models_dir).ok()?;
    let is_chat_model = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
            || (path.join("config.json").is_file() && path.join("tokenizer.json").is_file())
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_chat_model).collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_model_comes_first_and_hidden_work_folders_never() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(find(folder.path()), None);
        std::fs::create_dir(folder.path().join(".fetch-1")).expect("a folder");
        assert_eq!(find(folder.path()), None);
        std::fs::write(folder.path().join("b.GGUF"), b"x").expect("a file");
        assert_eq!(find(folder.path()), Some(folder.path().join("b.GGUF")));
        std::fs::write(folder.path().join(DEFAULT_CHAT_MODEL), b"x").expect("a file");
        assert_eq!(find(folder.path()), Some(folder.path().join(DEFAULT_CHAT_MODEL)));
    }
}
