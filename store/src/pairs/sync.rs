//! Making durable what the engine has, and what follows from a sync that failed.
//!
//! After a failed sync the kernel may have dropped what it did not write, and the next sync may succeed without it. So
//! nothing is believed any more from then on: no manifest is written that counts on what was given to the engine, and
//! nothing is removed that the manifest before counts on. Only a new process reads what the disk has.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::worker::Work;
use super::{Shared, Tree, locked};
use crate::crash;
use crate::error::StoreError;
use crate::page_files::PageFiles;
use crate::reserve::SEGMENT_BYTES;

impl Tree {
    /// Takes note that another one could not sync the engine's files.
    pub fn distrust(&self, reason: &str) {
        self.shared.distrust(&mut locked(&self.shared.unsynced), reason);
    }

    /// Why what was written may not be durable although later syncs succeed, once a sync failed. Waits for a sync that is
    /// under way: its failure may be one that no other sync reports.
    pub fn unsynced(&self) -> Option<String> {
        locked(&self.shared.unsynced).clone()
    }

    /// The same, as far as it is known without waiting.
    pub fn known_unsynced(&self) -> Option<String> {
        match self.shared.unsynced.try_lock() {
            Ok(reason) => reason.clone(),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned).clone(),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl Shared {
    /// The first reason stays.
    fn distrust(&self, unsynced: &mut Option<String>, reason: &str) {
        if unsynced.is_none() {
            tracing::error!(
                reason,
                "a sync failed; nothing is merged or removed until the server starts again"
            );
            *unsynced = Some(reason.into());
        }
    }

    /// Refuses once the engine has failed, is stuck, or a sync has failed.
    pub fn must_work(&self) -> Result<(), StoreError> {
        self.db.context.global_error()?;
        if self.is_stuck.load(Ordering::Acquire) {
            return Err(StoreError::ReadOnly("the engine could not write a page".into()));
        }
        self.must_be_synced()
    }

    /// Refuses once a sync has failed.
    fn must_be_synced(&self) -> Result<(), StoreError> {
        match locked(&self.unsynced).as_ref() {
            Some(reason) => Err(StoreError::ReadOnly(reason.clone())),
            None => Ok(()),
        }
    }
}

impl Work {
    /// Counts what was given to the engine, and makes it durable once that is about a segment of its log. The engine uses
    /// places again, and removes files of pages, once what replaces them is in its log; that must not be long ahead of
    /// what is durable.
    pub fn wrote(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.written += bytes;
        if self.written >= SEGMENT_BYTES { self.sync() } else { Ok(()) }
    }

    /// Makes durable what was given to the engine.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        // The flush of an engine that is stuck waits for ever.
        shared.must_work()?;
        // Held throughout, so that those who sync for themselves learn of a failure that only this one sees.
        let mut unsynced = locked(&shared.unsynced);
        if let Some(reason) = unsynced.as_ref() {
            return Err(StoreError::ReadOnly(reason.clone()));
        }
        let folder = &shared.settings.folder;
        let pages = match &mut self.pages {
            Some(pages) => pages,
            None => self.pages.insert(PageFiles::open(folder).map_err(StoreError::io(folder))?),
        };
        let mut flushed = Ok(());
        let synced = pages.sync_around(|| {
            flushed = shared.db.flush().map(|_| ());
            if flushed.is_ok() { Ok(()) } else { Err(io::Error::other("the engine did not flush")) }
        });
        if let Err(error) = flushed {
            // An engine that takes note of it refuses everything by itself.
            if shared.db.context.global_error().is_ok() {
                shared.distrust(&mut unsynced, &error.to_string());
            }
            return Err(error.into());
        }
        let synced = synced.and_then(|()| self.log.sync_data());
        #[cfg(test)]
        let synced =
            synced.and_then(|()| match shared.fails_to_sync.load(std::sync::atomic::Ordering::Acquire) {
                true => Err(io::Error::other("it is planned to fail")),
                false => Ok(()),
            });
        synced.map_err(|error| {
            shared.distrust(&mut unsynced, &format!("the engine's files could not be synced: {error}"));
            StoreError::io(folder)(error)
        })?;
        (self.is_durable, self.written) = (true, 0);
        Ok(())
    }

    /// Makes the manifest durable with all that it names.
    pub fn make_durable(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        crash::point("after_durable");
        Ok(())
    }

    /// The same where that is not done yet.
    pub fn must_be_durable(&mut self) -> Result<(), StoreError> {
        self.shared.must_be_synced()?;
        if self.is_durable { Ok(()) } else { self.make_durable() }
    }
}
