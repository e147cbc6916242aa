//! Is it worth asking this server at all?

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Whether an endpoint is being tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// It is.
    Closed,
    /// It is left alone for so many more seconds.
    Open {
        /// Seconds left.
        seconds: u64,
    },
    /// Its rest is over; the next request decides.
    HalfOpen,
}

/// Leaves a server alone for a while once it has failed too often in a row.
#[derive(Debug)]
pub struct CircuitBreaker {
    failures_max: u32,
    rest: Duration,
    state: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    opened: Option<Instant>,
    /// When the one request went out that may close the circuit again.
    probe: Option<Instant>,
}

impl CircuitBreaker {
    /// Opens after `failures_max` failures in a row, for `rest`.
    pub fn new(failures_max: u32, rest: Duration) -> CircuitBreaker {
        CircuitBreaker { failures_max: failures_max.max(1), rest, state: Mutex::default() }
    }

    /// Whether to try now; if not, how many seconds are left. After the rest, one request at a time is let through.
    pub fn allow(&self) -> Result<(), u64> {
        let mut record = self.record();
        let Some(opened) = record.opened else { return Ok(()) };
        let last = record.probe.unwrap_or(opened);
        match self.rest.checked_sub(last.elapsed()) {
            Some(left) if !left.is_zero() => Err(left.as_secs() + 1),
            _ => {
                record.probe = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Notes an answer; refusals of a particular request count as answers.
    pub fn succeeded(&self) {
        *self.record() = Record::default();
    }

    /// Notes a failure of the server.
    pub fn failed(&self) {
        let mut record = self.record();
        record.failures = record.failures.saturating_add(1);
        if record.failures >= self.failures_max {
            record.opened = Some(Instant::now());
            record.probe = None;
        }
    }

    /// The present state.
    pub fn state(&self) -> CircuitState {
        let record = self.record();
        match record.opened {
            None => CircuitState::Closed,
            Some(opened) => match self.rest.checked_sub(opened.elapsed()) {
                Some(left) if !left.is_zero() => CircuitState::Open { seconds: left.as_secs() + 1 },
                _ => CircuitState::HalfOpen,
            },
        }
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let breaker = CircuitBreaker::new(3, Duration::from_secs(60));
        breaker.failed();
        breaker.failed();
        breaker.succeeded();
        breaker.failed();
        breaker.failed();
        assert_eq!(breaker.allow(), Ok(()));
        breaker.failed();
        assert_eq!(breaker.allow(), Err(60));
        assert_eq!(breaker.state(), CircuitState::Open { seconds: 60 });
    }

    #[test]
    fn after_its_rest_one_request_decides() {
        let breaker = CircuitBreaker::new(1, Duration::from_millis(40));
        breaker.failed();
        assert!(breaker.allow().is_err());
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        assert!(breaker.allow().is_ok());
        assert!(breaker.allow().is_err(), "only one at a time");
        breaker.failed();
        assert!(breaker.allow().is_err());
        std::thread::sleep(Duration::from_millis(50));
        assert!(breaker.allow().is_ok());
        breaker.succeeded();
        assert_eq!(breaker.state(), CircuitState::Closed);
    }
}
