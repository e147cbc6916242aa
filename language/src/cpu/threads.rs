//! On which threads do replies compute?
//!
//! On threads of their own, one for each core: what draws pictures has others, so that a short product does not wait
//! behind a long one. A step runs on one of them from its beginning to its end; the others stay awake between its
//! products, which a thread from outside would have to wake for each. They give way to those that answer requests.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::priority::give_way_once;

static THREADS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let threads = ThreadPoolBuilder::new()
        .thread_name(|number| format!("reply {number}"))
        .start_handler(|_| give_way_once());
    match threads.build() {
        Ok(threads) => Some(threads),
        Err(error) => {
            tracing::warn!(%error, "replies share the threads of pictures");
            None
        }
    }
});

/// Runs `work` and all that it shares out on the threads of replies.
pub(crate) fn on_reply_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match &*THREADS {
        Some(threads) => threads.install(work),
        None => work(),
    }
}
