//! A new engine takes the place of the old one, under the transactions and reads of a running process (`compact.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::core::{Core, Failure, Head, tree_folder};
use crate::engine::Live;
use crate::error::StoreError;
use crate::flush::Files;
use crate::folder;
use crate::options::Opened;
use crate::page_files::PageFiles;

/// The new engine in the making, and the old one until it is removed.
pub(crate) const COMPACTING: &str = "tree.compacting";
pub(crate) const REPLACED: &str = "tree.replaced";
/// How long those who read are waited for.
const READERS_PATIENCE: Duration = Duration::from_secs(2);

/// A new engine that is to take the place of the old one.
pub(crate) struct Exchange {
    pub new: Live,
    pub done: oneshot::Sender<Result<(), StoreError>>,
}

/// Brings changed pairs into the new engine.
pub(crate) fn follow(old: &Live, new: &Live, changed: &BTreeSet<Vec<u8>>) -> Result<(), StoreError> {
    let mut batch = sled::Batch::default();
    for (count, key) in changed.iter().enumerate() {
        match old.tree.get(key).map_err(|error| old.noted(error))? {
            Some(value) => batch.insert(&key[..], value),
            None => batch.remove(&key[..]),
        }
        if count % 500 == 499 {
            new.tree.apply_batch(std::mem::take(&mut batch))?;
        }
    }
    Ok(new.tree.apply_batch(batch)?)
}

/// Puts a new engine in the place of the old one; runs on the flush thread, which then flushes the new one.
pub(crate) fn exchange(core: &Core, files: &mut Files, exchange: Exchange) {
    let Exchange { new, done } = exchange;
    // No decision is under way.
    let mut head = core.lock();
    let result = match core.failure() {
        Some(failure) => Err(failure.into()),
        None => core
            .apply()
            .map_err(StoreError::from)
            .and_then(|()| prepare(core, new, &head))
            .and_then(|()| swap(core, files)),
    };
    let result = result.and_then(|live| {
        let new = Head::read(&live.tree, &core.ids)?;
        core.resume(live, &mut head, new);
        Ok(())
    });
    drop(head);
    let _ = done.send(result);
}

/// Brings the last changes over and makes the new engine durable.
fn prepare(core: &Core, new: Live, head: &Head) -> Result<(), StoreError> {
    let changed = core.taps().take_noted()?;
    follow(&*core.engine.get()?, &new, &changed)?;
    new.db.flush()?;
    if Head::number_in(&new.tree)? != head.number {
        return Err(StoreError::Corrupt("it is not compacted: the copy ends at another commit".into()));
    }
    drop(new);
    folder::sync_all_below(&core.data.join(COMPACTING))
}

/// Closes the old engine and opens the new one in its place, or the old one again.
fn swap(core: &Core, files: &mut Files) -> Result<Arc<Live>, StoreError> {
    let Some((live, pages)) = files.engine.take() else { return Err(StoreError::Closed) };
    drop(live);
    if !core.engine.close(READERS_PATIENCE) {
        files.engine = Some((core.engine.get()?, pages));
        return Err(StoreError::ReadOnly("a read takes long; the store is not compacted now".into()));
    }
    crate::crash::point("compact_before_exchange");
    let (tree, new, old) = (tree_folder(&core.data), core.data.join(COMPACTING), core.data.join(REPLACED));
    let moved = rename(&tree, &old)
        .and_then(|()| {
            crate::crash::point("compact_between");
            rename(&new, &tree)
        })
        .and_then(|()| folder::sync(&core.data));
    crate::crash::point("compact_exchanged");
    let opened = moved.and_then(|()| reopen(core, &tree));
    let opened = opened.or_else(|error| {
        // The old one is as it was.
        if old.exists() {
            if tree.exists() {
                rename(&tree, &new)?;
            }
            rename(&old, &tree)?;
        }
        tracing::error!(%error, "the compacted store does not open; the old one serves on");
        let (live, pages) = reopen(core, &tree)?;
        files.engine = Some((live.clone(), pages));
        core.engine.put(live);
        Err(error)
    });
    match opened {
        Ok((live, pages)) => {
            files.engine = Some((live.clone(), pages));
            Ok(live)
        }
        Err(error) => {
            if files.engine.is_none() {
                core.fail(Failure { is_full: false, may_recover: true, reason: error.to_string() });
            }
            Err(error)
        }
    }
}

fn reopen(core: &Core, tree: &Path) -> Result<(Arc<Live>, PageFiles), StoreError> {
    let live = Arc::new(Live::open(tree, &core.options, &mut Opened::default())?);
    core.log.follow(&tree.join("db"))?;
    let pages = PageFiles::open(tree).map_err(StoreError::io(tree))?;
    Ok((live, pages))
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io(from))
}

pub(crate) fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(StoreError::io(folder)),
    }
}

/// Whether a folder holds a store, also one whose engine was about to be exchanged.
pub(crate) fn holds_store(data: &Path) -> bool {
    tree_folder(data).is_dir() || data.join(REPLACED).is_dir()
}

/// Puts right what a crash left of a compaction, before the engine is opened.
pub(crate) fn settle(data: &Path, opened: &mut Opened) -> Result<(), StoreError> {
    let (tree, old) = (tree_folder(data), data.join(REPLACED));
    if !tree.exists() && old.is_dir() {
        rename(&old, &tree)?;
        folder::sync(data)?;
        opened.remarks.push("a compaction was interrupted; the store is as it was before".into());
    }
    for left in [COMPACTING, REPLACED] {
        if data.join(left).is_dir() {
            remove(&data.join(left))?;
            opened.remarks.push(format!("removed {left}, which a compaction left"));
        }
    }
    Ok(())
}
