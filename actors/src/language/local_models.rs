//! The models on this machine: where they lie, how far a fetch is, and the engines of those that were asked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diffusion::DeviceChoice;
use language::fetch::DEFAULT_CHAT_MODEL;
use language::weights::gguf_files::{all_parts, no_chat_model};
use language::{FetchProgress, LocalDevice, LocalEngine, fetch_default_chat_model, model_name};

use super::{LanguageConfig, NoEngine};

/// A fetch says in the log how far it is whenever so much more has arrived.
const LOG_EVERY_BYTES: u64 = 16 << 20;
/// An engine that was not asked for so long gives its memory back.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
const IDLE_CHECK: Duration = Duration::from_secs(30);
/// How long a model waits for the memory of others that are busy.
const ROOM_MAX: Duration = Duration::from_secs(120);
const ROOM_CHECK: Duration = Duration::from_millis(200);

/// How the default local model fares.
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

/// A model of this machine that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalModelEntry {
    /// [`language::model_name`] of its path.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is in memory.
    pub is_loaded: bool,
}

/// How far the fetch of the default model is.
enum Fetch {
    None,
    Running(u64),
    Failed(String),
}

struct Loaded {
    path: PathBuf,
    engine: Arc<LocalEngine>,
    bytes: u64,
    used: Instant,
}

/// The local models.
pub(super) struct LocalModels {
    config: LanguageConfig,
    fetch: Mutex<Fetch>,
    loaded: Mutex<Vec<Loaded>>,
    /// Held while a model is loaded, so that two requests do not load two.
    loading: tokio::sync::Mutex<()>,
}

impl LocalModels {
    pub fn start(config: LanguageConfig) -> Arc<LocalModels> {
        language::fetch::remove_interrupted_fetches(&config.models_dir);
        let nothing_there = config.chat_model.is_none() && list_chat_models(&config.models_dir).is_empty();
        let fetches = nothing_there && config.fetch_chat_model;
        let local = Arc::new(LocalModels {
            config,
            fetch: Mutex::new(if fetches { Fetch::Running(0) } else { Fetch::None }),
            loaded: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
        });
        if fetches {
            let model = local.clone();
            let thread =
                std::thread::Builder::new().name("fetch chat model".into()).spawn(move || model.fetch());
            if let Err(error) = thread {
                local.set_fetch(Fetch::Failed(error.to_string()));
            }
        }
        local
    }

