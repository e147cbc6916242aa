//! Backups that are written by themselves or when an administrator asks, and how many of them are kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value as Json, json};
use store::Store;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::run_time::{BACKUP_EVERY_H, BACKUPS_KEPT};

/// Names of folders: what they begin with, and the time after it. Nothing else in the folder is touched.
const PREFIX: &str = "playhouse-";
/// The same of those that an administrator asks for: however many, they push out none that was written by itself.
const REQUESTED: &str = "playhouse-requested-";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// When a backup that failed is tried again.
const AGAIN: Duration = Duration::from_secs(600);
/// Longest sleep, so that a clock that is set does not put a backup off.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// When backups are due, and how the last one went.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    every_h: u64,
    kept: u64,
    state: Mutex<State>,
    /// One at a time: each reads the whole store.
    turn: Mutex<()>,
}

/// Why a backup that was asked for was not written.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// Another one is being written.
    Busy,
    /// It failed.
    Failed(String),
}

#[derive(Debug, Default)]
struct State {
    last: Option<DateTime<Utc>>,
    error: Option<String>,
    next: Option<DateTime<Utc>>,
}

impl Backups {
    /// By configuration; `None` where no folder is set.
    pub fn of(config: &Config) -> Option<Backups> {
        let folder = config.backup_dir.clone()?;
        let last = all_written(&folder).last().map(|(at, _)| *at);
        let state = Mutex::new(State { last, ..State::default() });
        let (every_h, kept) = (config.backup_every_h, BACKUPS_KEPT.configured(config).max(1));
        Some(Backups { folder, every_h, kept, state, turn: Mutex::new(()) })
    }

    /// For health.
    pub fn json(&self) -> Json {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let time = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339());
        json!({"folder": self.folder, "last": time(state.last), "next": time(state.next), "error": state.error})
    }

    /// Whether the last one that was due could not be written.
    pub fn failed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).error.is_some()
    }

    /// Writes backups when they are due, for ever.
    pub async fn run(self: Arc<Self>, store: Store, metrics: Arc<Metrics>) {
        loop {
            loop {
                // Another one may have been written meanwhile, and the hours between them changed.
                let due = self.due(&store);
                self.set(|state| state.next = Some(due));
                match (due - Utc::now()).to_std() {
                    Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_EVERY)).await,
                    _ => break,
                }
            }
            let (backups, of) = (self.clone(), store.clone());
            let made = tokio::task::spawn_blocking(move || {
                let turn = backups.turn.lock().unwrap_or_else(PoisonError::into_inner);
                // One that was made on request while this one waited is enough.
                let is_due = backups.due(&of) <= Utc::now();
                is_due.then(|| backups.write_and_note(&of, PREFIX, turn)).transpose()
            });
            let made = made.await.unwrap_or_else(|_| Err("it failed unexpectedly".into()));
            if let Some(is_well) = made.as_ref().map_or(Some(false), |made| made.as_ref().map(|_| true)) {
                metrics.backup(is_well);
            }
            if made.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Writes one now; answers with its name. Blocks.
    pub(crate) fn make(&self, store: &Store) -> Result<String, NotMade> {
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(NotMade::Busy),
        };
        self.write_and_note(store, REQUESTED, turn).map_err(NotMade::Failed)
    }

    fn write_and_note(
        &self,
        store: &Store,
        prefix: &str,
        _turn: MutexGuard<'_, ()>,
    ) -> Result<String, String> {
        match self.write(store, prefix) {
            Ok((at, folder, pairs)) => {
                tracing::info!(folder = %folder.display(), pairs, "wrote a backup");
                self.set(|state| *state = State { last: Some(at), ..State::default() });
                let due = self.due(store);
                self.set(|state| state.next = Some(due));
                Ok(folder.file_name().unwrap_or_default().to_string_lossy().to_string())
            }
            Err(error) => {
                tracing::error!(error, "a backup could not be written");
                self.set(|state| state.error = Some(error.clone()));
                Err(error)
            }
        }
    }

    /// Where they lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The whole ones that were written by themselves or on request, the newest first. Blocks.
    pub(crate) fn list(&self) -> Vec<Json> {
        let described = all_written(&self.folder).into_iter().rev().map(|(at, folder)| {
            let manifest = std::fs::read(folder.join("manifest.json")).unwrap_or_default();
            let manifest: Json = serde_json::from_slice(&manifest).unwrap_or_default();
            json!({
                "name": folder.file_name().unwrap_or_default().to_string_lossy(), "made_at": at.to_rfc3339(),
                "folder": folder, "bytes": bytes_of(&folder), "commit": manifest["commit"], "pairs": manifest["pairs"],
                "files": manifest["blobs"], "faults": manifest["faults"],
            })
        });
        described.collect()
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn due(&self, store: &Store) -> DateTime<Utc> {
        let last = self.state.lock().unwrap_or_else(PoisonError::into_inner).last;
        let hours = match BACKUP_EVERY_H.current(store, self.every_h) {
            Ok((hours, _)) => hours,
            Err(error) => {
                tracing::error!(%error, "the hours between backups cannot be read, so the configured ones count");
                self.every_h
            }
        };
        let every = Duration::from_secs(hours.saturating_mul(3600));
        let every = chrono::Duration::from_std(every).unwrap_or(chrono::Duration::MAX);
        last.and_then(|last| last.checked_add_signed(every)).unwrap_or_else(Utc::now)
    }

    /// Writes one, and removes the oldest of its kind that are too many. Blocks.
    fn write(&self, store: &Store, prefix: &str) -> Result<(DateTime<Utc>, PathBuf, u64), String> {
        let said = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        store::folder::create_private(&self.folder).map_err(|error| error.to_string())?;
        let (now, target) = loop {
            let now = Utc::now();
            let target = self.folder.join(format!("{prefix}{}", now.format(TIME)));
            // Names have a second.
            match target.exists() {
                true => std::thread::sleep(Duration::from_millis(100)),
                false => break (now, target),
            }
        };
        let target = std::path::absolute(target).map_err(said)?;
        let manifest = store.backup(&target).map_err(|error| error.to_string())?;
        let all = written(&self.folder, prefix);
        let kept = match BACKUPS_KEPT.current(store, self.kept) {
            Ok((kept, _)) => usize::try_from(kept).unwrap_or(usize::MAX),
            Err(error) => {
                tracing::error!(%error, "how many backups are kept cannot be read, so none is removed");
                usize::MAX
            }
        };
        for (_, folder) in &all[..all.len().saturating_sub(kept)] {
            match std::fs::remove_dir_all(folder) {
                Ok(()) => tracing::info!(folder = %folder.display(), "removed an old backup"),
                Err(error) => tracing::error!(folder = %folder.display(), %error, "an old backup stays"),
            }
        }
        Ok((now, target, manifest.pairs))
    }
}

