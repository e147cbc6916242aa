//! How long something took, each time it was done: a histogram that threads write without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; longer times are in one more bucket.
const BOUNDS_US: [u64; 13] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// Times, counted by how long they were.
#[derive(Debug, Default)]
pub struct Times {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What was counted up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Upper bound of a bucket, `None` for the last, and how many times lie in it and in no earlier one.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// The sum of all times.
    pub sum: Duration,
}

impl Times {
    /// Counts a time.
    pub fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn spread(&self) -> Spread {
        let bounds = BOUNDS_US.iter().map(|bound| Some(Duration::from_micros(*bound))).chain([None]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        Spread {
            buckets: bounds.zip(counts).collect(),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

impl Spread {
    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_lies_in_one_bucket() {
        let times = Times::default();
        for us in [0, 50, 51, 900, 6_000_000] {
            times.add(Duration::from_micros(us));
        }
        let spread = times.spread();
        let filled: Vec<_> = spread.buckets.iter().filter(|(_, count)| *count > 0).cloned().collect();
        let bound = |us| Some(Duration::from_micros(us));
        assert_eq!(filled, [(bound(50), 2), (bound(100), 1), (bound(1_000), 1), (None, 1)]);
        assert_eq!((spread.count(), spread.sum), (5, Duration::from_micros(6_001_001)));
    }
}
