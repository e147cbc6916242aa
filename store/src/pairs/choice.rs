//! Which runs are merged.

use std::ops::Range;
use std::sync::Arc;

use super::run::Run;

/// So many neighbours of one size are merged.
const NEIGHBOURS: usize = 4;
/// By how much sizes differ.
const SIZE_FACTOR: u64 = 4;

/// Runs to merge: neighbours of one size, or all once the newer ones have more than the oldest, or remove half as much: that
/// may be most of what those replace.
///
/// `rests` says of the oldest run of a range whether a merge of that failed not long ago; then newer runs are chosen.
pub(super) fn due(runs: &[Arc<Run>], unit: u64, rests: &dyn Fn(u32) -> bool) -> Option<Range<usize>> {
    let (oldest, newer) = runs.split_last()?;
    let bytes: u64 = newer.iter().map(|run| run.info.bytes).sum();
    let removed: u64 = newer.iter().map(|run| run.info.removed).sum();
    let is_much = bytes > oldest.info.bytes || removed > oldest.info.entries / 2;
    if is_much && !rests(oldest.info.number) { Some(0..runs.len()) } else { neighbours(runs, unit, rests) }
}

/// The newest neighbours of one size, if they are many and do not rest. A run counts as large as any newer one.
pub(super) fn neighbours(runs: &[Arc<Run>], unit: u64, rests: &dyn Fn(u32) -> bool) -> Option<Range<usize>> {
    let range = of_one_size(runs, unit)?;
    let oldest = range.end - 1;
    if rests(runs[oldest].info.number) { neighbours(&runs[..oldest], unit, rests) } else { Some(range) }
}

fn of_one_size(runs: &[Arc<Run>], unit: u64) -> Option<Range<usize>> {
    let mut from = 0;
    let mut size = 0;
    for (at, run) in runs.iter().enumerate() {
        let own = size_of(run.info.bytes, unit);
        if own > size {
            if at - from >= NEIGHBOURS {
                return Some(from..at);
            }
            (from, size) = (at, own);
        }
    }
    (runs.len() - from >= NEIGHBOURS).then_some(from..runs.len())
}

/// The size of a run: 0 for those of up to two units, and one more for each further factor.
fn size_of(bytes: u64, unit: u64) -> u32 {
    let (mut size, mut limit) = (0, 2 * unit.max(1));
    while bytes >= limit {
        size += 1;
        limit = limit.saturating_mul(SIZE_FACTOR);
    }
    size
}
