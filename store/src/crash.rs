//! Points at which a test lets the process die.
//!
//! `PLAYHOUSE_CRASH_AT=name` or `name:n` kills the process, as `kill -9` would, when it passes the point for the
//! n-th time. Without the variable a point costs one load.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Planned {
    name: String,
    countdown: AtomicU64,
}

static PLANNED: LazyLock<Option<Planned>> = LazyLock::new(|| {
    let text = std::env::var("PLAYHOUSE_CRASH_AT").ok()?;
    let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
    Some(Planned { name: name.to_string(), countdown: AtomicU64::new(count.parse().ok()?) })
});

/// Dies here if a test planned it.
pub fn point(name: &str) {
    if let Some(planned) = PLANNED.as_ref()
        && planned.name == name
        && planned.countdown.fetch_sub(1, Ordering::SeqCst) == 1
    {
        tracing::warn!(point = name, "dying here, as planned");
        // No unwinding, no destructors, no flush: what a power button does to a process.
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}
