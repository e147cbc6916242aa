//! Threads for what takes longer than a moment: long reads, files that are taken apart, passwords.
//!
//! They give way (`nice`) to the threads that answer requests, as those do on which pictures and replies are computed:
//! on a busy machine a list of twenty rows does not wait behind one of two thousand.

use std::sync::LazyLock;

use language::{give_way, give_way_by};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::idle_memory;

/// A runtime of which only the threads for blocking work are used.
static THREADS: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    idle_memory::returning(&mut builder).worker_threads(1).thread_name("long work").on_thread_start(give_way);
    builder.build()
});

/// Runs `work` on a thread that may block. Without threads of their own, long work runs where other blocking work does.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*THREADS {
        Ok(runtime) => runtime.spawn_blocking(work),
        Err(_) => tokio::task::spawn_blocking(work),
    }
}

/// Makes the threads on which pictures are computed, one for each core, with so much niceness; replies of local models have
/// their own.
pub(crate) fn start_computing_threads(niceness: i32) {
    let threads = rayon::ThreadPoolBuilder::new().thread_name(|number| format!("compute {number}"));
    if let Err(error) = threads.start_handler(move |_| give_way_by(niceness)).build_global() {
        tracing::debug!(%error, "the threads that compute were made before");
    }
}
