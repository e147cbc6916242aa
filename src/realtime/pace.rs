//! How fast a client may send.

use std::time::Instant;

/// A bucket that fills with time and from which each frame takes one.
#[derive(Debug)]
pub(super) struct Pace {
    per_s: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub fn new(per_s: f64, most: f64) -> Pace {
        Pace { per_s, most, left: most, at: Instant::now() }
    }

    /// Whether one more may come now.
    pub fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.per_s).min(self.most);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_as_many_as_time_brings() {
        let mut pace = Pace::new(2.0, 5.0);
        let now = pace.at;
        assert_eq!((0..9).filter(|_| pace.take_at(now)).count(), 5);
        assert_eq!((0..9).filter(|_| pace.take_at(now + Duration::from_secs(1))).count(), 2);
        assert_eq!((0..9).filter(|_| pace.take_at(now + Duration::from_secs(99))).count(), 5);
    }
}