/// Whole backups of a folder of both kinds, the oldest first.
fn all_written(folder: &Path) -> Vec<(DateTime<Utc>, PathBuf)> {
    let mut all = written(folder, PREFIX);
    all.extend(written(folder, REQUESTED));
    all.sort();
    all
}

/// Whole backups of one kind, the oldest first.
fn written(folder: &Path, prefix: &str) -> Vec<(DateTime<Utc>, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let at = NaiveDateTime::parse_from_str(name.strip_prefix(prefix)?, TIME).ok()?.and_utc();
            entry.path().join("manifest.json").is_file().then(|| (at, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// Bytes of all files below a folder.
fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_of(&entry.path()),
        _ => entry.metadata().map_or(0, |facts| facts.len()),
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_nothing_else_does() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("backups");
        let config = Config { data: place.path().join("data"), ..Config::default() };
        let store = crate::open(&config).expect("a store");
        let make = |name: &str, is_whole: bool| {
            std::fs::create_dir_all(folder.join(name)).expect("a folder");
            if is_whole {
                std::fs::write(folder.join(name).join("manifest.json"), "{}").expect("a file");
            }
        };
        make("playhouse-20260101T000000Z", true);
        make("playhouse-20260102T000000Z", true);
        make("playhouse-20260103T000000Z", false);
        make("monday", true);
        let config = Config { backup_dir: Some(folder.clone()), backups_kept: 2, ..Config::default() };
        let backups = Backups::of(&config).expect("a folder is set");
        let due = backups.due(&store);
        assert_eq!(due.format(TIME).to_string(), "20260103T000000Z", "a day after the last whole one");
        let (_, written, _) = backups.write(&store, PREFIX).expect("a backup");
        let mut left: Vec<String> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().to_string())
            .collect();
        left.sort();
        let new = written.file_name().expect("a name").to_string_lossy().to_string();
        assert_eq!(left, ["monday", "playhouse-20260102T000000Z", "playhouse-20260103T000000Z", &new]);
    }
}
