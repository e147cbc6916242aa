//! Backups that are written by themselves, and how many of them are kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value as Json, json};
use store::Store;

use crate::config::Config;
use crate::metrics::Metrics;

/// Names of folders: what they begin with, and the time after it. Nothing else in the folder is touched.
const PREFIX: &str = "playhouse-";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// When a backup that failed is tried again.
const AGAIN: Duration = Duration::from_secs(600);
/// Longest sleep, so that a clock that is set does not put a backup off.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// When backups are due, and how the last one went.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    every: Duration,
    kept: usize,
    state: Mutex<State>,
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
        let every = Duration::from_secs(config.backup_every_h.saturating_mul(3600));
        let last = written(&folder).last().map(|(at, _)| *at);
        let state = Mutex::new(State { last, ..State::default() });
        Some(Backups { folder, every, kept: config.backups_kept.max(1), state })
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
            let due = self.due();
            self.set(|state| state.next = Some(due));
            loop {
                match (due - Utc::now()).to_std() {
                    Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_EVERY)).await,
                    _ => break,
                }
            }
            let (backups, of) = (self.clone(), store.clone());
            let written = tokio::task::spawn_blocking(move || backups.write(&of)).await;
            let written = written.unwrap_or_else(|_| Err("it failed unexpectedly".into()));
            metrics.backup(written.is_ok());
            match written {
                Ok((at, folder, pairs)) => {
                    tracing::info!(folder = %folder.display(), pairs, "wrote a backup");
                    self.set(|state| *state = State { last: Some(at), ..State::default() });
                }
                Err(error) => {
                    tracing::error!(error, "a backup that is due could not be written");
                    self.set(|state| state.error = Some(error));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn due(&self) -> DateTime<Utc> {
        let last = self.state.lock().unwrap_or_else(PoisonError::into_inner).last;
        let every = chrono::Duration::from_std(self.every).unwrap_or(chrono::Duration::MAX);
        last.and_then(|last| last.checked_add_signed(every)).unwrap_or_else(Utc::now)
    }

    /// Writes one, and removes the oldest that are too many. Blocks.
    fn write(&self, store: &Store) -> Result<(DateTime<Utc>, PathBuf, u64), String> {
        let said = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        store::folder::create_private(&self.folder).map_err(|error| error.to_string())?;
        let now = Utc::now();
        let target = self.folder.join(format!("{PREFIX}{}", now.format(TIME)));
        let target = std::path::absolute(target).map_err(said)?;
        let manifest = store.backup(&target).map_err(|error| error.to_string())?;
        let all = written(&self.folder);
        for (_, folder) in &all[..all.len().saturating_sub(self.kept)] {
            match std::fs::remove_dir_all(folder) {
                Ok(()) => tracing::info!(folder = %folder.display(), "removed an old backup"),
                Err(error) => tracing::error!(folder = %folder.display(), %error, "an old backup stays"),
            }
        }
        Ok((now, target, manifest.pairs))
    }
}

/// Whole backups of a folder that were written by themselves, the oldest first.
fn written(folder: &Path) -> Vec<(DateTime<Utc>, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let at = NaiveDateTime::parse_from_str(name.strip_prefix(PREFIX)?, TIME).ok()?.and_utc();
            entry.path().join("manifest.json").is_file().then(|| (at, entry.path()))
        })
        .collect();
    found.sort();
    found
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
        let due = backups.due();
        assert_eq!(due.format(TIME).to_string(), "20260103T000000Z", "a day after the last whole one");
        let (_, written, _) = backups.write(&store).expect("a backup");
        let mut left: Vec<String> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().to_string())
            .collect();
        left.sort();
        let new = written.file_name().expect("a name").to_string_lossy().to_string();
        assert_eq!(left, ["monday", "playhouse-20260102T000000Z", "playhouse-20260103T000000Z", &new]);
    }
}
