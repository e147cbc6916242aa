//! Calls of chat models since the start, by where the model is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::log_usage::LogUsage;

/// Counts of calls of models.
#[derive(Debug, Default)]
pub struct Calls {
    local: Counts,
    elsewhere: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    failed: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    us: AtomicU64,
}

/// What came of the calls of some models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Tokens of their prompts, as they were counted.
    pub prompt_tokens: u64,
    /// Tokens of their replies.
    pub completion_tokens: u64,
    /// Time from asking to the end of the reply.
    pub time: Duration,
}

impl Calls {
    /// Calls of models of this machine.
    pub fn local(&self) -> Called {
        self.local.read()
    }

    /// Calls of models elsewhere.
    pub fn elsewhere(&self) -> Called {
        self.elsewhere.read()
    }

    /// Counts a call that has ended.
    pub(super) fn add(&self, is_local: bool, usage: &LogUsage) {
        let counts = if is_local { &self.local } else { &self.elsewhere };
        let ended = if usage.error.is_some() { &counts.failed } else { &counts.answered };
        ended.fetch_add(1, Ordering::Relaxed);
        let add = |counter: &AtomicU64, number: Option<i64>| {
            counter.fetch_add(
                number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
                Ordering::Relaxed,
            );
        };
        add(&counts.prompt_tokens, usage.tokens_input);
        add(&counts.completion_tokens, usage.tokens_output);
        add(&counts.us, usage.response_time_ms.checked_mul(1000));
    }
}

impl Counts {
    fn read(&self) -> Called {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Called {
            answered: read(&self.answered),
            failed: read(&self.failed),
            prompt_tokens: read(&self.prompt_tokens),
            completion_tokens: read(&self.completion_tokens),
            time: Duration::from_micros(read(&self.us)),
        }
    }
}
