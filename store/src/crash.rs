//! Points at which a test lets the process die, or the thread that passes fail.
//!
//! `PLAYHOUSE_CRASH_AT=name` or `name:n` kills the process, as `kill -9` would, when it passes the point for the
//! n-th time. `PLAYHOUSE_PANIC_AT=name:n-m:words` panics with these words each time from the n-th to the m-th, as drivers do
//! that fail. Without the variables a point costs two loads.

use std::ops::RangeInclusive;
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

struct Failing {
    name: String,
    passes: RangeInclusive<u64>,
    words: String,
    passed: AtomicU64,
}

impl Failing {
    /// Reads `name:n-m:words`.
    fn read(text: &str) -> Option<Failing> {
        let (name, rest) = text.split_once(':')?;
        let (passes, words) = rest.split_once(':')?;
        let (first, last) = passes.split_once('-')?;
        Some(Failing {
            name: name.into(),
            passes: first.parse().ok()?..=last.parse().ok()?,
            words: words.into(),
            passed: AtomicU64::new(0),
        })
    }

    /// The words, if this is a time at which the point fails.
    fn words_at(&self, name: &str) -> Option<&str> {
        let fails = self.name == name && {
            let before = self.passed.fetch_add(1, Ordering::SeqCst);
            self.passes.contains(&(before + 1))
        };
        fails.then_some(&self.words)
    }
}

static FAILING: LazyLock<Option<Failing>> = LazyLock::new(|| {
    let text = std::env::var("PLAYHOUSE_PANIC_AT").ok()?;
    let failing = Failing::read(&text);
    assert!(failing.is_some(), "PLAYHOUSE_PANIC_AT: {text:?} is not name:n-m:words");
    failing
});

/// Dies or fails here if a test planned it.
pub fn point(name: &str) {
    if let Some(words) = FAILING.as_ref().and_then(|failing| failing.words_at(name)) {
        tracing::warn!(point = name, words, "failing here, as planned");
        panic!("{words}");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_fails_from_its_first_to_its_last_time() {
        let failing = Failing::read("job_rendering:2-3:device lost: 0").expect("a plan");
        let passes: Vec<bool> = (0..4).map(|_| failing.words_at("job_rendering").is_some()).collect();
        assert_eq!(passes, [false, true, true, false]);
        assert_eq!((failing.words_at("another"), &*failing.words), (None, "device lost: 0"));
        assert!(Failing::read("job_rendering").is_none());
    }
}
