//! Loops compiled for the widest vectors of this processor.

use pulp::Arch;

/// Does `work` with all that the processor has, if it is compiled into the place where it is called: give it as a closure with
/// `#[inline(always)]`, and let it call only what has that too.
///
/// The bound is what makes this more than [`Arch::dispatch`]: a closure that is given to that one directly becomes one that may be called
/// again, and what calls it once is a function of its own, compiled for the oldest processor of its kind.
#[inline(always)]
pub(super) fn on_vectors<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}
