//! Opening a failed engine again, under the transactions and reads of a running process.

use std::sync::Arc;
use std::time::Duration;

use crate::core::{Core, Head, tree_folder};
use crate::engine::{Live, opening_bytes};
use crate::error::{StoreError, is_full};
use crate::flush::Files;
use crate::options::Opened;
use crate::page_files::PageFiles;

/// A reader that takes longer keeps the old engine; decisions that wait for the commit lock meanwhile get an answer.
const READERS_PATIENCE: Duration = Duration::from_secs(2);

/// Opens the engine again where what that writes finds room; the ballast is there for it. Until then the failed one goes
/// on answering reads, but for pages that it would have to split.
///
/// What was acknowledged is in the log and comes back; commits that were applied and never flushed do not. Whether there
/// is room for more is for the next commit to see.
pub(crate) fn recover(core: &Core, files: &mut Files) {
    // No decision is under way, and what the next one reads is what is on disk.
    let mut head = core.lock();
    match reopen(core, files) {
        Ok((live, new)) => {
            core.log.distrust();
            // What was decided meanwhile stands on commits that are not there.
            let failure = core.failure();
            let waiting = core.ahead.forget();
            core.resume(live, &mut head, new);
            drop(head);
            for (waiting, failure) in waiting.into_iter().zip(std::iter::repeat(failure).flatten()) {
                let _ = waiting.acknowledge.send(Err(failure));
            }
            core.keep_ballast();
            tracing::info!(has_room = !core.log.is_short(), "the engine is open again");
        }
        Err(error) => tracing::debug!(%error, "the engine cannot be opened again yet"),
    }
}

fn reopen(core: &Core, files: &mut Files) -> Result<(Arc<Live>, Head), StoreError> {
    let folder = tree_folder(&core.data);
    if files.engine.is_some() {
        // What opening writes must find room, because the old engine is gone by then.
        core.log
            .fill_segment()
            .or_else(|error| match is_full(&error) && core.ballast.give_up() {
                true => core.log.fill_segment(),
                false => Err(error),
            })
            .map_err(StoreError::io(&folder))?;
        if core.free_space.free_bytes() < opening_bytes(&folder) {
            core.ballast.give_up();
            if core.free_space.free_bytes() < opening_bytes(&folder) {
                return Err(StoreError::DiskFull);
            }
        }
    }
    // A moment that began before the failure may hold what is not on disk.
    core.taps().forget_all();
    let kept = files.engine.take();
    let kept = kept.map(|(live, pages)| {
        drop(live);
        pages
    });
    if !core.engine.close(READERS_PATIENCE) {
        let live = core.engine.get()?;
        files.engine = kept.map(|pages| (live, pages));
        return Err(StoreError::ReadOnly("the failed engine is still being read".into()));
    }
    let live = Arc::new(Live::open(&folder, &core.options, &mut Opened::default())?);
    let head = Head::read(&live.tree, &core.ids)?;
    let acknowledged = files.high_water.read()?;
    if acknowledged > head.number {
        return Err(StoreError::Corrupt(format!(
            "the store ends at commit {}, but {acknowledged} was acknowledged",
            head.number
        )));
    }
    let pages = PageFiles::open(&folder).map_err(StoreError::io(&folder))?;
    files.engine = Some((live.clone(), pages));
    Ok((live, head))
}
