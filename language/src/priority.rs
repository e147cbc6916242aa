//! The priority of threads that compute for long.

/// Added to the niceness of a thread: it gets a third of a processor that others want too.
const NICENESS: i32 = 5;

/// Makes the calling thread give way to those that answer requests. Where that is not possible it stays as it is.
pub fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// The same of a thread that may have inherited it from one that already gives way.
pub(crate) fn give_way_once() {
    match rustix::process::nice(0) {
        Ok(own) if own >= NICENESS => {}
        _ => give_way(),
    }
}