    fn set_fetch(&self, state: Fetch) {
        *self.fetch.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Vec<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
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
            self.set_fetch(Fetch::Running(bytes));
        });
        match result {
            Ok(path) => {
                tracing::info!(path = %path.display(), "the default chat model is there");
                self.set_fetch(Fetch::None);
            }
            Err(error) => {
                tracing::error!(%error, "the default chat model could not be fetched");
                self.set_fetch(Fetch::Failed(error.to_string()));
            }
        }
    }

    /// All models that can be named, the default first. Looks at the folder each time: a file that is dropped in counts.
    pub fn list(&self) -> Vec<LocalModelEntry> {
        let named = self.config.chat_model.iter().filter(|path| path.exists()).cloned();
        let mut all: Vec<LocalModelEntry> = Vec::new();
        let loaded = self.loaded();
        for path in named.chain(list_chat_models(&self.config.models_dir)) {
            let name = model_name(&path);
            if !all.iter().any(|known| known.name == name) {
                let is_loaded = loaded.iter().any(|model| model.path == path);
                all.push(LocalModelEntry { name, path, is_loaded });
            }
        }
        all
    }

    pub fn status(&self) -> LocalStatus {
        match self.default_path() {
            Ok(path) => match self.loaded().iter().find(|model| model.path == path) {
                Some(model) => LocalStatus::Loaded(language::ChatEngine::name(&*model.engine).to_string()),
                None => LocalStatus::Present(path),
            },
            Err(NoEngine::Fetching { .. }) => {
                match &*self.fetch.lock().unwrap_or_else(PoisonError::into_inner) {
                    Fetch::Running(bytes) => LocalStatus::Fetching(*bytes),
                    _ => LocalStatus::Absent,
                }
            }
            Err(NoEngine::Broken { reason }) => LocalStatus::Failed(reason),
            Err(_) => LocalStatus::Absent,
        }
    }

    /// Where the default model lies, or why there is none.
    fn default_path(&self) -> Result<PathBuf, NoEngine> {
        if let Some(path) = &self.config.chat_model {
            let reason = || format!("chat_model {} does not exist", path.display());
            return if path.exists() { Ok(path.clone()) } else { Err(NoEngine::Broken { reason: reason() }) };
        }
        if let Some(path) = list_chat_models(&self.config.models_dir).into_iter().next() {
            return Ok(path);
        }
        match &*self.fetch.lock().unwrap_or_else(PoisonError::into_inner) {
            Fetch::None => Err(NoEngine::Absent { models_dir: self.config.models_dir.display().to_string() }),
            Fetch::Running(bytes) => Err(NoEngine::Fetching { megabytes: bytes >> 20 }),
            Fetch::Failed(reason) => Err(NoEngine::Broken { reason: reason.clone() }),
        }
    }

    /// The engine at a path, if it is loaded.
    fn loaded_at(&self, path: &Path) -> Option<Arc<LocalEngine>> {
        let mut loaded = self.loaded();
        let model = loaded.iter_mut().find(|model| model.path == path)?;
        model.used = Instant::now();
        Some(model.engine.clone())
    }

    /// The engine of a model by its name, the default without one; loads it if it is not loaded yet.
    pub async fn engine(self: &Arc<Self>, name: Option<&str>) -> Result<Arc<LocalEngine>, NoEngine> {
        let path = match name {
            None => self.default_path()?,
            Some(name) => match self.list().into_iter().find(|model| model.name == name) {
                Some(model) => model.path,
                None => {
                    let known = self.list().into_iter().map(|model| model.name).collect();
                    return Err(NoEngine::Unknown { name: name.chars().take(100).collect(), known });
                }
            },
        };
        if let Some(engine) = self.loaded_at(&path) {
            return Ok(engine);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(engine) = self.loaded_at(&path) {
            return Ok(engine);
        }
        let bytes = weight_bytes(&path);
        self.make_room(&path, bytes).await?;
        let started = Instant::now();
        let opened = tokio::task::spawn_blocking({
            let (path, limits, device) = (path.clone(), self.config.local, self.config.device);
            move || {
                let device = local_device(device)?;
                LocalEngine::open(&path, &device, limits).map_err(|error| error.to_string())
            }
        })
        .await;
        let broken = |reason: String| NoEngine::Broken { reason: format!("{}: {reason}", path.display()) };
        let engine = opened.map_err(|error| broken(error.to_string()))?;
        let engine = Arc::new(engine.map_err(|error| broken(error.to_string()))?);
        let ms = started.elapsed().as_millis() as u64;
        tracing::info!(path = %path.display(), ms, "loaded a chat model");
        self.loaded().push(Loaded {
            path: path.clone(),
            engine: engine.clone(),
            bytes,
            used: Instant::now(),
        });
        tokio::spawn(self.clone().unload_when_idle(path));
        Ok(engine)
    }

    /// Lets go of models that are not in use, the one used longest ago first, until another fits the memory for all.
    async fn make_room(&self, path: &Path, bytes: u64) -> Result<(), NoEngine> {
        let started = Instant::now();
        loop {
            let idle = {
                let mut loaded = self.loaded();
                let taken: u64 = loaded.iter().map(|model| model.bytes).sum();
                if loaded.is_empty() || taken.saturating_add(bytes) <= self.config.memory_bytes_max {
                    return Ok(());
                }
                let idle = loaded
                    .iter()
                    .enumerate()
                    .filter(|(_, model)| Arc::strong_count(&model.engine) == 1)
                    .min_by_key(|(_, model)| model.used)
                    .map(|(place, _)| place);
                idle.map(|place| loaded.remove(place))
            };
            match idle {
                Some(model) => {
                    tracing::info!(path = %model.path.display(), "a chat model left memory for another");
                    // Its thread is waited for.
                    let _ = tokio::task::spawn_blocking(move || drop(model)).await;
                }
                None if started.elapsed() > ROOM_MAX => {
                    return Err(NoEngine::Busy { name: model_name(path) });
                }
                None => tokio::time::sleep(ROOM_CHECK).await,
            }
        }
    }

    async fn unload_when_idle(self: Arc<Self>, path: PathBuf) {
        loop {
            tokio::time::sleep(IDLE_CHECK).await;
            let idle = {
                let mut loaded = self.loaded();
                let Some(place) = loaded.iter().position(|model| model.path == path) else { return };
                let model = &loaded[place];
                if model.used.elapsed() <= IDLE_MAX || Arc::strong_count(&model.engine) > 1 {
                    continue;
                }
                loaded.remove(place)
            };
            tracing::info!(path = %path.display(), "a chat model was idle and gives its memory back");
            let _ = tokio::task::spawn_blocking(move || drop(idle)).await;
            return;
        }
    }
}

/// What a local model computes on; the message says why that cannot be had.
pub fn local_device(choice: DeviceChoice) -> Result<LocalDevice, String> {
    match choice.resolved() {
        // Its own loops, which read packed weights as they are.
        DeviceChoice::Cpu => Ok(LocalDevice::Cpu),
        other => other.open().map(LocalDevice::Burn).map_err(|error| format!("chat_device: {error}")),
    }
}

