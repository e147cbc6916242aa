//! Memory that was freed goes back to the system, also when nothing happens any more.
//!
//! The allocator gives a thread's freed memory back when that thread allocates again; a thread without work keeps it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// How often a thread gives its memory back.
const EVERY: Duration = Duration::from_secs(1);
/// A thread for blocking work ends when it had none for so long, and its memory with it.
const IDLE_THREADS: Duration = Duration::from_secs(3);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A runtime whose threads give memory back when they run out of work.
pub(crate) fn returning(builder: &mut Builder) -> &mut Builder {
    builder.thread_keep_alive(IDLE_THREADS).on_thread_park(|| {
        if LAST.get().is_none_or(|last| last.elapsed() >= EVERY) {
            LAST.set(Some(Instant::now()));
            collect();
        }
    })
}

#[allow(unsafe_code)]
fn collect() {
    // SAFETY: looks at the calling thread's own memory, and is made to be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Wakes the threads now and then, so that those which ran out of work just after they gave memory back do so again.
pub(crate) async fn return_for_ever() {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    loop {
        tokio::time::sleep(EVERY).await;
        for _ in 0..2 * threads {
            // They are taken over by threads that sleep.
            tokio::spawn(tokio::task::yield_now());
        }
    }
}
