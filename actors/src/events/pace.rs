//! How fast something may go on: buckets that fill with time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use store::shares::Owner;

/// A bucket that fills with time and from which each use takes a part.
#[derive(Debug)]
pub struct Pace {
    per_s: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    /// A full one: so much comes in a second, and so much it holds.
    pub fn new(per_s: f64, most: f64) -> Pace {
        Pace { per_s, most, left: most, at: Instant::now() }
    }

    /// Takes so much, if it is there.
    pub fn take(&mut self, amount: f64) -> bool {
        self.take_at(amount, Instant::now())
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.per_s).min(self.most);
    }

    fn take_at(&mut self, amount: f64, now: Instant) -> bool {
        self.fill(now);
        let may = self.left >= amount;
        if may {
            self.left -= amount;
        }
        may
    }
}

/// A bucket for each owner; the operator's key needs none.
#[derive(Debug)]
pub struct Paces {
    per_s: f64,
    most: f64,
    owners_max: usize,
    owners: Mutex<HashMap<Owner, Pace>>,
}

impl Paces {
    /// Full ones: so much comes in a second, and so much each holds; about so many are remembered.
    pub fn new(per_s: f64, most: f64, owners_max: usize) -> Paces {
        Paces { per_s, most, owners_max, owners: Mutex::default() }
    }

    /// Takes so much from the bucket of an owner, if it is there.
    pub fn take(&self, owner: Owner, amount: f64) -> bool {
        if owner == Owner::Service {
            return true;
        }
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= self.owners_max && !owners.contains_key(&owner) {
            let now = Instant::now();
            // A full bucket is like a new one.
            owners.retain(|_, pace| {
                pace.fill(now);
                pace.left < pace.most
            });
        }
        owners.entry(owner).or_insert_with(|| Pace::new(self.per_s, self.most)).take(amount)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_as_many_as_time_brings() {
        let mut pace = Pace::new(2.0, 5.0);
        let now = pace.at;
        assert_eq!((0..9).filter(|_| pace.take_at(1.0, now)).count(), 5);
        assert_eq!((0..9).filter(|_| pace.take_at(1.0, now + Duration::from_secs(1))).count(), 2);
        assert_eq!((0..9).filter(|_| pace.take_at(1.0, now + Duration::from_secs(99))).count(), 5);
    }

    #[test]
    fn each_owner_has_its_own_and_the_operator_needs_none() {
        let paces = Paces::new(1e-9, 10.0, 2);
        let account = |number| Owner::Account(Uuid::from_u128(number));
        assert!(paces.take(account(1), 10.0) && !paces.take(account(1), 1.0));
        assert!(paces.take(account(2), 10.0));
        assert!((0..9).all(|_| paces.take(Owner::Service, 10.0)));
        // Those who have used theirs up are not forgotten for a newcomer.
        assert!(paces.take(account(3), 1.0) && !paces.take(account(1), 1.0));
    }
}