/// Whether a path is a chat model by its looks: a GGUF file that is none of a further part, a picture encoder (`mmproj`) or an
/// adapter, or a Hugging Face folder with a tokenizer.
pub fn is_chat_model(path: &Path) -> bool {
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    // A pipe or a folder may have the name of a model.
    (is_gguf && path.is_file() && no_chat_model(path).is_none())
        || (path.join("config.json").is_file() && path.join("tokenizer.json").is_file())
}

/// The chat models of a folder by name, the one that is fetched by default first.
pub fn list_chat_models(models_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(models_dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_chat_model(path)).collect();
    let default = models_dir.join(DEFAULT_CHAT_MODEL);
    found.sort_by_key(|path| (*path != default, path.clone()));
    found
}

/// Bytes of a model's files; weights are kept in memory about as they are stored.
pub fn weight_bytes(path: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if path.is_file() {
        return all_parts(path).iter().map(|part| length(part)).sum();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .map(|path| length(&path))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_model_comes_first_and_hidden_work_folders_never() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = || list_chat_models(folder.path());
        assert!(list().is_empty());
        std::fs::create_dir(folder.path().join(".fetch-1")).expect("a folder");
        std::fs::create_dir(folder.path().join("folder.gguf")).expect("a folder");
        let _socket =
            std::os::unix::net::UnixListener::bind(folder.path().join("socket.gguf")).expect("a socket");
        let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.gguf")).status();
        assert!(pipe.expect("mkfifo runs").success());
        assert!(list().is_empty());
        for name in ["b.GGUF", "a.gguf"] {
            std::fs::write(folder.path().join(name), b"x").expect("a file");
        }
        // Parts of a model, what looks at pictures, and adapters are no chat models.
        let header = |key: &str, text: &str| {
            let mut bytes = b"GGUF\x03\0\0\0".to_vec();
            bytes.extend([0; 16]);
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(8u32.to_le_bytes());
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes
        };
        for (name, bytes) in [
            ("vision.gguf", header("general.architecture", "clip")),
            ("mmproj-model-f16.gguf", b"x".to_vec()),
            ("style.gguf", header("general.type", "adapter")),
            ("c-00002-of-00002.gguf", b"x".to_vec()),
        ] {
            std::fs::write(folder.path().join(name), bytes).expect("a file");
        }
        assert_eq!(list(), ["a.gguf", "b.GGUF"].map(|name| folder.path().join(name)));
        std::fs::write(folder.path().join(DEFAULT_CHAT_MODEL), b"x").expect("a file");
        assert_eq!(list()[0], folder.path().join(DEFAULT_CHAT_MODEL));
        assert_eq!(list().len(), 3);
    }

    fn models(folder: &Path, memory_bytes_max: u64) -> Arc<LocalModels> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language/llama-tiny");
        for name in ["one", "two"] {
            let to = folder.join(name);
            std::fs::create_dir_all(&to).expect("a folder");
            for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"] {
                std::fs::copy(fixture.join(file), to.join(file)).expect("a fixture");
            }
        }
        LocalModels::start(LanguageConfig {
            models_dir: folder.into(),
            chat_model: None,
            fetch_chat_model: false,
            device: DeviceChoice::Cpu,
            memory_bytes_max,
            priority: 100,
            local: language::EngineLimits::default(),
            remote: language::RemoteLimits::default(),
        })
    }

    #[tokio::test]
    async fn every_model_can_be_chosen_and_memory_is_shared_by_need() {
        let folder = tempfile::tempdir().expect("a folder");
        let local = models(folder.path(), 1 << 30);
        let loaded = |local: &LocalModels| -> Vec<String> {
            local.list().into_iter().filter(|model| model.is_loaded).map(|model| model.name).collect()
        };
        assert!(loaded(&local).is_empty());
        let two = local.engine(Some("two")).await.expect("a model");
        assert_eq!(language::ChatEngine::name(&*two), "two");
        assert_eq!(language::ChatEngine::name(&*local.engine(None).await.expect("a model")), "one");
        assert_eq!(loaded(&local), ["one", "two"]);
        assert!(matches!(local.engine(Some("three")).await, Err(NoEngine::Unknown { .. })));

        // Where only one fits, the other goes once it is no longer used.
        let small = models(folder.path(), 1);
        let one = small.engine(Some("one")).await.expect("a model");
        let other = tokio::spawn({
            let small = small.clone();
            async move { small.engine(Some("two")).await.map(|_| ()) }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(loaded(&small), ["one"], "what is in use stays");
        drop(one);
        other.await.expect("no panic").expect("a model");
        assert_eq!(loaded(&small), ["two"]);
    }
}
