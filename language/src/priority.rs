//! The priority of threads that compute for long.

use std::sync::Once;

/// Added to the niceness of a thread: it gets a third of a processor that others want too.
const NICENESS: i32 = 5;

/// Makes the calling thread give way to those that answer requests. Where that is not possible it stays as it is.
pub fn give_way() {
    give_way_by(NICENESS);
}

/// The same by so much of niceness, from 0 to 19. Linux gives each thread its own; elsewhere it is the process's, and stays.
pub fn give_way_by(niceness: i32) {
    if !cfg!(target_os = "linux") && niceness > NICENESS {
        static SAID: Once = Once::new();
        SAID.call_once(|| tracing::info!("pictures and replies share the processor alike on this system"));
        return give_way();
    }
    if let Err(error) = rustix::process::nice(niceness.clamp(0, 19)) {
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
